//! The trace as the hub and the egress proxy see it.

use crate::{
    cdp::hub::{Journal, Unrecorded},
    clock::Clock,
    egress::log::{Connection, ConnectionLog, Ended, RecordUnavailable},
    model::secret::Secret,
    recorder::Recorder,
    trace::record::{Actor, Draft, Event},
};

/// A session's trace for its virtual browser.
#[derive(Debug)]
pub(super) struct SessionJournal(pub(super) Recorder);

impl Journal for SessionJournal {
    fn record(&mut self, draft: Draft) -> Result<u64, Unrecorded> {
        self.0.record(draft).map_err(|_| Unrecorded)
    }

    fn digest(&self, value: &Secret) -> String {
        self.0.digest(value)
    }
}

/// A session's trace for its connections.
#[derive(Debug)]
pub(super) struct ConnectionJournal(pub(super) Recorder);

impl ConnectionJournal {
    fn record(&self, event: Event) -> Result<(), RecordUnavailable> {
        let draft = Draft {
            at: Clock.now().wall,
            actor: Actor::Page,
            event,
        };
        self.0.record(draft).map(drop).map_err(|_| RecordUnavailable)
    }
}
