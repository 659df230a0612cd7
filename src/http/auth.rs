//! Who calls: the bearer token, and whether its kind may use the route.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{body::NeverRead, problem::Problem};
use crate::service::{CallError, Caller, Service};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// Anybody, without a token.
    Public,
    /// Persons only.
    Persons,
    /// Persons and agents.
    All,
}

/// What the check of a route needs.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) service: Arc<Service>,
    pub(super) callers: Callers,
    /// Method and path template, for the record.
    pub(super) route: Arc<str>,
    /// Shared by all routes: how many more strangers are put on record.
    pub(super) strangers: Arc<AtomicU32>,
}

/// Refusals of unknown callers that go on record until one call is let in, so
/// that a stranger cannot fill the disk with them.
pub(super) const STRANGERS_ON_RECORD: u32 = 64;

const PERSONS_ONLY: CallError = CallError::Forbidden(
    "only a person may do this; an agent asks and waits for a person: send the operator token",
);

/// Lets the caller through with who it is, or answers why not.
pub(super) async fn check(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    match door.admit(request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            let response = next.run(request).await;
            if response.extensions().get::<NeverRead>().is_some() {
                door.record(Some(caller), &unreadable(response.status()))
                    .await;
            }
            response
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

impl Door {
    async fn admit(&self, headers: &HeaderMap) -> Result<Caller, CallError> {
        let known = match bearer(headers) {
            Some(token) => self.service.authenticate(token).await,
            None => Err(CallError::Unauthenticated),
        };
        let (caller, error) = match (known, self.callers) {
            (Ok(caller @ Caller::Agent { .. }), Callers::Persons) => (Some(caller), PERSONS_ONLY),
            (Ok(caller), _) => {
                self.strangers.store(STRANGERS_ON_RECORD, Ordering::Relaxed);
                return Ok(caller);
            }
            (Err(error), _) => (None, error),
        };
        if caller.is_some() || self.take_place() {
            self.record(caller, &error).await;
        }
        Err(error)
    }

    async fn record(&self, caller: Option<Caller>, error: &CallError) {
        let recorded = self.service.call_refused(caller, &self.route, error).await;
        if let Err(fault) = recorded {
            tracing::error!(route = %self.route, %fault, "a refused call could not be put on record");
        }
    }

    fn take_place(&self) -> bool {
        self.strangers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok()
    }
}

fn unreadable(status: StatusCode) -> CallError {
    CallError::Invalid {
        field: "request",
        reason: format!("it could not be read, and was answered {status}"),
    }
}

/// The token of the one `Authorization: Bearer` header. A token in the query
/// is no token: URLs end up in logs.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// A handler behind a check gets its caller; one without a check gets nobody.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .copied()
            .ok_or_else(|| CallError::Unauthenticated.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bearer_token_and_nothing_else() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read(&["Bearer abc"]), Some("abc".to_owned()));
        assert_eq!(read(&["bearer  abc"]), Some("abc".to_owned()));
        for values in [
            &[][..],
            &["Bearer"],
            &["Bearer "],
            &["Basic abc"],
            &["abc"],
            &["Bearer abc", "Bearer abc"],
        ] {
            assert_eq!(read(values), None, "{values:?}");
        }
    }
}
