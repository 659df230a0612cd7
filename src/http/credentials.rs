//! `/v1/credentials`

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
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
    model::id::CredentialId,
    service::{Caller, Service},
    vault::import,
};

/// How an imported file is written.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    Netscape,
    StorageState,
    Json,
    #[default]
    Auto,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportQuery {
    #[serde(default)]
    format: Format,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/credentials", "credential_import", post(import))
            .says("Seals the cookies of a file into the vault; answers what was taken and what was refused, and why")
            .callers(Callers::Persons)
            .query("format", "ImportFormat", "How the file is written; told by its content unless named")
            .takes(Body::File)
            .answers(200, "ImportReport"),
        Route::get("/v1/credentials", "credential_list", get(list))
            .says("The caller's credentials, without their values")
            .callers(Callers::Persons)
            .answers(200, "CredentialList"),
        Route::delete("/v1/credentials/{id}", "credential_remove", delete(remove))
            .says("Removes a credential and revokes the delegations that lend it")
            .callers(Callers::Persons)
            .answers_nothing(),
    ]
}

async fn import(
    State(service): State<Arc<Service>>,
    caller: Caller,
    body::Query(query): body::Query<ImportQuery>,
    body::File(file): body::File,
) -> Result<Response, Problem> {
    let format = query.format.resolve(&file);
    let report = service.credential_import(caller, format, &file).await?;
    Ok(Json(report).into_response())
}

async fn list(State(service): State<Arc<Service>>, caller: Caller) -> Result<Response, Problem> {
    let credentials = service.credential_list(caller).await?;
    Ok(Json(json!({ "credentials": credentials })).into_response())
}

async fn remove(
    State(service): State<Arc<Service>>,
    caller: Caller,
    body::Path(id): body::Path<CredentialId>,
) -> Result<StatusCode, Problem> {
    service.credential_remove(caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Format {
    /// The service's name of the format.
    fn resolve(self, file: &[u8]) -> &'static str {
        match self {
            Self::Netscape => "cookies-txt",
            Self::StorageState => "storage-state",
            Self::Json => "json",
            // What looks like no format is read as the one that tells best
            // what is wrong: line by line.
            Self::Auto => match import::Format::detect(file) {
                Some(import::Format::StorageState) => "storage-state",
                Some(import::Format::Json) => "json",
                Some(import::Format::CookiesTxt) | None => "cookies-txt",
            },
        }
    }
}
