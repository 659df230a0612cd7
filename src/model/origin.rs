//! Origins, origin patterns and sites, parsed by the URL standard and compared
//! as values. No text is ever matched by prefix or suffix at a border.

use std::{fmt, net::IpAddr, str::FromStr};

use super::text::serde_as_text;
use url::{Host, Url};

/// `http` or `https`; a WebSocket's `ws` and `wss` count as these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Clear text.
    Http,
    /// Over TLS.
    Https,
}

/// Scheme, host and port: exact, never a pattern.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    scheme: Scheme,
    host: Host,
    port: u16,
}

/// What a scope may name: one origin, or every host below a domain.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OriginPattern {
    scheme: Scheme,
    /// With `subdomains`, the domain that the hosts lie below.
    host: Host,
    port: u16,
    subdomains: bool,
}

/// Why a text names no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The text is no absolute URL.
    #[error("`{0}` is not an origin: expected `https://host` or `https://host:port`")]
    NotAUrl(String),
    /// Something other than http or https.
    #[error("`{0}` cannot be lent: only http and https origins can")]
    Scheme(String),
    /// A path, query, fragment or user name beside the origin.
    #[error("`{0}` is more than an origin: leave out user, path, query and fragment")]
    NotBare(String),
    /// `*` somewhere else than as the first label.
    #[error(
        "`{0}`: `*` may only stand for the labels in front of a domain, as in `https://*.example.com`"
    )]
    Wildcard(String),
    /// `https://*.com` or `https://*.co.uk`.
    #[error("`{0}` would cover a whole public suffix")]
    PublicSuffix(String),
}

// === impl Scheme ===

impl Scheme {
    /// As written in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    fn parse(scheme: &str) -> Option<Self> {
        match scheme {
            "http" | "ws" => Some(Self::Http),
            "https" | "wss" => Some(Self::Https),
            _ => None,
        }
    }
}

// === impl Origin ===

impl Origin {
    /// An origin of its parts.
    #[must_use]
    pub fn new(scheme: Scheme, host: Host, port: u16) -> Self {
        Self {
            scheme,
            host: without_trailing_dot(host),
            port,
        }
    }

    /// The origin of a URL, if the URL is http, https, ws or wss and has a host.
    ///
    /// A trailing dot is dropped: `example.com.` names the same server to DNS.
    #[must_use]
    pub fn of(url: &Url) -> Option<Self> {
        let scheme = Scheme::parse(url.scheme())?;
        let host = url.host()?.to_owned();
        let port = url.port().unwrap_or_else(|| scheme.default_port());
        Some(Self::new(scheme, host, port))
    }

    /// Scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Port, the scheme's own where the text names none.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether a browser calls this origin trustworthy and so sends `Secure`
    /// cookies to it: https, or a host that can only be this machine.
    #[must_use]
    pub fn is_trustworthy(&self) -> bool {
        self.scheme == Scheme::Https || is_loopback_host(&self.host)
    }

    /// The schemeful site: scheme and registrable domain, or the whole host
    /// where there is none (an address, a public suffix).
    #[must_use]
    pub fn site(&self) -> String {
        format!(
            "{}://{}",
            self.scheme.as_str(),
            registrable_domain(&self.host)
        )
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let url = Url::parse(text).map_err(|_| OriginError::NotAUrl(text.to_owned()))?;
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let Some(origin) = Self::of(&url) else {
            return Err(OriginError::Scheme(text.to_owned()));
        };
        if bare {
            Ok(origin)
        } else {
            Err(OriginError::NotBare(text.to_owned()))
        }
    }
}

/// See `identity_providers.txt`.
const IDENTITY_PROVIDERS: &str = include_str!("identity_providers.txt");

/// Whether people sign in to other systems at that host.
#[must_use]
pub fn is_identity_provider(host: &Host) -> bool {
    let Host::Domain(host) = host else {
        return false;
    };
    let host = host.trim_end_matches('.');
    IDENTITY_PROVIDERS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .any(|known| match known.strip_prefix('.') {
            Some(domain) => host == domain || host.ends_with(known),
            None => host == known,
        })
}

