//! What a response does to lent cookies: set anew, cleared, or shadowed.
//!
//! The browser has stored whatever it accepted by the time this is asked. A
//! rotated or cleared cookie is to be written to the vault and deleted from the
//! jar; one that would shadow a lent cookie is to be deleted from the jar.

use std::{sync::Arc, time::Duration};

use cookie::Cookie;
use url::{Host, Url};

use super::{
    cookie_date,
    lease::{Leases, LentCookie},
};
use crate::model::{
    cookie::{CookieAttributes, PartitionKey, SameSite, is_secure_channel},
    origin::{Origin, is_public_suffix},
    secret::Secret,
    time::Timestamp,
};

/// What the browser received.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// The URL that answered.
    pub url: &'a Url,
    /// The raw `Set-Cookie` header; several are joined by line feeds.
    pub set_cookie: &'a str,
    /// The partition of the request, where known.
    pub partition: Option<&'a PartitionKey>,
    /// When.
    pub at: Timestamp,
}

/// What a response does to lent cookies.
#[derive(Debug, Clone, Default)]
pub struct SetCookies {
    /// Lent cookies that change: at most one entry for each.
    pub rotations: Vec<Rotation>,
    /// What the browser's jar must not keep.
    pub shadowing: Vec<JarCookie>,
}

/// One lent cookie that a response changes.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// As lent.
    pub cookie: Arc<LentCookie>,
    /// To what.
    pub change: Change,
}

/// How a lent cookie changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The site set it anew.
    Rotated(Secret, CookieAttributes),
    /// The site took it away: an empty value, or a time in the past.
    Cleared,
}

/// Names a cookie in the browser's jar, in the words of `Network.deleteCookies`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JarCookie {
    /// Name.
    pub name: String,
    /// Domain, without a leading dot.
    pub domain: String,
    /// Path.
    pub path: String,
    /// Set on partitioned cookies.
    pub partition_key: Option<PartitionKey>,
}

/// Reads the `Set-Cookie` lines of a response against what is lent.
///
/// Leases that are over count too: the person's own cookie changed, whether or
/// not the window is still open. Only an origin in a lease's scope can rotate
/// what that lease lends; what another host sets under the name is shadowing.
#[must_use]
pub fn read_response(response: &Response<'_>, leases: &Leases) -> SetCookies {
    let mut found = SetCookies::default();
    let lines = response.set_cookie.split('\n');
    let lent_by = leases.all();
    for set in lines.filter_map(|line| SetCookie::read(line, response)) {
        let mut matched = false;
        let mut shadows = false;
        for lease in &lent_by {
            let in_scope = Origin::of(response.url).is_some_and(|o| lease.scope.covers_origin(&o));
            for cookie in &lease.cookies {
                let lent = &cookie.attributes;
                if lent.name != set.attributes.name {
                    continue;
                }
                match set.change(lent, response) {
                    Some(change) if in_scope => {
                        matched = true;
                        found.rotations.retain(|r| !Arc::ptr_eq(&r.cookie, cookie));
                        found.rotations.push(Rotation {
                            cookie: cookie.clone(),
                            change,
                        });
                    }
                    _ => shadows |= set.meets(lent),
                }
            }
        }
        if shadows && !matched {
            let jar = set.into_jar_cookie();
            if !found.shadowing.contains(&jar) {
                found.shadowing.push(jar);
            }
        }
    }
    found
}

/// One line as a browser reads it.
struct SetCookie {
    attributes: CookieAttributes,
    value: Secret,
    /// Partitioned, but nobody knows in which partition.
    partition_unknown: bool,
}

// === impl SetCookie ===

impl SetCookie {
    /// `None` for what names no cookie or what a browser does not store.
    fn read(line: &str, response: &Response<'_>) -> Option<Self> {
        let line = line.trim_end_matches('\r');
        let cookie = Cookie::parse(line).ok()?;
        let host = host_of(response.url)?;
        let (domain, host_only) = domain_of(&cookie, response.url, host)?;
        let path = match cookie.path() {
            Some(path) if path.starts_with('/') => path.to_owned(),
            _ => default_path(response.url.path()),
        };
        let partitioned = cookie.partitioned().unwrap_or(false);
        Some(Self {
            attributes: CookieAttributes {
                name: cookie.name().to_owned(),
                domain,
                host_only,
                path,
                secure: cookie.secure().unwrap_or(false),
                http_only: cookie.http_only().unwrap_or(false),
                same_site: cookie.same_site().map(|same_site| match same_site {
                    cookie::SameSite::Strict => SameSite::Strict,
                    cookie::SameSite::Lax => SameSite::Lax,
                    cookie::SameSite::None => SameSite::None,
                }),
                partition_key: response.partition.filter(|_| partitioned).cloned(),
                expires: expiry(&cookie, line, response.at),
            },
            value: Secret::new(cookie.value().to_owned()),
            partition_unknown: partitioned && response.partition.is_none(),
        })
    }

