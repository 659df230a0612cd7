//! What wakes the writer, and its loop.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use super::{Failure, Settings, handle::Shared};

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

/// The writer's life: until stopped and everything recorded is durable.
pub(super) fn run(inbox: &Inbox, settings: &Settings) {
    let _on_exit = Closing(inbox);
    let mut unsynced = Unsynced::default();
    while let Some(turn) = inbox.next_turn(settings.window, unsynced.due) {
        let mut batch = turn.ready;
        let waiting = unsynced
            .traces
            .extract_if(.., |trace| turn.sync || trace.is_urgent());
        batch.extend(waiting);
        // Asked once each: others may be in a hurry by the time that it is sorted.
        batch.sort_by_cached_key(|trace| !trace.is_urgent());
        for trace in batch {
            if trace.commit(turn.sync) {
                unsynced.keep(trace, settings.sync);
            }
        }
        if unsynced.traces.is_empty() {
            unsynced.due = None;
        }
    }
}

/// What the writer has to do next.
struct Turn {
    ready: Vec<Arc<Shared>>,
    /// All that is written is to be made durable.
    sync: bool,
}

/// Traces that are written and not durable, and when they have to be.
#[derive(Default)]
struct Unsynced {
    traces: Vec<Arc<Shared>>,
    due: Option<Instant>,
}

// === impl Unsynced ===

impl Unsynced {
    fn keep(&mut self, trace: Arc<Shared>, wait: Duration) {
        if !self.traces.iter().any(|kept| Arc::ptr_eq(kept, &trace)) {
            self.traces.push(trace);
        }
        self.due.get_or_insert_with(|| Instant::now() + wait);
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

    /// Waits for something to write, for the time when what is written is `due` to
    /// be durable, or for somebody in a hurry. `None` when there is nothing of
    /// either, and nothing more is taken.
    fn next_turn(&self, window: Duration, due: Option<Instant>) -> Option<Turn> {
        let left = || due.map(|due| due.saturating_duration_since(Instant::now()));
        let state = lock(&self.state);
        let mut state = self.wait(state, left(), |state| state.ready.is_empty());
        if !state.ready.is_empty() {
            let window = left().map_or(window, |left| left.min(window));
            state = self.wait(state, Some(window), |_| true);
        }
        let turn = Turn {
            sync: state.stopping || left().is_some_and(|left| left.is_zero()),
            ready: std::mem::take(&mut state.ready),
        };
        state.urgent = false;
        if state.stopping && turn.ready.is_empty() && due.is_none() {
            state.closed = true;
            return None;
        }
        Some(turn)
    }

    /// Waits while that holds, unless there is a hurry.
    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        at_most: Option<Duration>,
        holds: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let rests = |state: &mut State| holds(state) && !state.urgent && !state.stopping;
        match at_most {
            None => self
                .wake
                .wait_while(state, rests)
                .unwrap_or_else(PoisonError::into_inner),
            Some(time) => {
                self.wake
                    .wait_timeout_while(state, time, rests)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        }
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
