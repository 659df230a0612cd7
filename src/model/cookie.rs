//! A cookie's attributes as a browser keeps them, and the rule by which a
//! browser would send it (RFC 6265bis, section 5.8.3).
//!
//! The value is not here: it is a [`Secret`](super::secret::Secret), sealed in
//! the vault and held beside these attributes only while a window is open.

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{
    origin::{Origin, is_loopback_host, is_public_suffix},
    time::Timestamp,
};

/// When a cookie goes along with requests that another site caused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SameSite {
    /// Same-site requests only.
    Strict,
    /// Same-site requests and top-level navigations by a safe method.
    Lax,
    /// Always.
    None,
}

/// The top-level site that a partitioned (CHIPS) cookie belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartitionKey {
    /// Schemeful site, such as `https://example.com`.
    pub top_level_site: String,
    /// Whether a frame of another site lies between.
    #[serde(default)]
    pub has_cross_site_ancestor: bool,
}

/// Everything about a cookie but its value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CookieAttributes {
    /// Name, as sent.
    pub name: String,
    /// Host or domain, lower case, without a leading dot.
    pub domain: String,
    /// Sent to `domain` alone, not to hosts below it.
    pub host_only: bool,
    /// Path that requests must lie under.
    pub path: String,
    /// Sent over a secure channel only.
    pub secure: bool,
    /// Not for scripts.
    pub http_only: bool,
    /// `None` where the site did not say, which is not the same as `Lax`.
    pub same_site: Option<SameSite>,
    /// Present on partitioned cookies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_key: Option<PartitionKey>,
    /// `None` for a session cookie.
    pub expires: Option<Timestamp>,
}

/// How the site of a request relates to the sites that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SiteContext {
    /// Another site caused it, not as a top-level navigation.
    CrossSite,
    /// Another site caused a top-level navigation by a safe method.
    CrossSiteTopLevelSafe,
    /// All of its ancestors and its initiator are of its own site.
    SameSite,
}

/// What decides whether a cookie goes along with a request.
#[derive(Debug, Clone, Copy)]
pub struct CookieUse<'a> {
    /// Where the request goes.
    pub url: &'a Url,
    /// Who caused it.
    pub site: SiteContext,
    /// The partition that the request is made in; `None` where unknown.
    pub partition: Option<&'a PartitionKey>,
    /// When.
    pub at: Timestamp,
}

/// Why a cookie is not one that a browser would keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// An empty name, or one with a character that no cookie name has.
    #[error("its name is empty or has a character that a cookie name cannot have")]
    Name,
    /// A control character or semicolon, or a space at either end.
    #[error("its value has a character that a cookie value cannot have")]
    Value,
    /// Name and value together are over 4096 bytes.
    #[error("name and value together are longer than 4096 bytes")]
    TooLong,
    /// No host name or address.
    #[error("`{0}` is not a host name or address")]
    Domain(String),
    /// A domain that a registry hands out.
    #[error("`{0}` is a public suffix: such a cookie would go to every site below it")]
    PublicSuffix(String),
    /// Does not begin with `/`, is over 1024 bytes or has a control character.
    #[error("its path does not begin with `/`, or is not one that a cookie can have")]
    Path,
    /// The top-level site of a partition is not the site of an http or https origin.
    #[error("its partition is not a site such as `https://example.com`")]
    Partition,
    /// `__Host-`, `__Secure-` or the like without what the prefix promises.
    #[error("its name begins with `{0}` but it lacks what that promises")]
    Prefix(&'static str),
    /// `SameSite=None` and partitioned cookies must be `Secure`.
    #[error("`SameSite=None` and partitioned cookies must be `Secure`")]
    Insecure,
}