// === impl OriginPattern ===

impl OriginPattern {
    /// Whether `origin` is the one named, or lies below the domain named. A host at
    /// which people sign in to other systems is covered by its own name alone.
    #[must_use]
    pub fn covers(&self, origin: &Origin) -> bool {
        if self.scheme != origin.scheme || self.port != origin.port {
            return false;
        }
        if self.subdomains {
            is_below(&origin.host, &self.host) && !is_identity_provider(&origin.host)
        } else {
            self.host == origin.host
        }
    }

    /// Whether everything that `other` covers is covered by `self` too.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        if self.scheme != other.scheme || self.port != other.port {
            return false;
        }
        match (self.subdomains, other.subdomains) {
            (false, true) => false,
            (false, false) => self.host == other.host,
            (true, false) => {
                is_below(&other.host, &self.host) && !is_identity_provider(&other.host)
            }
            (true, true) => self.host == other.host || is_below(&other.host, &self.host),
        }
    }

    /// Whether a connection to this host and port is one that an origin of this
    /// pattern may make. A proxy sees no scheme in `CONNECT`.
    #[must_use]
    pub fn covers_endpoint(&self, host: &Host, port: u16) -> bool {
        [Scheme::Http, Scheme::Https]
            .into_iter()
            .any(|scheme| self.covers_endpoint_as(scheme, host, port))
    }

    /// Whether an origin of this pattern is reached at this host and port by
    /// that scheme: what a proxy asks once it has seen the first bytes.
    #[must_use]
    pub fn covers_endpoint_as(&self, scheme: Scheme, host: &Host, port: u16) -> bool {
        self.scheme == scheme
            && self.port == port
            && self.covers(&Origin::new(scheme, host.clone(), port))
    }

    /// The address that the pattern names literally, if it names one.
    #[must_use]
    pub const fn named_address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
            Host::Domain(_) => None,
        }
    }

    /// Whether the pattern names this machine by `localhost` or a name below it.
    #[must_use]
    pub fn names_localhost(&self) -> bool {
        matches!(self.host, Host::Domain(_)) && is_loopback_host(&self.host)
    }
}

impl From<Origin> for OriginPattern {
    fn from(origin: Origin) -> Self {
        Self {
            scheme: origin.scheme,
            host: origin.host,
            port: origin.port,
            subdomains: false,
        }
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.subdomains { "*." } else { "" };
        write!(f, "{}://{star}{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl fmt::Debug for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for OriginPattern {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let Some((scheme, rest)) = text.split_once("://*.") else {
            if text.contains('*') {
                return Err(OriginError::Wildcard(text.to_owned()));
            }
            return text.parse::<Origin>().map(Self::from);
        };
        if rest.contains('*') {
            return Err(OriginError::Wildcard(text.to_owned()));
        }
        let base: Origin = format!("{scheme}://{rest}").parse()?;
        let Host::Domain(domain) = &base.host else {
            return Err(OriginError::Wildcard(text.to_owned()));
        };
        if is_public_suffix(domain) {
            return Err(OriginError::PublicSuffix(text.to_owned()));
        }
        Ok(Self {
            subdomains: true,
            ..Self::from(base)
        })
    }
}

serde_as_text!(Origin, OriginPattern);

// === hosts ===

