//! Writes traces to disk and reads them back.
//!
//! A trace is a folder `trc_…` with segments `000001.seg`, `000002.seg`, … One
//! thread writes for all traces of the broker: it takes what was recorded since
//! its last turn, chains and seals it, and writes it to the file, where it
//! outlives the broker; one `fdatasync` a trace, at once where somebody waits
//! and a little later where nobody does, has it outlive the machine. Recording
//! itself only puts a draft into a queue.
//!
//! ```text
//! record(draft) ──▶ queue ──▶ writer: chain, seal, write ──▶ fdatasync ──▶ heads(), durable()
//! ```
//! A trace that cannot be written takes nothing more: its first failure is its
//! last, [`Recorder::failed`] tells, and what was durable stays verifiable.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, Weak},
    thread::JoinHandle,
    time::Duration,
};

use crate::{
    model::id::TraceId,
    trace::segment::{Key, WRAPPED_MAX},
};

mod error;
mod file;
mod handle;
mod inbox;
pub mod read;
mod sink;

pub use error::{Failure, RecordError};
pub use handle::{Heads, Recorder};

use handle::Shared;
use inbox::Inbox;
use sink::Sink;

/// A trace's key, and the same as the vault wrapped it.
pub struct TraceKey {
    /// 32 fresh random bytes; of this trace alone.
    pub key: Key,
    /// Kept in each segment's header; at most [`WRAPPED_MAX`] bytes.
    pub wrapped: Vec<u8>,
}

/// Sizes and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A segment is not written beyond this many bytes.
    pub segment_bytes: u64,
    /// Records that may wait to be written, for each trace.
    pub queue_records: usize,
    /// Bytes of such records.
    pub queue_bytes: usize,
    /// How long records that nobody waits for are gathered before they are written.
    pub window: Duration,
    /// How long what nobody waits for may be in the file and not yet on disk.
    pub sync: Duration,
}

/// Makes recorders; owns the thread that writes for all of them.
#[derive(Debug)]
pub struct Recorders {
    dir: PathBuf,
    settings: Settings,
    inbox: Arc<Inbox>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

// === impl TraceKey ===

impl std::fmt::Debug for TraceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceKey").finish_non_exhaustive()
    }
}

// === impl Settings ===

impl Default for Settings {
    /// Segments of 16 MiB; 4096 records or 8 MiB waiting; gathered for 3 ms, and
    /// on disk within 50 ms more.
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            queue_records: 4096,
            queue_bytes: 8 << 20,
            window: Duration::from_millis(3),
            sync: Duration::from_millis(50),
        }
    }
}

// === impl Recorders ===

impl Recorders {
    /// Makes the folder if there is none and starts the writer.
    ///
    /// # Errors
    /// The folder cannot be made, or no thread can be started.
    pub fn new(dir: PathBuf, settings: Settings) -> Result<Self, RecordError> {
        file::create_folder_all(&dir).map_err(|error| RecordError::create(&dir, &error))?;
        let inbox = Arc::new(Inbox::default());
        let writer = std::thread::Builder::new()
            .name("trace-writer".to_owned())
            .spawn({
                let inbox = Arc::clone(&inbox);
                move || inbox::run(&inbox, &settings)
            })
            .map_err(|error| RecordError::Failed(Failure::new("start the writer", &error)))?;
        Ok(Self {
            dir,
            settings,
            inbox,
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Begins a trace: its folder and first segment are on disk when this
    /// returns. Does I/O: not to be called from an async task directly.
    ///
    /// # Errors
    /// The trace exists, the wrapped key is longer than [`WRAPPED_MAX`] bytes,
    /// the folder cannot be written to, or the recorders are closed.
    pub fn create(&self, trace: TraceId, key: TraceKey) -> Result<Recorder, RecordError> {
        if key.wrapped.len() > WRAPPED_MAX {
            return Err(RecordError::Wrapped(key.wrapped.len()));
        }
        let sink = Sink::create(&self.dir, trace, key, self.settings.segment_bytes)?;
        let shared = Arc::new(Shared::new(sink, self.settings, Arc::clone(&self.inbox)));
        let weak: Weak<Shared> = Arc::downgrade(&shared);
        if !self.inbox.enrol(weak) {
            return Err(RecordError::Failed(Failure::Closed));
        }
        Ok(Recorder::new(shared))
    }

    /// Writes what was recorded, then stops the writer; recorders that are still
    /// there fail. Blocks until done. Dropping does the same.
    pub fn close(&self) {
        self.inbox.stop();
        let writer = inbox::lock(&self.writer).take();
        if let Some(writer) = writer {
            // A writer that panicked has failed its traces on its way out.
            let _ = writer.join();
        }
    }
}

impl Drop for Recorders {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
