//! A client that does as little as can be: one WebSocket, one page.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

/// Longest wait for any one message.
const LIMIT: Duration = Duration::from_mins(1);

/// A connection, and its session on a page once it has one.
#[derive(Debug)]
pub struct Cdp {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next: u64,
    session: Option<String>,
}

/// What a message is, without a look inside.
#[derive(Debug, Deserialize)]
pub struct Seen<'a> {
    pub id: Option<u64>,
    #[serde(borrow)]
    pub method: Option<&'a str>,
    #[serde(borrow)]
    pub params: Option<&'a RawValue>,
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
}

impl Cdp {
    /// Connects to a browser.
    pub async fn connect(url: &str) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        let (socket, _) = connect_async_with_config(url, Some(config), true)
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        Self {
            socket,
            next: 0,
            session: None,
        }
    }

    /// Connects to a plain browser and opens a page in a context of its own.
    pub async fn new_page(url: &str) -> Self {
        Self::new_page_in(url, json!({})).await
    }

    /// The same in a context made with these parameters.
    pub async fn new_page_in(url: &str, context: Value) -> Self {
        let mut cdp = Self::connect(url).await;
        let context = cdp.call("Target.createBrowserContext", context).await;
        let params = json!({"url": "about:blank", "browserContextId": context["browserContextId"]});
        let target = cdp.call("Target.createTarget", params).await;
        cdp.attach(&target["targetId"]).await;
        cdp
    }

    /// Connects to a session, which has its page already.
    pub async fn first_page(url: &str) -> Self {
        let mut cdp = Self::connect(url).await;
        let targets = cdp.call("Target.getTargets", json!({})).await;
        let page = targets["targetInfos"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|target| target["type"] == "page")
            .unwrap_or_else(|| panic!("no page in {targets}"));
        cdp.attach(&page["targetId"]).await;
        cdp
    }

    async fn attach(&mut self, target: &Value) {
        let params = json!({"targetId": target, "flatten": true});
        let attached = self.call("Target.attachToTarget", params).await;
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        self.call("Page.enable", json!({})).await;
    }

    /// A command's text under the next number, to be sent many times.
    pub fn command(&mut self, method: &str, params: &Value) -> (u64, String) {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        (self.next, message.to_string())
    }

    /// Sends one command and answers its result. Events meanwhile are lost.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        let (id, text) = self.command(method, &params);
        self.send(text).await;
        loop {
            let message = self.receive().await;
            let seen: Value = serde_json::from_slice(message.as_bytes()).unwrap();
            if seen["id"] == id {
                assert!(seen.get("error").is_none(), "{method}: {seen}");
                return seen["result"].clone();
            }
        }
    }

    pub async fn send(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next message's text.
    pub async fn receive(&mut self) -> tokio_tungstenite::tungstenite::Utf8Bytes {
        loop {
            let message = tokio::time::timeout(LIMIT, self.socket.next())
                .await
                .expect("the browser said nothing for too long")
                .expect("the browser closed the connection")
                .unwrap();
            match message {
                Message::Text(text) => return text,
                Message::Close(why) => panic!("the connection was closed: {why:?}"),
                _ => {}
            }
        }
    }

    /// Sends a prepared command and waits for its reply; answers how long that
    /// took and how long the reply was, in bytes.
    pub async fn round_trip(&mut self, id: u64, text: &str) -> (Duration, usize) {
        let text = text.to_owned();
        let begun = Instant::now();
        self.send(text).await;
        loop {
            let message = self.receive().await;
            let seen: Seen<'_> = serde_json::from_str(&message).unwrap();
            if seen.id == Some(id) {
                let took = begun.elapsed();
                assert!(seen.error.is_none(), "{message}");
                return (took, message.len());
            }
        }
    }

    /// Goes somewhere; answers how long it took until the page's load event.
    pub async fn load(&mut self, url: &str) -> Duration {
        let (id, text) = self.command("Page.navigate", &json!({"url": url}));
        let begun = Instant::now();
        self.send(text).await;
        let (mut replied, mut loaded) = (false, false);
        while !(replied && loaded) {
            let message = self.receive().await;
            let seen: Seen<'_> = serde_json::from_str(&message).unwrap();
            if seen.id == Some(id) {
                assert!(!message.contains("errorText"), "{url}: {message}");
                replied = true;
            }
            loaded |= seen.method == Some("Page.loadEventFired");
        }
        begun.elapsed()
    }

    /// Evaluates an expression, and waits for the promise that it makes.
    pub async fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let done = self.call("Runtime.evaluate", params).await;
        assert!(
            done.get("exceptionDetails").is_none(),
            "{expression}: {done}"
        );
        done["result"]["value"].clone()
    }

    /// Counts events of one kind until there are so many.
    pub async fn until_events(&mut self, method: &str, count: usize) {
        let mut seen = 0;
        while seen < count {
            let message = self.receive().await;
            let event: Seen<'_> = serde_json::from_str(&message).unwrap();
            seen += usize::from(event.method == Some(method));
        }
    }
}
