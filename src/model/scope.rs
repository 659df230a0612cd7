//! What a delegation covers: origins, paths, methods, further hosts that pages
//! may load from or connect to, and private address ranges.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use url::{Host, Url};

use super::{
    origin::{Origin, OriginPattern, Scheme},
    text::serde_as_text,
};

/// An HTTP method, upper case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method(String);

/// A path: exact (`/tickets`), or everything below a folder (`/tickets/*`).
/// `*` alone at the end stands for the rest, with its slashes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PathPattern {
    prefix: String,
    rest: bool,
}

/// What a delegation covers. Everything absent is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Where pages may go, and where the lent cookies may be sent.
    pub origins: Vec<OriginPattern>,
    /// Paths on those origins; all of them unless named.
    #[serde(default = "every_path")]
    pub paths: Vec<PathPattern>,
    /// Methods on those origins; reading ones unless named.
    #[serde(default = "reading_methods")]
    pub methods: Vec<Method>,
    /// Further origins that sub-resources may come from, without credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load: Vec<OriginPattern>,
    /// Further origins that `fetch`, sockets and the like may reach, without credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connect: Vec<OriginPattern>,
    /// Private or special address ranges that names in this scope may resolve to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpNet>,
    /// What becomes of hosts that pages load from or connect to and that are not named.
    #[serde(default, skip_serializing_if = "Unknown::is_refuse")]
    pub unknown: Unknown,
    /// What becomes of requests that do more than read, where something is lent.
    #[serde(default, skip_serializing_if = "Writes::is_hold")]
    pub writes: Writes,
    /// How much may be used before the window closes.
    #[serde(default, skip_serializing_if = "Budget::is_endless")]
    pub budget: Budget,
}

/// What becomes of hosts that pages load from or connect to and that are not named.
/// They are not reached either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// Nothing more.
    #[default]
    Refuse,
    /// They are gathered, and become an authorization request.
    Propose,
}

/// What becomes of requests that do more than read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Writes {
    /// Each waits for a person's answer.
    #[default]
    Hold,
    /// They go, where the methods allow and no policy holds them.
    Allow,
}

/// How much may be used under a delegation; without a figure there is no end but
/// the window's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Requests that do more than read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<u64>,
    /// Bytes over its connections, both ways together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// Why a text is no method or path pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Not an HTTP token.
    #[error("`{0}` is not an HTTP method")]
    Method(String),
    /// Does not start with `/`, or has `*` elsewhere than at its end.
    #[error("`{0}` is not a path pattern: expected `/exact/path` or `/folder/*`")]
    Path(String),
    /// Nothing is named at all.
    #[error("the scope names no origin")]
    NoOrigin,
    /// A method list without a method.
    #[error("the scope names no method")]
    NoMethod,
    /// A path list without a path.
    #[error("the scope names no path")]
    NoPath,
    /// A grant asks for more than was requested; a person may only narrow.
    #[error("{0} was not requested: a grant may only narrow what was asked for")]
    Wider(String),
}

fn every_path() -> Vec<PathPattern> {
    vec![PathPattern {
        prefix: "/".to_owned(),
        rest: true,
    }]
}

fn reading_methods() -> Vec<Method> {
    ["GET", "HEAD", "OPTIONS"]
        .map(|method| Method(method.to_owned()))
        .into()
}

// === impl Scope ===

impl Scope {
    /// A scope of these origins with everything else at its default: all
    /// paths, reading methods.
    #[must_use]
    pub fn reading(origins: Vec<OriginPattern>) -> Self {
        Self {
            origins,
            paths: every_path(),
            methods: reading_methods(),
            load: Vec::new(),
            connect: Vec::new(),
            addresses: Vec::new(),
            unknown: Unknown::Refuse,
            writes: Writes::Hold,
            budget: Budget::default(),
        }
    }

    /// Refuses a scope with an empty list where an empty list means nothing.
    ///
    /// # Errors
    /// No origin, no path or no method is named.
    pub const fn validate(&self) -> Result<(), ScopeError> {
        if self.origins.is_empty() && self.load.is_empty() && self.connect.is_empty() {
            return Err(ScopeError::NoOrigin);
        }
        if self.paths.is_empty() {
            return Err(ScopeError::NoPath);
        }
        if self.methods.is_empty() {
            return Err(ScopeError::NoMethod);
        }
        Ok(())
    }

    /// Whether hosts that pages need and that it does not name are proposed.
    #[must_use]
    pub const fn proposes(&self) -> bool {
        matches!(self.unknown, Unknown::Propose)
    }

