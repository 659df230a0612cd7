//! The helpers of the whole-flow tests see what they are there to see.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use support::{
    canary::{self, Canary, TcpCounter},
    process,
};
use tokio::net::TcpStream;
use tokio_tungstenite::{connect_async, tungstenite::Message};

fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy();
    client
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_canary_tells_each_request_with_its_cookies() {
    let canary = Canary::start(|hit| match hit.path.as_str() {
        "/go" => canary::redirect("/there"),
        "/set" => canary::with(canary::text("set"), "set-cookie", "a=1; HttpOnly"),
        _ => canary::not_found(),
    })
    .await;
    let origin = canary.origin();
    let moved = client()
        .get(format!("{origin}/go?x=1"))
        .header("cookie", "a=1; b=2=2")
        .send()
        .await
        .unwrap();
    assert_eq!(moved.status(), 302);
    assert_eq!(moved.headers()["location"], "/there");
    let set = client()
        .post(format!("{origin}/set"))
        .body("body")
        .send()
        .await
        .unwrap();
    assert_eq!(set.headers()["set-cookie"], "a=1; HttpOnly");

    let [go, post] = <[_; 2]>::try_from(canary.hits()).unwrap();
    assert_eq!((go.path.as_str(), go.query.as_str()), ("/go", "x=1"));
    assert_eq!(go.cookie("b"), Some("2=2"));
    assert_eq!(go.cookie("c"), None);
    assert_eq!(
        (post.method.as_str(), &post.body[..]),
        ("POST", &b"body"[..])
    );
    assert!(canary.connections() >= 1);
    canary.reset();
    assert!(canary.hits().is_empty());
}

#[tokio::test]
async fn a_canary_echoes_over_a_socket_and_tells_its_handshake() {
    let canary = Canary::start(|_| canary::not_found()).await;
    let url = format!("ws://{}/socket", canary.address);
    let (mut socket, _) = connect_async(url).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    let echoed = socket.next().await.unwrap().unwrap();
    assert_eq!(echoed.into_text().unwrap(), "hello");
    assert_eq!(canary.hits_on("/socket").len(), 1);
}

#[tokio::test]
async fn a_counter_counts_bare_connections() {
    let counter = TcpCounter::start().await;
    for _ in 0..2 {
        let stream = TcpStream::connect(counter.address).await.unwrap();
        // The counter closes what it has counted.
        stream.readable().await.unwrap();
    }
    assert_eq!(counter.connections(), 2);
}

#[test]
fn what_a_process_started_is_found_and_seen_to_end() {
    let mut shell = Command::new("sh")
        .args(["-c", "sleep 600 & wait"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let appeared = || !process::descendants(shell.id()).is_empty();
    assert!(process::until(Duration::from_secs(10), appeared));
    let below = process::descendants(shell.id());
    assert!(process::end(&mut shell, Duration::from_secs(10)));
    assert!(below.iter().all(process::Known::is_running));
    below.iter().for_each(process::Known::kill);
    let gone = || !below.iter().any(process::Known::is_running);
    assert!(process::until(Duration::from_secs(10), gone));
}
