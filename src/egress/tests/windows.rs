use std::time::Duration;

use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use super::support::{
    Canary, HOUR, Session, echoes, head, hosts, lease, limits, origins, rest, send, soon,
};
use crate::{
    clock::Clock,
    egress::Egress,
    model::{action::Rule, delegation::CloseReason},
};

#[tokio::test]
async fn a_closed_lease_cuts_its_tunnels_and_no_others() {
    let (one, two) = (Canary::echo().await, Canary::echo().await);
    let egress = Egress::new(hosts(&[]), limits());
    let scope = |canary: &Canary| origins(&[format!("http://{}", canary.address)]);
    let (short, long) = (lease(scope(&one), HOUR), lease(scope(&two), HOUR));
    let session = Session::over(&egress, vec![short.clone(), long]).await;
    let mut first = session.connect(&one.address.to_string()).await;
    let mut second = session.connect(&two.address.to_string()).await;
    echoes(&mut first.socket, b"x").await;
    echoes(&mut second.socket, b"x").await;
    assert_eq!(soon(session.listener.recheck(Clock.now())).await, 0);

    short.close(CloseReason::Revoked);
    assert_eq!(soon(session.listener.recheck(Clock.now())).await, 1);
    // The site's side is gone already, whether the client looks or not.
    let seen = one.bytes();
    let _ = first.socket.write_all(b"too late").await;
    one.until_ended(1).await;
    assert_eq!(rest(&mut first.socket).await, b"");
    assert_eq!(one.bytes(), seen);
    assert_eq!(session.book.ended(1).await[0].how, "cut");
    echoes(&mut second.socket, b"still here").await;

    let refused = session.connect(&one.address.to_string()).await;
    assert_eq!(refused.status, 403);
    assert_eq!(session.book.rules(), [Rule::WindowClosed]);
    assert_eq!(
        soon(session.listener.cut(|end| end.to.port == one.port())).await,
        0
    );
    let covering = lease(scope(&two), HOUR);
    assert_eq!(soon(session.listener.cut_lease(&covering)).await, 1);
    assert_eq!(rest(&mut second.socket).await, b"");
}

#[tokio::test]
async fn nothing_new_passes_a_bar_though_a_lease_permits_it() {
    let (barred, other) = (Canary::echo().await, Canary::echo().await);
    let egress = Egress::new(hosts(&[]), limits());
    let scope = |canary: &Canary| origins(&[format!("http://{}", canary.address)]);
    let leases = vec![lease(scope(&barred), HOUR), lease(scope(&other), HOUR)];
    let session = Session::over(&egress, leases).await;
    let to = barred.address.to_string();

    let closing = || lease(scope(&barred), HOUR);
    let (first, second) = (
        session.listener.bar(closing()),
        session.listener.bar(closing()),
    );
    assert_eq!(session.connect(&to).await.status, 403);
    assert_eq!(session.book.rules(), [Rule::WindowClosed]);
    let mut elsewhere = session.connect(&other.address.to_string()).await;
    echoes(&mut elsewhere.socket, b"x").await;
    drop(first);
    assert_eq!(session.connect(&to).await.status, 403);
    assert_eq!(barred.connections(), 0);

    drop(second);
    let mut reply = session.connect(&to).await;
    echoes(&mut reply.socket, b"x").await;
}

#[tokio::test]
async fn the_end_of_a_window_cuts_by_itself() {
    let canary = Canary::echo().await;
    let egress = Egress::new(hosts(&[]), limits());
    let scope = origins(&[format!("http://{}", canary.address)]);
    let short = lease(scope, Duration::from_millis(300));
    let session = Session::over(&egress, vec![short.clone()]).await;
    let mut reply = session.connect(&canary.address.to_string()).await;
    echoes(&mut reply.socket, b"x").await;
    assert_eq!(rest(&mut reply.socket).await, b"");
    assert!(!short.is_open(Clock.now()));
    assert_eq!(session.book.ended(1).await[0].how, "cut");
    canary.until_ended(1).await;
}

#[tokio::test]
async fn a_closed_lease_is_noticed_though_nobody_tells() {
    let canary = Canary::echo().await;
    let egress = Egress::new(hosts(&[]), limits());
    let scope = origins(&[format!("http://{}", canary.address)]);
    let only = lease(scope, HOUR);
    let session = Session::over(&egress, vec![only.clone()]).await;
    let mut reply = session.connect(&canary.address.to_string()).await;
    echoes(&mut reply.socket, b"x").await;
    only.close(CloseReason::Locked);
    assert_eq!(rest(&mut reply.socket).await, b"");
}

#[tokio::test]
async fn another_open_lease_keeps_a_tunnel() {
    let canary = Canary::echo().await;
    let egress = Egress::new(hosts(&[]), limits());
    let scope = origins(&[format!("http://{}", canary.address)]);
    let (short, long) = (
        lease(scope.clone(), Duration::from_millis(300)),
        lease(scope, HOUR),
    );
    let session = Session::over(&egress, vec![short.clone(), long.clone()]).await;
    let mut reply = session.connect(&canary.address.to_string()).await;
    while short.is_open(Clock.now()) {
        echoes(&mut reply.socket, b"x").await;
    }
    assert_eq!(soon(session.listener.recheck(Clock.now())).await, 0);
    echoes(&mut reply.socket, b"x").await;
    long.close(CloseReason::Completed);
    assert_eq!(rest(&mut reply.socket).await, b"");
}

