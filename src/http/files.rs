//! `/v1/sessions/{id}/uploads` and `/v1/sessions/{id}/downloads`

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;

use super::{
    auth::Callers,
    body,
    problem::Problem,
    route::{Body, Route},
};
use crate::{
    model::id::SessionId,
    service::{Caller, Service},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UploadQuery {
    #[serde(default)]
    name: String,
    path: Option<String>,
}

type Shared = State<Arc<Service>>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/sessions/{id}/uploads", "session_upload", post(upload))
            .says("Hands a file to a session; `DOM.setFileInputFiles` takes the `path` that is answered")
            .callers(Callers::All)
            .query("name", "FileName", "The name that pages see")
            .query("path", "FilePath", "The absolute path that the client calls it by, for clients that look for it on their own disk first; nothing is read there")
            .takes(Body::Upload)
            .answers(201, "Upload"),
        Route::get("/v1/sessions/{id}/downloads", "session_downloads", get(list))
            .says("What the pages of a running session gave for download, oldest first")
            .callers(Callers::All)
            .answers(200, "DownloadList"),
        Route::get("/v1/sessions/{id}/downloads/{guid}", "session_download", get(download))
            .says("The bytes of a completed download; lent values in them are blanked")
            .callers(Callers::All)
            .answers_file(),
    ]
}

async fn upload(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<SessionId>,
    body::Query(query): body::Query<UploadQuery>,
    body::Upload(bytes): body::Upload,
) -> Result<Response, Problem> {
    let upload = service
        .session_upload(caller, id, &query.name, query.path, bytes)
        .await?;
    Ok((StatusCode::CREATED, Json(upload)).into_response())
}

async fn list(
    State(service): Shared,
    caller: Caller,
    body::Path(id): body::Path<SessionId>,
) -> Result<Response, Problem> {
    let downloads = service.session_downloads(caller, id).await?;
    Ok(Json(json!({ "downloads": downloads })).into_response())
}

async fn download(
    State(service): Shared,
    caller: Caller,
    body::Path((id, guid)): body::Path<(SessionId, String)>,
) -> Result<Response, Problem> {
    let (download, bytes) = service.session_download(caller, id, &guid).await?;
    // RFC 6266: any name, and never a page of this origin.
    let name = utf8_percent_encode(&download.name, NON_ALPHANUMERIC);
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename*=UTF-8''{name}"),
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, bytes).into_response())
}
