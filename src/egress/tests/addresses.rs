use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use serde_json::json;

use super::support::{Canary, HOUR, Session, echoes, hosts, lease, limits, origins};
use crate::{
    egress::{Egress, HostsError, Resolver},
    model::action::Rule,
};

/// Spellings of 127.0.0.1, with `:port` to come.
const LOOPBACK: [&str; 9] = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0x1",
    "0177.0.0.01",
    "127.0.0.1.",
    "[::ffff:127.0.0.1]",
    "[::FFFF:7f00:0001]",
];

#[tokio::test]
async fn every_spelling_reaches_what_is_named_and_nothing_else() {
    let canary = Canary::echo().await;
    let port = canary.port();
    let named = Session::covering(&[format!("http://127.0.0.1:{port}")]).await;
    let elsewhere = Session::covering(&[
        "http://127.0.0.1:1".to_owned(),
        format!("http://app.test:{port}"),
    ])
    .await;
    for (count, spelling) in LOOPBACK.iter().enumerate() {
        let authority = format!("{spelling}:{port}");
        let mut reply = named.connect(&authority).await;
        assert_eq!(reply.status, 200, "{authority}");
        echoes(&mut reply.socket, b"hello").await;
        let refused = elsewhere.connect(&authority).await;
        assert_eq!(refused.status, 403, "{authority}");
        assert_eq!(canary.connections(), count + 1, "{authority}");
    }
    assert!(
        elsewhere
            .book
            .rules()
            .iter()
            .all(|r| *r == Rule::OriginOutOfScope)
    );
    assert_eq!(elsewhere.book.rules().len(), LOOPBACK.len());
}

#[tokio::test]
async fn look_alikes_of_a_name_are_refused() {
    let canary = Canary::echo().await;
    let port = canary.port();
    let egress = Egress::new(
        hosts(&[
            ("app.test", &["127.0.0.1"]),
            ("evil.test", &["127.0.0.1"]),
            ("app.test.evil.test", &["127.0.0.1"]),
        ]),
        limits(),
    );
    let mut scope = origins(&[format!("http://app.test:{port}")]);
    scope["addresses"] = json!(["127.0.0.1/32"]);
    let session = Session::over(&egress, vec![lease(scope, HOUR)]).await;
    for (authority, status) in [
        (format!("APP.test:{port}"), 200),
        (format!("app.test.:{port}"), 200),
        (format!("evil.test:{port}"), 403),
        (format!("app.test.evil.test:{port}"), 403),
        (format!("xapp.test:{port}"), 403),
        (format!("x.app.test:{port}"), 403),
        (format!("app.test:{}", port ^ 1), 403),
        (format!("127.0.0.1:{port}"), 403),
        (format!("app.test@evil.test:{port}"), 400),
        ("app.test".to_owned(), 400),
        ("app.test:0".to_owned(), 400),
    ] {
        assert_eq!(
            session.connect(&authority).await.status,
            status,
            "{authority}"
        );
    }
    assert_eq!(canary.connections(), 2);
}

#[tokio::test]
async fn private_addresses_are_refused_unless_named() {
    let canary = Canary::echo().await;
    let port = canary.port();
    for (behind, addresses, status) in [
        (&["127.0.0.1"][..], json!([]), 403),
        (&["127.0.0.1"], json!(["10.0.0.0/8"]), 403),
        (&["127.0.0.1"], json!(["127.0.0.1/32"]), 200),
        (&["::ffff:127.0.0.1"], json!([]), 403),
        (&["::ffff:127.0.0.1"], json!(["127.0.0.0/8"]), 200),
        (&["127.0.0.3", "127.0.0.1"], json!(["127.0.0.1/32"]), 200),
        (
            &["169.254.169.254", "10.0.0.1", "::1", "fc00::1"],
            json!([]),
            403,
        ),
    ] {
        let egress = Egress::new(hosts(&[("app.test", behind)]), limits());
        let mut scope = origins(&[format!("http://app.test:{port}")]);
        scope["addresses"] = addresses.clone();
        let session = Session::over(&egress, vec![lease(scope, HOUR)]).await;
        let before = canary.connections();
        let mut reply = session.connect(&format!("app.test:{port}")).await;
        assert_eq!(reply.status, status, "{behind:?} {addresses}");
        if status == 200 {
            echoes(&mut reply.socket, b"x").await;
            let record = session.book.connections();
            assert_eq!(record.len(), 1);
            assert_eq!(record[0].address, Some("127.0.0.1".parse().unwrap()));
        } else {
            assert_eq!(session.book.rules(), [Rule::AddressRefused], "{behind:?}");
            assert_eq!(canary.connections(), before);
        }
    }
}

