//! Clients that do not read, and more of them than there may be: what that costs
//! the broker, and whom it slows.

use std::{fs, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message},
};

use crate::support::{broker::Broker, cdp::Cdp};

/// One result.
const RESULT: u64 = 4 << 20;
/// Longest time for what another client asks meanwhile.
const NEIGHBOUR: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A client that reads when it is told to.
struct Reluctant {
    socket: Socket,
    session: String,
    next: u64,
}

impl Reluctant {
    async fn attach(url: &str, target: &str) -> Self {
        let (mut socket, _) = connect_async(url).await.unwrap();
        let attach = json!({ "id": 1, "method": "Target.attachToTarget",
            "params": { "targetId": target, "flatten": true } });
        socket
            .send(Message::text(attach.to_string()))
            .await
            .unwrap();
        loop {
            let message = socket.next().await.unwrap().unwrap();
            let message: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
            if message["id"] == 1 {
                let session = message["result"]["sessionId"].as_str().unwrap().to_owned();
                return Self {
                    socket,
                    session,
                    next: 1,
                };
            }
        }
    }

    /// Asks for a large result that it does not read.
    async fn ask(&mut self) {
        let expression = format!("window.asked = {}, 'x'.repeat({RESULT})", self.next);
        let params = json!({ "expression": expression, "returnByValue": true });
        self.say("Runtime.evaluate", params).await;
    }

    /// Says something to its page, and does not read the answer.
    async fn say(&mut self, method: &str, params: Value) {
        self.next += 1;
        let ask = json!({ "id": self.next, "method": method, "sessionId": self.session, "params": params });
        let sent = self.socket.send(Message::text(ask.to_string()));
        timeout(NEIGHBOUR, sent).await.unwrap().unwrap();
    }

    /// Reads all that it is still sent: how many results, and why that ended.
    async fn read(&mut self) -> (u64, String) {
        let mut results = 0;
        let why = loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(_))) => results += 1,
                Some(Ok(Message::Close(frame))) => {
                    break frame.map_or_else(String::new, |frame| frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => break error.to_string(),
                None => break "end".to_owned(),
            }
        };
        (results, why)
    }
}

/// Bytes of memory that the broker holds now, and has held at most.
fn memory(broker: &Broker) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib << 10
    };
    (field("VmRSS:"), field("VmHWM:"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_stalls_alone() {
    let broker = Broker::start("");
    let operator = broker.operator();
    let agent = operator.add_agent("clerk").await;
    let session = operator.start_session(&agent, &[]).await;
    let reading = Cdp::connect(&session.cdp_url).await;
    let page = reading.open("about:blank").await;
    let mut slow = Reluctant::attach(&session.cdp_url, &page.target).await;
    let (before, _) = memory(&broker);

    // One after the other, each seen by another client to be done.
    let mut done = 0;
    loop {
        slow.ask().await;
        let asked = format!("window.asked === {}", done + 1);
        let seen = page.until(&asked);
        if timeout(Duration::from_secs(5), seen).await.is_err() {
            break;
        }
        done += 1;
        assert!(done < 40, "it was served on and on");
    }
    // What is lent to it waits here and in the sockets between.
    assert!(done >= 8, "{done}");
    let (_, most) = memory(&broker);
    assert!(most < before + (128 << 20), "{before} then {most}");
    // The other goes on in the same page.
    assert_eq!(page.evaluate("1 + 1").await, 2);

    // Once it reads, it is served again.
    for _ in 0..=done {
        let message = timeout(NEIGHBOUR, slow.socket.next()).await.unwrap();
        assert!(message.unwrap().unwrap().is_text());
    }
    page.until(&format!("window.asked === {}", done + 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_parted_with_before_it_costs_much() {
    let broker = Broker::start("");
    let operator = broker.operator();
    let agent = operator.add_agent("clerk").await;
    let session = operator.start_session(&agent, &[]).await;
    let other = operator.start_session(&agent, &[]).await;
    let reading = Cdp::connect(&session.cdp_url).await;
    let page = reading.open("about:blank").await;
    let elsewhere = Cdp::connect(&other.cdp_url).await.open("about:blank").await;
    let mut slow = Reluctant::attach(&session.cdp_url, &page.target).await;
    let (before, _) = memory(&broker);

    // Events come to it whatever it says itself.
    let wanted = 120;
    slow.say("Runtime.enable", json!({})).await;
    slow.say("Runtime.addBinding", json!({ "name": "told" }))
        .await;
    let tell = format!(
        "(async () => {{ for (window.asked = 0; window.asked < {wanted}; window.asked++) {{ \
         told('x'.repeat({RESULT})); await new Promise((go) => setTimeout(go)); }} }})()"
    );
    slow.say("Runtime.evaluate", json!({ "expression": tell }))
        .await;
    page.until("window.asked > 0").await;
    let mut rounds = 0;
    while page.evaluate("window.asked").await != wanted {
        let round = timeout(NEIGHBOUR, elsewhere.evaluate("1 + 1")).await;
        assert_eq!(round.unwrap(), 2);
        rounds += 1;
    }
    assert!(rounds > 0);
    let (_, most) = memory(&broker);
    assert!(most < before + (400 << 20), "{before} then {most}");

    // It was let go of: it gets part of what there was for it, and no more.
    let (results, why) = timeout(NEIGHBOUR, slow.read()).await.unwrap();
    assert!(results < wanted, "{results}: {why}");
    assert_eq!(page.evaluate("1 + 1").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_counted_apart_by_what_they_may_do() {
    let broker = Broker::start("[session]\nconnections = 2\n");
    let operator = broker.operator();
    let agent = operator.add_agent("clerk").await;
    let session = operator.start_session(&agent, &[]).await;
    let path = format!("/v1/sessions/{}/watchers", session.id);
    let shared = broker.agent(&agent.key).post(&path, &json!({})).await;
    let mut watch: url::Url = shared["cdp_url"].as_str().unwrap().parse().unwrap();
    watch
        .query_pairs_mut()
        .append_pair("token", shared["token"].as_str().unwrap());

    let refused = async |url: &str| match connect_async(url).await {
        Err(Error::Http(response)) => {
            assert_eq!(response.status(), 429);
            let body = response.body().clone().unwrap_or_default();
            let why = String::from_utf8(body).unwrap();
            assert!(why.contains("session.connections"), "{why}");
        }
        other => panic!("{other:?}"),
    };
    let (first, second) = (
        Cdp::connect(&session.cdp_url).await,
        Cdp::connect(&session.cdp_url).await,
    );
    refused(&session.cdp_url).await;
    let (_one, _two) = (
        Cdp::connect(watch.as_str()).await,
        Cdp::connect(watch.as_str()).await,
    );
    refused(watch.as_str()).await;

    // A place that is left is free again.
    first.leave().await;
    let again = async {
        while connect_async(session.cdp_url.as_str()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(NEIGHBOUR, again).await.unwrap();
    second.ask("Browser.getVersion", json!({})).await;
}
