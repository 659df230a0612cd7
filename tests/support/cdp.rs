//! A CDP client without a library between: what it sends is what arrives.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _, stream::SplitSink};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{Mutex as AsyncMutex, Notify, oneshot},
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};
use tokio_util::task::AbortOnDropHandle;

/// Longest time for an answer or an awaited event.
const LIMIT: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection to a browser, or to what stands for one.
#[derive(Debug, Clone)]
pub struct Cdp(Arc<Connection>);

#[derive(Debug)]
struct Connection {
    out: AsyncMutex<SplitSink<Socket, Message>>,
    next: AtomicU64,
    inbox: Arc<Inbox>,
    _reading: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Inbox {
    replies: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    events: Mutex<Vec<Value>>,
    /// Every byte that was received, for searches.
    heard: Mutex<String>,
    /// The close frame's reason, once the connection has ended.
    closed: Mutex<Option<String>>,
    came: Notify,
}

/// A page with a session on it.
#[derive(Debug, Clone)]
pub struct Page {
    pub cdp: Cdp,
    pub target: String,
    pub session: String,
}

// === impl Cdp ===

impl Cdp {
    /// Connects to a browser's endpoint.
    pub async fn connect(url: &str) -> Self {
        let (socket, _) = connect_async(url).await.unwrap();
        let (out, mut input) = socket.split();
        let inbox = Arc::new(Inbox::default());
        let reading = {
            let inbox = Arc::clone(&inbox);
            tokio::spawn(async move {
                let mut reason = String::new();
                while let Some(Ok(message)) = input.next().await {
                    match message {
                        Message::Text(text) => inbox.take_in(&text),
                        Message::Close(Some(frame)) => reason = frame.reason.to_string(),
                        _ => {}
                    }
                }
                inbox.replies.lock().unwrap().clear();
                *inbox.closed.lock().unwrap() = Some(reason);
                inbox.came.notify_waiters();
            })
        };
        Self(Arc::new(Connection {
            out: AsyncMutex::new(out),
            next: AtomicU64::new(0),
            inbox,
            _reading: AbortOnDropHandle::new(reading),
        }))
    }

    /// Sends a command; its result, or its error object.
    pub async fn call(
        &self,
        session: Option<&str>,
        method: &str,
        params: Value,
    ) -> Result<Value, Value> {
        timeout(LIMIT, self.answer(session, method, params))
            .await
            .unwrap_or_else(|_| panic!("no answer to {method} within {LIMIT:?}"))
            .unwrap_or_else(|| {
                let closed = self.0.inbox.closed.lock().unwrap();
                let why = closed.as_deref().unwrap_or("nothing was said");
                panic!("the connection ended before the answer to {method}: {why}")
            })
    }

    /// The same, for as long as it takes; `None` where the connection ends first.
    pub async fn answer(
        &self,
        session: Option<&str>,
        method: &str,
        params: Value,
    ) -> Option<Result<Value, Value>> {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut command = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        let (answer, answered) = oneshot::channel();
        self.0.inbox.replies.lock().unwrap().insert(id, answer);
        let message = Message::text(command.to_string());
        self.0.out.lock().await.send(message).await.ok()?;
        let mut reply = answered.await.ok()?;
        Some(match reply.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(reply["result"].take()),
        })
    }

    /// Sends a text as it is; the reply with that number.
    pub async fn say(&self, text: String, id: u64) -> Value {
        let (answer, answered) = oneshot::channel();
        self.0.inbox.replies.lock().unwrap().insert(id, answer);
        let mut out = self.0.out.lock().await;
        out.send(Message::text(text)).await.unwrap();
        drop(out);
        let answered = timeout(LIMIT, answered).await;
        answered
            .unwrap_or_else(|_| panic!("no answer within {LIMIT:?}"))
            .unwrap_or_else(|_| panic!("the connection ended before the answer"))
    }