#[tokio::test]
async fn a_name_that_moves_is_asked_once_and_checked_each_time() {
    let canary = Canary::echo().await;
    let port = canary.port();
    let other = Canary::echo_on("127.0.0.2", port, b"").await;
    let answers = ["127.0.0.1", "127.0.0.2", "127.0.0.1"].map(|a| vec![a.parse().unwrap()]);
    let script = Arc::new(Mutex::new(VecDeque::from(answers)));
    let egress = Egress::new(Resolver::scripted(script.clone()), limits());
    let mut scope = origins(&[format!("http://app.test:{port}")]);
    scope["addresses"] = json!(["127.0.0.1/32"]);
    let session = Session::over(&egress, vec![lease(scope, HOUR)]).await;
    let authority = format!("app.test:{port}");

    let mut first = session.connect(&authority).await;
    echoes(&mut first.socket, b"one").await;
    assert_eq!(script.lock().unwrap().len(), 2, "asked once");

    let moved = session.connect(&authority).await;
    assert_eq!(moved.status, 403);
    assert_eq!(session.book.rules(), [Rule::AddressRefused]);

    // Another name is refused before anybody is asked about it.
    assert_eq!(
        session.connect(&format!("evil.test:{port}")).await.status,
        403
    );
    assert_eq!(script.lock().unwrap().len(), 1);
    assert_eq!((canary.connections(), other.connections()), (1, 0));
}

#[tokio::test]
async fn localhost_is_this_machine_and_needs_no_name_server() {
    let canary = Canary::echo().await;
    let port = canary.port();
    let egress = Egress::new(Resolver::scripted(Arc::default()), limits());
    let scope = origins(&[
        format!("http://localhost:{port}"),
        format!("http://desk.localhost:{port}"),
    ]);
    let session = Session::over(&egress, vec![lease(scope, HOUR)]).await;
    for host in ["localhost", "desk.localhost", "LOCALHOST."] {
        let mut reply = session.connect(&format!("{host}:{port}")).await;
        assert_eq!(reply.status, 200, "{host}");
        echoes(&mut reply.socket, b"x").await;
    }
    let hidden = Session::covering(&[format!("http://app.test:{port}")]).await;
    assert_eq!(
        hidden.connect(&format!("localhost:{port}")).await.status,
        403
    );
}

#[tokio::test]
async fn the_brokers_own_ports_are_nobodys_scope() {
    let egress = Egress::new(hosts(&[]), limits());
    let canary = Canary::echo().await;
    let target = Session::over(&egress, Vec::new()).await;
    let port = target.listener.port();
    egress.reserve(canary.port());
    let scope = origins(&[
        format!("http://127.0.0.1:{port}"),
        format!("http://localhost:{}", canary.port()),
    ]);
    let session = Session::over(&egress, vec![lease(scope, HOUR)]).await;
    for authority in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{}", canary.port()),
    ] {
        assert_eq!(session.connect(&authority).await.status, 403, "{authority}");
    }
    assert_eq!(session.book.rules(), [Rule::AddressRefused; 2]);
    assert_eq!(canary.connections(), 0);
}

#[test]
fn a_table_of_hosts_is_checked() {
    let table = |name: &str, addresses: &[&str]| {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Resolver::new([(name.to_owned(), addresses)].into()).map(|_| ())
    };
    assert_eq!(table("App.Test.", &["10.0.0.1"]), Ok(()));
    for (name, addresses, error) in [
        (
            "127.0.0.1",
            &["10.0.0.1"][..],
            HostsError::Name("127.0.0.1".into()),
        ),
        ("a/b", &["10.0.0.1"], HostsError::Name("a/b".into())),
        (
            "x.localhost",
            &["10.0.0.1"],
            HostsError::Localhost("x.localhost".into()),
        ),
        ("app.test", &[], HostsError::Empty("app.test".into())),
    ] {
        assert_eq!(table(name, addresses), Err(error));
    }
}
