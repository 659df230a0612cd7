//! Reading what a request carries: its JSON body, its query, its path. What
//! does not parse becomes a problem that says where.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, header, request::Parts},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::problem::{Kind, Problem};

/// Most bytes of a JSON body.
pub const JSON_LIMIT: usize = 256 * 1024;
/// Most bytes of an imported cookie file.
pub const IMPORT_LIMIT: usize = 4 * 1024 * 1024;

/// Most bytes of a file handed to a session.
pub const UPLOAD_LIMIT: usize = crate::session::UPLOAD_LIMIT;

/// Time for a body to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// A request that no handler could read: it is put on record by the check of
/// its route, since the use case that would have done so never saw it.
#[derive(Debug)]
pub(super) struct Unreadable(Problem);

/// Marks the answer to an [`Unreadable`] request.
#[derive(Debug, Clone, Copy)]
pub(super) struct NeverRead;

/// A JSON body; unknown members and duplicate keys are refused by its type.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

/// Like [`Json`], and the type's default where there is no body at all.
#[derive(Debug)]
pub(super) struct OptionalJson<T>(pub(super) T);

/// The bytes of an imported file.
#[derive(Debug)]
pub(super) struct File(pub(super) Bytes);

/// The bytes of a file handed to a session.
#[derive(Debug)]
pub(super) struct Upload(pub(super) Bytes);

/// Parameters of the query string.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

/// The parameter of the path.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

// === impl FromRequest ===

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Unreadable;

    async fn from_request(request: Request, _: &S) -> Result<Self, Unreadable> {
        let (parts, body) = request.into_parts();
        check_json(&parts.headers)?;
        Ok(Self(parse_json(&read(body, JSON_LIMIT).await?)?))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Unreadable;

    async fn from_request(request: Request, _: &S) -> Result<Self, Unreadable> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, JSON_LIMIT).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        check_json(&parts.headers)?;
        Ok(Self(parse_json(&bytes)?))
    }
}

impl<S: Send + Sync> FromRequest<S> for File {
    type Rejection = Unreadable;

    async fn from_request(request: Request, _: &S) -> Result<Self, Unreadable> {
        Ok(Self(read(request.into_body(), IMPORT_LIMIT).await?))
    }
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Unreadable;

    async fn from_request(request: Request, _: &S) -> Result<Self, Unreadable> {
        Ok(Self(read(request.into_body(), UPLOAD_LIMIT).await?))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Unreadable;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Unreadable> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|refused| Problem::new(Kind::Malformed, refused.body_text()).into())
    }
}

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Send,
{
    type Rejection = Unreadable;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Unreadable> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(path)| Self(path))
            .map_err(|refused| Problem::new(Kind::Malformed, refused.body_text()).into())
    }
}

impl From<Problem> for Unreadable {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Unreadable {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        response.extensions_mut().insert(NeverRead);
        response
    }
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, limit).collect()).await;
    let Ok(collected) = collected else {
        return Err(Problem::new(
            Kind::Malformed,
            format!("the body did not arrive within {BODY_TIME:?}"),
        ));
    };
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::new(
            Kind::BodyTooLarge,
            format!("the body is longer than the {limit} bytes that this route takes"),
        )),
        Err(_) => Err(Problem::new(
            Kind::Malformed,
            "the body ended before it was complete",
        )),
    }
}

fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let named = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"));
    if named {
        Ok(())
    } else {
        Err(Problem::new(
            Kind::MediaType,
            "this route takes `Content-Type: application/json`",
        ))
    }
}

fn place(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // A derived type would also take its members from an array, by position.
    let first = bytes.trim_ascii_start().first();
    if matches!(first, Some(b'[' | b'"' | b'0'..=b'9' | b'-' | b't' | b'f')) {
        return Err(Problem {
            position: Some((1, 1)),
            ..Problem::new(Kind::Invalid, "the body must be a JSON object")
        });
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let kind = match error.classify() {
            Category::Data => Kind::Invalid,
            Category::Io | Category::Syntax | Category::Eof => Kind::Malformed,
        };
        Problem {
            position: Some((place(error.line()), place(error.column()))),
            ..Problem::new(kind, format!("the body cannot be read: {error}"))
        }
    })
}
