//! Single rings, put together from the broker's own parts, with the others left
//! out: what each of them holds back by itself.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _, future::BoxFuture};
use hallpass::{
    broker::lease::{Lease, Leases},
    browser::{
        cell::{Cell, CellProcess, CellSpec},
        discover::discover_among,
    },
    cdp::hub::{HoldLimits, Hub, Journal, Most, Output, Setup, Tenant, Unrecorded},
    clock::Clock,
    egress::{
        Connection, ConnectionLog, Egress, Ended, Gate, Limits, Listener, RecordUnavailable,
        Resolver,
    },
    model::{
        delegation::{LiveWindow, Window},
        id::{AgentId, CellId, DelegationId, PersonId, SessionId},
        secret::Secret,
    },
    policy::{Authority, Policies},
    trace::record::Draft,
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_tungstenite::{WebSocketStream, accept_async, connect_async, tungstenite::Message};
use uuid::Uuid;

use super::open_proxy;
use crate::support::{cdp::Cdp, chromium::PlainChromium};

/// Which rings are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rings {
    /// None: a browser as it is.
    None,
    Gateway,
    Interceptor,
    Egress,
    Cell,
    EgressAndCell,
}

impl Rings {
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Gateway,
        Self::Interceptor,
        Self::Egress,
        Self::Cell,
        Self::EgressAndCell,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Gateway => "gateway",
            Self::Interceptor => "interceptor",
            Self::Egress => "egress",
            Self::Cell => "cell",
            Self::EgressAndCell => "egress and cell",
        }
    }
}

/// A browser within some rings, and an agent's connection to it.
pub struct Ringed {
    pub cdp: Cdp,
    tasks: JoinSet<()>,
    _plain: Option<PlainChromium>,
    cell: Option<(CellProcess, tempfile::TempDir)>,
    _listener: Option<Listener>,
}

impl Ringed {
    /// Within these rings, with this scope.
    pub async fn start(browser: &Path, rings: Rings, scope: &Value) -> Self {
        let mut tasks = JoinSet::new();
        let (mut plain, mut cell, mut listener) = (None, None, None);
        let url = match rings {
            Rings::None => start_plain(&mut plain, browser, &[]),
            Rings::Gateway | Rings::Interceptor => {
                let url = start_plain(&mut plain, browser, &[]);
                let wire = socket(&url, &mut tasks).await;
                let acts = rings == Rings::Gateway;
                let served = hub(wire, scope, acts, &mut tasks).await;
                if acts { served } else { url }
            }
            Rings::Egress => {
                let own = listen(scope).await;
                let proxy = format!("--proxy-server=http://127.0.0.1:{}", own.port());
                listener = Some(own);
                let through = [proxy.as_str(), "--proxy-bypass-list=<-loopback>"];
                start_plain(&mut plain, browser, &through)
            }
            Rings::Cell | Rings::EgressAndCell => {
                let port = if rings == Rings::Cell {
                    open_proxy::start(&mut tasks).await
                } else {
                    let own = listen(scope).await;
                    listener.insert(own).port()
                };
                let (process, data, wire) = launch(browser, port, &mut tasks).await;
                cell = Some((process, data));
                relay(wire, &mut tasks).await
            }
        };
        Self {
            cdp: Cdp::connect(&url).await,
            tasks,
            _plain: plain,
            cell,
            _listener: listener,
        }
    }

    pub async fn end(mut self) {
        self.tasks.abort_all();
        if let Some((process, _)) = &mut self.cell {
            process.kill().await.unwrap();
        }
    }
}

fn start_plain(plain: &mut Option<PlainChromium>, browser: &Path, more: &[&str]) -> String {
    let mut switches = vec!["--site-per-process", "--disable-popup-blocking"];
    switches.extend(more);
    let started = PlainChromium::start_as(browser, &switches);
    plain.insert(started).cdp_url.clone()
}