    /// What it does to that lent cookie; `None` if it is another cookie or one
    /// that a browser would not let in its place.
    fn change(&self, lent: &CookieAttributes, response: &Response<'_>) -> Option<Change> {
        let set = &self.attributes;
        let same = set.domain == lent.domain
            && set.host_only == lent.host_only
            && set.path == lent.path
            && set.partition_key == lent.partition_key
            && !self.partition_unknown;
        // A `Secure` cookie is set and overwritten over a secure channel only.
        let protected = (set.secure || lent.secure) && !is_secure_channel(response.url);
        if !same || protected {
            return None;
        }
        let attributes = set.clone().validated(self.value.expose()).ok()?;
        let cleared =
            self.value.expose().is_empty() || set.expires.is_some_and(|at| at <= response.at);
        Some(if cleared {
            Change::Cleared
        } else {
            Change::Rotated(self.value.clone(), attributes)
        })
    }

    /// Whether there is a host that would be sent both.
    fn meets(&self, lent: &CookieAttributes) -> bool {
        let below = |host: &str, domain: &str| {
            host.strip_suffix(domain)
                .is_some_and(|labels| labels.ends_with('.'))
        };
        let set = &self.attributes;
        set.domain == lent.domain
            || !lent.host_only && below(&set.domain, &lent.domain)
            || !set.host_only && below(&lent.domain, &set.domain)
    }

    fn into_jar_cookie(self) -> JarCookie {
        JarCookie {
            name: self.attributes.name,
            domain: self.attributes.domain,
            path: self.attributes.path,
            partition_key: self.attributes.partition_key,
        }
    }
}

// === RFC 6265bis ===

fn host_of(url: &Url) -> Option<&str> {
    let host = url.host_str()?;
    Some(host.strip_suffix('.').unwrap_or(host))
}

/// Domain and host-only flag (section 5.7); `None` if the host may not set
/// cookies for that domain.
fn domain_of(cookie: &Cookie<'_>, url: &Url, host: &str) -> Option<(String, bool)> {
    let Some(attribute) = cookie.domain() else {
        return Some((host.to_owned(), true));
    };
    let domain = Host::parse(attribute).ok()?.to_string();
    if domain == host {
        let alone = !matches!(url.host(), Some(Host::Domain(_)))
            || is_public_suffix(&domain)
            || domain == "localhost";
        return Some((domain, alone));
    }
    let above = matches!(url.host(), Some(Host::Domain(_)))
        && !is_public_suffix(&domain)
        && host
            .strip_suffix(domain.as_str())
            .is_some_and(|labels| labels.ends_with('.'));
    above.then_some((domain, false))
}

/// Section 5.1.4.
fn default_path(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, _)) if folder.starts_with('/') => folder.to_owned(),
        _ => "/".to_owned(),
    }
}

/// `Max-Age` before `Expires`; never more than 400 days ahead.
fn expiry(cookie: &Cookie<'_>, line: &str, now: Timestamp) -> Option<Timestamp> {
    const LONGEST: Duration = Duration::from_hours(400 * 24);
    let at = match cookie.max_age() {
        Some(age) => match u64::try_from(age.whole_seconds()) {
            Ok(seconds @ 1..) => now.saturating_add(Duration::from_secs(seconds).min(LONGEST)),
            _ => now,
        },
        // The cookie crate reads a few of the forms that browsers read; what it
        // misses would turn a deletion into a session cookie.
        None => line
            .split(';')
            .skip(1)
            .filter_map(|attribute| attribute.split_once('='))
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("expires"))
            .filter_map(|(_, date)| cookie_date::parse(date))
            .last()?,
    };
    Some(at.min(now.saturating_add(LONGEST)))
}

#[cfg(test)]
mod tests;
