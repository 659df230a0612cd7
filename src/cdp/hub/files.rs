//! Files of the session: those handed in, by the path that clients know them
//! by, and what its pages gave for download.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::Hub;
use crate::cdp::scan::Scanner;

/// Downloads that are remembered; Chromium goes on telling of later ones.
const MOST_DOWNLOADS: usize = 1000;

/// A file that a page gave for download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Download {
    /// Chromium's id of it.
    pub guid: String,
    /// The name that the page suggested, without folders.
    pub name: String,
    /// Bytes so far.
    pub bytes: u64,
    /// How far it is.
    pub state: DownloadState,
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DownloadState {
    /// Bytes are arriving.
    InProgress,
    /// All are there.
    Completed,
    /// It was broken off.
    Canceled,
}

impl DownloadState {
    /// As the API writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
        }
    }
}

impl Hub {
    /// A file was handed in: `path` now stands for `real`.
    pub fn uploaded(&mut self, path: String, real: String) {
        self.uploads.insert(path, real);
    }

    /// What pages gave for download, oldest first.
    pub fn downloads(&self) -> Vec<Download> {
        let mut list = self.downloads.clone();
        for download in &mut list {
            // A site may put a lent value into a name.
            let mut name = std::mem::take(&mut download.name).into_bytes();
            if let Some(scanner) = &self.scanner {
                scanner.blank(&mut name);
                download.name = String::from_utf8_lossy(&name).into_owned();
            }
        }
        list
    }

    /// What blanks the session's live secrets in anything that leaves.
    pub fn scanner(&self) -> Option<Arc<Scanner>> {
        self.scanner.clone()
    }

    pub(super) fn download_event(&mut self, params: &Value) {
        let text = |key: &str| params.get(key).and_then(Value::as_str);
        let Some(guid) = text("guid") else {
            return;
        };
        if let Some(name) = text("suggestedFilename") {
            if self.downloads.len() < MOST_DOWNLOADS {
                let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
                self.downloads.push(Download {
                    guid: guid.to_owned(),
                    name: name.chars().filter(|c| !c.is_control()).collect(),
                    bytes: 0,
                    state: DownloadState::InProgress,
                });
            }
            return;
        }
        let known = self.downloads.iter_mut().find(|known| known.guid == guid);
        if let Some(download) = known {
            let bytes = params.get("receivedBytes").and_then(Value::as_f64);
            // Chromium tells whole bytes, as a JSON number.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count of bytes; `as` saturates"
            )]
            if let Some(bytes) = bytes {
                download.bytes = bytes as u64;
            }
            download.state = match text("state") {
                Some("completed") => DownloadState::Completed,
                Some("canceled") => DownloadState::Canceled,
                _ => DownloadState::InProgress,
            };
        }
    }
}
