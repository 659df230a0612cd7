use std::time::Duration;

use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::support::{
    Canary, HOUR, Session, echoes, hosts, lease, limits, origins, rest, send, soon,
};
use crate::{
    egress::{Egress, Limits},
    model::action::Rule,
};

async fn bounded(canary: &Canary, limits: Limits) -> Session {
    let egress = Egress::new(hosts(&[]), limits);
    let scope = origins(&[format!("http://{}", canary.address)]);
    Session::over(&egress, vec![lease(scope, HOUR)]).await
}

#[tokio::test]
async fn a_slow_head_is_not_waited_for() {
    let canary = Canary::echo().await;
    let session = bounded(
        &canary,
        Limits {
            header: Duration::from_millis(200),
            ..limits()
        },
    )
    .await;
    for start in [&b""[..], b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHo"] {
        let mut socket = TcpStream::connect(("127.0.0.1", session.listener.port()))
            .await
            .unwrap();
        socket.write_all(start).await.unwrap();
        let answer = rest(&mut socket).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let canary = Canary::echo().await;
    let session = bounded(
        &canary,
        Limits {
            header_bytes: 8192,
            ..limits()
        },
    )
    .await;
    let request = format!(
        "CONNECT {} HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n",
        canary.address,
        "a".repeat(9000)
    );
    assert_eq!(
        send(session.listener.port(), request.as_bytes())
            .await
            .status,
        431
    );
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so() {
    let canary = Canary::echo().await;
    let session = bounded(
        &canary,
        Limits {
            connections: 1,
            ..limits()
        },
    )
    .await;
    let authority = canary.address.to_string();
    let mut tunnel = session.connect(&authority).await;
    echoes(&mut tunnel.socket, b"x").await;
    let refused = session.connect(&authority).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.problem().await["rule"], "limit-reached");
    assert_eq!(session.book.rules(), [Rule::LimitReached]);
    assert_eq!(soon(session.listener.cut(|_| true)).await, 1);
    rest(&mut tunnel.socket).await;
    // The place is free as soon as the tunnel's task has let it go.
    while session.connect(&authority).await.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn dials_beyond_the_limit_are_told_so() {
    let canary = Canary::echo().await;
    let session = bounded(
        &canary,
        Limits {
            dials: 0,
            connect: Duration::from_millis(100),
            ..limits()
        },
    )
    .await;
    let refused = session.connect(&canary.address.to_string()).await;
    assert_eq!(refused.status, 503);
    assert_eq!(session.book.rules(), [Rule::LimitReached]);
    assert_eq!(canary.connections(), 0);
}