fn lease(scope: &Value) -> Arc<Leases> {
    let now = Clock.now();
    let length = Duration::from_hours(1);
    let leases = Leases::default();
    leases.add(Arc::new(Lease::new(
        DelegationId::from_uuid(Uuid::new_v4()),
        PersonId::from_uuid(Uuid::from_u128(1)),
        PersonId::from_uuid(Uuid::from_u128(1)),
        serde_json::from_value(scope.clone()).unwrap(),
        LiveWindow {
            window: Window {
                start: now.wall,
                end: now.wall.saturating_add(length),
            },
            opens: now.boot,
            closes: now.boot.saturating_add(length),
        },
        Vec::new(),
    )));
    Arc::new(leases)
}

fn authority() -> Authority {
    Authority {
        agent: AgentId::from_uuid(Uuid::from_u128(3)),
        policies: Arc::new(Policies::shipped().unwrap()),
    }
}

async fn listen(scope: &Value) -> Listener {
    let resolver = Resolver::new(std::collections::HashMap::new()).unwrap();
    let listener = Egress::new(resolver, Limits::default())
        .listen()
        .await
        .unwrap();
    assert!(listener.open(Gate {
        leases: lease(scope),
        authority: authority(),
        record: Arc::new(Unread),
        clock: Clock,
    }));
    listener
}

/// Takes every record and keeps none: what arrives is counted at the far side.
#[derive(Debug)]
struct Unread;

impl Journal for Unread {
    fn record(&mut self, _: Draft) -> Result<u64, Unrecorded> {
        Ok(1)
    }

    fn digest(&self, _: &Secret) -> String {
        String::new()
    }
}

impl ConnectionLog for Unread {
    fn connection(&self, _: Connection) -> BoxFuture<'_, Result<(), RecordUnavailable>> {
        Box::pin(async { Ok(()) })
    }

    fn ended(&self, _: Ended) {}
}

/// Messages to and from a browser, one JSON text each.
struct Wire {
    to: mpsc::UnboundedSender<Vec<u8>>,
    from: mpsc::UnboundedReceiver<Vec<u8>>,
}

async fn socket(url: &str, tasks: &mut JoinSet<()>) -> Wire {
    let (socket, _) = connect_async(url).await.unwrap();
    let (mut sink, mut stream) = socket.split();
    let (to, mut sent) = mpsc::unbounded_channel::<Vec<u8>>();
    let (received, from) = mpsc::unbounded_channel();
    tasks.spawn(async move {
        while let Some(message) = sent.recv().await {
            let text = String::from_utf8(message).unwrap();
            if sink.send(Message::text(text)).await.is_err() {
                return;
            }
        }
    });
    tasks.spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            if let Message::Text(text) = message {
                received.send(text.as_bytes().to_vec()).ok();
            }
        }
    });
    Wire { to, from }
}

async fn launch(
    browser: &Path,
    port: u16,
    tasks: &mut JoinSet<()>,
) -> (CellProcess, tempfile::TempDir, Wire) {
    let data = tempfile::tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(data.path(), mode).unwrap();
    let found = discover_among(Some(browser), None, "".as_ref())
        .await
        .unwrap();
    let id = CellId::from_uuid(Uuid::now_v7());
    // The agent's pages are of the browser's own context, which has this proxy.
    let mut spec = CellSpec::new(id, found, data.path(), port, Vec::new()).unwrap();
    spec.launcher = PathBuf::from(env!("CARGO_BIN_EXE_hallpass"));
    let mut cell = Cell::launch(spec).await.unwrap();
    let (to, mut sent) = mpsc::unbounded_channel::<Vec<u8>>();
    let (received, from) = mpsc::unbounded_channel();
    tasks.spawn(async move {
        while let Some(message) = sent.recv().await {
            if cell.writer.send(&message).await.is_err() {
                return;
            }
        }
    });
    tasks.spawn(async move {
        while let Ok(Some(message)) = cell.reader.next().await {
            received.send(message.to_vec()).ok();
        }
    });
    (cell.process, data, Wire { to, from })
}

/// Where the agent connects, and its connection.
async fn door() -> (String, TcpListener) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    (url, listener)
}

async fn enter(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (stream, _) = listener.accept().await.unwrap();
    accept_async(stream).await.unwrap()
}

