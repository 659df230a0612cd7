//! `/v1/traces`

use std::{convert::Infallible, sync::Arc};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use serde_json::json;

use super::{auth::Callers, body, problem::Problem, route::Route};
use crate::{
    model::id::TraceId,
    service::{Caller, Service, TraceVerdict},
};

type Shared = State<Arc<Service>>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/traces", "trace_list", get(list))
            .says("Traces, newest first")
            .callers(Callers::Persons)
            .answers(200, "TraceList"),
        Route::get("/v1/traces/{id}/records", "trace_records", get(records))
            .says("The records of a trace in order, one JSON object a line")
            .callers(Callers::Persons)
            .answers_lines("Record"),
        Route::get("/v1/traces/{id}/verify", "trace_verify", get(verify))
            .says("Verifies a trace against itself and against the stored head")
            .callers(Callers::Persons)
            .answers(200, "TraceVerdict"),
    ]
}

async fn list(State(service): Shared, caller: Caller) -> Result<Response, Problem> {
    let traces = service.trace_list(caller).await?;
    Ok(Json(json!({ "traces": traces })).into_response())
}

async fn records(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<TraceId>,
) -> Result<Response, Problem> {
    let records = service.trace_records(caller, id).await?;
    let lines = records
        .into_iter()
        .map(|record| Ok::<_, Infallible>(Bytes::from(format!("{record}\n"))));
    let body = Body::from_stream(stream::iter(lines));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

async fn verify(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<TraceId>,
) -> Result<Json<TraceVerdict>, Problem> {
    Ok(Json(service.trace_verify(caller, id).await?))
}
