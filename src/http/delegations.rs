//! `/v1/delegations`

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
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
    model::id::DelegationId,
    service::{
        AgentRef, Caller, DelegationFilter, DelegationInfo, Narrow, NewDelegation, Phase, Service,
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    status: Option<Phase>,
    agent: Option<AgentRef>,
}

type Shared = State<Arc<Service>>;
type Answer = Result<Json<DelegationInfo>, Problem>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/delegations", "delegation_request", post(request))
            .says("Asks for a delegation; a person must approve it before anything is lent")
            .callers(Callers::All)
            .takes(Body::Json("NewDelegation"))
            .answers(201, "Delegation"),
        Route::get("/v1/delegations", "delegation_list", get(list))
            .says("Delegations, newest first; an agent sees its own")
            .callers(Callers::All)
            .query("status", "Phase", "Where it stands now")
            .query("agent", "AgentRef", "Id or name of its agent")
            .answers(200, "DelegationList"),
        Route::get("/v1/delegations/{id}", "delegation_show", get(show))
            .says("One delegation; an agent sees its own")
            .callers(Callers::All)
            .answers(200, "Delegation"),
        Route::post("/v1/delegations/{id}/approve", "delegation_approve", post(approve))
            .says("Agrees, narrowing if wanted; the lender only")
            .callers(Callers::Persons)
            .takes(Body::OptionalJson("Narrow"))
            .answers(200, "Delegation"),
        Route::post("/v1/delegations/{id}/deny", "delegation_deny", post(deny))
            .says("Says no to a request")
            .callers(Callers::Persons)
            .answers(200, "Delegation"),
        Route::post("/v1/delegations/{id}/revoke", "delegation_revoke", post(revoke))
            .says("Takes a delegation back; when this answers, no request with its credentials can leave any more")
            .callers(Callers::Persons)
            .answers(200, "Delegation"),
        Route::post("/v1/delegations/{id}/complete", "delegation_complete", post(complete))
            .says("Closes a delegation because its task is done")
            .callers(Callers::All)
            .answers(200, "Delegation"),
    ]
}

async fn request(
    State(service): Shared,
    caller: Caller,
    body::Json(new): body::Json<NewDelegation>,
) -> Result<Response, Problem> {
    let made = service.delegation_request(caller, new).await?;
    let location = format!("/v1/delegations/{}", made.delegation.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(made),
    )
        .into_response())
}

async fn list(
    State(service): Shared,
    caller: Caller,
    body::Query(query): body::Query<ListQuery>,
) -> Result<Response, Problem> {
    let filter = DelegationFilter {
        agent: query.agent,
        phase: query.status,
    };
    let delegations = service.delegation_list(caller, &filter).await?;
    Ok(Json(json!({ "delegations": delegations })).into_response())
}

async fn show(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<DelegationId>,
) -> Answer {
    Ok(Json(service.delegation_show(caller, id).await?))
}

async fn approve(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<DelegationId>,
    body::OptionalJson(narrow): body::OptionalJson<Option<Narrow>>,
) -> Answer {
    Ok(Json(service.delegation_approve(caller, id, narrow).await?))
}

async fn deny(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<DelegationId>,
) -> Answer {
    Ok(Json(service.delegation_deny(caller, id).await?))
}

async fn revoke(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<DelegationId>,
) -> Answer {
    Ok(Json(service.delegation_revoke(caller, id).await?))
}

async fn complete(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<DelegationId>,
) -> Answer {
    Ok(Json(service.delegation_complete(caller, id).await?))
}
