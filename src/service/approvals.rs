//! A person's answer to a request: yes, narrowed if they like, or no.

use super::{
    Answer, CallError, Caller, DelegationInfo, Narrow, Service, ask,
    delegations::{add, missing},
    person,
};
use crate::{
    model::{
        delegation::{CloseReason, Event as Change, LentCredential, State, Terms, TransitionError},
        id::{AgentId, CredentialId, DelegationId, PersonId},
        time::Now,
    },
    store::StoredDelegation,
    trace::record::{Actor, Event},
};

impl Service {
    /// Agrees, narrowing if wanted. The lender only. Running sessions that the
    /// delegation is bound to have it at once.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegation_approve(
        &self,
        caller: Caller,
        id: DelegationId,
        narrow: Option<Narrow>,
    ) -> Answer<DelegationInfo> {
        self.noted(caller, "delegation approve", async {
            let approver = person(caller)?;
            let mut stored = self.delegation_of(caller, id).await?;
            if stored.delegation.lender != approver {
                return Err(CallError::Forbidden(
                    "only the lender, whose session it is, may approve",
                ));
            }
            match stored.delegation.state {
                State::Requested => {}
                State::Approved { .. } => return Err(TransitionError::AlreadyApproved.into()),
                State::Closed { reason, at, .. } => {
                    return Err(TransitionError::Closed { reason, at }.into());
                }
            }
            if self.lending.closed(id).is_some() {
                return Err(CallError::Conflict(format!("{id} is being closed")));
            }
            self.acting_for(caller, Some(&stored.delegation.agent.into()))
                .await?;
            self.check_windows(stored.delegation.agent).await?;
            let granted = self.grant(&mut stored, approver, narrow).await?;
            if !self.store.delegation_update(&stored).await? {
                return Err(CallError::Conflict(format!(
                    "{id} changed meanwhile; look at it again before deciding"
                )));
            }
            let scope = granted.scope.clone();
            self.record_approval(approver, id, granted).await?;
            // A lock that was set between the look at it and the store.
            let agent = stored.delegation.agent;
            if let Err(locked) = self.check_unlocked(agent, Some((approver, &scope))) {
                self.close(caller.into(), id, CloseReason::Locked).await?;
                return Err(locked);
            }
            self.bind_running(id).await?;
            self.due.notify_one();
            let stored = self.delegation_of(caller, id).await?;
            self.shown(caller, stored).await
        })
        .await
    }

    /// Says no to a request. Persons only; once more is no error.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegation_deny(
        &self,
        caller: Caller,
        id: DelegationId,
    ) -> Answer<DelegationInfo> {
        self.noted(caller, "delegation deny", async {
            person(caller)?;
            let stored = self.delegation_of(caller, id).await?;
            if matches!(stored.delegation.state, State::Approved { .. }) {
                return Err(CallError::Conflict(format!(
                    "{id} is approved already; revoke it to take it back"
                )));
            }
            self.close(caller.into(), id, CloseReason::Denied).await?;
            let stored = self.delegation_of(caller, id).await?;
            self.shown(caller, stored).await
        })
        .await
    }

    /// Refuses one more window than an agent may have.
    async fn check_windows(&self, agent: AgentId) -> Answer<()> {
        let most = self.config.agent.windows as usize;
        let unclosed = self.store.delegation_unclosed().await?;
        let open = unclosed.iter().filter(|stored| {
            stored.delegation.agent == agent
                && matches!(stored.delegation.state, State::Approved { .. })
        });
        if open.count() < most {
            return Ok(());
        }
        Err(CallError::Limit(format!(
            "{most} delegations of this agent are approved and not over, which is the most (`agent.windows`); revoke or complete one"
        )))
    }

    async fn grant(
        &self,
        stored: &mut StoredDelegation,
        approver: PersonId,
        narrow: Option<Narrow>,
    ) -> Answer<Terms> {
        let now = self.now();
        let narrow = narrow.unwrap_or_default();
        let requested = &stored.delegation.requested;
        let window = match narrow.window {
            Some(window) => ask::narrowed(window, requested.window, now.wall)?,
            None => requested.window,
        };
        let scope = narrow.scope.unwrap_or_else(|| requested.scope.clone());
        self.check_unlocked(stored.delegation.agent, Some((approver, &scope)))?;
        let credentials = self
            .chosen(stored, narrow.credentials.as_deref(), now)
            .await?;
        let lender = stored.delegation.lender;
        for lent in &credentials {
            self.check_lendable(lender, lent.credential, &scope, now.wall)
                .await?;
            // What was asked for by name is now asked for by id.
            add(&mut stored.delegation.requested.credentials, lent.clone())?;
        }
        let granted = Terms {
            scope,
            window,
            credentials,
        };
        let change = Change::Approve {
            approver,
            granted: Box::new(granted.clone()),
            boot_id: self.time.boot_id.clone(),
        };
        stored
            .delegation
            .apply(change, ask::limits(self.config.window), now)?;
        Ok(granted)
    }

    /// What of the request is lent: all of it, or what the person chose.
    async fn chosen(
        &self,
        stored: &StoredDelegation,
        choice: Option<&[CredentialId]>,
        now: Now,
    ) -> Answer<Vec<LentCredential>> {
        let mut asked = stored.delegation.requested.credentials.clone();
        for cookie in &stored.wanted {
            let found = self.named(stored.delegation.lender, cookie, now).await?;
            if found.is_empty() && choice.is_none() {
                return Err(missing(cookie));
            }
            for lent in found {
                add(&mut asked, lent)?;
            }
        }
        let Some(choice) = choice else {
            return Ok(asked);
        };
        let mut chosen = Vec::with_capacity(choice.len());
        for id in choice {
            let lent = asked.iter().find(|lent| lent.credential == *id);
            let Some(lent) = lent else {
                return Err(CallError::invalid(
                    "credentials",
                    format!("{id} was not requested: a grant may only narrow what was asked for"),
                ));
            };
            add(&mut chosen, lent.clone())?;
        }
        Ok(chosen)
    }

    // Stored but not on record is not granted: it is taken back at once.
    async fn record_approval(
        &self,
        approver: PersonId,
        id: DelegationId,
        granted: Terms,
    ) -> Answer<()> {
        let actor = Actor::Person { id: approver };
        let event = Event::DelegationApproved {
            delegation: id,
            approver,
            granted,
        };
        let recorded = self
            .ledger
            .record(self.now().wall, actor.clone(), event)
            .await;
        if let Err(error) = recorded {
            if let Err(error) = self.close(actor, id, CloseReason::Revoked).await {
                tracing::error!(%id, %error, "an approval off the record waits to be closed");
            }
            return Err(error);
        }
        Ok(())
    }
}
