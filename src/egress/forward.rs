//! Requests in absolute form, `GET http://host/path`: clear-text pages. Each
//! gets a connection of its own to the site; nothing is pooled.
//!
//! Answers get no `Connection-Allowlist`: what Chromium refuses by that header it
//! refuses before the interceptor or this proxy hears of it. Attempts would be
//! missing from the record, and pages have an error where a notice says what to
//! ask for.

use std::sync::Arc;

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
use tokio::net::TcpStream;

use super::{
    answer::{self, Body},
    exchange::Exchange,
    upstream::{Guarded, Metered},
};
use crate::model::action::ConnectAction;

/// Sends the request on and answers with the response as it streams in.
pub(super) async fn forward(
    request: Request<Incoming>,
    exchange: Arc<Exchange>,
    socket: TcpStream,
) -> Response<Body> {
    // Dropped with this future, or with the body of the answer.
    let finish = exchange.finish().clone().drop_guard();
    match exchanged(request, &exchange, socket).await {
        Ok(response) => response.map(|body| Either::Right(Guarded::new(body, finish, exchange))),
        Err(error) => {
            let how = format!("failed: {error}");
            exchange.ended(&how);
            answer::unreachable(how)
        }
    }
}

/// Whether the request asks to become something else than HTTP.
pub(super) fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
}

async fn exchanged(
    mut request: Request<Incoming>,
    exchange: &Arc<Exchange>,
    socket: TcpStream,
) -> Result<Response<Incoming>, ForwardError> {
    rewrite(&mut request, &exchange.endpoint().to)?;
    let io = TokioIo::new(Metered::new(socket, exchange.clone()));
    let (mut sender, connection) = http1::handshake(io).await?;
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
    let mut response = sender.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ForwardError::Switched);
    }
    drop_hop_by_hop(response.headers_mut());
    Ok(response)
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
