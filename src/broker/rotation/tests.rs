use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    broker::lease::Lease,
    model::{
        delegation::{CloseReason, Delivery, LiveWindow, Window},
        id::{CredentialId, DelegationId, PersonId},
        scope::Scope,
        time::BootTime,
    },
};

const NOW: Timestamp = Timestamp(1_764_000_000_000_000); // 2025-11-24T16:00:00Z

fn lent(domain: &str, host_only: bool, path: &str) -> CookieAttributes {
    CookieAttributes {
        name: "sid".into(),
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

fn lease(origins: &[&str], cookies: &[CookieAttributes]) -> Arc<Lease> {
    let id = Uuid::nil();
    let cookies = cookies.iter().map(|attributes| {
        Arc::new(LentCookie::new(
            CredentialId::from_uuid(id),
            attributes.clone(),
            Delivery::Wire,
            Secret::new("old".into()),
        ))
    });
    Arc::new(Lease::new(
        DelegationId::from_uuid(id),
        PersonId::from_uuid(id),
        PersonId::from_uuid(id),
        Scope::reading(origins.iter().map(|o| o.parse().unwrap()).collect()),
        LiveWindow {
            window: Window {
                start: NOW,
                end: NOW,
            },
            opens: BootTime(0),
            closes: BootTime(0),
        },
        cookies.collect(),
    ))
}

fn read(url: &str, set_cookie: &str, list: &[Arc<Lease>]) -> SetCookies {
    let leases = Leases::default();
    for lease in list {
        leases.add(lease.clone());
    }
    let url = Url::parse(url).unwrap();
    let response = Response {
        url: &url,
        set_cookie,
        partition: None,
        at: NOW,
    };
    read_response(&response, &leases)
}

/// `rotated VALUE`, `cleared`, `shadow DOMAIN PATH` or nothing, for one cookie
/// lent under a scope of everything below `example.com`.
fn told(attributes: &CookieAttributes, url: &str, set_cookie: &str) -> String {
    let origins = [
        "https://example.com",
        "https://*.example.com",
        "http://app.example.com",
        "http://localhost:80",
        "http://127.0.0.1",
    ];
    let found = read(
        url,
        set_cookie,
        &[lease(&origins, std::slice::from_ref(attributes))],
    );
    let rotations = found
        .rotations
        .iter()
        .map(|rotation| match &rotation.change {
            Change::Rotated(value, _) => format!("rotated {}", value.expose()),
            Change::Cleared => "cleared".to_owned(),
        });
    let shadows = found.shadowing.iter().map(|jar| {
        assert_eq!(jar.name, "sid");
        format!("shadow {} {}", jar.domain, jar.path)
    });
    rotations.chain(shadows).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_lent_cookie_is_matched_by_name_domain_and_path() {
    let host = lent("app.example.com", true, "/");
    let deep = lent("app.example.com", true, "/a");
    let app = "https://app.example.com/";
    let below = "https://app.example.com/a/login";
    for (lent, url, line, expected) in [
        (&host, app, "sid=new; Secure", "rotated new"),
        (
            &host,
            app,
            "sid=new; Path=/; Secure; HttpOnly; SameSite=Lax",
            "rotated new",
        ),
        (&host, app, "sid=\"q\"; Path=/", "rotated \"q\""),
        (&host, "https://APP.example.com./", "sid=new", "rotated new"),
        (&host, app, "other=new", ""),
        (&host, app, "SID=new", ""),
        (&host, app, "no pair", ""),
        (&host, app, "", ""),
        // The default path is the folder of the URL.
        (
            &host,
            "https://app.example.com/login",
            "sid=new",
            "rotated new",
        ),
        (&host, below, "sid=new", "shadow app.example.com /a"),
        (&host, below, "sid=new; Path=/", "rotated new"),
        (&host, below, "sid=new; Path=x", "shadow app.example.com /a"),
        (&deep, below, "sid=new", "rotated new"),
        (&deep, below, "sid=new; Path=/", "shadow app.example.com /"),
        (
            &deep,
            "https://app.example.com/a/",
            "sid=new",
            "rotated new",
        ),
    ] {
        assert_eq!(told(lent, url, line), expected, "{url} {line}");
    }
}

#[test]
fn what_other_hosts_and_domains_set_is_told_apart() {
    let host = lent("app.example.com", true, "/");
    let domain = lent("example.com", false, "/");
    let app = "https://app.example.com/";
    for (lent, url, line, expected) in [
        // Domain cookies and host-only ones of one name are two.
        (
            &domain,
            app,
            "sid=new; Domain=example.com; Path=/",
            "rotated new",
        ),
        (
            &domain,
            app,
            "sid=new; Domain=.EXAMPLE.com; Path=/",
            "rotated new",
        ),
        (&domain, app, "sid=new", "shadow app.example.com /"),
        (
            &host,
            app,
            "sid=new; Domain=example.com",
            "shadow example.com /",
        ),
        (
            &host,
            app,
            "sid=new; Domain=app.example.com",
            "shadow app.example.com /",
        ),
        (
            &host,
            "https://x.app.example.com/",
            "sid=new; Domain=app.example.com",
            "shadow app.example.com /",
        ),
        // Hosts that share no request with the lent cookie.
        (&host, "https://other.example.com/", "sid=new", ""),
        (&host, "https://example.com/", "sid=new", ""),
        // What a browser does not store.
        (&host, app, "sid=new; Domain=other.example.com", ""),
        (&host, app, "sid=new; Domain=com", ""),
        (
            &domain,
            "https://notexample.com/",
            "sid=new; Domain=example.com",
            "",
        ),
        // Never from or for clear text, if the lent one is `Secure`.
        (
            &host,
            "http://app.example.com/",
            "sid=new",
            "shadow app.example.com /",
        ),
        (
            &host,
            "http://app.example.com/",
            "sid=; Max-Age=0",
            "shadow app.example.com /",
        ),
    ] {
        assert_eq!(told(lent, url, line), expected, "{url} {line}");
    }
    let local = lent("localhost", true, "/");
    assert_eq!(
        told(&local, "http://localhost/", "sid=n; Domain=localhost"),
        "rotated n"
    );
    let address = lent("127.0.0.1", true, "/");
    assert_eq!(
        told(&address, "http://127.0.0.1/", "sid=n; Domain=127.0.0.1"),
        "rotated n"
    );
    assert_eq!(
        told(&address, "http://127.0.0.1/", "sid=n; Domain=0.0.1"),
        ""
    );
}

#[test]
fn an_empty_value_and_a_time_that_is_past_clear_it() {
    let host = lent("app.example.com", true, "/");
    for (rest, expected) in [
        ("new; Max-Age=0", "cleared"),
        ("new; Max-Age=-5", "cleared"),
        ("new; max-age=60", "rotated new"),
        ("", "cleared"),
        ("; Max-Age=60", "cleared"),
        ("new; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "cleared"),
        ("new; Expires=Thu, 1 Jan 1970 00:00:00 UTC", "cleared"),
        ("new; expires=Thu, 01-Jan-70 00:00:01 GMT", "cleared"),
        ("new; Expires=Mon, 24 Nov 2025 16:00:00 GMT", "cleared"),
        ("new; Expires=Mon, 24 Nov 2025 16:00:01 GMT", "rotated new"),
        ("new; Expires=0", "rotated new"),
        // `Max-Age` counts, whatever `Expires` says.
        (
            "new; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=9",
            "rotated new",
        ),
        (
            "new; Max-Age=0; Expires=Tue, 24 Nov 2026 16:00:01 GMT",
            "cleared",
        ),
        // The last of several counts.
        (
            "new; Expires=Tue, 24 Nov 2026 16:00:01 GMT; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "cleared",
        ),
    ] {
        let line = format!("sid={rest}");
        assert_eq!(
            told(&host, "https://app.example.com/", &line),
            expected,
            "{line}"
        );
    }
}

#[test]
fn several_lines_are_read_in_order_and_the_last_counts() {
    let host = lent("app.example.com", true, "/");
    for (lines, expected) in [
        ("sid=; Max-Age=0\nsid=new", "rotated new"),
        ("sid=new\r\nsid=; Max-Age=0\r\n", "cleared"),
        (
            "a=1\nsid=one; Path=/x\nsid=two\nsid=one; Path=/x",
            "rotated two, shadow app.example.com /x",
        ),
    ] {
        assert_eq!(
            told(&host, "https://app.example.com/", lines),
            expected,
            "{lines}"
        );
    }
}

#[test]
fn the_new_attributes_are_the_sites() {
    let old = lent("app.example.com", true, "/");
    let list = [lease(
        &["https://app.example.com"],
        std::slice::from_ref(&old),
    )];
    for (line, expected) in [
        (
            "sid=n; Path=/",
            CookieAttributes {
                secure: false,
                http_only: false,
                ..old.clone()
            },
        ),
        (
            "sid=n; Path=/; Secure; HttpOnly; SameSite=None; Max-Age=60",
            CookieAttributes {
                same_site: Some(SameSite::None),
                expires: Some(Timestamp(NOW.0 + 60_000_000)),
                ..old.clone()
            },
        ),
        (
            "sid=n; Path=/; Secure; HttpOnly; Max-Age=99999999999999999999",
            CookieAttributes {
                expires: Some(Timestamp(NOW.0 + 400 * 86_400 * 1_000_000)),
                ..old.clone()
            },
        ),
    ] {
        let found = read("https://app.example.com/", line, &list);
        let [Rotation { change, .. }] = &found.rotations[..] else {
            panic!("{line}: {found:?}");
        };
        let value = Secret::new("n".into());
        assert_eq!(*change, Change::Rotated(value, expected), "{line}");
        assert!(found.shadowing.is_empty());
    }
}

#[test]
fn an_origin_outside_the_lease_cannot_rotate_what_it_lends() {
    let domain = lent("example.com", false, "/");
    let list = [lease(
        &["https://app.example.com"],
        std::slice::from_ref(&domain),
    )];
    let line = "sid=evil; Domain=example.com; Path=/; Secure";
    let found = read("https://forum.example.com/", line, &list);
    assert!(found.rotations.is_empty(), "{found:?}");
    assert_eq!(found.shadowing.len(), 1);
    let found = read("https://app.example.com/", line, &list);
    assert_eq!(found.rotations.len(), 1);
}

#[test]
fn a_lease_that_is_over_still_learns_of_a_rotation() {
    let host = lent("app.example.com", true, "/");
    let first = lease(&["https://app.example.com"], std::slice::from_ref(&host));
    let second = lease(&["https://app.example.com"], std::slice::from_ref(&host));
    first.close(CloseReason::Revoked);
    let found = read("https://app.example.com/", "sid=new", &[first, second]);
    // Two leases, each with an entry of its own for the cookie.
    assert_eq!(found.rotations.len(), 2);
}

#[test]
fn partitions_are_told_apart() {
    let key = |site: &str| PartitionKey {
        top_level_site: site.into(),
        has_cross_site_ancestor: true,
    };
    let (top, other) = (key("https://top.test"), key("https://other.test"));
    let mut partitioned = lent("app.example.com", true, "/");
    partitioned.partition_key = Some(top.clone());
    let leases = Leases::default();
    leases.add(lease(&["https://app.example.com"], &[partitioned]));
    let url = Url::parse("https://app.example.com/").unwrap();
    for (partition, line, rotates) in [
        (Some(&top), "sid=n; Path=/; Secure; Partitioned", true),
        (Some(&other), "sid=n; Path=/; Secure; Partitioned", false),
        (None, "sid=n; Path=/; Secure; Partitioned", false),
        (Some(&top), "sid=n; Path=/; Secure", false),
    ] {
        let response = Response {
            url: &url,
            set_cookie: line,
            partition,
            at: NOW,
        };
        let found = read_response(&response, &leases);
        assert_eq!(found.rotations.is_empty(), !rotates, "{partition:?} {line}");
        assert_eq!(found.shadowing.is_empty(), rotates, "{partition:?} {line}");
    }
}

proptest! {
    #[test]
    fn no_header_panics_or_is_shown(
        lines in prop::collection::vec(
            "(sid|a)?=?(canary-7f3a)?(; ?(Path|Domain|Max-Age|Expires|Secure|Partitioned)(=[ -~]{0,12})?){0,4}",
            0..4,
        ),
        junk in ".{0,30}",
    ) {
        let host = lent("app.example.com", true, "/");
        let list = [lease(&["https://app.example.com"], &[host])];
        let header = format!("{}\n{junk}", lines.join("\n"));
        let found = read("https://app.example.com/a/b", &header, &list);
        prop_assert!(found.rotations.len() <= 1);
        let shown = format!("{:?}", found.rotations);
        prop_assert!(!shown.contains("canary-7f3a"));
    }
}
