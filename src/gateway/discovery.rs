//! `json/version`, `json/list` and `json/protocol`, for clients that are given an HTTP address
//! and look for the WebSocket themselves.

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{Gateway, access::TokenQuery};
use crate::cdp::offered;

pub(super) async fn version(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Query(query): Query<TokenQuery>,
    headers: HeaderMap,
) -> Response {
    let (session, _) = match gateway.admit(&id, &headers, &query) {
        Ok(admitted) => admitted,
        Err(refused) => return refused.into_response(),
    };
    Json(json!({
        "Browser": session.version(),
        "Protocol-Version": "1.3",
        "webSocketDebuggerUrl": socket_url(&id, &headers, &query),
    }))
    .into_response()
}

pub(super) async fn list(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Query(query): Query<TokenQuery>,
    headers: HeaderMap,
) -> Response {
    match gateway.admit(&id, &headers, &query) {
        Ok(_) => Json(json!([{
            "id": "browser",
            "type": "browser",
            "title": "",
            "url": "",
            "webSocketDebuggerUrl": socket_url(&id, &headers, &query),
        }]))
        .into_response(),
        Err(refused) => refused.into_response(),
    }
}

pub(super) async fn protocol(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Query(query): Query<TokenQuery>,
    headers: HeaderMap,
) -> Response {
    match gateway.admit(&id, &headers, &query) {
        Ok(_) => Json(offered::protocol()).into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// The same host that the client used, so that it works from where the client is.
fn socket_url(id: &str, headers: &HeaderMap, query: &TokenQuery) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("127.0.0.1");
    let secure = headers
        .get("x-forwarded-proto")
        .is_some_and(|scheme| scheme.as_bytes() == b"https");
    let scheme = if secure { "wss" } else { "ws" };
    let token = query.suffix();
    format!("{scheme}://{host}/v1/sessions/{id}/cdp{token}")
}
