//! `/v1/sessions`, but for what lies below a session's CDP endpoint.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
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
    model::id::{DelegationId, SessionId},
    service::{AgentRef, Caller, Service, SessionInfo},
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSession {
    agent: Option<AgentRef>,
    #[serde(default)]
    delegations: Vec<DelegationId>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bound {
    delegation: DelegationId,
}

type Shared = State<Arc<Service>>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/sessions", "session_start", post(start))
            .says("Starts a session for an agent with approved delegations of its own; its token is told this once")
            .callers(Callers::All)
            .takes(Body::OptionalJson("NewSession"))
            .answers(201, "StartedSession"),
        Route::get("/v1/sessions", "session_list", get(list))
            .says("Sessions, newest first; an agent sees its own")
            .callers(Callers::All)
            .answers(200, "SessionList"),
        Route::get("/v1/sessions/{id}", "session_show", get(show))
            .says("One session; an agent sees its own")
            .callers(Callers::All)
            .answers(200, "Session"),
        Route::post("/v1/sessions/{id}/delegations", "session_bind", post(bind))
            .says("Binds a further delegation of its agent: an approved one at once, a requested one when it is approved")
            .callers(Callers::All)
            .takes(Body::Json("Bound"))
            .answers(200, "Session"),
        Route::post("/v1/sessions/{id}/watchers", "session_share", post(share))
            .says("Makes a token for a connection that may only look; it is told this once")
            .callers(Callers::All)
            .answers(201, "SharedSession"),
        Route::delete("/v1/sessions/{id}", "session_end", delete(end))
            .says("Ends a session")
            .callers(Callers::All)
            .answers(200, "Session"),
    ]
}

async fn start(
    State(service): Shared,
    caller: Caller,
    body::OptionalJson(new): body::OptionalJson<NewSession>,
) -> Result<Response, Problem> {
    let started = service
        .session_start(caller, new.agent.as_ref(), &new.delegations)
        .await?;
    let location = format!("/v1/sessions/{}", started.session.id);
    let told = json!({
        "session": started.session,
        "cdp_url": started.cdp_url,
        "http_url": started.http_url,
        "token": started.token.expose(),
    });
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(told),
    )
        .into_response())
}

async fn list(State(service): Shared, caller: Caller) -> Result<Response, Problem> {
    let sessions = service.session_list(caller).await?;
    Ok(Json(json!({ "sessions": sessions })).into_response())
}

async fn show(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<SessionId>,
) -> Result<Json<SessionInfo>, Problem> {
    Ok(Json(service.session_show(caller, id).await?))
}

async fn bind(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<SessionId>,
    body::Json(Bound { delegation }): body::Json<Bound>,
) -> Result<Json<SessionInfo>, Problem> {
    Ok(Json(service.session_bind(caller, id, delegation).await?))
}

async fn share(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<SessionId>,
) -> Result<Response, Problem> {
    let shared = service.session_share(caller, id).await?;
    let told = json!({
        "cdp_url": shared.cdp_url,
        "http_url": shared.http_url,
        "token": shared.token.expose(),
    });
    Ok((StatusCode::CREATED, Json(told)).into_response())
}

async fn end(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<SessionId>,
) -> Result<Json<SessionInfo>, Problem> {
    Ok(Json(service.session_end(caller, id).await?))
}
