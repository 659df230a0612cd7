//! What can go wrong with recording.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use crate::{model::id::TraceId, trace::fit::TooLong};

/// Why a record was not taken. Whatever was to be recorded may not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// More waits to be written than may wait.
    #[error("the trace store does not keep up; slow down and try again")]
    Backlog,
    /// The session's end is on record, or the trace was finished.
    #[error("the trace has ended; start a new session")]
    Ended,
    /// The record's lists are too long for a line.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The trace takes no more.
    #[error("the trace has failed: {0}")]
    Failed(Failure),
    /// No record of this recorder has that ticket.
    #[error("there is no record {0} in this trace")]
    NoSuchRecord(u64),
    /// There is such a trace.
    #[error("trace {0} exists; a trace is never continued, begin another")]
    Exists(TraceId),
    /// The wrapped key is too long.
    #[error("the wrapped trace key is {0} bytes long, which is too long for a header")]
    Wrapped(usize),
    /// The trace could not be begun.
    #[error("cannot make `{}`: {failure}", path.display())]
    Create {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        failure: Failure,
    },
}

/// Why a trace can take no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No space, or a quota is used up.
    #[error("the disk is full; free some space")]
    DiskFull,
    /// The file would grow beyond what this process or file system allows.
    #[error("the file may not grow any further; raise the file size limit")]
    FileTooLarge,
    /// Mounted read-only.
    #[error("the file system is read-only; mount it for writing or choose another data folder")]
    ReadOnly,
    /// Not allowed.
    #[error("permission denied; give this user the right to write there")]
    Denied,
    /// Anything else that the operating system answers.
    #[error("cannot {doing}: {error}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The operating system's words.
        error: String,
    },
    /// The record could not be written as one; a fault in the product.
    #[error("a record could not be formed: {0}")]
    Malformed(String),
    /// The recorders were closed, or their thread is gone.
    #[error("the trace writer has stopped")]
    Closed,
}

impl Failure {
    pub(super) fn new(doing: &'static str, error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull,
            ErrorKind::FileTooLarge => Self::FileTooLarge,
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::Io {
                doing,
                error: error.to_string(),
            },
        }
    }
}

impl RecordError {
    pub(super) fn create(path: &Path, error: &io::Error) -> Self {
        Self::Create {
            path: path.to_owned(),
            failure: Failure::new("make it", error),
        }
    }
}