    /// A command to the browser that must succeed.
    pub async fn ask(&self, method: &str, params: Value) -> Value {
        self.call(None, method, params)
            .await
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Opens a page of the default context at `url` and attaches to it.
    pub async fn open(&self, url: &str) -> Page {
        let made = self.ask("Target.createTarget", json!({ "url": url })).await;
        self.attach(made["targetId"].as_str().unwrap()).await
    }

    /// Attaches to a target.
    pub async fn attach(&self, target: &str) -> Page {
        let params = json!({ "targetId": target, "flatten": true });
        let attached = self.ask("Target.attachToTarget", params).await;
        Page {
            cdp: self.clone(),
            target: target.to_owned(),
            session: attached["sessionId"].as_str().unwrap().to_owned(),
        }
    }

    /// Closes all pages but one new blank one.
    pub async fn close_pages(&self) {
        let targets = self.ask("Target.getTargets", json!({})).await;
        self.ask("Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        for target in targets["targetInfos"].as_array().unwrap() {
            if target["type"] == "page" {
                let params = json!({ "targetId": target["targetId"] });
                self.call(None, "Target.closeTarget", params).await.ok();
            }
        }
    }

    /// Waits for an event that came since the beginning.
    pub async fn event(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let came = self.0.inbox.came.notified();
                let found = self
                    .0
                    .inbox
                    .events
                    .lock()
                    .unwrap()
                    .iter()
                    .find(|event| wanted(event))
                    .cloned();
                match found {
                    Some(event) => return event,
                    None => came.await,
                }
            }
        };
        timeout(LIMIT, waiting)
            .await
            .unwrap_or_else(|_| panic!("no such event within {LIMIT:?}: {:#?}", self.events()))
    }

    /// Waits for so many events since the beginning, however long it takes.
    pub async fn until_events(&self, count: usize) {
        loop {
            let came = self.0.inbox.came.notified();
            if self.0.inbox.events.lock().unwrap().len() >= count {
                return;
            }
            came.await;
        }
    }

    /// Waits until the other side has closed the connection; answers why.
    pub async fn until_closed(&self) -> String {
        let waiting = async {
            loop {
                let came = self.0.inbox.came.notified();
                if let Some(reason) = self.0.inbox.closed.lock().unwrap().clone() {
                    return reason;
                }
                came.await;
            }
        };
        let closed = timeout(LIMIT, waiting).await;
        closed.unwrap_or_else(|_| panic!("still connected after {LIMIT:?}"))
    }

    /// Leaves.
    pub async fn leave(self) {
        self.0.out.lock().await.close().await.unwrap();
        self.until_closed().await;
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Value> {
        self.0.inbox.events.lock().unwrap().clone()
    }

    /// Whether this text was in anything received so far.
    pub fn has_heard(&self, text: &str) -> bool {
        self.0.inbox.heard.lock().unwrap().contains(text)
    }

    /// Everything received so far, as it came.
    pub fn heard(&self) -> String {
        self.0.inbox.heard.lock().unwrap().clone()
    }
}

// === impl Page ===

impl Page {
    /// Sends a command to the page; its result, or its error object.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, Value> {
        self.cdp.call(Some(&self.session), method, params).await
    }

    /// A command that must succeed.
    pub async fn ask(&self, method: &str, params: Value) -> Value {
        self.call(method, params)
            .await
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Tells the page to go somewhere; it has gone when this answers.
    pub async fn navigate(&self, url: &str) -> Value {
        self.ask("Page.navigate", json!({ "url": url })).await
    }

    /// The value of an expression or of the promise that it makes.
    pub async fn evaluate(&self, expression: &str) -> Value {
        self.try_evaluate(expression)
            .await
            .unwrap_or_else(|error| panic!("`{expression}`: {error}"))
    }

    /// The same, or the exception.
    pub async fn try_evaluate(&self, expression: &str) -> Result<Value, Value> {
        let params = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
            "userGesture": true,
        });
        let mut done = self.call("Runtime.evaluate", params).await?;
        match done.get("exceptionDetails") {
            Some(exception) => Err(exception.clone()),
            None => Ok(done["result"]["value"].take()),
        }
    }

    /// Waits until an expression holds in the page.
    pub async fn until(&self, condition: &str) {
        let look = format!(
            "new Promise((done) => {{ const look = () => {{ if ({condition}) done(true); else setTimeout(look, 5); }}; look(); }})"
        );
        // A page that is still on its way takes its scripts down with it.
        while let Err(error) = self.try_evaluate(&look).await {
            assert!(error["code"] == -32000, "`{condition}`: {error}");
        }
    }

    /// Closes it.
    pub async fn close(&self) {
        let params = json!({ "targetId": self.target });
        self.cdp.ask("Target.closeTarget", params).await;
    }
}

// === impl Inbox ===

impl Inbox {
    fn take_in(&self, text: &str) {
        self.heard.lock().unwrap().push_str(text);
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            return;
        };
        if let Some(id) = message["id"].as_u64() {
            if let Some(answer) = self.replies.lock().unwrap().remove(&id) {
                answer.send(message).ok();
            }
        } else {
            self.events.lock().unwrap().push(message);
            self.came.notify_waiters();
        }
    }
}
