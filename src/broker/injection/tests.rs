use std::{sync::LazyLock, time::Duration};

use proptest::prelude::*;
use url::Url;
use uuid::Uuid;

use super::*;
use crate::{
    broker::lease::Lease,
    model::{
        action::Destination,
        cookie::{CookieAttributes, SameSite, SiteContext},
        delegation::{CloseReason, LiveWindow, Window},
        id::{AgentId, CredentialId, DelegationId, PersonId},
        scope::Scope,
        time::{BootTime, Timestamp},
    },
    policy::{Authority, Decision, decide_request},
};

const START: Now = Now {
    wall: Timestamp(0),
    boot: BootTime(0),
};
const LENGTH: Duration = Duration::from_mins(1);

fn lent(number: u128, cookie: CookieAttributes, delivery: Delivery) -> Arc<LentCookie> {
    let value = Secret::new(format!("lent{number}"));
    let credential = CredentialId::from_uuid(Uuid::from_u128(number));
    Arc::new(LentCookie::new(credential, cookie, delivery, value))
}

fn cookie(name: &str, domain: &str, host_only: bool, path: &str) -> CookieAttributes {
    CookieAttributes {
        name: name.into(),
        domain: domain.into(),
        host_only,
        path: path.into(),
        secure: true,
        http_only: true,
        same_site: None,
        partition_key: None,
        expires: None,
    }
}

fn lease(origins: &[&str], cookies: Vec<Arc<LentCookie>>) -> Arc<Lease> {
    let person = PersonId::from_uuid(Uuid::nil());
    let live = LiveWindow {
        window: Window {
            start: START.wall,
            end: START.wall.saturating_add(LENGTH),
        },
        opens: START.boot,
        closes: START.boot.saturating_add(LENGTH),
    };
    let scope = Scope::reading(origins.iter().map(|o| o.parse().unwrap()).collect());
    let delegation = DelegationId::from_uuid(Uuid::nil());
    Arc::new(Lease::new(delegation, person, person, scope, live, cookies))
}

fn leases(list: &[Arc<Lease>]) -> Leases {
    let leases = Leases::default();
    for lease in list {
        leases.add(lease.clone());
    }
    leases
}

fn action(url: &str) -> RequestAction {
    RequestAction::new("GET", Url::parse(url).unwrap(), Destination::Page)
}

fn decide(action: &RequestAction, leases: &Leases) -> Decision {
    static AUTHORITY: LazyLock<Authority> =
        LazyLock::new(|| Authority::shipped(AgentId::from_uuid(Uuid::from_u128(1))).unwrap());
    decide_request(action, leases, &AUTHORITY, false, START)
}

/// Decides, then injects at `then`: a permit may be used a moment later.
fn injected(
    leases: &Leases,
    action: &RequestAction,
    own: Option<&str>,
    then: Now,
) -> Option<Injection> {
    match decide(action, leases) {
        Decision::Allow(permit) => inject(&permit, action, own, then),
        Decision::Hold(_) | Decision::Deny(_) => None,
    }
}

fn header_of(leases: &Leases, url: &str, own: Option<&str>) -> Option<String> {
    injected(leases, &action(url), own, START).map(|i| i.header.expose().to_owned())
}

#[test]
fn lent_cookies_come_first_and_displace_their_namesakes() {
    let leases = leases(&[lease(
        &["https://app.test"],
        vec![
            lent(1, cookie("sid", "app.test", true, "/"), Delivery::Wire),
            lent(2, cookie("deep", "app.test", true, "/a/b"), Delivery::Wire),
            lent(3, cookie("csrf", "app.test", true, "/jar"), Delivery::Jar),
        ],
    )]);
    for (path, own, expected) in [
        ("/", None, Some("sid=lent1")),
        ("/", Some(""), Some("sid=lent1")),
        ("/a/b/c", None, Some("deep=lent2; sid=lent1")),
        (
            "/",
            Some("theme=dark; lang=en"),
            Some("sid=lent1; theme=dark; lang=en"),
        ),
        // Planted under the lent name, in the spellings that servers accept.
        ("/", Some("sid=evil"), Some("sid=lent1")),
        (
            "/",
            Some("a=1; sid=evil;sid = evil ; b=2"),
            Some("sid=lent1; a=1; b=2"),
        ),
        ("/", Some("sid"), Some("sid=lent1")),
        ("/", Some("a=1 sid=evil; b=2, sid=evil"), Some("sid=lent1")),
        ("/", Some("a=1\u{3000}sid=evil"), Some("sid=lent1")),
        // Names that are others.
        (
            "/",
            Some("SID=x; sid2=x; xsid=x; a=sid"),
            Some("sid=lent1; SID=x; sid2=x; xsid=x; a=sid"),
        ),
        // `deep` does not go to this path, so the browser's own may.
        ("/", Some("deep=own"), Some("sid=lent1; deep=own")),
        // Lent by the jar, where a page may have put another in its place.
        ("/jar", None, Some("csrf=lent3; sid=lent1")),
        (
            "/jar",
            Some("csrf=evil; csrf=lent3; a=1"),
            Some("csrf=lent3; sid=lent1; a=1"),
        ),
    ] {
        let url = format!("https://app.test{path}");
        assert_eq!(
            header_of(&leases, &url, own).as_deref(),
            expected,
            "{path} {own:?}"
        );
    }
}

