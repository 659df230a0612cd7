//! Ending a delegation: first nothing can leave any more, then it is on record,
//! then it is stored, then the caller is answered.

use super::{Answer, CallError, Caller, DelegationInfo, Service, ask, person};
use crate::{
    model::{
        delegation::{CloseReason, Event as Change, State},
        id::DelegationId,
    },
    trace::record::{Actor, Event},
};

const TRIES: usize = 5;

impl Service {
    /// Takes a delegation back; when this answers, no request with its
    /// credentials can leave any more. Persons only; once more is no error.
    ///
    /// # Errors
    /// When the record or the store fails, the delegation's leases are closed
    /// all the same; try again to have that kept.
    pub async fn delegation_revoke(
        &self,
        caller: Caller,
        id: DelegationId,
    ) -> Answer<DelegationInfo> {
        self.noted(caller, "delegation revoke", async {
            person(caller)?;
            self.delegation_of(caller, id).await?;
            self.close(caller.into(), id, CloseReason::Revoked).await?;
            let stored = self.delegation_of(caller, id).await?;
            self.shown(caller, stored).await
        })
        .await
    }

    /// Closes a delegation because its task is done, or withdraws a request.
    /// Its agent, or a person; once more is no error.
    ///
    /// # Errors
    /// As for revoking.
    pub async fn delegation_complete(
        &self,
        caller: Caller,
        id: DelegationId,
    ) -> Answer<DelegationInfo> {
        self.noted(caller, "delegation complete", async {
            self.delegation_of(caller, id).await?;
            self.close(caller.into(), id, CloseReason::Completed)
                .await?;
            let stored = self.delegation_of(caller, id).await?;
            self.shown(caller, stored).await
        })
        .await
    }

    /// Closes approved delegations with a budget of which an earlier broker knew how
    /// much is used up: a restart gives nobody a second one.
    pub(super) async fn close_uncounted(&self) -> Answer<()> {
        for stored in self.store.delegation_unclosed().await? {
            if let State::Approved { granted, .. } = &stored.delegation.state {
                if !granted.scope.budget.is_endless() {
                    let id = stored.delegation.id;
                    self.close(Actor::Broker, id, CloseReason::Exhausted)
                        .await?;
                }
            }
        }
        Ok(())
    }

    /// Closes a delegation wherever it is; nothing more to do is no error.
    pub(super) async fn close(
        &self,
        actor: Actor,
        id: DelegationId,
        reason: CloseReason,
    ) -> Answer<()> {
        let reason = self.lending.close(id, reason);
        self.sessions.close_delegation(id, &actor, reason).await;
        self.due.notify_one();
        let mut recorded = None;
        for _ in 0..TRIES {
            let Some(mut stored) = self.store.delegation_get(id).await? else {
                return Err(CallError::not_found("delegation", &id));
            };
            if matches!(stored.delegation.state, State::Closed { .. }) {
                return Ok(());
            }
            let now = self.now();
            let limits = ask::limits(self.config.window);
            stored
                .delegation
                .apply(Change::Close(reason), limits, now)?;
            if recorded.is_none() {
                let event = Event::DelegationClosed {
                    delegation: id,
                    reason,
                };
                recorded = Some(self.ledger.record(now.wall, actor.clone(), event).await);
            }
            // Stored even when it is not on record: less is allowed, not more.
            if self.store.delegation_update(&stored).await? {
                return recorded.unwrap_or(Ok(()));
            }
        }
        Err(CallError::Conflict(format!(
            "{id} keeps changing; its use is stopped, try again to have that stored"
        )))
    }
}
