//! Files of a session: handed in by its agent or a person, and fetched.

use std::sync::Arc;

use bytes::Bytes;

use super::{Answer, CallError, Caller, Service};
use crate::{
    model::id::SessionId,
    session::{Download, FileError, Running, Upload},
};

impl Service {
    /// Hands a file in, for `DOM.setFileInputFiles`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn session_upload(
        &self,
        caller: Caller,
        id: SessionId,
        name: &str,
        path: Option<String>,
        bytes: Bytes,
    ) -> Answer<Upload> {
        self.noted(caller, "session upload", async {
            let running = self.running(caller, id).await?;
            let handed_in = running.upload(caller.into(), name, path, bytes).await;
            handed_in.map_err(|error| told("upload", &name, error))
        })
        .await
    }

    /// What the session's pages gave for download, oldest first.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn session_downloads(&self, caller: Caller, id: SessionId) -> Answer<Vec<Download>> {
        self.noted(caller, "session downloads", async {
            let running = self.running(caller, id).await?;
            let list = running.downloads().await;
            list.map_err(|error| told("session", &id, error))
        })
        .await
    }

    /// One download's bytes, lent values in them blanked.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn session_download(
        &self,
        caller: Caller,
        id: SessionId,
        guid: &str,
    ) -> Answer<(Download, Vec<u8>)> {
        self.noted(caller, "session download", async {
            let running = self.running(caller, id).await?;
            let download = running.download(caller.into(), guid).await;
            download.map_err(|error| told("download", &guid, error))
        })
        .await
    }

    async fn running(&self, caller: Caller, id: SessionId) -> Answer<Arc<Running>> {
        self.session_of(caller, id).await?;
        self.sessions.get(id).ok_or_else(|| {
            CallError::Conflict(format!("{id} is not running; its files went with it"))
        })
    }
}

fn told(what: &'static str, id: &impl ToString, error: FileError) -> CallError {
    match error {
        FileError::Unknown => CallError::not_found(what, id),
        FileError::Over | FileError::NotWhole(_) => CallError::Conflict(error.to_string()),
        FileError::Path => CallError::Invalid {
            field: "path",
            reason: error.to_string(),
        },
        FileError::Limit(why) => CallError::Limit(why),
        FileError::Unrecorded => CallError::Unavailable(error.to_string()),
        FileError::Io(fault) => {
            tracing::error!(%fault, what, "a session's file cannot be read or written");
            CallError::Internal("a session's file")
        }
    }
}
