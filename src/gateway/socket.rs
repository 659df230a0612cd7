//! One client's WebSocket: a reader and a writer, each at its own pace.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::CapacityError,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    Gateway,
    access::{Refused, TokenQuery},
};
use crate::session::{Link, Outgoing, Role as Admitted, Running, ToClient};

/// The largest message taken from a client: what Chromium itself takes.
const MAX_FROM_CLIENT: usize = 100 << 20;

/// Bytes read from a client at once; kept for as long as it is connected.
const READ_BUFFER: usize = 4 << 10;

/// How long a client has to take its close frame.
const CLOSING: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

pub(super) async fn connect(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Query(query): Query<TokenQuery>,
    mut request: Request,
) -> Response {
    let (session, role) = match gateway.admit(&id, request.headers(), &query) {
        Ok(admitted) => admitted,
        Err(refused) => return refused.into_response(),
    };
    let Some(key) = websocket_key(request.headers()) else {
        return Refused::NotAWebSocket.into_response();
    };
    let seat = match session.seat(role) {
        Ok(seat) => seat,
        Err(most) => return Refused::TooMany(most).into_response(),
    };
    let name = request
        .headers()
        .get(header::USER_AGENT)
        .and_then(|name| name.to_str().ok())
        .unwrap_or("a client that does not say what it is")
        .to_owned();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => serve(session, role, TokioIo::new(upgraded), name).await,
            Err(error) => tracing::debug!(%error, "a client left while it connected"),
        }
        drop(seat);
    });
    // No extension is accepted: compression costs more than it saves here.
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, key),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn websocket_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let has = |name: header::HeaderName, token: &str| {
        headers.get_all(name).iter().any(|value| {
            value.to_str().is_ok_and(|value| {
                value
                    .split(',')
                    .any(|part| part.trim().eq_ignore_ascii_case(token))
            })
        })
    };
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
    let version = headers.get(header::SEC_WEBSOCKET_VERSION)?;
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") || version != "13"
    {
        return None;
    }
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()
}

async fn serve(session: Arc<Running>, role: Admitted, io: TokioIo<Upgraded>, name: String) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(MAX_FROM_CLIENT))
        .max_frame_size(Some(MAX_FROM_CLIENT));
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let Some((link, outgoing)) = session.connect(name, role).await else {
        return;
    };
    let (sink, stream) = socket.split();
    let why = pump(sink, stream, outgoing, &link).await;
    link.closed(why).await;
}

/// Whichever side ends first ends the other: without a reader there is nothing
/// to answer, and a writer that was told to close has closed.
async fn pump(
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    outgoing: Outgoing,
    link: &Link,
) -> String {
    let mut reader = std::pin::pin!(read(stream, link));
    let mut writer = std::pin::pin!(write(sink, outgoing, link));
    tokio::select! {
        (why, tell) = &mut reader => {
            if let Some((code, reason)) = tell {
                link.close(code.into(), reason);
                tokio::time::timeout(CLOSING, writer).await.ok();
            }
            why
        }
        why = &mut writer => why,
        // Who does not read cannot be told, and must not be kept for.
        () = link.told_to_close() => tokio::time::timeout(CLOSING, writer)
            .await
            .unwrap_or_else(|_| "it does not read what it is sent".to_owned()),
    }
}

/// Reads until the client leaves; answers why, and a reason to tell it if it
/// was Hallpass that stopped.
async fn read(
    mut stream: SplitStream<Socket>,
    link: &Link,
) -> (String, Option<(CloseCode, String)>) {
    while let Some(message) = stream.next().await {
        let bytes = match message {
            Ok(Message::Text(text)) => text.into(),
            // Chromium takes text only.
            Ok(Message::Binary(_)) => {
                let why = "binary messages are not spoken here; CDP is JSON text".to_owned();
                return (why.clone(), Some((CloseCode::Unsupported, why)));
            }
            Ok(Message::Close(_)) => return ("it closed the connection".into(), None),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
            Err(Error::Capacity(CapacityError::MessageTooLong { size, max_size })) => {
                let why = format!("a message of {size} bytes; at most {max_size} are taken");
                return (why.clone(), Some((CloseCode::Size, why)));
            }
            Err(error) => return (error.to_string(), None),
        };
        if !link.message(bytes).await {
            return ("the session ended".into(), None);
        }
    }
    ("the connection broke".into(), None)
}

/// Writes until the session ends or the client is gone; answers why.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut outgoing: Outgoing,
    link: &Link,
) -> String {
    let mut batch = Vec::new();
    while outgoing.recv_many(&mut batch, 64).await > 0 {
        let mut bytes = 0;
        for message in batch.drain(..) {
            match message {
                ToClient::Message(message) => {
                    bytes += message.len();
                    // Only text that serde_json wrote comes here, so it is UTF-8.
                    let Ok(text) = Utf8Bytes::try_from(message) else {
                        return "a message that is no text".into();
                    };
                    if let Err(error) = sink.feed(Message::Text(text)).await {
                        return error.to_string();
                    }
                }
                ToClient::Close { code, reason } => {
                    let frame = CloseFrame {
                        code: code.into(),
                        reason: fitting(&reason).into(),
                    };
                    sink.send(Message::Close(Some(frame))).await.ok();
                    return reason;
                }
            }
        }
        if let Err(error) = sink.flush().await {
            return error.to_string();
        }
        link.written(bytes);
    }
    "the session ended".into()
}

/// A close frame holds 123 bytes of reason.
fn fitting(reason: &str) -> String {
    let mut text = String::new();
    for c in reason.chars() {
        if text.len() + c.len_utf8() > 123 {
            break;
        }
        text.push(c);
    }
    text
}
