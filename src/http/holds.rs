//! `/v1/holds`

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
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
    model::{
        hold::{Hold, HoldAnswer},
        id::{HoldId, SessionId},
    },
    service::{Answered, Caller, Service},
};

type Shared = State<Arc<Service>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct HowMany {
    #[serde(default)]
    same_shape: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Explanation {
    reason: String,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/holds", "hold_list", get(list))
            .says("Requests that wait for a person now, the oldest first; an agent sees its own")
            .callers(Callers::All)
            .answers(200, "HoldList"),
        Route::get("/v1/holds/{id}", "hold_show", get(show))
            .says("One request that waits for a person; an agent sees its own")
            .callers(Callers::All)
            .answers(200, "Hold"),
        Route::post("/v1/holds/{id}/answer", "hold_answer", post(answer))
            .says("Lets it go once, lets it go with all that are like it until the window ends, or denies it; the lender only")
            .callers(Callers::Persons)
            .query("same_shape", "Flag", "Answer all others of its session that its rule fits, too")
            .takes(Body::Json("HoldAnswer"))
            .answers(200, "HoldList"),
        Route::post("/v1/sessions/{id}/explain", "session_explain", post(explain))
            .says("The agent says what it is about to do: shown with the next request that is held, as its own words")
            .callers(Callers::All)
            .takes(Body::Json("Explanation"))
            .answers_nothing(),
    ]
}

async fn list(State(service): Shared, caller: Caller) -> Result<Response, Problem> {
    let holds = service.hold_list(caller).await?;
    Ok(Json(json!({ "holds": holds })).into_response())
}

async fn show(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<HoldId>,
) -> Result<Json<Hold>, Problem> {
    Ok(Json(service.hold_show(caller, id).await?))
}

async fn answer(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<HoldId>,
    body::Query(HowMany { same_shape }): body::Query<HowMany>,
    body::Json(answer): body::Json<HoldAnswer>,
) -> Result<Json<Answered>, Problem> {
    Ok(Json(
        service.hold_answer(caller, id, answer, same_shape).await?,
    ))
}

async fn explain(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<SessionId>,
    body::Json(Explanation { reason }): body::Json<Explanation>,
) -> Result<Response, Problem> {
    service.session_explain(caller, id, &reason).await?;
    Ok(axum::http::StatusCode::NO_CONTENT.into_response())
}