#[tokio::test]
async fn a_lease_keeps_only_what_it_permits_itself() {
    // Both cover the name; only one names the address behind it, and only one
    // the scheme that is spoken.
    let canary = Canary::echo().await;
    let egress = Egress::new(hosts(&[("app.test", &["127.0.0.1"])]), limits());
    let origin = format!("http://app.test:{}", canary.port());
    let secure = format!("https://app.test:{}", canary.port());
    for other in [
        json!({ "origins": [origin] }),
        json!({ "origins": [secure], "addresses": ["127.0.0.0/8"] }),
    ] {
        let full = lease(
            json!({ "origins": [origin], "addresses": ["127.0.0.0/8"] }),
            HOUR,
        );
        let session = Session::over(&egress, vec![full.clone(), lease(other, HOUR)]).await;
        let mut reply = session
            .connect(&format!("app.test:{}", canary.port()))
            .await;
        echoes(&mut reply.socket, b"x").await;
        full.close(CloseReason::Completed);
        assert_eq!(soon(session.listener.recheck(Clock.now())).await, 1);
        assert_eq!(rest(&mut reply.socket).await, b"");
    }
}

#[tokio::test]
async fn a_forwarded_request_under_way_is_cut_on_both_sides() {
    let site = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", site.local_addr().unwrap());
    let egress = Egress::new(hosts(&[]), limits());
    let only = lease(json!({ "origins": [origin], "methods": ["POST"] }), HOUR);
    let session = Session::over(&egress, vec![only.clone()]).await;
    let upload =
        format!("POST {origin}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbody");
    let port = session.listener.port();
    let asked = tokio::spawn(async move { send(port, upload.as_bytes()).await });
    let (mut arrived, _) = soon(site.accept()).await.unwrap();
    let (_, request) = head(&mut arrived).await;
    assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
    arrived
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        .await
        .unwrap();
    let mut reply = asked.await.unwrap();
    assert_eq!(reply.status, 200);

    only.close(CloseReason::Revoked);
    assert_eq!(soon(session.listener.recheck(Clock.now())).await, 1);
    let _ = reply.socket.write_all(b"too late").await;
    assert_eq!(rest(&mut arrived).await, b"body");
    assert!(rest(&mut reply.socket).await.len() < 9);
    assert_eq!(session.book.ended(1).await[0].how, "cut");
}

#[tokio::test]
async fn what_waits_to_be_sent_is_thrown_away() {
    let site = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = site.local_addr().unwrap();
    let origin = format!("http://{address}");
    let session = Session::covering(std::slice::from_ref(&origin)).await;
    for (round, first) in [
        format!("CONNECT {address} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("POST {origin}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"),
    ]
    .iter()
    .enumerate()
    {
        let port = session.listener.port();
        let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        client.write_all(first.as_bytes()).await.unwrap();
        let (mut deaf, _) = soon(site.accept()).await.unwrap();
        // Until every buffer on the way to a site that does not read is full.
        let block = vec![b'x'; 65_536];
        let full = Duration::from_millis(300);
        while let Ok(written) = timeout(full, client.write(&block)).await {
            written.unwrap();
        }
        assert_eq!(soon(session.listener.cut(|_| true)).await, 1);
        assert_eq!(session.book.ended_by_now(), round + 1, "over when told");
        let sent = session.book.ended(round + 1).await[round].sent;
        let arrived = rest(&mut deaf).await.len();
        assert!((arrived as u64) < sent, "{arrived} of {sent}");
    }
}

#[tokio::test]
async fn the_end_of_a_window_cuts_a_forwarded_request_by_itself() {
    let site = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", site.local_addr().unwrap());
    let egress = Egress::new(hosts(&[]), limits());
    let short = lease(json!({ "origins": [origin] }), Duration::from_millis(300));
    let session = Session::over(&egress, vec![short]).await;
    let request = format!("GET {origin}/ HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut client = TcpStream::connect(("127.0.0.1", session.listener.port()))
        .await
        .unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut arrived, _) = soon(site.accept()).await.unwrap();
    head(&mut arrived).await;
    assert_eq!(rest(&mut arrived).await, b"");
    assert_eq!(rest(&mut client).await, b"");
    assert_eq!(session.book.ended(1).await[0].how, "cut");
}

#[tokio::test]
async fn a_dropped_listener_ends_what_it_carries() {
    let canary = Canary::echo().await;
    let session = Session::covering(&[format!("http://{}", canary.address)]).await;
    let mut reply = session.connect(&canary.address.to_string()).await;
    echoes(&mut reply.socket, b"x").await;
    let Session { listener, book, .. } = session;
    drop(listener);
    assert_eq!(rest(&mut reply.socket).await, b"");
    canary.until_ended(1).await;
    book.ended(1).await;
}