    /// Whether the origin is one that pages may go to.
    #[must_use]
    pub fn covers_origin(&self, origin: &Origin) -> bool {
        self.origins.iter().any(|pattern| pattern.covers(origin))
    }

    /// Whether the URL's path is covered.
    #[must_use]
    pub fn covers_path(&self, url: &Url) -> bool {
        self.paths.iter().any(|pattern| pattern.covers(url.path()))
    }

    /// Whether the method is covered.
    #[must_use]
    pub fn covers_method(&self, method: &str) -> bool {
        self.methods.iter().any(|known| known.0 == method)
    }

    /// Whether a connection to this host and port may be made at all.
    #[must_use]
    pub fn covers_endpoint(&self, host: &Host, port: u16) -> bool {
        self.patterns()
            .any(|pattern| pattern.covers_endpoint(host, port))
    }

    /// Whether a connection to this host and port may speak that scheme.
    #[must_use]
    pub fn covers_endpoint_as(&self, scheme: Scheme, host: &Host, port: u16) -> bool {
        self.patterns()
            .any(|pattern| pattern.covers_endpoint_as(scheme, host, port))
    }

    /// Whether a name of this scope may resolve to `address` though the
    /// address is private, loopback or otherwise special.
    #[must_use]
    pub fn names_address(&self, host: &Host, port: u16, address: IpAddr) -> bool {
        self.addresses.iter().any(|range| range.contains(&address))
            || self
                .patterns()
                .filter(|pattern| pattern.covers_endpoint(host, port))
                .any(|pattern| {
                    pattern.named_address() == Some(address)
                        || pattern.names_localhost() && address.is_loopback()
                })
    }

    /// Whether any origin in it lies in `pattern`, or the other way round.
    #[must_use]
    pub fn reaches(&self, pattern: &OriginPattern) -> bool {
        self.patterns()
            .any(|known| known.includes(pattern) || pattern.includes(known))
    }

    /// Refuses a grant that is wider than `self`, the request.
    ///
    /// # Errors
    /// The first thing in `granted` that `self` does not include.
    pub fn check_narrowed(&self, granted: &Self) -> Result<(), ScopeError> {
        let wider = |what: &dyn fmt::Display| Err(ScopeError::Wider(format!("`{what}`")));
        for (asked, given) in [
            (&self.origins, &granted.origins),
            (&self.load, &granted.load),
            (&self.connect, &granted.connect),
        ] {
            for pattern in given {
                if !asked.iter().any(|known| known.includes(pattern)) {
                    return wider(pattern);
                }
            }
        }
        for path in &granted.paths {
            if !self.paths.iter().any(|known| known.includes(path)) {
                return wider(path);
            }
        }
        for method in &granted.methods {
            if !self.methods.contains(method) {
                return wider(method);
            }
        }
        for range in &granted.addresses {
            if !self.addresses.iter().any(|known| known.contains(range)) {
                return wider(range);
            }
        }
        if self.writes == Writes::Hold && granted.writes == Writes::Allow {
            return wider(&"writes: allow");
        }
        if granted.proposes() && !self.proposes() {
            return wider(&"unknown: propose");
        }
        self.budget.check_narrowed(&granted.budget)?;
        granted.validate()
    }

    fn patterns(&self) -> impl Iterator<Item = &OriginPattern> {
        self.origins.iter().chain(&self.load).chain(&self.connect)
    }
}

// === impl Unknown, Writes, Budget ===

impl Unknown {
    /// Whether it is the default.
    // By reference, as serde asks.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_refuse(&self) -> bool {
        *self == Self::Refuse
    }
}

impl Writes {
    /// Whether it is the default.
    // By reference, as serde asks.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_hold(&self) -> bool {
        *self == Self::Hold
    }
}

impl Budget {
    /// Whether it has no figure.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        *self == Self::default()
    }

    fn check_narrowed(&self, granted: &Self) -> Result<(), ScopeError> {
        for (name, asked, given) in [
            ("requests", self.requests, granted.requests),
            ("writes", self.writes, granted.writes),
            ("bytes", self.bytes, granted.bytes),
        ] {
            if asked.is_some_and(|asked| given.is_none_or(|given| given > asked)) {
                let given = given.map_or("no end".to_owned(), |given| given.to_string());
                return Err(ScopeError::Wider(format!("`budget.{name}`: {given}")));
            }
        }
        Ok(())
    }
}

// === impl Method ===

impl Method {
    /// As sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Method {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let token =
            !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_alphabetic());
        if token {
            Ok(Self(text.to_ascii_uppercase()))
        } else {
            Err(ScopeError::Method(text.to_owned()))
        }
    }
}