#[test]
fn where_nothing_lent_goes_the_request_keeps_its_own_header() {
    let wire = |same_site| CookieAttributes {
        same_site,
        ..cookie("sid", "app.test", true, "/")
    };
    let one = |cookie, delivery| {
        leases(&[lease(
            &["https://app.test", "https://*.app.test", "http://app.test"],
            vec![lent(1, cookie, delivery)],
        )])
    };
    let own = Some("sid=own");
    let jar = one(wire(None), Delivery::Jar);
    let header = header_of(&jar, "https://app.test/", own);
    assert_eq!(header.as_deref(), Some("sid=lent1"));
    let strict = one(wire(Some(SameSite::Strict)), Delivery::Wire);
    assert!(header_of(&strict, "https://app.test/", own).is_some());
    // In scope, but not where a browser would send that cookie.
    assert_eq!(header_of(&strict, "https://x.app.test/", own), None);
    assert_eq!(header_of(&strict, "http://app.test/", own), None);
    for (site, same_site, expected) in [
        (SiteContext::CrossSite, None, false),
        (SiteContext::CrossSite, Some(SameSite::None), true),
        (
            SiteContext::CrossSiteTopLevelSafe,
            Some(SameSite::Lax),
            true,
        ),
        (
            SiteContext::CrossSiteTopLevelSafe,
            Some(SameSite::Strict),
            false,
        ),
    ] {
        let leases = one(wire(same_site), Delivery::Wire);
        let action = RequestAction {
            site,
            ..action("https://app.test/")
        };
        let sent = injected(&leases, &action, own, START).is_some();
        assert_eq!(sent, expected, "{site:?} {same_site:?}");
    }
}

#[test]
fn nothing_goes_along_once_the_window_is_over_though_a_permit_was_given() {
    let sid = || {
        vec![lent(
            1,
            cookie("sid", "app.test", true, "/"),
            Delivery::Wire,
        )]
    };
    let action = action("https://app.test/");
    let open = leases(&[lease(&["https://app.test"], sid())]);
    let at = |wall: i64, boot: u64| Now {
        wall: Timestamp(wall),
        boot: BootTime(boot),
    };
    assert!(injected(&open, &action, None, at(59_999_999, 59_999_999)).is_some());
    assert!(injected(&open, &action, None, at(60_000_000, 0)).is_none());
    assert!(injected(&open, &action, None, at(0, 60_000_000)).is_none());

    let lease = lease(&["https://app.test"], sid());
    let leases = leases(std::slice::from_ref(&lease));
    let Decision::Allow(permit) = decide(&action, &leases) else {
        panic!("refused");
    };
    assert!(inject(&permit, &action, None, START).is_some());
    lease.close(CloseReason::Revoked);
    assert!(inject(&permit, &action, None, START).is_none());
}

#[test]
fn a_rotated_value_is_sent_from_the_next_request_on() {
    let sid = lent(1, cookie("sid", "app.test", true, "/"), Delivery::Wire);
    let leases = leases(&[lease(&["https://app.test"], vec![sid.clone()])]);
    sid.rotate(Secret::new("fresh".into()));
    let header = header_of(&leases, "https://app.test/", None);
    assert_eq!(header.as_deref(), Some("sid=fresh"));
}

#[test]
fn of_one_name_the_nearest_goes_and_is_the_one_told() {
    let leases = leases(&[
        lease(
            &["https://app.test"],
            vec![
                lent(1, cookie("sid", "test", false, "/"), Delivery::Wire),
                lent(2, cookie("sid", "app.test", true, "/"), Delivery::Wire),
            ],
        ),
        lease(
            &["https://app.test"],
            vec![
                lent(2, cookie("sid", "app.test", true, "/"), Delivery::Wire),
                lent(3, cookie("sid", "app.test", true, "/admin"), Delivery::Wire),
            ],
        ),
    ]);
    for (path, expected) in [("/", 2), ("/admin/x", 3)] {
        let action = action(&format!("https://app.test{path}"));
        let injection = injected(&leases, &action, Some("sid=x"), START).unwrap();
        assert_eq!(injection.header.expose(), format!("sid=lent{expected}"));
        let told: Vec<_> = injection.cookies.iter().map(|c| c.credential).collect();
        assert_eq!(told, [CredentialId::from_uuid(Uuid::from_u128(expected))]);
    }
}

