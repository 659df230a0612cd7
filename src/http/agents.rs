//! `/v1/agents`

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
use crate::service::{AgentRef, Caller, Service};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAgent {
    name: String,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/agents", "agent_add", post(add))
            .says("Adds an agent and makes its key, which is told this once")
            .callers(Callers::Persons)
            .takes(Body::Json("NewAgent"))
            .answers(201, "AddedAgent"),
        Route::get("/v1/agents", "agent_list", get(list))
            .says("Every agent, disabled ones too")
            .callers(Callers::Persons)
            .answers(200, "AgentList"),
        Route::post("/v1/agents/{id}/disable", "agent_disable", post(disable))
            .says("Disables an agent for good: its key stops working, its delegations close, its sessions end. `id` may be its name")
            .callers(Callers::Persons)
            .answers(200, "Agent"),
    ]
}

async fn add(
    State(service): State<Arc<Service>>,
    caller: Caller,
    body::Json(new): body::Json<NewAgent>,
) -> Result<Response, Problem> {
    let (agent, key) = service.agent_add(caller, &new.name).await?;
    let added = json!({ "agent": agent, "key": key.expose() });
    Ok((StatusCode::CREATED, Json(added)).into_response())
}

async fn list(State(service): State<Arc<Service>>, caller: Caller) -> Result<Response, Problem> {
    let agents = service.agent_list(caller).await?;
    Ok(Json(json!({ "agents": agents })).into_response())
}

async fn disable(
    State(service): State<Arc<Service>>,
    caller: Caller,
    body::Path(agent): body::Path<AgentRef>,
) -> Result<Response, Problem> {
    let agent = service.agent_disable(caller, &agent).await?;
    Ok(Json(agent).into_response())
}
