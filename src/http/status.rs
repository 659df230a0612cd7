//! What needs no token: whether the broker lives, whether it can take calls,
//! and the document of the interface.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use super::{auth::Callers, openapi, problem::Problem, route::Route};
use crate::service::Service;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/healthz", "healthz", get(healthz))
            .says("Answers while the broker runs")
            .callers(Callers::Public)
            .answers(200, "Health"),
        Route::get("/readyz", "readyz", get(readyz))
            .says("Answers 200 while the broker can take calls")
            .callers(Callers::Public)
            .answers(200, "Health"),
        Route::get("/v1/openapi.json", "openapi", get(document))
            .says("This document")
            .callers(Callers::Public)
            .answers(200, "OpenApi"),
    ]
}

async fn healthz() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

async fn readyz(State(service): State<Arc<Service>>) -> Result<Response, Problem> {
    service.ready().await?;
    Ok(Json(json!({ "status": "ok" })).into_response())
}

async fn document() -> Response {
    let media = [(header::CONTENT_TYPE, "application/json")];
    (media, openapi::text()).into_response()
}
