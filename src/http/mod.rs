//! The HTTP interface: JSON under `/v1/`, problems for every error.
//!
//! A request passes, in this order: the borders ([`guard`]: host and origin),
//! the route, the caller ([`auth`]), the handler. Handlers hold no rules; they
//! hand on to [`Service`].

pub mod auth;
pub mod body;
pub mod guard;
pub mod openapi;
pub mod problem;
pub mod route;

mod agents;
mod credentials;
mod delegations;
mod files;
mod holds;
mod locks;
mod sessions;
mod status;
mod traces;

use std::sync::{Arc, atomic::AtomicU32};

use axum::{
    Router,
    http::{Method, Uri},
    middleware::from_fn_with_state,
};

use self::{
    auth::{Callers, Door, STRANGERS_ON_RECORD},
    guard::Borders,
    problem::{Kind, Problem},
    route::Route,
};
use crate::{config::Config, service::Service};

/// Every route, in the order of the document.
#[must_use]
pub fn routes() -> Vec<Route> {
    [
        agents::routes(),
        credentials::routes(),
        delegations::routes(),
        sessions::routes(),
        files::routes(),
        holds::routes(),
        locks::routes(),
        traces::routes(),
        status::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The whole interface. `gateway` brings the routes below
/// `/v1/sessions/{id}` that speak CDP; it checks the session's token itself,
/// and the borders hold for it too. It must have no fallback of its own.
pub fn router(service: Arc<Service>, config: &Config, gateway: Option<Router>) -> Router {
    let strangers = Arc::new(AtomicU32::new(STRANGERS_ON_RECORD));
    let api = routes().into_iter().fold(Router::new(), |router, route| {
        let handler = match route.callers {
            Callers::Public => route.handler,
            callers => route.handler.route_layer(from_fn_with_state(
                Door {
                    service: service.clone(),
                    callers,
                    route: format!("{} {}", route.method, route.path).into(),
                    strangers: strangers.clone(),
                },
                auth::check,
            )),
        };
        router.route(route.path, handler)
    });
    let borders = Borders::new(config.public_url.as_ref(), &config.allowed_origins);
    api.with_state(service)
        .merge(gateway.unwrap_or_default())
        .fallback(route_unknown)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(borders, guard::check))
}

async fn route_unknown(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Kind::RouteUnknown,
        format!("there is no route `{method} {}`", uri.path()),
    )
    .advise("GET /v1/openapi.json lists the routes")
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        format!("`{}` has no method {method}", uri.path()),
    )
    .advise("the `Allow` header lists the methods it has")
}
