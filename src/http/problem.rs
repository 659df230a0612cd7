//! Every error over HTTP is one of these: RFC 9457 problem details.

use std::borrow::Cow;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{model::id::DelegationId, service::CallError};

/// A problem, as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which problem, and so its type, status and title.
    pub kind: Kind,
    /// What happened this time; never a secret.
    pub detail: Cow<'static, str>,
    /// The rule that refused, where a rule did.
    pub rule: Option<String>,
    /// The delegation it is about.
    pub delegation: Option<DelegationId>,
    /// What the caller can do now.
    pub what_to_do: Option<Cow<'static, str>>,
    /// Line and column, from one, where a body could not be read.
    pub position: Option<(u32, u32)>,
    /// The part of the body that is not acceptable, such as `scope.origins`.
    pub field: Option<&'static str>,
}

/// The kinds of problem. Their names are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 400: a body, parameter or header that does not parse.
    Malformed,
    /// 400: no `Host`, or more than one.
    HostMissing,
    /// 401: no bearer token, or one that is not known.
    Unauthenticated,
    /// 403: a token that may not do this.
    Forbidden,
    /// 403: an `Origin` that is not on the list.
    OriginRefused,
    /// 403: a `Host` that is not this broker's.
    HostRefused,
    /// 403: a rule of the policy refused.
    Refused,
    /// 403: a configured limit is reached.
    Limit,
    /// 404: no such route.
    RouteUnknown,
    /// 404: no such thing, or none that the caller may know of.
    NotFound,
    /// 405: the route has no such method.
    MethodNotAllowed,
    /// 409: it is not in a state in which that can be done.
    Conflict,
    /// 413: more than the route takes.
    BodyTooLarge,
    /// 415: a body of another type.
    MediaType,
    /// 422: it parses, and says something that cannot be.
    Invalid,
    /// 500: a fault of the broker.
    Internal,
    /// 503: it cannot be done now.
    Unavailable,
}

/// Members as they go over the wire.
#[derive(Serialize)]
struct Wire<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delegation: Option<DelegationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what_to_do: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
}

// === impl Kind ===

impl Kind {
    /// Status, name in the type, title.
    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (
                StatusCode::BAD_REQUEST,
                "malformed",
                "The request does not parse",
            ),
            Self::HostMissing => (
                StatusCode::BAD_REQUEST,
                "host-missing",
                "The request names no host",
            ),
            Self::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "A bearer token is needed",
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "This token may not do that",
            ),
            Self::OriginRefused => (
                StatusCode::FORBIDDEN,
                "origin-refused",
                "Web pages may not call this",
            ),
            Self::HostRefused => (
                StatusCode::FORBIDDEN,
                "host-refused",
                "The host name is not this broker's",
            ),
            Self::Refused => (StatusCode::FORBIDDEN, "refused", "Refused by a rule"),
            Self::Limit => (
                StatusCode::FORBIDDEN,
                "limit",
                "A configured limit is reached",
            ),
            Self::RouteUnknown => (StatusCode::NOT_FOUND, "route-unknown", "No such route"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "The route has no such method",
            ),
            Self::Conflict => (
                StatusCode::CONFLICT,
                "conflict",
                "Not possible as it stands",
            ),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "The body is too large",
            ),
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "The body is of another type",
            ),
            Self::Invalid => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                "The request says something that cannot be",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "The broker failed",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Not possible now",
            ),
        }
    }

    /// HTTP status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.row().0
    }

    /// The last segment of the type: `/problems/<slug>`.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        self.row().1
    }
}

// === impl Problem ===

impl Problem {
    /// A problem with a sentence about this time.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            rule: None,
            delegation: None,
            what_to_do: None,
            position: None,
            field: None,
        }
    }

    /// Adds what the caller can do now.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<Cow<'static, str>>) -> Self {
        self.what_to_do = Some(advice.into());
        self
    }

    /// Adds the rule that refused.
    #[must_use]
    pub fn by_rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// Adds the delegation it is about.
    #[must_use]
    pub const fn about(mut self, delegation: Option<DelegationId>) -> Self {
        self.delegation = delegation;
        self
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        let text = error.to_string();
        match error {
            CallError::Unauthenticated => Self::new(
                Kind::Unauthenticated,
                "the token is missing, unknown or of a disabled agent",
            )
            .advise("send `Authorization: Bearer` with an agent's key or the operator token"),
            CallError::Forbidden(_) => Self::new(Kind::Forbidden, text),
            CallError::NotFound { what, id } => {
                Self::new(Kind::NotFound, format!("there is no {what} `{id}`"))
                    .advise("list what there is to see the ids")
            }
            CallError::Invalid { field, .. } => Self {
                field: Some(field),
                ..Self::new(Kind::Invalid, text)
            },
            CallError::Conflict(_) => Self::new(Kind::Conflict, text),
            CallError::Refused(refusal) => Self::new(
                Kind::Refused,
                format!("{}: {}", refusal.what, refusal.reason()),
            )
            .by_rule(refusal.rule.to_string())
            .about(refusal.delegation)
            .advise(refusal.advice()),
            CallError::Limit(_) => Self::new(Kind::Limit, text).by_rule("limit"),
            CallError::Unavailable(_) => Self::new(Kind::Unavailable, text),
            CallError::Internal(_) => Self::new(Kind::Internal, text),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, slug, title) = self.kind.row();
        let wire = Wire {
            r#type: format!("/problems/{slug}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            rule: self.rule.as_deref(),
            delegation: self.delegation,
            what_to_do: self.what_to_do.as_deref(),
            field: self.field,
            line: self.position.map(|(line, _)| line),
            column: self.position.map(|(_, column)| column),
        };
        let body = serde_json::to_vec(&wire).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"hallpass\""),
            );
        }
        response
    }
}
