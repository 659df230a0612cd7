//! `/v1/locks`

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    auth::Callers,
    body,
    problem::Problem,
    route::{Body, Route},
};
use crate::{
    model::{id::LockId, lock::Lock},
    service::{Caller, NewLock, Service},
};

type Shared = State<Arc<Service>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    #[serde(default)]
    lifted: bool,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/locks", "lock_set", post(set))
            .says("Stops an agent, a person or an origin; when this answers, no request with what was lent to, by or for it can leave any more")
            .callers(Callers::Persons)
            .takes(Body::Json("NewLock"))
            .answers(201, "Lock"),
        Route::get("/v1/locks", "lock_list", get(list))
            .says("Locks, newest first; those that hold, unless asked for lifted ones too")
            .callers(Callers::Persons)
            .query("lifted", "Flag", "Show lifted ones, too")
            .answers(200, "LockList"),
        Route::post("/v1/locks/{id}/lift", "lock_lift", post(lift))
            .says("Lifts a lock; what it closed stays closed")
            .callers(Callers::Persons)
            .answers(200, "Lock"),
    ]
}

async fn set(
    State(service): Shared,
    caller: Caller,
    body::Json(new): body::Json<NewLock>,
) -> Result<Response, Problem> {
    let lock = service.lock_set(caller, new).await?;
    Ok((StatusCode::CREATED, Json(lock)).into_response())
}

async fn list(
    State(service): Shared,
    caller: Caller,
    body::Query(Which { lifted }): body::Query<Which>,
) -> Result<Response, Problem> {
    let locks = service.lock_list(caller, lifted).await?;
    Ok(Json(json!({ "locks": locks })).into_response())
}

async fn lift(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<LockId>,
) -> Result<Json<Lock>, Problem> {
    Ok(Json(service.lock_lift(caller, id).await?))
}