/// Passes everything on as it is.
async fn relay(mut wire: Wire, tasks: &mut JoinSet<()>) -> String {
    let (url, listener) = door().await;
    tasks.spawn(async move {
        let mut agent = enter(&listener).await;
        loop {
            tokio::select! {
                Some(message) = wire.from.recv() => {
                    let text = String::from_utf8_lossy(&message).into_owned();
                    if agent.send(Message::text(text)).await.is_err() {
                        return;
                    }
                }
                message = agent.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        wire.to.send(text.as_bytes().to_vec()).ok();
                    }
                    Some(Ok(_)) => {}
                    _ => return,
                }
            }
        }
    });
    url
}

/// The hub: as the gateway alone (`acts`), it is the agent's browser and lets every
/// paused request go; as the interceptor alone, it decides what is paused while the
/// agent has the browser itself.
async fn hub(mut wire: Wire, scope: &Value, acts: bool, tasks: &mut JoinSet<()>) -> String {
    let (url, listener) = door().await;
    let downloads = std::env::temp_dir().display().to_string();
    let mut hub = Hub::new(Setup {
        proxy: "direct://".to_owned(),
        downloads,
    });
    let tenant = Tenant {
        session: SessionId::from_uuid(Uuid::from_u128(4)),
        authority: authority(),
        leases: lease(scope),
        journal: Box::new(Unread),
        holds: HoldLimits {
            patience: Duration::from_secs(1),
            deadline: Duration::from_secs(2),
            most: 100,
        },
        most: Most::default(),
    };
    let mut tenant = Some(tenant);
    // Armed before the agent is there.
    while tenant.is_some() {
        while let Some(output) = hub.poll_output() {
            match output {
                Output::Browser(message) => wire.to.send(message).unwrap(),
                Output::Warm => hub.bind(tenant.take().unwrap(), Clock.now()),
                _ => {}
            }
        }
        if tenant.is_some() {
            let message = wire.from.recv().await.unwrap();
            hub.handle_browser(&message, Clock.now());
        }
    }
    tasks.spawn(async move {
        let mut agent = if acts {
            hub.client_opened(1, "agent", Clock.now());
            Some(enter(&listener).await)
        } else {
            None
        };
        let mut number = 1_u64 << 30;
        loop {
            while let Some(output) = hub.poll_output() {
                match output {
                    Output::Browser(message) => {
                        wire.to.send(message).ok();
                    }
                    Output::Client { message, .. } => {
                        let text = String::from_utf8(message).unwrap();
                        if let Some(agent) = &mut agent {
                            agent.send(Message::text(text)).await.ok();
                        }
                    }
                    Output::Durable { paused, .. } => {
                        hub.handle_durable(&paused, true, Clock.now());
                    }
                    _ => {}
                }
            }
            let wait = hub.deadline().map_or(Duration::from_mins(1), |deadline| {
                Clock.now().boot.until(deadline)
            });
            let from_agent = async {
                match &mut agent {
                    Some(agent) => agent.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = wire.from.recv() => {
                    let Some(message) = message else { return };
                    match paused(&message).filter(|_| acts) {
                        Some(request) => {
                            number += 1;
                            let go = json!({"id": number, "method": "Fetch.continueRequest",
                                            "params": {"requestId": request}});
                            wire.to.send(go.to_string().into_bytes()).ok();
                        }
                        None => hub.handle_browser(&message, Clock.now()),
                    }
                }
                message = from_agent => match message {
                    Some(Ok(Message::Text(text))) => {
                        hub.handle_client(1, text.as_bytes(), Clock.now());
                    }
                    Some(Ok(_)) => {}
                    _ => return,
                },
                () = tokio::time::sleep(wait) => hub.handle_timeout(Clock.now()),
            }
        }
    });
    url
}

/// The number of a pause of the interceptor's own.
fn paused(message: &[u8]) -> Option<Value> {
    let mut message: Value = serde_json::from_slice(message).ok()?;
    let own = message["method"] == "Fetch.requestPaused" && message.get("sessionId").is_none();
    own.then(|| message["params"]["requestId"].take())
}
