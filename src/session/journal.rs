//! The trace as the hub and the egress proxy see it.

use futures_util::future::BoxFuture;

use super::order::{Order, Orders};
use crate::{
    cdp::hub::{Journal, Unrecorded},
    clock::Clock,
    egress::{Connection, ConnectionLog, Ended, RecordUnavailable},
    model::{id::DelegationId, secret::Secret},
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
pub(super) struct ConnectionJournal {
    pub(super) recorder: Recorder,
    pub(super) orders: Orders,
}

impl ConnectionJournal {
    fn draft(event: Event) -> Draft {
        Draft {
            at: Clock.now().wall,
            actor: Actor::Page,
            event,
        }
    }
}

impl ConnectionLog for ConnectionJournal {
    fn connection(&self, connection: Connection) -> BoxFuture<'_, Result<(), RecordUnavailable>> {
        let recorded = self.recorder.record(Self::draft(connection.into()));
        Box::pin(async move { recorded.map(drop).map_err(|_| RecordUnavailable) })
    }

    fn ended(&self, ended: Ended) {
        // The trace may have ended before its connections were cut.
        self.recorder.record(Self::draft(ended.into())).ok();
    }

    fn used_up(&self, delegation: DelegationId) {
        // A driver that is gone has closed everything.
        self.orders.send(Box::new(Order::UsedUp(delegation))).ok();
    }
}
