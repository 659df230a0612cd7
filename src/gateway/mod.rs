//! The agent's side of the first ring: where its CDP client connects. The
//! WebSocket ends here; Chromium is behind the session's [`hub`](crate::cdp::hub).
//!
//! ```text
//! GET /v1/sessions/{id}/cdp             WebSocket
//! GET /v1/sessions/{id}/json/version    for clients that discover
//! GET /v1/sessions/{id}/json/list
//! GET /v1/sessions/{id}/json/protocol   what the client may call
//! ```
//! The session's token is a bearer token, or `?token=` for clients that cannot
//! set headers.

mod access;
mod discovery;
mod socket;

use std::sync::Arc;

use axum::{Router, routing::get};

use crate::session::Sessions;

/// What the endpoints need.
#[derive(Debug, Clone)]
pub struct Gateway {
    sessions: Arc<Sessions>,
    /// Origins that pages of a browser may connect from; none by default.
    allowed_origins: Arc<[String]>,
}

impl Gateway {
    /// Endpoints for these sessions.
    pub fn new(sessions: Arc<Sessions>, allowed_origins: Vec<String>) -> Self {
        Self {
            sessions,
            allowed_origins: allowed_origins.into(),
        }
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/v1/sessions/{id}/cdp", get(socket::connect))
            .route("/v1/sessions/{id}/json/version", get(discovery::version))
            .route("/v1/sessions/{id}/json/version/", get(discovery::version))
            .route("/v1/sessions/{id}/json/list", get(discovery::list))
            .route("/v1/sessions/{id}/json/list/", get(discovery::list))
            .route("/v1/sessions/{id}/json/protocol", get(discovery::protocol))
            .route("/v1/sessions/{id}/json/protocol/", get(discovery::protocol))
            .route("/v1/sessions/{id}/json", get(discovery::list))
            .with_state(self)
    }
}
