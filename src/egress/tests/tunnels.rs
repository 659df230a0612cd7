use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{
    Canary, HOUR, Session, echoes, hosts, lease, limits, origins, rest, send, soon,
};
use crate::{
    egress::{Egress, Limits, client_hello::tests::client_hello},
    model::action::Rule,
};

async fn named(name: &str, scheme: &str, canary: &Canary, limits: Limits) -> Session {
    let egress = Egress::new(hosts(&[(name, &["127.0.0.1"])]), limits);
    let mut scope = origins(&[format!("{scheme}://{name}:{}", canary.port())]);
    scope["addresses"] = serde_json::json!(["127.0.0.1/32"]);
    Session::over(&egress, vec![lease(scope, HOUR)]).await
}

#[tokio::test]
async fn large_bodies_pass_both_ways_and_are_counted() {
    const SIZE: usize = 8 << 20;
    let canary = Canary::echo().await;
    let session = named("app.test", "https", &canary, limits()).await;
    let reply = session
        .connect(&format!("app.test:{}", canary.port()))
        .await;
    assert_eq!(reply.status, 200);
    let hello = client_hello(Some("app.test"), 512);
    let (mut from, mut to) = reply.socket.into_split();
    let greeting = hello.clone();
    let writer = tokio::spawn(async move {
        to.write_all(&greeting).await.unwrap();
        let body: Vec<u8> = (0..=250).cycle().take(SIZE).collect();
        to.write_all(&body).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    soon(from.read_to_end(&mut back)).await.unwrap();
    writer.await.unwrap();
    assert_eq!(back.len(), hello.len() + SIZE);
    assert!(
        back[hello.len()..]
            .iter()
            .copied()
            .eq((0..=250).cycle().take(SIZE))
    );
    let ended = session.book.ended(1).await;
    assert_eq!(ended[0].sent, back.len() as u64);
    assert_eq!(ended[0].received, back.len() as u64);
    assert_eq!(ended[0].how, "closed");
    assert_eq!(canary.bytes(), back.len());
}

#[tokio::test]
async fn a_greeting_in_many_pieces_is_read_whole() {
    let canary = Canary::echo().await;
    let session = named("app.test", "https", &canary, limits()).await;
    let mut reply = session
        .connect(&format!("app.test:{}", canary.port()))
        .await;
    let hello = client_hello(Some("App.Test"), 5);
    for byte in &hello {
        reply.socket.write_u8(*byte).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut back = vec![0; hello.len()];
    soon(reply.socket.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, hello);
}

#[tokio::test]
async fn what_follows_connect_in_one_segment_is_judged_and_kept() {
    let canary = Canary::echo().await;
    let session = named("app.test", "https", &canary, limits()).await;
    for (name, passes) in [("app.test", true), ("evil.test", false)] {
        let hello = client_hello(Some(name), 512);
        let authority = format!("app.test:{}", canary.port());
        let mut bytes =
            format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").into_bytes();
        bytes.extend(&hello);
        let mut reply = send(session.listener.port(), &bytes).await;
        if passes {
            let mut back = vec![0; hello.len()];
            soon(reply.socket.read_exact(&mut back)).await.unwrap();
            assert_eq!(back, hello);
        } else {
            assert_eq!(rest(&mut reply.socket).await, b"");
        }
    }
    assert_eq!(canary.bytes(), client_hello(Some("app.test"), 512).len());
}

#[tokio::test]
async fn greetings_for_another_host_are_cut() {
    let canary = Canary::echo().await;
    let port = canary.port();
    let egress = Egress::new(hosts(&[("app.test", &["127.0.0.1"])]), limits());
    let mut scope = origins(&[
        format!("https://app.test:{port}"),
        format!("https://127.0.0.1:{port}"),
    ]);
    scope["addresses"] = serde_json::json!(["127.0.0.1/32"]);
    let mut malformed = client_hello(Some("app.test"), 512);
    malformed[1] = 2;
    let mismatch = Rule::ServerNameMismatch;
    for (host, greeting, refused) in [
        ("app.test", client_hello(Some("app.test"), 512), None),
        ("app.test", client_hello(Some("APP.test"), 512), None),
        ("127.0.0.1", client_hello(None, 512), None),
        (
            "app.test",
            client_hello(Some("evil.test"), 512),
            Some(mismatch),
        ),
        (
            "app.test",
            client_hello(Some("app.test."), 512),
            Some(mismatch),
        ),
        (
            "app.test",
            client_hello(Some("app%2etest"), 512),
            Some(mismatch),
        ),
        (
            "app.test",
            client_hello(Some("x.app.test"), 512),
            Some(mismatch),
        ),
        ("app.test", client_hello(None, 512), Some(mismatch)),
        (
            "127.0.0.1",
            client_hello(Some("app.test"), 512),
            Some(mismatch),
        ),
        (
            "127.0.0.1",
            client_hello(Some("127.0.0.1"), 512),
            Some(mismatch),
        ),
        ("app.test", malformed, Some(Rule::Malformed)),
        (
            "app.test",
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            Some(Rule::OriginOutOfScope),
        ),
        (
            "app.test",
            b"\x80\x2e\x01".to_vec(),
            Some(Rule::OriginOutOfScope),
        ),
    ] {
        let session = Session::over(&egress, vec![lease(scope.clone(), HOUR)]).await;
        let before = canary.bytes();
        let mut reply = session.connect(&format!("{host}:{port}")).await;
        assert_eq!(reply.status, 200);
        if let Some(rule) = refused {
            reply.socket.write_all(&greeting).await.unwrap();
            assert_eq!(rest(&mut reply.socket).await, b"", "{host} {greeting:?}");
            let ended = session.book.ended(1).await;
            assert_eq!((ended[0].how.as_str(), ended[0].sent), ("cut", 0));
            assert_eq!(session.book.rules(), [rule], "{host} {greeting:?}");
            assert_eq!(canary.bytes(), before);
        } else {
            echoes(&mut reply.socket, &greeting).await;
            assert_eq!(session.book.rules(), []);
        }
    }
}

#[tokio::test]
async fn an_endless_greeting_is_cut() {
    let canary = Canary::echo().await;
    let session = named("app.test", "https", &canary, limits()).await;
    let mut reply = session
        .connect(&format!("app.test:{}", canary.port()))
        .await;
    // A message that claims 16 KiB, in records of one byte: never whole in time.
    let mut greeting = Vec::new();
    for byte in [1, 0, 0x40, 0].into_iter().chain([0; 4096]) {
        greeting.extend([22, 3, 1, 0, 1, byte]);
    }
    let _ = reply.socket.write_all(&greeting).await;
    assert_eq!(rest(&mut reply.socket).await, b"");
    session.book.ended(1).await;
    assert_eq!(session.book.rules(), [Rule::Malformed]);
    assert_eq!(canary.bytes(), 0);
}

#[tokio::test]
async fn clear_text_passes_where_the_origin_is_http_and_tls_does_not() {
    let canary = Canary::echo().await;
    let session = named("app.test", "http", &canary, limits()).await;
    let authority = format!("app.test:{}", canary.port());
    let mut socket = session.connect(&authority).await;
    let handshake = b"GET /socket HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
    echoes(&mut socket.socket, handshake).await;
    let mut tls = session.connect(&authority).await;
    tls.socket
        .write_all(&client_hello(Some("app.test"), 512))
        .await
        .unwrap();
    assert_eq!(rest(&mut tls.socket).await, b"");
    session.book.ended(1).await;
    assert_eq!(session.book.rules(), [Rule::OriginOutOfScope]);
    assert_eq!(canary.bytes(), handshake.len());
}

#[tokio::test]
async fn a_client_that_waits_for_the_server_is_not_waited_for() {
    let canary = Canary::echo_on("127.0.0.1", 0, b"220 mail ready\r\n").await;
    let short = Limits {
        first_bytes: Duration::from_millis(200),
        ..limits()
    };
    let session = named("app.test", "https", &canary, short).await;
    let mut reply = session
        .connect(&format!("app.test:{}", canary.port()))
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(rest(&mut reply.socket).await, b"");
    assert_eq!(session.book.ended(1).await[0].received, 0);
    canary.until_ended(1).await;
}

#[tokio::test]
async fn half_a_tunnel_is_not_kept_in_silence() {
    // A site that never ends its side: it reads on after the client's end.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let site = tokio::spawn(async move { listener.accept().await.unwrap().0 });
    let egress = Egress::new(
        hosts(&[]),
        Limits {
            half_open: Duration::from_millis(200),
            ..limits()
        },
    );
    let scope = origins(&[format!("http://127.0.0.1:{port}")]);
    let session = Session::over(&egress, vec![lease(scope, HOUR)]).await;
    let mut reply = session.connect(&format!("127.0.0.1:{port}")).await;
    let mut site = soon(site).await.unwrap();
    reply.socket.write_all(b"bye").await.unwrap();
    reply.socket.shutdown().await.unwrap();
    assert_eq!(rest(&mut site).await, b"bye");
    assert_eq!(rest(&mut reply.socket).await, b"");
    assert!(session.book.ended(1).await[0].how.contains("silent"));
}
