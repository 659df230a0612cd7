//! The caller's side of one trace.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;

use super::{
    Failure, RecordError, Settings,
    inbox::{Inbox, lock},
    sink::Sink,
};
use crate::{
    model::{id::TraceId, secret::Secret},
    trace::{chain::Head, fit::Fitted, record::Draft, segment::Salt},
};

/// Takes the records of one trace. Clones are of the same trace.
#[derive(Debug, Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

/// One trace, shared by its recorders and the writer.
#[derive(Debug)]
pub(super) struct Shared {
    trace: TraceId,
    salt: Salt,
    settings: Settings,
    inbox: Arc<Inbox>,
    queue: Mutex<Queue>,
    urgent: AtomicBool,
    progress: watch::Sender<Progress>,
    // Locked by the writer alone.
    sink: Mutex<Option<Sink>>,
}

#[derive(Debug, Default)]
struct Queue {
    records: Vec<Fitted>,
    bytes: usize,
    // Number of the last record taken.
    last: u64,
    // The writer knows that something is here.
    scheduled: bool,
    ended: bool,
    finishing: bool,
    failure: Option<Failure>,
}

/// Where a trace stands, for whoever keeps anchors.
#[derive(Debug)]
pub struct Heads(watch::Receiver<Progress>);

#[derive(Debug, Clone)]
struct Progress {
    head: Head,
    failure: Option<Failure>,
    finished: bool,
}

// === impl Recorder ===

impl Recorder {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Which trace.
    #[must_use]
    pub fn trace(&self) -> TraceId {
        self.shared.trace
    }

    /// Takes a record and answers its number, from 1. Does no I/O and never
    /// waits for the writer: the record is *not* durable yet.
    ///
    /// # Errors
    /// See [`RecordError`]; the record is then not in the trace, and what it
    /// would have told may not happen.
    pub fn record(&self, draft: Draft) -> Result<u64, RecordError> {
        let record = draft.fit()?;
        let Settings {
            queue_records,
            queue_bytes,
            ..
        } = self.shared.settings;
        let mut queue = lock(&self.shared.queue);
        queue.check_open()?;
        let bytes = queue.bytes.saturating_add(record.weight());
        if queue.records.len() >= queue_records || bytes > queue_bytes {
            return Err(RecordError::Backlog);
        }
        queue.ended = record.draft().event.ends_trace();
        queue.bytes = bytes;
        queue.records.push(record);
        queue.last += 1;
        let ticket = queue.last;
        let scheduled = std::mem::replace(&mut queue.scheduled, true);
        drop(queue);
        if !scheduled {
            self.schedule()?;
        }
        Ok(ticket)
    }