// === impl PathPattern ===

impl PathPattern {
    /// Whether `path`, as the URL standard wrote it, is covered.
    ///
    /// Servers decode percent escapes in different ways, so a path with an
    /// escaped slash, backslash or dot is covered by the whole site only.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        if self.prefix == "/" && self.rest {
            return true;
        }
        if is_ambiguous(path) {
            return false;
        }
        if self.rest {
            path.starts_with(&self.prefix) || self.prefix.strip_suffix('/') == Some(path)
        } else {
            path == self.prefix
        }
    }

    fn includes(&self, other: &Self) -> bool {
        if self.rest {
            other.prefix.starts_with(&self.prefix) || !other.rest && self.covers(&other.prefix)
        } else {
            self == other
        }
    }
}

fn is_ambiguous(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    ["%2f", "%5c", "%2e", "%25", "//", "\\", ";"]
        .iter()
        .any(|part| lower.contains(part))
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)?;
        if self.rest {
            f.write_str("*")?;
        }
        Ok(())
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PathPattern {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let refuse = || ScopeError::Path(text.to_owned());
        let (path, rest) = match text.strip_suffix('*') {
            Some(folder) if folder.ends_with('/') => (folder, true),
            Some(_) => return Err(refuse()),
            None => (text, false),
        };
        // The URL standard normalises a request's path, so the pattern must be
        // in that form too or it would never match.
        let normal = Url::parse("http://host.invalid")
            .and_then(|base| base.join(path))
            .is_ok_and(|url| url.path() == path);
        if path.starts_with('/')
            && normal
            && !path.contains('*')
            && (path == "/" || !is_ambiguous(path))
        {
            Ok(Self {
                prefix: path.to_owned(),
                rest,
            })
        } else {
            Err(refuse())
        }
    }
}

serde_as_text!(Method, PathPattern);

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> PathPattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_folder_covers_itself_and_what_lies_below() {
        let folder = path("/tickets/*");
        for (url_path, expected) in [
            ("/tickets/", true),
            ("/tickets", true),
            ("/tickets/7/edit", true),
            ("/ticketsx", false),
            ("/", false),
            ("/tickets/%2e%2e/admin", false),
            ("/tickets/..%2fadmin", false),
            ("/tickets//admin", false),
            ("/tickets/;/admin", false),
        ] {
            assert_eq!(folder.covers(url_path), expected, "{url_path}");
        }
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for text in [
            "", "tickets", "/a*", "/a/*/b", "/a/../b", "/a b", "/a%2fb", "/*/",
        ] {
            assert!(text.parse::<PathPattern>().is_err(), "{text}");
        }
        for text in ["", "GE T", "G\nT", "*"] {
            assert!(text.parse::<Method>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_grant_may_only_narrow() {
        let asked: Scope = serde_json::from_str(
            r#"{"origins":["https://*.example.com"],"paths":["/a/*"],"methods":["GET","POST"]}"#,
        )
        .unwrap();
        let check = |json: &str| asked.check_narrowed(&serde_json::from_str(json).unwrap());
        assert_eq!(
            check(r#"{"origins":["https://x.example.com"],"paths":["/a/b"],"methods":["GET"]}"#),
            Ok(())
        );
        for json in [
            r#"{"origins":["https://example.org"],"paths":["/a/b"],"methods":["GET"]}"#,
            r#"{"origins":["https://x.example.com"],"paths":["/*"],"methods":["GET"]}"#,
            r#"{"origins":["https://x.example.com"],"paths":["/a/b"],"methods":["DELETE"]}"#,
            r#"{"origins":["https://x.example.com"],"paths":["/a/b"],"methods":["GET"],"addresses":["10.0.0.0/8"]}"#,
            r#"{"origins":["https://x.example.com"],"paths":["/a/b"],"methods":["GET"],"load":["https://cdn.test"]}"#,
        ] {
            assert!(matches!(check(json), Err(ScopeError::Wider(_))), "{json}");
        }
    }

    #[test]
    fn literal_addresses_and_localhost_count_as_named() {
        let scope = Scope::reading(vec![
            "http://127.0.0.1:8000".parse().unwrap(),
            "http://desk.localhost:8001".parse().unwrap(),
            "http://app.test:80".parse().unwrap(),
        ]);
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let named =
            |host: &str, port| scope.names_address(&Host::parse(host).unwrap(), port, loopback);
        assert!(named("127.0.0.1", 8000));
        assert!(named("desk.localhost", 8001));
        assert!(!named("app.test", 80));
        assert!(!named("127.0.0.1", 8002));
    }
}
