//! What a request or a grant may say: purpose, window, cookies. Pure.

use url::Url;

use super::{CallError, WindowAsk};
use crate::{
    config::{Span, WindowConfig},
    model::{
        cookie::{CookieAttributes, CookieUse, SiteContext},
        delegation::{Limits, Window},
        origin::{Origin, OriginPattern},
        scope::Scope,
        time::Timestamp,
    },
};

const ENTRIES: usize = 64;
const PURPOSE: usize = 500;
const NAME: usize = 64;

/// Refuses an agent's name that could be taken for an id or misread.
pub(super) fn check_name(name: &str) -> Result<(), CallError> {
    let begins = name
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'));
    let id = name.parse::<crate::model::id::AgentId>().is_ok();
    if begins && rest && name.len() <= NAME && !id {
        return Ok(());
    }
    Err(CallError::invalid(
        "name",
        format!(
            "an agent's name is 1 to {NAME} of a-z, 0-9, `-`, `_` and `.`, begins with a letter or digit, and is no id"
        ),
    ))
}

/// Refuses a purpose that is empty, long, or shown other than it is written.
pub(super) fn check_purpose(purpose: &str) -> Result<(), CallError> {
    let misleading = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if purpose.trim().is_empty()
        || purpose.chars().count() > PURPOSE
        || purpose.chars().any(misleading)
    {
        return Err(CallError::invalid(
            "purpose",
            format!(
                "say in one line of 1 to {PURPOSE} characters what the agent is to do; the person who decides reads it"
            ),
        ));
    }
    Ok(())
}

/// Refuses a scope that is empty or longer than a person can read.
pub(super) fn check_scope(scope: &Scope) -> Result<(), CallError> {
    scope
        .validate()
        .map_err(|error| CallError::invalid("scope", error))?;
    let longest = [
        scope.origins.len(),
        scope.paths.len(),
        scope.methods.len(),
        scope.load.len(),
        scope.connect.len(),
        scope.addresses.len(),
    ];
    check_count("scope", longest.into_iter().max().unwrap_or(0))
}

/// Refuses a list longer than a person can read.
pub(super) fn check_count(field: &'static str, count: usize) -> Result<(), CallError> {
    if count > ENTRIES {
        return Err(CallError::invalid(
            field,
            format!("a list has {count} entries; at most {ENTRIES} are allowed"),
        ));
    }
    Ok(())
}

/// The limits of a window.
pub(super) const fn limits(config: WindowConfig) -> Limits {
    Limits {
        window: config.cap.0,
    }
}

/// The window that a request asks for.
pub(super) fn window(
    ask: WindowAsk,
    config: WindowConfig,
    now: Timestamp,
) -> Result<Window, CallError> {
    let start = ask.start.unwrap_or(now);
    let end = end(ask, start)?.unwrap_or_else(|| start.saturating_add(config.default.0));
    let window = Window { start, end };
    window
        .validate(limits(config), now)
        .map_err(|error| CallError::invalid("window", error))?;
    Ok(window)
}

/// The window that a grant narrows the requested one to. A length counts from
/// the grant, not from a start that is past.
pub(super) fn narrowed(
    ask: WindowAsk,
    requested: Window,
    now: Timestamp,
) -> Result<Window, CallError> {
    let start = ask.start.unwrap_or(requested.start);
    let end = end(ask, start.max(now))?.unwrap_or(requested.end);
    Ok(Window { start, end })
}

fn end(ask: WindowAsk, from: Timestamp) -> Result<Option<Timestamp>, CallError> {
    match (ask.end, ask.duration) {
        (Some(_), Some(_)) => Err(CallError::invalid(
            "window",
            "name `end` or `duration`, not both",
        )),
        (end, duration) => Ok(end.or(duration.map(|Span(span)| from.saturating_add(span)))),
    }
}

/// Whether a browser would send the cookie to this origin.
pub(super) fn is_sent(cookie: &CookieAttributes, origin: &Origin, now: Timestamp) -> bool {
    let Ok(mut url) = Url::parse(&origin.to_string()) else {
        return false;
    };
    url.set_path(&cookie.path);
    cookie.is_sent(&CookieUse {
        url: &url,
        site: SiteContext::SameSite,
        partition: cookie.partition_key.as_ref(),
        at: now,
    })
}

/// Whether a browser would send the cookie to some origin of the scope.
pub(super) fn is_usable(cookie: &CookieAttributes, scope: &Scope, now: Timestamp) -> bool {
    scope
        .origins
        .iter()
        .flat_map(|pattern| samples(pattern, cookie))
        .any(|origin| is_sent(cookie, &origin, now))
}