/// Whether the host can only be this machine: `localhost`, a name below it, or
/// a loopback address.
#[must_use]
pub fn is_loopback_host(host: &Host) -> bool {
    match host {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Whether cookies may not be set for all of `domain` (RFC 6265bis, section
/// 5.7): it is on the public suffix list, or is a bare top-level label.
#[must_use]
pub fn is_public_suffix(domain: &str) -> bool {
    let domain = domain.trim_end_matches('.');
    // `localhost` is no registry's suffix, but nothing lies above it either.
    !domain.contains('.') && domain != "localhost"
        || psl::suffix_str(domain) == Some(domain)
            && domain.contains('.')
            && psl::suffix(domain.as_bytes()).is_some_and(|s| s.is_known())
}

/// The registrable domain (public suffix plus one label), or the whole host.
#[must_use]
pub fn registrable_domain(host: &Host) -> String {
    match host {
        Host::Domain(name) => psl::domain_str(name).unwrap_or(name).to_owned(),
        address => address.to_string(),
    }
}

fn is_below(host: &Host, domain: &Host) -> bool {
    match (host, domain) {
        (Host::Domain(host), Host::Domain(domain)) => host
            .strip_suffix(domain.as_str())
            .and_then(|labels| labels.strip_suffix('.'))
            .is_some_and(|labels| !labels.is_empty()),
        _ => false,
    }
}

fn without_trailing_dot(host: Host) -> Host {
    match host {
        Host::Domain(name) => match name.strip_suffix('.') {
            Some(bare) if !bare.is_empty() => Host::Domain(bare.to_owned()),
            _ => Host::Domain(name),
        },
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    #[test]
    fn spellings_of_one_origin_are_equal() {
        for (one, other) in [
            ("https://Example.COM", "https://example.com:443"),
            ("http://127.1", "http://127.0.0.1:80"),
            ("http://0x7f000001", "http://2130706433"),
            ("http://0177.0.0.1", "http://127.0.0.1"),
            ("https://example.com.", "https://example.com"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("wss://example.com", "https://example.com"),
        ] {
            assert_eq!(origin(one), origin(other), "{one} {other}");
        }
    }

    #[test]
    fn look_alikes_are_not_covered() {
        let scope: OriginPattern = "https://app.example.com".parse().unwrap();
        for other in [
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.test",
            "https://evilapp.example.com",
            "https://example.com",
            "https://x.app.example.com",
        ] {
            assert!(!scope.covers(&origin(other)), "{other}");
        }
    }

    #[test]
    fn wildcard_covers_hosts_below_and_nothing_else() {
        let scope: OriginPattern = "https://*.example.com".parse().unwrap();
        assert!(scope.covers(&origin("https://a.example.com")));
        assert!(scope.covers(&origin("https://a.b.example.com")));
        assert!(!scope.covers(&origin("https://example.com")));
        assert!(!scope.covers(&origin("https://notexample.com")));
    }

    #[test]
    fn what_is_not_an_origin_is_refused() {
        for text in [
            "example.com",
            "file:///etc/passwd",
            "https://user@example.com",
            "https://example.com/path",
            "https://*.com",
            "https://*.co.uk",
            "https://*",
            "https://a.*.com",
            "https://*.*.example.com",
            "javascript:alert(1)",
        ] {
            assert!(text.parse::<OriginPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn public_suffixes_are_known() {
        for (domain, expected) in [
            ("com", true),
            ("co.uk", true),
            ("github.io", true),
            ("example.com", false),
            ("localhost", false),
            ("app.localhost", false),
            ("intranet", true),
            ("app.test", false),
        ] {
            assert_eq!(is_public_suffix(domain), expected, "{domain}");
        }
    }

    #[test]
    fn a_wildcard_covers_no_identity_provider() {
        let covers = |pattern: &str, origin: &str| {
            let pattern: OriginPattern = pattern.parse().unwrap();
            let origin: Origin = origin.parse().unwrap();
            let named: OriginPattern = origin.clone().into();
            assert_eq!(
                pattern.covers(&origin),
                pattern.includes(&named),
                "{pattern} {origin}"
            );
            pattern.covers(&origin)
        };
        for (pattern, origin, expected) in [
            ("https://*.google.com", "https://mail.google.com", true),
            ("https://*.google.com", "https://accounts.google.com", false),
            (
                "https://*.google.com",
                "https://myaccounts.google.com",
                true,
            ),
            (
                "https://accounts.google.com",
                "https://accounts.google.com",
                true,
            ),
            ("https://*.okta.com", "https://acme.okta.com", false),
            ("https://acme.okta.com", "https://acme.okta.com", true),
            (
                "https://*.microsoftonline.com",
                "https://login.microsoftonline.com",
                false,
            ),
        ] {
            assert_eq!(covers(pattern, origin), expected, "{pattern} {origin}");
        }
    }
}
