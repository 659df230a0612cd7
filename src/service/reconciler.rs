//! What time and accidents make due: expiry, sessions without a window, trace
//! heads, what a crash left. A round takes no input and may run at any time.

use std::{sync::Arc, time::Duration};

use super::{Answer, CallError, Service, SessionStatus};
use crate::{
    model::{
        delegation::{CloseReason, Delegation, State},
        id::DelegationId,
        time::Now,
    },
    session::SessionEvent,
    trace::record::{Actor, Event},
};

const EVERY: Duration = Duration::from_secs(1);

impl Service {
    /// Does what is due, over and over, until [`Service::shutdown`].
    pub async fn run_reconciler(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            let next = match self.reconcile().await {
                Ok(next) => next.map_or(EVERY, |next| next.min(EVERY)),
                Err(error) => {
                    tracing::error!(%error, "a round of the reconciler failed");
                    EVERY
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.due.notified() => {}
                () = tokio::time::sleep(next) => {}
                event = self.next_event() => self.take_in(event).await,
            }
        }
    }

    /// One round; answers how long until the next window ends.
    ///
    /// # Errors
    /// The store or the trace does not accept writes; the next round does it.
    pub async fn reconcile(&self) -> Answer<Option<Duration>> {
        self.drain_events().await;
        let next = self.close_due().await?;
        // What a grant that raced with a lock may have left open.
        self.close_locked(Actor::Broker).await?;
        self.end_idle_sessions().await?;
        for head in self.ledger.moved_heads() {
            self.store.trace_head_set(&head).await?;
        }
        Ok(next)
    }

    /// Ends every session and the broker's trace and closes the store.
    /// Delegations stay as they are.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        if let Err(error) = self.wind_down().await {
            tracing::error!(%error, "the broker did not stop cleanly");
        }
        self.store.close().await;
    }

    async fn wind_down(&self) -> Answer<()> {
        self.sessions.shut_down("the broker stops").await;
        for session in self.store.session_unended().await? {
            self.end_session(session.id, "the broker stops").await?;
        }
        self.drain_events().await;
        let now = self.now().wall;
        let stopping = Event::Broker {
            what: "stopping".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.ledger.record(now, Actor::Broker, stopping).await?;
        let last = self.ledger.finish().await;
        for head in self.ledger.moved_heads().into_iter().chain(last) {
            self.store.trace_head_set(&head).await?;
        }
        self.store.trace_end(self.ledger.trace(), now).await?;
        Ok(())
    }

    async fn close_due(&self) -> Answer<Option<Duration>> {
        let now = self.now();
        let boot_id = &self.time.boot_id;
        let agents = self.store.agent_list().await?;
        let mut next: Option<Duration> = None;
        for stored in self.store.delegation_unclosed().await? {
            let delegation = &stored.delegation;
            let disabled = agents
                .iter()
                .any(|agent| agent.id == delegation.agent && agent.disabled_at.is_some());
            let due = if delegation.is_due(boot_id, now) {
                Some(CloseReason::Expired)
            } else if disabled {
                // A crash between disabling and closing left it.
                Some(CloseReason::Revoked)
            } else {
                // Closed in memory when the store did not answer.
                self.lending.closed(delegation.id)
            };
            match due {
                Some(reason) => self.close(Actor::Broker, delegation.id, reason).await?,
                None => next = next.into_iter().chain(left(delegation, boot_id, now)).min(),
            }
        }
        Ok(next)
    }

    // A session lives on while one of its delegations can be used now or later.
    async fn end_idle_sessions(&self) -> Answer<()> {
        let sessions = self.store.session_unended().await?;
        if sessions.is_empty() {
            return Ok(());
        }
        let unclosed: Vec<DelegationId> = self
            .store
            .delegation_unclosed()
            .await?
            .into_iter()
            .map(|stored| stored.delegation.id)
            .collect();
        for session in sessions {
            let idle = !session.delegations.is_empty()
                && !session.delegations.iter().any(|id| unclosed.contains(id));
            if idle && session.status == SessionStatus::Running {
                self.end_session(session.id, "its last window closed")
                    .await?;
            }
        }
        Ok(())
    }

    async fn next_event(&self) -> Option<SessionEvent> {
        let event = self.events.lock().await.recv().await;
        if event.is_none() {
            // Nobody will tell anything any more: leave it to the other arms.
            std::future::pending::<()>().await;
        }
        event
    }

    async fn drain_events(&self) {
        loop {
            let event = self.events.lock().await.try_recv().ok();
            if event.is_none() {
                return;
            }
            self.take_in(event).await;
        }
    }

    async fn take_in(&self, event: Option<SessionEvent>) {
        let taken: Result<(), CallError> = match event {
            Some(SessionEvent::Ended { session, reason }) => {
                self.sessions.forget(session);
                self.session_ended(session, &reason).await
            }
            Some(SessionEvent::Rotated {
                credential,
                value,
                attributes,
            }) => self.credential_rotated(credential, attributes, value).await,
            Some(SessionEvent::Held(hold)) => self.hold_began(&hold).await,
            Some(SessionEvent::HoldEnded { hold, end }) => self.hold_ended(hold, end).await,
            Some(SessionEvent::SecondSystem { session, encounter }) => {
                self.ask_for_second_system(session, &encounter).await
            }
            Some(SessionEvent::Proposed { session, proposal }) => {
                self.propose(session, *proposal).await
            }
            Some(SessionEvent::UsedUp(delegation)) => {
                self.close(Actor::Broker, delegation, CloseReason::Exhausted)
                    .await
            }
            None => Ok(()),
        };
        if let Err(error) = taken {
            tracing::error!(%error, "what a session told could not be stored");
        }
    }
}

fn left(delegation: &Delegation, boot_id: &str, now: Now) -> Option<Duration> {
    match delegation.state {
        State::Requested => Some(now.wall.until(delegation.requested.window.end)),
        State::Approved { .. } => Some(delegation.live(boot_id)?.left(now)),
        State::Closed { .. } => None,
    }
}