    /// Whether half of what may wait to be written does. Whoever can hold back what
    /// makes records should, until there is [`room`](Self::room): when the rest is
    /// used up too, records are refused and what they tell of cannot happen.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let Settings {
            queue_records,
            queue_bytes,
            ..
        } = self.shared.settings;
        let queue = lock(&self.shared.queue);
        queue.records.len() > queue_records / 2 || queue.bytes > queue_bytes / 2
    }

    /// Returns once the writer has caught up, or will write no more.
    pub async fn room(&self) {
        let mut progress = self.shared.progress.subscribe();
        // Progress is looked at first: what is made after that wakes.
        while progress.borrow_and_update().failure.is_none() && self.is_behind() {
            self.shared.hurry();
            if progress.changed().await.is_err() {
                return;
            }
        }
    }

    /// Returns once that record, and all before it, are on disk.
    ///
    /// # Errors
    /// The trace failed before, or there is no such record.
    pub async fn durable(&self, ticket: u64) -> Result<(), RecordError> {
        let mut progress = self.shared.progress.subscribe();
        if progress.borrow().head.records >= ticket {
            return Ok(());
        }
        if ticket > lock(&self.shared.queue).last {
            return Err(RecordError::NoSuchRecord(ticket));
        }
        self.shared.hurry();
        let reached = progress
            .wait_for(|progress| progress.head.records >= ticket || progress.failure.is_some())
            .await
            .map_err(|_| RecordError::Failed(Failure::Closed))?;
        match &reached.failure {
            Some(failure) if reached.head.records < ticket => {
                Err(RecordError::Failed(failure.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Returns once all that was taken so far is on disk.
    ///
    /// # Errors
    /// The trace failed before.
    pub async fn flush(&self) -> Result<(), RecordError> {
        let last = lock(&self.shared.queue).last;
        self.durable(last).await
    }

    /// Takes a record and returns its number once it is on disk.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub async fn record_durably(&self, draft: Draft) -> Result<u64, RecordError> {
        let ticket = self.record(draft)?;
        self.durable(ticket).await?;
        Ok(ticket)
    }

    /// What a record shows in place of a value: hex SHA-256 of the trace's salt
    /// and the value. The same value has the same digest within a trace and
    /// another one in every other.
    #[must_use]
    pub fn digest(&self, value: &Secret) -> String {
        self.shared.salt.digest(value.expose().as_bytes())
    }

    /// Whether the trace can take no more because it could not be written.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.shared.progress.borrow().failure.is_some()
    }

    /// Returns once the trace can take no more because it could not be written;
    /// never, if that does not happen.
    pub async fn failed(&self) -> Failure {
        let mut progress = self.shared.progress.subscribe();
        match progress
            .wait_for(|progress| progress.failure.is_some())
            .await
        {
            Ok(progress) => progress.failure.clone().unwrap_or(Failure::Closed),
            Err(_) => Failure::Closed,
        }
    }

    /// Where the trace stands on disk.
    #[must_use]
    pub fn head(&self) -> Head {
        self.shared.progress.borrow().head
    }

    /// The trace's head each time more of it is durable: to be kept elsewhere as
    /// an anchor.
    #[must_use]
    pub fn heads(&self) -> Heads {
        Heads(self.shared.progress.subscribe())
    }

    /// Writes everything taken so far, makes file and folder durable and closes
    /// them. Nothing is taken afterwards.
    ///
    /// # Errors
    /// The trace failed.
    pub async fn finish(&self) -> Result<Head, RecordError> {
        let mut progress = self.shared.progress.subscribe();
        if lock(&self.shared.queue).begin_finish() {
            self.schedule()?;
        }
        self.shared.hurry();
        let reached = progress
            .wait_for(|progress| progress.finished || progress.failure.is_some())
            .await
            .map_err(|_| RecordError::Failed(Failure::Closed))?;
        match &reached.failure {
            Some(failure) if !reached.finished => Err(RecordError::Failed(failure.clone())),
            _ => Ok(reached.head),
        }
    }

    fn schedule(&self) -> Result<(), RecordError> {
        if self.shared.inbox.schedule(&self.shared) {
            return Ok(());
        }
        self.shared.fail(Failure::Closed);
        Err(RecordError::Failed(Failure::Closed))
    }
}

// === impl Heads ===

impl Heads {
    /// The head as it is now.
    #[must_use]
    pub fn head(&self) -> Head {
        self.0.borrow().head
    }

    /// The head, if it may have moved since the last call. `true` with it says
    /// that it is the last one: no recorder is left.
    pub fn moved(&mut self) -> (Option<Head>, bool) {
        // An error says that the last recorder is gone.
        let changed = self.0.has_changed();
        let moved = !matches!(changed, Ok(false));
        (
            moved.then(|| self.0.borrow_and_update().head),
            changed.is_err(),
        )
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(sink: Sink, settings: Settings, inbox: Arc<Inbox>) -> Self {
        let head = sink.durable();
        Self {
            trace: head.trace,
            salt: sink.salt().clone(),
            settings,
            inbox,
            queue: Mutex::default(),
            urgent: AtomicBool::new(false),
            progress: watch::Sender::new(Progress {
                head,
                failure: None,
                finished: false,
            }),
            sink: Mutex::new(Some(sink)),
        }
    }

    /// Has the writer make all that was taken durable at once.
    fn hurry(&self) {
        self.urgent.store(true, Ordering::Release);
        self.inbox.hurry();
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::Acquire)
    }

    /// The writer's turn for this trace: writes what was taken, and makes it
    /// durable where that is due or somebody waits for it. Answers whether the
    /// trace has something that is written and not durable.
    pub(super) fn commit(&self, due: bool) -> bool {
        let mut slot = lock(&self.sink);
        let Some(sink) = slot.as_mut() else {
            return false;
        };
        let urgent = self.urgent.swap(false, Ordering::AcqRel);
        let mut queue = lock(&self.queue);
        queue.scheduled = false;
        queue.bytes = 0;
        let records = std::mem::take(&mut queue.records);
        let finishing = queue.finishing;
        drop(queue);
        let mut result = sink.write(records);
        if result.is_ok() && (due || urgent || finishing) {
            result = sink.sync();
        }
        let head = sink.durable();
        let mut finished = false;
        if finishing && result.is_ok() {
            result = sink.finish();
            finished = result.is_ok();
        }
        let unsynced = result.is_ok() && !sink.is_synced();
        if finished || result.is_err() {
            *slot = None;
        }
        drop(slot);
        self.progress.send_if_modified(|progress| {
            let moved = progress.head.records != head.records || progress.finished != finished;
            progress.head = head;
            progress.finished = finished;
            moved
        });
        if let Err(failure) = result {
            self.fail(failure);
        }
        unsynced
    }

    /// Ends the trace for a reason; the first one counts.
    pub(super) fn fail(&self, failure: Failure) {
        let mut queue = lock(&self.queue);
        if queue.failure.is_some() || self.progress.borrow().finished {
            return;
        }
        queue.failure = Some(failure.clone());
        queue.records = Vec::new();
        queue.bytes = 0;
        drop(queue);
        self.progress.send_if_modified(|progress| {
            let fails = progress.failure.is_none();
            progress.failure.get_or_insert(failure);
            fails
        });
    }
}

// === impl Queue ===

impl Queue {
    // Answers whether the writer has to be told.
    fn begin_finish(&mut self) -> bool {
        let first = self.failure.is_none() && !std::mem::replace(&mut self.finishing, true);
        first && !std::mem::replace(&mut self.scheduled, true)
    }

    fn check_open(&self) -> Result<(), RecordError> {
        match &self.failure {
            Some(failure) => Err(RecordError::Failed(failure.clone())),
            None if self.ended || self.finishing => Err(RecordError::Ended),
            None => Ok(()),
        }
    }
}
