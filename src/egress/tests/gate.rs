use std::sync::{Arc, atomic::Ordering};

use super::support::{
    self, Book, Canary, HOUR, Session, connect, echoes, hosts, lease, limits, origins, send, soon,
};
use crate::{
    broker::lease::Leases,
    clock::Clock,
    egress::{Egress, Gate},
    model::action::Rule,
};

#[tokio::test]
async fn a_listener_refuses_everything_before_and_after() {
    let canary = Canary::echo().await;
    let authority = format!("127.0.0.1:{}", canary.port());
    let egress = Egress::new(hosts(&[]), limits());
    let wide = Book::new();
    let listener = egress.listen_recorded(wide.clone()).await.unwrap();
    assert_eq!(connect(listener.port(), &authority).await.status, 403);
    let page = format!("GET http://{authority}/ HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(send(listener.port(), page.as_bytes()).await.status, 403);
    assert_eq!(wide.rules(), [Rule::OriginOutOfScope; 2]);

    let leases = Arc::new(Leases::default());
    leases.add(lease(origins(&[format!("http://{authority}")]), HOUR));
    let gate = Gate {
        leases,
        authority: support::authority(),
        record: Book::new(),
        clock: Clock,
    };
    assert!(listener.open(gate.clone()));
    assert!(!listener.open(gate.clone()), "once");
    let mut tunnel = connect(listener.port(), &authority).await;
    echoes(&mut tunnel.socket, b"x").await;
    assert_eq!(soon(listener.close()).await, 1);
    canary.until_ended(1).await;

    assert!(!listener.open(gate), "closed for good");
    let reply = connect(listener.port(), &authority).await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.problem().await["rule"], "session-ended");
    assert_eq!(wide.rules()[2..], [Rule::SessionEnded]);
    assert_eq!(canary.connections(), 1);
}

#[tokio::test]
async fn a_session_has_its_own_scope_alone() {
    let canary = Canary::echo().await;
    let authority = format!("127.0.0.1:{}", canary.port());
    let egress = Egress::new(hosts(&[]), limits());
    let scope = origins(&[format!("http://{authority}")]);
    let one = Session::over(&egress, vec![lease(scope, HOUR)]).await;
    let elsewhere = origins(&["http://other.test".to_owned()]);
    let other = Session::over(&egress, vec![lease(elsewhere, HOUR)]).await;
    let mut held = one.connect(&authority).await;
    echoes(&mut held.socket, b"x").await;
    assert_eq!(other.connect(&authority).await.status, 403);
    let page = format!("GET http://{authority}/ HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(
        send(other.listener.port(), page.as_bytes()).await.status,
        403
    );
    assert_eq!(other.book.rules(), [Rule::OriginOutOfScope; 2]);
    assert_eq!(soon(other.listener.close()).await, 0);
    assert_eq!(soon(one.listener.close()).await, 1);
}

#[tokio::test]
async fn nothing_goes_out_that_is_not_on_record() {
    let canary = Canary::echo().await;
    let authority = format!("127.0.0.1:{}", canary.port());
    let session = Session::covering(&[format!("http://{authority}")]).await;
    session.book.broken.store(true, Ordering::SeqCst);
    let reply = session.connect(&authority).await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.problem().await["rule"], "record-unavailable");
    let page = format!("GET http://{authority}/ HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(
        send(session.listener.port(), page.as_bytes()).await.status,
        403
    );
    assert_eq!(canary.connections(), 0);
    session.book.broken.store(false, Ordering::SeqCst);
    assert_eq!(session.connect(&authority).await.status, 200);
}

#[tokio::test]
async fn the_record_comes_before_the_connection() {
    let canary = Canary::echo().await;
    let authority = format!("127.0.0.1:{}", canary.port());
    let egress = Egress::new(hosts(&[]), limits());
    let scope = origins(&[format!("http://{authority}")]);
    let book = Book::paced(0);
    let session = Session::recorded(&egress, vec![lease(scope, HOUR)], book).await;
    let port = session.listener.port();
    let asked = tokio::spawn(async move { connect(port, &authority).await });
    session.book.until_connections(1).await;
    assert_eq!(canary.connections(), 0);
    session.book.pace.add_permits(1);
    let mut reply = asked.await.unwrap();
    assert_eq!(reply.status, 200);
    echoes(&mut reply.socket, b"x").await;
    assert_eq!(canary.connections(), 1);
}
