//! Requests in absolute form, `GET http://host/path`: clear-text pages. Each of
//! the browser's connections has one to the site, for as long as what it asks for
//! goes to the same place; nothing else is pooled, so what the browser keeps apart
//! stays apart. Each request on it is decided anew; what changes something gets a
//! new one.
//!
//! Answers get no `Connection-Allowlist`: what Chromium refuses by that header it
//! refuses before the interceptor or this proxy hears of it. Attempts would be
//! missing from the record, and pages have an error where a notice says what to
//! ask for.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use http_body_util::Either;
use hyper::{
    HeaderMap, Request, Response, StatusCode, Uri, Version,
    body::Incoming,
    client::conn::http1,
    header::{
        self, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::sync::DropGuard;

use super::{
    answer::{self, Body},
    exchange::Exchange,
    upstream::{Guarded, Metered},
};
use crate::model::action::ConnectAction;

/// How long a kept connection may take to be done with the request before.
const READY: Duration = Duration::from_secs(1);

/// A connection to a site between two requests; dropping it ends it.
#[derive(Debug)]
pub(super) struct Kept {
    sender: http1::SendRequest<Incoming>,
    finish: DropGuard,
    /// Held by what moves its bytes: gone once the site has closed it.
    exchange: Weak<Exchange>,
}

/// The one that a connection of the browser keeps, between its requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Option<Kept>>>);

/// The site closed a kept connection when it was sent a request on it. The browser
/// tries again, as it does on its own connections, if its own one closes.
#[derive(Debug, thiserror::Error)]
#[error("the site closed the connection that was kept")]
pub(super) struct Stale;

// === impl Slot ===

impl Slot {
    /// What is kept, if it is one to there and still open.
    pub(super) async fn take(&self, to: &ConnectAction) -> Option<(Kept, Arc<Exchange>)> {
        let mut kept = self.lock().take()?;
        let exchange = kept.exchange.upgrade()?;
        let ready = timeout(READY, kept.sender.ready()).await;
        (exchange.endpoint().to == *to && matches!(ready, Ok(Ok(())))).then_some((kept, exchange))
    }

    pub(super) fn keep(&self, kept: Kept) {
        *self.lock() = Some(kept);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the request on and answers with the response as it streams in.
pub(super) async fn forward(
    request: Request<Incoming>,
    exchange: Arc<Exchange>,
    socket: TcpStream,
    slot: &Slot,
) -> Response<Body> {
    // Dropped with this future, or with the body of the answer.
    let finish = exchange.finish().clone().drop_guard();
    let sent = async {
        let sender = connected(&exchange, socket).await?;
        exchanged(request, sender, finish, &exchange, slot).await
    };
    match sent.await {
        Ok(response) => response,
        Err(error) => {
            let how = format!("failed: {error}");
            exchange.ended(&how);
            answer::unreachable(how)
        }
    }
}

/// The same on a connection that was kept.
pub(super) async fn forward_again(
    request: Request<Incoming>,
    kept: Kept,
    exchange: Arc<Exchange>,
    slot: &Slot,
) -> Result<Response<Body>, Stale> {
    let Kept { sender, finish, .. } = kept;
    let sent = exchanged(request, sender, finish, &exchange, slot).await;
    sent.map_err(|error| {
        exchange.ended(&format!("failed: {error}"));
        Stale
    })
}

/// Whether the request asks to become something else than HTTP.
pub(super) fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
}

/// HTTP on the socket, which ends when nothing covers it any more.
async fn connected(
    exchange: &Arc<Exchange>,
    socket: TcpStream,
) -> Result<http1::SendRequest<Incoming>, ForwardError> {
    let io = TokioIo::new(Metered::new(socket, exchange.clone()));
    let (sender, connection) = http1::handshake(io).await?;
    let driver = exchange.clone();
    tokio::spawn(async move {
        let over = tokio::select! {
            biased;
            () = driver.finish().cancelled() => None,
            () = driver.uncovered() => {
                driver.cut();
                None
            }
            outcome = connection => outcome.err(),
        };
        if let Some(error) = over {
            driver.ended(&format!("failed: {error}"));
        }
    });
    Ok(sender)
}

async fn exchanged(
    mut request: Request<Incoming>,
    mut sender: http1::SendRequest<Incoming>,
    finish: DropGuard,
    exchange: &Arc<Exchange>,
    slot: &Slot,
) -> Result<Response<Body>, ForwardError> {
    rewrite(&mut request, &exchange.endpoint().to)?;
    let mut response = sender.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ForwardError::Switched);
    }
    drop_hop_by_hop(response.headers_mut());
    let kept = Kept {
        sender,
        finish,
        exchange: Arc::downgrade(exchange),
    };
    Ok(
        response
            .map(|body| Either::Right(Guarded::new(body, kept, slot.clone(), exchange.clone()))),
    )
}

#[derive(Debug, thiserror::Error)]
enum ForwardError {
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be rewritten for the site: {0}")]
    Rewrite(#[from] header::InvalidHeaderValue),
    #[error("the site switched protocols without being asked")]
    Switched,
}

fn rewrite(request: &mut Request<Incoming>, to: &ConnectAction) -> Result<(), ForwardError> {
    drop_hop_by_hop(request.headers_mut());
    let host = if to.port == 80 {
        to.host.to_string()
    } else {
        format!("{}:{}", to.host, to.port)
    };
    request
        .headers_mut()
        .insert(HOST, HeaderValue::try_from(host)?);
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    *request.version_mut() = Version::HTTP_11;
    Ok(())
}

/// Drops what is meant for the next hop alone (RFC 9110, section 7.6.1).
fn drop_hop_by_hop(headers: &mut HeaderMap) {
    // Of two framings only the one that was read may be sent on.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .chain(
            headers
                .keys()
                .filter(|name| name.as_str().starts_with("proxy-"))
                .cloned(),
        )
        .chain([CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE])
        .chain([HeaderName::from_static("keep-alive")])
        .collect();
    for name in named {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_one_hop_stays_there() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-mine"),
            ("connection", "X-Too, host"),
            ("x-mine", "1"),
            ("x-too", "1"),
            ("proxy-authorization", "Basic x"),
            ("proxy-connection", "keep-alive"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("content-length", "7"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("host", "app.test"),
            ("accept", "*/*"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        drop_hop_by_hop(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "host"]);
    }
}