#[test]
fn what_was_lent_by_the_jar_is_stripped_once_its_lease_is_over() {
    let csrf = || lent(3, cookie("csrf", "app.test", true, "/"), Delivery::Jar);
    let over = lease(&["https://app.test"], vec![csrf()]);
    let list = leases(std::slice::from_ref(&over));
    let own = "a=1; csrf=lent3; csrf=own";
    assert_eq!(strip(own, &list, START), None);
    over.close(CloseReason::Revoked);
    let left = strip(own, &list, START).unwrap();
    assert_eq!(left.expose(), "a=1; csrf=own");
    assert_eq!(strip("a=1; csrf=own", &list, START), None);
    assert_eq!(strip("csrf=lent3", &list, START).unwrap().expose(), "");
    // Lent a second time, under a lease that is still open.
    list.add(lease(&["https://app.test"], vec![csrf()]));
    assert_eq!(strip(own, &list, START), None);
}

#[test]
fn nothing_secret_is_printed() {
    let sid = lent(1, cookie("sid", "app.test", true, "/"), Delivery::Wire);
    let leases = leases(&[lease(&["https://app.test"], vec![sid])]);
    let action = action("https://app.test/");
    let injection = injected(&leases, &action, Some("own=x"), START).unwrap();
    assert!(!format!("{injection:?}").contains("lent1"));
}

const SITES: [&str; 4] = ["a.test", "b.test", "x.a.test", "nota.test"];

type Lent = (usize, usize, bool, bool, bool);

proptest! {
    #[test]
    fn cookies_stay_with_their_site_their_window_and_once_a_name(
        lists in prop::collection::vec(prop::collection::vec(
            (0..SITES.len(), 0..3_usize, any::<bool>(), any::<bool>(), any::<bool>()), 0..5,
        ), 1..4),
        closed in prop::collection::vec(any::<bool>(), 3),
        host in prop::sample::select(SITES.to_vec()),
        path in prop::sample::select(vec!["/", "/p/q"]),
        own in "(n[0-2](=| =)?[a-z, ]{0,9};? ?){0,4}",
        late in any::<bool>(),
    ) {
        let mut number = 0;
        let mut make = |&(site, name, host_only, deep, wire): &Lent| {
            number += 1;
            let path = if deep { "/p" } else { "/" };
            let delivery = if wire { Delivery::Wire } else { Delivery::Jar };
            lent(number, cookie(&format!("n{name}"), SITES[site], host_only, path), delivery)
        };
        let origins: Vec<String> = SITES.iter().map(|site| format!("https://{site}")).collect();
        let origins: Vec<&str> = origins.iter().map(String::as_str).collect();
        let list: Vec<_> = lists.iter().map(|cookies| {
            lease(&origins, cookies.iter().map(&mut make).collect())
        }).collect();
        let action = action(&format!("https://{host}{path}"));
        let all = leases(&list);
        let Decision::Allow(permit) = decide(&action, &all) else {
            return Err(TestCaseError::fail("refused"));
        };
        for (lease, closed) in list.iter().zip(&closed) {
            if *closed {
                lease.close(CloseReason::Revoked);
            }
        }
        let now = if late { Now { wall: Timestamp(0), boot: BootTime(60_000_000) } } else { START };
        let open: Vec<_> = list.iter().filter(|lease| lease.is_open(now)).collect();
        let due = open.iter().flat_map(|lease| &lease.cookies).filter(|cookie| {
            let domain = &cookie.attributes.domain;
            let here = host == domain || !cookie.attributes.host_only && host.ends_with(&format!(".{domain}"));
            here && path.starts_with(&cookie.attributes.path)
        });
        let mut names: Vec<&str> = due.clone().map(|cookie| cookie.attributes.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let Some(injection) = inject(&permit, &action, Some(&own), now) else {
            prop_assert!(names.is_empty());
            return Ok(());
        };
        prop_assert_eq!(names.len(), injection.cookies.len());
        let header = injection.header.expose();
        for (index, part) in header.split("; ").enumerate() {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if let Some(sent) = injection.cookies.get(index) {
                prop_assert_eq!(name, &sent.attributes.name);
                let lent = sent.value();
                prop_assert_eq!(value, lent.expose());
                prop_assert!(due.clone().any(|cookie| Arc::ptr_eq(cookie, sent)));
            } else {
                prop_assert!(!names.contains(&name.trim()), "{}", header);
                prop_assert!(!value.contains("lent"), "{}", header);
            }
        }
        for name in names {
            let told = injection.cookies.iter().filter(|c| c.attributes.name == name).count();
            prop_assert_eq!(told, 1);
        }
    }
}