impl CookieAttributes {
    /// Brings domain and path into their one form and refuses what a browser
    /// would refuse.
    ///
    /// # Errors
    /// See [`CookieError`].
    pub fn validated(mut self, value: &str) -> Result<Self, CookieError> {
        if self.name.is_empty() || self.name.bytes().any(|b| !is_name_byte(b)) {
            return Err(CookieError::Name);
        }
        // Browsers trim a value before they keep it; an untrimmed one is not theirs.
        if value.bytes().any(|b| b < 0x20 || b == 0x7f || b == b';')
            || value.starts_with(' ')
            || value.ends_with(' ')
        {
            return Err(CookieError::Value);
        }
        if self.name.len() + value.len() > 4096 {
            return Err(CookieError::TooLong);
        }
        let text = self.domain.strip_prefix('.').unwrap_or(&self.domain);
        let host = Host::parse(text).map_err(|_| CookieError::Domain(self.domain.clone()))?;
        let domain = host.to_string();
        let domain = domain.strip_suffix('.').unwrap_or(&domain).to_owned();
        if domain.split('.').any(str::is_empty) {
            return Err(CookieError::Domain(self.domain));
        }
        match &host {
            Host::Domain(_) if !self.host_only && is_public_suffix(&domain) => {
                return Err(CookieError::PublicSuffix(domain));
            }
            // Nothing lies above `localhost` that could share a cookie with the
            // names below it: Chromium keeps such a cookie for the host alone.
            Host::Domain(_) => self.host_only |= domain == "localhost",
            Host::Ipv4(_) | Host::Ipv6(_) => self.host_only = true,
        }
        self.domain = domain;
        if !self.path.starts_with('/')
            || self.path.len() > 1024
            || self
                .path
                .bytes()
                .any(|b| b < 0x20 || b == 0x7f || b == b';')
        {
            return Err(CookieError::Path);
        }
        check_prefix(&self)?;
        if let Some(key) = &mut self.partition_key {
            let site: Origin = key
                .top_level_site
                .parse()
                .map_err(|_| CookieError::Partition)?;
            key.top_level_site = site.site();
        }
        let needs_secure = self.same_site == Some(SameSite::None) || self.partition_key.is_some();
        if needs_secure && !self.secure {
            return Err(CookieError::Insecure);
        }
        Ok(self)
    }

    /// Whether a browser would send this cookie with that request.
    ///
    /// A cookie whose site did not say `SameSite` is treated as `Lax`, as
    /// browsers do.
    #[must_use]
    pub fn is_sent(&self, request: &CookieUse<'_>) -> bool {
        matches!(request.url.scheme(), "https" | "http" | "wss" | "ws")
            && request
                .url
                .host()
                .is_some_and(|host| self.matches_host(&host))
            && path_matches(&self.path, request.url.path())
            && (!self.secure || is_secure_channel(request.url))
            && self.expires.is_none_or(|at| request.at < at)
            && match self.same_site {
                Some(SameSite::None) => true,
                Some(SameSite::Lax) | None => request.site >= SiteContext::CrossSiteTopLevelSafe,
                Some(SameSite::Strict) => request.site == SiteContext::SameSite,
            }
            && self
                .partition_key
                .as_ref()
                .is_none_or(|key| request.partition == Some(key))
    }

    /// Whether there is a request to this host that it goes along with.
    #[must_use]
    pub fn matches_host<S: AsRef<str>>(&self, host: &Host<S>) -> bool {
        let domain = self.domain.trim_start_matches('[').trim_end_matches(']');
        match host {
            Host::Domain(name) => {
                let name = name.as_ref();
                let name = name.strip_suffix('.').unwrap_or(name);
                let below =
                    |labels: &str| labels.is_empty() || !self.host_only && labels.ends_with('.');
                name.strip_suffix(domain).is_some_and(below)
            }
            Host::Ipv4(address) => domain.parse() == Ok(*address),
            Host::Ipv6(address) => domain.parse() == Ok(*address),
        }
    }
}

/// RFC 6265bis, section 5.1.4.
#[must_use]
pub fn path_matches(cookie_path: &str, request_path: &str) -> bool {
    request_path
        .strip_prefix(cookie_path)
        .is_some_and(|rest| rest.is_empty() || cookie_path.ends_with('/') || rest.starts_with('/'))
}

