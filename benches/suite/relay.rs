//! What does nothing but stand in between: a WebSocket relay, a TCP relay, and
//! a `Fetch` client that lets every request go, with or without word of what
//! becomes of them. Each on threads of its own, as Hallpass has a process of its
//! own.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tokio_tungstenite::{
    accept_async_with_config, connect_async_with_config, tungstenite::protocol::WebSocketConfig,
};

use super::{
    cdp::{Cdp, Seen},
    runtime,
};

/// Ends with the value.
#[derive(Debug)]
pub struct Relay {
    pub address: SocketAddr,
    runtime: Option<Runtime>,
}

#[derive(Deserialize)]
struct Paused<'a> {
    #[serde(borrow, rename = "requestId")]
    request: &'a str,
}

#[derive(Deserialize)]
struct Attached<'a> {
    #[serde(borrow, rename = "sessionId")]
    session: &'a str,
}

impl Relay {
    /// Between a client and the WebSocket at `url`.
    pub fn websocket(url: &str) -> Self {
        let url = url.to_owned();
        Self::start(move |stream| {
            let url = url.clone();
            async move {
                let config = || {
                    WebSocketConfig::default()
                        .max_message_size(None)
                        .max_frame_size(None)
                };
                let (far, _) = connect_async_with_config(&url, Some(config()), true)
                    .await
                    .unwrap();
                let near = accept_async_with_config(stream, Some(config()))
                    .await
                    .unwrap();
                let (mut to_far, mut from_far) = far.split();
                let (mut to_near, mut from_near) = near.split();
                let up = async {
                    while let Some(Ok(message)) = from_near.next().await {
                        if to_far.send(message).await.is_err() {
                            return;
                        }
                    }
                };
                let down = async {
                    while let Some(Ok(message)) = from_far.next().await {
                        if to_near.send(message).await.is_err() {
                            return;
                        }
                    }
                };
                tokio::select! { () = up => {}, () = down => {} }
            }
        })
    }

    /// Between a client and a TCP port.
    pub fn tcp(to: SocketAddr) -> Self {
        Self::start(move |mut near| async move {
            let mut far = TcpStream::connect(to).await.unwrap();
            far.set_nodelay(true).unwrap();
            tokio::io::copy_bidirectional(&mut near, &mut far)
                .await
                .ok();
        })
    }

    /// `ws://` and its address.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    fn start<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = runtime();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(stream));
            }
        });
        Self {
            address,
            runtime: Some(runtime),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Pauses every request of a browser and lets it go; ends with the value.
#[derive(Debug)]
pub struct FetchClient(Option<Runtime>);

impl FetchClient {
    /// With `network` it also has the browser tell of each request what a record
    /// needs: who caused it, its cookies, its answer. It keeps no bodies.
    pub async fn start(url: &str, network: bool) -> Self {
        let runtime = runtime();
        let url = url.to_owned();
        let enabled = runtime.spawn(async move {
            let mut cdp = Cdp::connect(&url).await;
            let patterns = json!({"patterns": [{"urlPattern": "*", "requestStage": "Request"}]});
            cdp.call("Fetch.enable", patterns).await;
            if network {
                let all =
                    json!({"autoAttach": true, "waitForDebuggerOnStart": false, "flatten": true});
                cdp.call("Target.setAutoAttach", all).await;
            }
            cdp
        });
        let mut cdp = enabled.await.unwrap();
        runtime.spawn(async move {
            let mut next = 1_000;
            loop {
                let message = cdp.receive().await;
                let seen: Seen<'_> = serde_json::from_str(&message).unwrap();
                next += 1;
                match seen.method {
                    Some("Fetch.requestPaused") => {
                        let paused: Paused<'_> =
                            serde_json::from_str(seen.params.unwrap().get()).unwrap();
                        cdp.send(format!(
                            r#"{{"id":{next},"method":"Fetch.continueRequest","params":{{"requestId":"{}"}}}}"#,
                            paused.request
                        ))
                        .await;
                    }
                    Some("Target.attachedToTarget") => {
                        let attached: Attached<'_> =
                            serde_json::from_str(seen.params.unwrap().get()).unwrap();
                        cdp.send(format!(
                            r#"{{"id":{next},"method":"Network.enable","sessionId":"{}","params":{{"maxTotalBufferSize":0,"maxResourceBufferSize":0}}}}"#,
                            attached.session
                        ))
                        .await;
                    }
                    _ => {}
                }
            }
        });
        Self(Some(runtime))
    }
}

impl Drop for FetchClient {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
