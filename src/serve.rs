//! `hallpass serve`: the broker, from its checks to its drain.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{Signal, SignalKind, signal},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::{
    config::Config,
    http,
    service::{OpenError, Service},
    session::Sessions,
};

/// Connections at once; more wait.
const CONNECTIONS: usize = 1024;
/// Time for a client to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// Time for sessions to end and traces to be finished.
const END_TIME: Duration = Duration::from_secs(10);
/// Time for answers that are under way.
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// A broker that is ready to take calls: its data folder is open and its port
/// is bound.
#[derive(Debug)]
pub struct Broker {
    service: Arc<Service>,
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

/// Why the broker does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder cannot be used.
    #[error("the broker cannot start")]
    Open(#[source] OpenError),
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
        let (sessions, events) = Sessions::new(&config);
        let service = Service::open(config, sessions, events)
            .await
            .map_err(ServeError::Open)?;
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
        let router = http::router(service.clone(), service.config(), None);
        Ok(Self {
            service,
            listener,
            address,
            router,
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
        tokio::select! {
            () = accept(&self.listener, &self.router, &connections, &closing) => {}
            () = stop => {}
        }
        drop(self.listener);
        tracing::info!("stopping: no more calls are taken");
        closing.cancel();
        connections.close();
        let ended = timeout(END_TIME, self.service.shutdown()).await;
        if timeout(DRAIN_TIME, connections.wait()).await.is_err() {
            tracing::warn!(left = connections.len(), "connections are cut");
        }
        reconciler.abort();
        ended.map_err(|_| ServeError::Drain(END_TIME))
    }
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
                let connection = converse(stream, peer, router.clone(), closing.clone());
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

async fn converse(stream: TcpStream, peer: SocketAddr, router: Router, closing: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection stays delayed");
    }
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
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