// Origins of the pattern that stand for all: the one it names; of a pattern for
// hosts below a domain, the cookie's own host and a host below each of the two
// domains, for whichever of the two lies below the other.
fn samples(pattern: &OriginPattern, cookie: &CookieAttributes) -> Vec<Origin> {
    let text = pattern.to_string();
    let Some((scheme, base)) = text.split_once("://*.") else {
        return text.parse().into_iter().collect();
    };
    let Ok(base) = format!("{scheme}://{base}").parse::<Origin>() else {
        return Vec::new();
    };
    let domain = &cookie.domain;
    [
        domain.clone(),
        format!("x.{domain}"),
        format!("x.{}", base.host()),
    ]
    .into_iter()
    .filter_map(|host| url::Host::parse(&host).ok())
    .map(|host| Origin::new(base.scheme(), host, base.port()))
    .filter(|origin| pattern.covers(origin))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(domain: &str, host_only: bool, secure: bool) -> CookieAttributes {
        CookieAttributes {
            name: "sid".into(),
            domain: domain.into(),
            host_only,
            path: "/app".into(),
            secure,
            http_only: true,
            same_site: None,
            partition_key: None,
            expires: Some(Timestamp(100)),
        }
    }

    #[test]
    fn a_cookie_is_usable_where_a_browser_would_send_it() {
        for (domain, host_only, secure, pattern, expected) in [
            ("a.example.com", true, true, "https://a.example.com", true),
            ("a.example.com", true, true, "http://a.example.com", false),
            ("a.example.com", true, false, "http://a.example.com", true),
            ("a.example.com", true, true, "https://example.com", false),
            ("example.com", false, true, "https://a.example.com", true),
            ("example.com", true, true, "https://a.example.com", false),
            ("example.com", false, true, "https://*.example.com", true),
            ("example.com", true, true, "https://*.example.com", false),
            ("a.example.com", true, true, "https://*.example.com", true),
            ("example.com", false, true, "https://*.a.example.com", true),
            (
                "a.example.com",
                false,
                true,
                "https://*.a.example.com",
                true,
            ),
            (
                "a.example.com",
                true,
                true,
                "https://*.a.example.com",
                false,
            ),
            ("other.test", false, true, "https://*.example.com", false),
            ("localhost", true, true, "http://localhost:8000", true),
            ("127.0.0.1", true, true, "http://127.0.0.1:8000", true),
            ("127.0.0.1", true, true, "https://*.example.com", false),
        ] {
            let scope = Scope::reading(vec![pattern.parse().unwrap()]);
            let cookie = cookie(domain, host_only, secure);
            assert_eq!(
                is_usable(&cookie, &scope, Timestamp(0)),
                expected,
                "{domain} {host_only} {secure} {pattern}"
            );
            assert!(!is_usable(&cookie, &scope, Timestamp(100)), "expired");
        }
    }

    #[test]
    fn names_and_purposes_that_mislead_are_refused() {
        for (name, good) in [
            ("bot-1", true),
            ("a", true),
            ("", false),
            ("-a", false),
            ("Bot", false),
            ("a b", false),
            ("agt_aaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            (&"a".repeat(65), false),
        ] {
            assert_eq!(check_name(name).is_ok(), good, "{name}");
        }
        for (purpose, good) in [
            ("read ticket 7", true),
            ("", false),
            ("  ", false),
            ("a\nb", false),
            ("a\u{202e}b", false),
            (&"a".repeat(501), false),
        ] {
            assert_eq!(check_purpose(purpose).is_ok(), good, "{purpose:?}");
        }
    }

    #[test]
    fn windows_are_made_of_what_is_named() {
        let config = WindowConfig {
            cap: Span::seconds(3600),
            default: Span::seconds(900),
        };
        let second = |n: i64| Some(Timestamp(n * 1_000_000));
        let ask = |start, end, duration: Option<u64>| WindowAsk {
            start,
            end,
            duration: duration.map(Span::seconds),
        };
        let now = Timestamp(1_000_000_000);
        for (ask, expected) in [
            (ask(None, None, None), Some((1000, 1900))),
            (ask(None, None, Some(60)), Some((1000, 1060))),
            (ask(second(2000), None, Some(60)), Some((2000, 2060))),
            (ask(None, second(1200), None), Some((1000, 1200))),
            (ask(None, second(1200), Some(5)), None),
            (ask(None, second(900), None), None),
            (ask(None, None, Some(3601)), None),
            (ask(second(10), None, None), None),
        ] {
            let made = window(ask, config, now).ok();
            let made = made.map(|w| (w.start.0 / 1_000_000, w.end.0 / 1_000_000));
            assert_eq!(made, expected, "{ask:?}");
        }
    }
}
