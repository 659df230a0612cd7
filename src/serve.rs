//! `hallpass serve`: the broker, from its checks to its drain.

use std::{
    fs::{self, File, TryLockError},
    future::Future,
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{Signal, SignalKind, signal},
    sync::Semaphore,
    task::JoinError,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use url::Url;

use crate::{
    config::Config,
    gateway::Gateway,
    http,
    service::{OpenError, Service},
    session::setup::{self, SetupError},
    store::DataDir,
};

/// Connections at once; more wait.
const CONNECTIONS: usize = 1024;
/// Time for a client to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// Time for sessions to end and traces to be finished.
const END_TIME: Duration = Duration::from_secs(10);
/// Time for answers that are under way.
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// Where a running broker says how to reach it, in its data folder.
const ADDRESS_FILE: &str = "broker.url";

/// A broker that is ready to take calls: its data folder is open and its port
/// is bound.
#[derive(Debug)]
pub struct Broker {
    service: Arc<Service>,
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    address_file: PathBuf,
}

/// Why the broker does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder cannot be used.
    #[error("the broker cannot start")]
    Open(#[source] OpenError),
    /// There can be no sessions.
    #[error("the broker cannot start")]
    Sessions(#[source] SetupError),
    /// Another program has the port.
    #[error("{0} is taken by another program")]
    PortTaken(SocketAddr),
    /// The port cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Signals cannot be received, so it could not be stopped in an orderly way.
    #[error("cannot receive signals")]
    Signals(#[source] std::io::Error),
    /// Not everything was finished in time.
    #[error("sessions or traces were not finished within {0:?}; look at the log")]
    Drain(Duration),
}

// === impl Broker ===

impl Broker {
    /// Checks and opens everything, and binds the port last.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn open(config: Config) -> Result<Self, ServeError> {
        let wanted = config.listen;
        let dir =
            DataDir::hold(&config.data_dir).map_err(|error| ServeError::Open(error.into()))?;
        let (sessions, events, egress) = setup::sessions(&config, dir.lock())
            .await
            .map_err(ServeError::Sessions)?;
        let gateway = Gateway::new(sessions.clone(), config.allowed_origins.clone());
        let opened = Service::open(config, dir, sessions.clone(), events).await;
        let service = match opened {
            Ok(service) => service,
            Err(error) => {
                sessions.shut_down("the broker does not start").await;
                return Err(ServeError::Open(error));
            }
        };
        let bound = match TcpListener::bind(wanted).await {
            Ok(listener) => listener.local_addr().map(|address| (listener, address)),
            Err(error) => Err(error),
        };
        let (listener, address) = match bound {
            Ok(bound) => bound,
            Err(source) => {
                service.shutdown().await;
                return Err(match source.kind() {
                    std::io::ErrorKind::AddrInUse => ServeError::PortTaken(wanted),
                    _ => ServeError::Listen {
                        address: wanted,
                        source,
                    },
                });
            }
        };
        service.listening_on(address);
        egress.reserve(address.port());
        let address_file = service.config().data_dir.join(ADDRESS_FILE);
        if let Err(error) = announce(&address_file, address) {
            tracing::warn!(%error, "the broker's address could not be left in the data folder");
        }
        let router = http::router(service.clone(), service.config(), Some(gateway.router()));
        Ok(Self {
            service,
            listener,
            address,
            router,
            address_file,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its use cases.
    #[must_use]
    pub const fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Takes calls until `stop`, then drains: takes no more calls, ends
    /// sessions, finishes traces, lets answers under way end, all in bounded
    /// time.
    ///
    /// # Errors
    /// [`ServeError::Drain`].
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let closing = CancellationToken::new();
        let connections = TaskTracker::new();
        let reconciler = tokio::spawn(self.service.clone().run_reconciler());
        let watch = tokio::spawn(self.service.clone().watch_policies());
        tokio::select! {
            () = accept(&self.listener, &self.router, &connections, &closing) => {}
            () = stop => {}
        }
        drop(self.listener);
        // Gone already is as good.
        drop(fs::remove_file(&self.address_file));
        tracing::info!("stopping: no more calls are taken");
        closing.cancel();
        connections.close();
        let ended = timeout(END_TIME, self.service.shutdown()).await;
        if timeout(DRAIN_TIME, connections.wait()).await.is_err() {
            tracing::warn!(left = connections.len(), "connections are cut");
        }
        reconciler.abort();
        watch.abort();
        ended.map_err(|_| ServeError::Drain(END_TIME))
    }
}

/// Whether a broker holds this data folder.
#[must_use]
pub fn is_running(data_dir: &Path) -> bool {
    File::open(data_dir.join("broker.lock"))
        .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Where the broker of this data folder answers, as it left word.
#[must_use]
pub fn announced(data_dir: &Path) -> Option<Url> {
    let text = fs::read_to_string(data_dir.join(ADDRESS_FILE)).ok()?;
    Url::parse(text.trim()).ok()
}

/// The URL that reaches a listening address from this machine.
#[must_use]
pub fn local_url(listen: SocketAddr) -> String {
    match (listen.ip().is_unspecified(), listen) {
        (false, _) => format!("http://{listen}/"),
        (true, SocketAddr::V4(_)) => format!("http://127.0.0.1:{}/", listen.port()),
        (true, SocketAddr::V6(_)) => format!("http://[::1]:{}/", listen.port()),
    }
}

fn announce(path: &Path, address: SocketAddr) -> std::io::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(local_url(address).as_bytes())
}

/// Answers when the process is asked to stop; a second time ends it at once.
///
/// # Errors
/// [`ServeError::Signals`].
pub fn stop_signal() -> Result<impl Future<Output = ()>, ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    Ok(async move {
        either(&mut terminate, &mut interrupt).await;
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            tracing::warn!("asked to stop once more: ending at once");
            std::process::exit(1);
        });
    })
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

async fn accept(
    listener: &TcpListener,
    router: &Router,
    connections: &TaskTracker,
    closing: &CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (router, answers) = (router.clone(), connections.clone());
                let connection = converse(stream, peer, router, answers, closing.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: trying at once would spin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    answers: TaskTracker,
    closing: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection stays delayed");
    }
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        // To its end though the caller leaves: half of a session's start, or of an
        // ending, would stay.
        let answering = answers.spawn(router.clone().oneshot(request));
        async move {
            let Ok(response) = answering.await?;
            Ok::<_, JoinError>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended with an error");
    }
}
