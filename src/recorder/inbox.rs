//! What wakes the writer, and its loop.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use super::{Failure, handle::Shared};

/// Traces with something to write.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: Vec<Arc<Shared>>,
    // Somebody waits for a record to be durable.
    urgent: bool,
    stopping: bool,
    // Nothing is taken any more.
    closed: bool,
    traces: Vec<Weak<Shared>>,
}

/// The writer's life: until stopped and everything recorded is written.
pub(super) fn run(inbox: &Inbox, window: Duration) {
    let _on_exit = Closing(inbox);
    while let Some(mut batch) = inbox.next_batch(window) {
        batch.sort_by_key(|trace| !trace.take_urgent());
        for trace in batch {
            trace.commit();
        }
    }
}

/// Locks, also after a panic of another holder: what is guarded here is never
/// left halfway changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Inbox ===

impl Inbox {
    /// Keeps a new trace in mind; `false` if nothing is taken any more.
    pub(super) fn enrol(&self, trace: Weak<Shared>) -> bool {
        let mut state = lock(&self.state);
        state.traces.retain(|trace| trace.strong_count() > 0);
        state.traces.push(trace);
        !state.closed
    }

    /// Has the writer look at a trace; `false` if it is gone.
    pub(super) fn schedule(&self, trace: &Arc<Shared>) -> bool {
        let mut state = lock(&self.state);
        if state.closed {
            return false;
        }
        state.ready.push(Arc::clone(trace));
        drop(state);
        self.wake.notify_one();
        true
    }

    /// Has the writer begin at once.
    pub(super) fn hurry(&self) {
        lock(&self.state).urgent = true;
        self.wake.notify_one();
    }

    /// Has the writer end once everything recorded is written.
    pub(super) fn stop(&self) {
        lock(&self.state).stopping = true;
        self.wake.notify_one();
    }

    fn next_batch(&self, window: Duration) -> Option<Vec<Arc<Shared>>> {
        let mut state = self
            .wake
            .wait_while(lock(&self.state), |state| {
                state.ready.is_empty() && !state.stopping
            })
            .unwrap_or_else(PoisonError::into_inner);
        if state.ready.is_empty() {
            state.closed = true;
            return None;
        }
        if !state.urgent && !state.stopping {
            state = self
                .wake
                .wait_timeout_while(state, window, |state| !state.urgent && !state.stopping)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.urgent = false;
        Some(std::mem::take(&mut state.ready))
    }
}

// Whichever way the writer ends, nobody waits for it in vain.
struct Closing<'a>(&'a Inbox);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.closed = true;
        state.ready.clear();
        let traces = std::mem::take(&mut state.traces);
        drop(state);
        for trace in traces.iter().filter_map(Weak::upgrade) {
            trace.fail(Failure::Closed);
        }
    }
}
