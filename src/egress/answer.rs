//! Answers of the proxy itself: problem details (RFC 9457) that say what was
//! refused, by which rule, and what to do.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;

use super::upstream::Guarded;
use crate::model::action::{Refusal, Rule};

/// The proxy's own words, or what a site answers.
pub(super) type Body = Either<Full<Bytes>, Guarded>;

#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a Refusal>,
}

/// The answer to `CONNECT` that makes it a tunnel.
pub(super) fn connected() -> Response<Body> {
    Response::new(Either::Left(Full::default()))
}

/// The answer to what was refused.
pub(super) fn refused(refusal: &Refusal) -> Response<Body> {
    let status = match refusal.rule {
        Rule::Malformed => StatusCode::BAD_REQUEST,
        Rule::NameUnresolved => StatusCode::BAD_GATEWAY,
        Rule::LimitReached => StatusCode::SERVICE_UNAVAILABLE,
        Rule::AgentLimit => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::FORBIDDEN,
    };
    problem(
        status,
        &Problem {
            title: "refused by Hallpass",
            status: status.as_u16(),
            detail: refusal.to_string(),
            rule: Some(refusal.rule),
            refusal: Some(refusal),
        },
    )
}

/// The answer where a site was allowed and could not be reached.
pub(super) fn unreachable(detail: String) -> Response<Body> {
    let status = StatusCode::BAD_GATEWAY;
    problem(
        status,
        &Problem {
            title: "site not reachable",
            status: status.as_u16(),
            detail,
            rule: None,
            refusal: None,
        },
    )
}

fn problem(status: StatusCode, problem: &Problem<'_>) -> Response<Body> {
    let text = serde_json::to_vec(problem).unwrap_or_default();
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "application/problem+json"),
        (CACHE_CONTROL, "no-store"),
        (CONNECTION, "close"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
