//! The browser's side: accepting its connections and answering its requests.

use std::sync::{Arc, Mutex};

use hyper::{
    Method, Request, Response, body::Incoming, server::conn::http1, service::service_fn, upgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    answer::{self, Body},
    dial::{DialError, dial},
    exchange::Exchange,
    forward,
    registry::Registry,
    target::{self, TargetError},
    tunnel,
};
use crate::model::{
    action::{ConnectAction, Refusal, Rule, is_safe_method},
    origin::Scheme,
};

/// Connections beyond the limit that are told so at the same time.
const OVERFLOW: usize = 8;

/// Pause after the system has no socket for a new connection.
const NO_SOCKET: std::time::Duration = std::time::Duration::from_millis(50);

/// One connection of the browser.
struct Client {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    dials: Arc<Semaphore>,
    stop: CancellationToken,
    /// Handed to the tunnel, which outlives the HTTP connection.
    place: Mutex<Option<OwnedSemaphorePermit>>,
    full: bool,
    /// Its connection to a site, between two requests in clear text.
    kept: forward::Slot,
}

/// Accepts until stopped.
pub(super) async fn accept(
    socket: TcpListener,
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(shared.limits.connections));
    let dials = Arc::new(Semaphore::new(shared.limits.dials));
    let overflow = Arc::new(Semaphore::new(OVERFLOW));
    loop {
        let (place, full) = match places.clone().try_acquire_owned() {
            Ok(place) => (place, false),
            Err(_) => match overflow.clone().acquire_owned().await {
                Ok(place) => (place, true),
                Err(_) => return,
            },
        };
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        let Ok((connection, _)) = accepted else {
            sleep(NO_SOCKET).await;
            continue;
        };
        let client = Arc::new(Client {
            shared: shared.clone(),
            registry: registry.clone(),
            dials: dials.clone(),
            stop: stop.child_token(),
            place: Mutex::new(Some(place)),
            full,
            kept: forward::Slot::default(),
        });
        tokio::spawn(client.serve(connection));
    }
}

// === impl Client ===

impl Client {
    async fn serve(self: Arc<Self>, connection: TcpStream) {
        if connection.set_nodelay(true).is_err() {
            return;
        }
        let limits = &self.shared.limits;
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header)
            .max_buf_size(limits.header_bytes.max(8192))
            .keep_alive(!self.full)
            .serve_connection(
                TokioIo::new(connection),
                service_fn(|request| {
                    let client = self.clone();
                    async move { client.answer(request).await }
                }),
            )
            .with_upgrades();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            outcome = serving => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection of the browser ended early");
                }
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, forward::Stale> {
        let connect = request.method() == Method::CONNECT;
        let to = if connect {
            target::of_connect(request.uri())
        } else {
            target::of_absolute(request.uri())
        };
        let to = match to {
            Ok(to) => to,
            Err(error) => return Ok(self.malformed(None, error).await),
        };
        if self.full {
            let what = format!("a connection to {}:{}", to.host, to.port);
            let refusal = Refusal::new(Rule::LimitReached, what);
            return Ok(self.refuse(Some(&to), &refusal).await);
        }
        if !connect && forward::asks_for_upgrade(request.headers()) {
            return Ok(self.malformed(Some(&to), TargetError::Upgrade).await);
        }
        let kept = self.kept.take(&to).await;
        // A site may close a kept connection under a request, which the browser then
        // sends again: nothing for what changes something, and may have done so. A
        // tunnel needs a connection of its own too.
        let may_repeat = is_safe_method(request.method().as_str());
        if let Some((kept, exchange)) = kept.filter(|_| may_repeat) {
            match self.registry.admit_again(&exchange) {
                Ok(true) => {
                    return forward::forward_again(request, kept, exchange, &self.kept).await;
                }
                Ok(false) => {}
                Err(refusal) => return Ok(self.refuse(Some(&to), &refusal).await),
            }
        }
        let scheme = (!connect).then_some(Scheme::Http);
        let exchange = match self.registry.admit(to.clone(), scheme, &self.stop) {
            Ok(exchange) => exchange,
            Err(refusal) => return Ok(self.refuse(Some(&to), &refusal).await),
        };
        let socket = match dial(&self.shared, &self.dials, &exchange).await {
            Ok(socket) => socket,
            Err(DialError::Refused(refusal)) => {
                return Ok(self.refuse(Some(&to), &refusal).await);
            }
            Err(DialError::Unreachable(how)) => return Ok(answer::unreachable(how)),
        };
        Ok(if connect {
            self.tunnel(request, exchange, socket)
        } else {
            forward::forward(request, exchange, socket, &self.kept).await
        })
    }

    fn tunnel(
        &self,
        request: Request<Incoming>,
        exchange: Arc<Exchange>,
        site: TcpStream,
    ) -> Response<Body> {
        let place = match self.place.lock() {
            Ok(mut place) => place.take(),
            Err(poisoned) => poisoned.into_inner().take(),
        };
        let limits = self.shared.limits.clone();
        tokio::spawn(async move {
            let upgraded = tokio::select! {
                biased;
                () = exchange.finish().cancelled() => return,
                upgraded = upgrade::on(request) => upgraded,
            };
            match upgraded {
                Ok(client) => tunnel::run(exchange, client, site, limits).await,
                Err(error) => exchange.ended(&format!("failed: {error}")),
            }
            drop(place);
        });
        answer::connected()
    }

    async fn malformed(&self, to: Option<&ConnectAction>, error: TargetError) -> Response<Body> {
        let refusal = Refusal::new(Rule::Malformed, error.to_string());
        self.refuse(to, &refusal).await
    }

    async fn refuse(&self, to: Option<&ConnectAction>, refusal: &Refusal) -> Response<Body> {
        self.registry.refused(to, refusal).await;
        answer::refused(refusal)
    }
}