/// What a name's prefix promises (RFC 6265bis, section 5.7, and Chromium for
/// the two with `Http`), in whatever case it is written.
fn check_prefix(cookie: &CookieAttributes) -> Result<(), CookieError> {
    let bound = cookie.host_only && cookie.path == "/";
    for (prefix, kept) in [
        ("__Host-Http-", bound && cookie.http_only),
        ("__Host-", bound),
        ("__Http-", cookie.http_only),
        ("__Secure-", true),
    ] {
        let found = cookie.name.get(..prefix.len());
        if found.is_some_and(|found| found.eq_ignore_ascii_case(prefix)) {
            return if kept && cookie.secure {
                Ok(())
            } else {
                Err(CookieError::Prefix(prefix))
            };
        }
    }
    Ok(())
}

/// Whether `Secure` cookies go there: over TLS, or to this machine.
#[must_use]
pub fn is_secure_channel(url: &Url) -> bool {
    matches!(url.scheme(), "https" | "wss")
        || url
            .host()
            .is_some_and(|host| is_loopback_host(&host.to_owned()))
}

/// What browsers take in a name: all that is visible but `=` and `;`. They take
/// spaces and non-ASCII text too, which servers read in too many ways.
const fn is_name_byte(b: u8) -> bool {
    b > 0x20 && b < 0x7f && !matches!(b, b'=' | b';')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(domain: &str, host_only: bool) -> CookieAttributes {
        CookieAttributes {
            name: "sid".into(),
            domain: domain.into(),
            host_only,
            path: "/".into(),
            secure: false,
            http_only: true,
            same_site: None,
            partition_key: None,
            expires: None,
        }
    }

    fn sent(cookie: &CookieAttributes, url: &str, site: SiteContext) -> bool {
        cookie.is_sent(&CookieUse {
            url: &Url::parse(url).unwrap(),
            site,
            partition: None,
            at: Timestamp(0),
        })
    }

    #[test]
    fn host_and_domain_cookies_go_where_a_browser_sends_them() {
        use SiteContext::SameSite;
        let host = cookie("app.example.com", true);
        let domain = cookie("example.com", false);
        for (url, to_host, to_domain) in [
            ("https://app.example.com/", true, true),
            ("https://APP.example.com./x", true, true),
            ("https://x.app.example.com/", false, true),
            ("https://example.com/", false, true),
            ("https://notexample.com/", false, false),
            ("https://example.com.evil.test/", false, false),
            ("http://127.0.0.1/", false, false),
        ] {
            assert_eq!(sent(&host, url, SameSite), to_host, "{url}");
            assert_eq!(sent(&domain, url, SameSite), to_domain, "{url}");
        }
    }

    #[test]
    fn same_site_secure_path_expiry_and_partition_are_obeyed() {
        use SiteContext::{CrossSite, CrossSiteTopLevelSafe, SameSite as Same};
        for (same_site, cross, top, same) in [
            (Some(SameSite::Strict), false, false, true),
            (Some(SameSite::Lax), false, true, true),
            (None, false, true, true),
            (Some(SameSite::None), true, true, true),
        ] {
            let cookie = CookieAttributes {
                same_site,
                ..cookie("a.test", true)
            };
            assert_eq!(sent(&cookie, "https://a.test/", CrossSite), cross);
            assert_eq!(sent(&cookie, "https://a.test/", CrossSiteTopLevelSafe), top);
            assert_eq!(sent(&cookie, "https://a.test/", Same), same);
        }
        let secure = CookieAttributes {
            secure: true,
            ..cookie("a.test", true)
        };
        assert!(!sent(&secure, "http://a.test/", Same));
        assert!(sent(&secure, "https://a.test/", Same));
        let below = CookieAttributes {
            path: "/admin".into(),
            ..cookie("a.test", true)
        };
        assert!(sent(&below, "https://a.test/admin/x", Same));
        assert!(!sent(&below, "https://a.test/administrator", Same));
        let stale = CookieAttributes {
            expires: Some(Timestamp(0)),
            ..cookie("a.test", true)
        };
        assert!(!sent(&stale, "https://a.test/", Same));
        let key = PartitionKey {
            top_level_site: "https://b.test".into(),
            has_cross_site_ancestor: true,
        };
        let partitioned = CookieAttributes {
            partition_key: Some(key),
            ..cookie("a.test", true)
        };
        assert!(!sent(&partitioned, "https://a.test/", Same));
    }

    #[test]
    fn what_a_browser_would_refuse_is_refused() {
        let ok = cookie("a.example.com", true);
        let check = |cookie: CookieAttributes| cookie.validated("v").err();
        assert_eq!(check(ok.clone()), None);
        assert_eq!(ok.clone().validated("a\nb"), Err(CookieError::Value));
        assert_eq!(
            ok.clone().validated(&"x".repeat(4096)),
            Err(CookieError::TooLong)
        );
        for (changed, expected) in [
            (
                CookieAttributes {
                    name: String::new(),
                    ..ok.clone()
                },
                CookieError::Name,
            ),
            (
                CookieAttributes {
                    name: "a b".into(),
                    ..ok.clone()
                },
                CookieError::Name,
            ),
            (
                CookieAttributes {
                    path: "x".into(),
                    ..ok.clone()
                },
                CookieError::Path,
            ),
            (
                CookieAttributes {
                    name: "__Host-a".into(),
                    ..ok.clone()
                },
                CookieError::Prefix("__Host-"),
            ),
            (
                CookieAttributes {
                    name: "__Secure-a".into(),
                    ..ok.clone()
                },
                CookieError::Prefix("__Secure-"),
            ),
            (
                CookieAttributes {
                    same_site: Some(SameSite::None),
                    ..ok.clone()
                },
                CookieError::Insecure,
            ),
            (
                cookie("co.uk", false),
                CookieError::PublicSuffix("co.uk".into()),
            ),
            (cookie("a b", true), CookieError::Domain("a b".into())),
        ] {
            assert_eq!(check(changed.clone()), Some(expected), "{changed:?}");
        }
    }

    #[test]
    fn prefixes_partitions_and_odd_domains_are_held_to_what_browsers_do() {
        let ok = CookieAttributes {
            secure: true,
            ..cookie("a.example.com", true)
        };
        let named = |name: &str, http_only: bool, path: &str| {
            CookieAttributes {
                name: name.into(),
                http_only,
                path: path.into(),
                ..ok.clone()
            }
            .validated("v")
            .err()
        };
        for (name, http_only, path, expected) in [
            ("__host-a", false, "/", None),
            ("__hOST-a", false, "/x", Some("__Host-")),
            ("__Http-a", true, "/x", None),
            ("__Http-a", false, "/x", Some("__Http-")),
            ("__Host-Http-a", true, "/", None),
            ("__Host-Http-a", false, "/", Some("__Host-Http-")),
            ("__Host-Http-a", true, "/x", Some("__Host-Http-")),
            ("a,b\"c", false, "/", None),
        ] {
            let expected = expected.map(CookieError::Prefix);
            assert_eq!(named(name, http_only, path), expected, "{name} {path}");
        }
        let long = format!("/{}", "x".repeat(1024));
        assert_eq!(named("a", false, &long), Some(CookieError::Path));
        for value in [" v", "v "] {
            assert_eq!(ok.clone().validated(value), Err(CookieError::Value));
        }
        for domain in ["a..example.com", "..example.com", ".", "example.com.."] {
            let error = cookie(domain, false).validated("v").err();
            assert!(matches!(error, Some(CookieError::Domain(_))), "{domain}");
        }
        let local = cookie("localhost", false).validated("v").unwrap();
        assert!(local.host_only);
        let in_partition = |site: &str| {
            let key = PartitionKey {
                top_level_site: site.into(),
                has_cross_site_ancestor: true,
            };
            let partition_key = Some(key);
            CookieAttributes {
                partition_key,
                ..ok.clone()
            }
            .validated("v")
            .map(|kept| kept.partition_key.map(|key| key.top_level_site))
        };
        let site = Some("https://b.test".to_owned());
        assert_eq!(in_partition("https://www.B.test"), Ok(site));
        for text in ["b.test", "", "data:,x", "https://b.test/x"] {
            assert_eq!(in_partition(text), Err(CookieError::Partition), "{text}");
        }
        let everywhere = cookie("a.test", true);
        assert!(!sent(&everywhere, "ftp://a.test/", SiteContext::SameSite));
    }
}
