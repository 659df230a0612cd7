//! Who may connect to a session: whoever has its token, from no web page.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::Gateway;
use crate::{
    model::id::SessionId,
    session::{Role, Running},
    vault::token::{Token, TokenKind},
};

/// `?token=`.
#[derive(Deserialize)]
pub(super) struct TokenQuery {
    token: Option<String>,
}

impl TokenQuery {
    /// The query again, for a URL that leads on.
    pub(super) fn suffix(&self) -> String {
        self.token.as_ref().map_or_else(String::new, |token| {
            let query: String = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("token", token)
                .finish();
            format!("?{query}")
        })
    }
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Origin,
    Unauthenticated,
    NotAWebSocket,
    /// The session has this many connections, which is the most.
    TooMany(usize),
}

impl Gateway {
    /// The session, if the request may connect to it. A session that does not
    /// exist and a token that is wrong are answered alike.
    pub(super) fn admit(
        &self,
        id: &str,
        headers: &HeaderMap,
        query: &TokenQuery,
    ) -> Result<(Arc<Running>, Role), Refused> {
        if let Some(origin) = headers.get(header::ORIGIN) {
            let known = origin
                .to_str()
                .is_ok_and(|origin| self.allowed_origins.iter().any(|allowed| allowed == origin));
            if !known {
                return Err(Refused::Origin);
            }
        }
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let token = bearer
            .or(query.token.as_deref())
            .ok_or(Refused::Unauthenticated)?;
        let token =
            Token::parse_as(TokenKind::Session, token).map_err(|_| Refused::Unauthenticated)?;
        let session = id
            .parse::<SessionId>()
            .ok()
            .and_then(|id| self.sessions.get(id));
        session
            .and_then(|session| {
                let role = session.role_of(&token.hash())?;
                Some((session, role))
            })
            .ok_or(Refused::Unauthenticated)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let too_many;
        let (status, title, detail) = match self {
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "Web pages may not connect",
                "the request carries an `Origin` header that is not in `allowed_origins`; connect from a program, or name the origin in the configuration",
            ),
            Self::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                "No such session for this token",
                "the session's own token is expected, as `Authorization: Bearer hps_…` or `?token=hps_…`; it was printed when the session was started, and is void once the session ended",
            ),
            Self::TooMany(most) => {
                too_many = format!(
                    "{most} connections of this kind to this session are open, which is the most (`session.connections`); close one first"
                );
                (
                    StatusCode::TOO_MANY_REQUESTS,
                    "Too many connections",
                    too_many.as_str(),
                )
            }
            Self::NotAWebSocket => (
                StatusCode::UPGRADE_REQUIRED,
                "A WebSocket is expected",
                "connect with a CDP client: Playwright's connectOverCDP, Puppeteer's connect",
            ),
        };
        let body = json!({"type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail});
        let kind = [
            (header::CONTENT_TYPE, "application/problem+json"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        (status, kind, body.to_string()).into_response()
    }
}
