//! Reads traces from their folder: with no broker running, or beside one.
//!
//! A trace that is being written ends in its last whole record. Take the anchor
//! before reading: what is durable by then is there.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::file;
use crate::{
    model::id::TraceId,
    trace::{
        chain::{Head, Line},
        segment::{Header, Key},
        verify::{Verified, Verifier, VerifyError},
    },
};

/// Why a wrapped key was not opened; without secrets in its words.
pub type KeyError = Box<dyn Error + Send + Sync>;

/// Why a trace cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such trace.
    #[error("there is no trace {0}; `hallpass trace list` names those there are")]
    NoSuchTrace(TraceId),
    /// Folder or file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The vault does not open the trace's key: the wrong vault, or the first
    /// segment's header was changed.
    #[error("the key of trace {trace} cannot be opened")]
    Key {
        /// Which.
        trace: TraceId,
        /// Why.
        source: KeyError,
    },
    /// The trace is not what was recorded.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// What a trace holds.
#[derive(Debug)]
pub struct Reading {
    /// Its records in order, up to the first fault.
    pub records: Vec<(Line, Value)>,
    /// Whether that is all of it, and as it was recorded.
    pub outcome: Result<Verified, VerifyError>,
}

/// The traces in a folder, the oldest first. A folder that does not exist has none.
///
/// # Errors
/// The folder cannot be read.
pub fn list(dir: &Path) -> Result<Vec<TraceId>, ReadError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| failed(dir, source))?,
    };
    let mut traces = Vec::new();
    for entry in entries {
        let name = entry.map_err(|source| failed(dir, source))?.file_name();
        traces.extend(name.to_str().and_then(|name| name.parse::<TraceId>().ok()));
    }
    traces.sort_unstable();
    Ok(traces)
}

/// Reads and checks a trace. What stands before a fault is answered with it.
///
/// # Errors
/// Nothing of the trace can be read. A fault in it is no error here: see
/// [`Reading::outcome`].
pub fn read(
    dir: &Path,
    trace: TraceId,
    open_key: impl FnOnce(&[u8]) -> Result<Key, KeyError>,
    anchor: Option<Head>,
) -> Result<Reading, ReadError> {
    let mut records = Vec::new();
    let outcome = match walk(dir, trace, open_key, anchor, |line, value| {
        records.push((line, value));
    }) {
        Ok(verified) => Ok(verified),
        Err(ReadError::Verify(error)) => Err(error),
        Err(error) => return Err(error),
    };
    Ok(Reading { records, outcome })
}

/// Checks a trace, a segment at a time.
///
/// # Errors
/// It cannot be read, or is not what was recorded.
pub fn verify(
    dir: &Path,
    trace: TraceId,
    open_key: impl FnOnce(&[u8]) -> Result<Key, KeyError>,
    anchor: Option<Head>,
) -> Result<Verified, ReadError> {
    walk(dir, trace, open_key, anchor, |_, _| ())
}

/// Reads a trace, a segment at a time, and hands each record to `each` once it
/// is known to be true.
///
/// # Errors
/// It cannot be read, or is not what was recorded.
pub fn walk(
    dir: &Path,
    trace: TraceId,
    open_key: impl FnOnce(&[u8]) -> Result<Key, KeyError>,
    anchor: Option<Head>,
    mut each: impl FnMut(Line, Value),
) -> Result<Verified, ReadError> {
    let folder = dir.join(trace.to_string());
    let segments = segments(&folder, trace)?;
    let Some(first) = segments.first() else {
        // No key is to be had; that nothing is there is all there is to say.
        let key = Key::default();
        return Ok(Verifier::new(trace, &key, anchor)?.finish()?);
    };
    let mut bytes = load(first)?;
    let key = match Header::peek(&bytes) {
        Ok(header) => {
            open_key(&header.wrapped).map_err(|source| ReadError::Key { trace, source })?
        }
        // The verifier says what is wrong without a key.
        Err(_) => Key::default(),
    };
    let mut verifier = Verifier::new(trace, &key, anchor)?;
    for (index, path) in segments.iter().enumerate() {
        if index > 0 {
            bytes = load(path)?;
        }
        let last = index + 1 == segments.len();
        verifier.segment(&bytes, last, &mut each)?;
    }
    Ok(verifier.finish()?)
}

fn segments(folder: &Path, trace: TraceId) -> Result<Vec<PathBuf>, ReadError> {
    let entries = fs::read_dir(folder).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ReadError::NoSuchTrace(trace),
        _ => failed(folder, source),
    })?;
    let mut numbers = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| failed(folder, source))?;
        numbers.extend(file::segment_number(&entry.file_name()));
    }
    numbers.sort_unstable();
    Ok(numbers
        .into_iter()
        .map(|number| file::segment_path(folder, number))
        .collect())
}

fn load(path: &Path) -> Result<Vec<u8>, ReadError> {
    fs::read(path).map_err(|source| failed(path, source))
}

fn failed(path: &Path, source: io::Error) -> ReadError {
    ReadError::Io {
        path: path.to_owned(),
        source,
    }
}
