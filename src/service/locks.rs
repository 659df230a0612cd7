//! Locks: stops on an agent, a person or an origin.
//!
//! Setting one refuses what is new first, then closes what is open by the one way
//! that windows close.

use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::{AgentRef, Answer, CallError, Caller, Service, ask, person};
use crate::{
    model::{
        delegation::{CloseReason, Delegation, State},
        id::{AgentId, LockId, PersonId},
        lock::{Lock, Subject},
        origin::OriginPattern,
        scope::Scope,
    },
    random::random_uuid_v7,
    store::SessionStatus,
    trace::record::Actor,
};

/// What a call wants to stop: exactly one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewLock {
    /// An agent, by id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentRef>,
    /// A person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    /// An origin, or all below a domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginPattern>,
    /// Why.
    pub reason: String,
}

/// The locks that hold now, in memory: every grant and lease asks them.
#[derive(Debug, Default)]
pub(super) struct Locks(RwLock<Vec<Lock>>);

impl Locks {
    pub(super) fn fill(&self, locks: Vec<Lock>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = locks;
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Lock>)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn find(&self, which: impl Fn(&Subject) -> bool) -> Option<Lock> {
        let locks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        locks.iter().find(|lock| which(&lock.subject)).cloned()
    }
}

impl Service {
    /// Stops an agent, a person or an origin: when this answers, no request with
    /// what was lent to, by or for it can leave any more. Persons only.
    ///
    /// # Errors
    /// When the record or the store fails, the lock holds all the same until the
    /// broker ends; try again to have that kept.
    pub async fn lock_set(&self, caller: Caller, new: NewLock) -> Answer<Lock> {
        self.noted(caller, "lock set", async {
            let set_by = person(caller)?;
            ask::check_purpose(&new.reason)
                .map_err(|_| CallError::invalid("reason", "say why, in 1 to 1000 characters"))?;
            let subject = self.subject(&new).await?;
            let lock = Lock {
                id: LockId::from_uuid(random_uuid_v7()?),
                subject,
                reason: new.reason,
                set_by,
                set_at: self.now().wall,
                lifted_by: None,
                lifted_at: None,
            };
            self.locks.change(|locks| locks.push(lock.clone()));
            let closed = self.close_locked(caller).await;
            let detail = format!("{}: {}", lock.subject, lock.reason);
            let recorded = self.registry(caller, "lock-set", &lock.id, &detail).await;
            self.store.lock_put(&lock).await?;
            closed.and(recorded)?;
            Ok(lock)
        })
        .await
    }

    /// Lifts a lock; what it closed stays closed. Persons only; once more is no
    /// error.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn lock_lift(&self, caller: Caller, id: LockId) -> Answer<Lock> {
        self.noted(caller, "lock lift", async {
            let who = person(caller)?;
            let mut all = self.store.lock_list(true).await?.into_iter();
            let mut lock = all
                .find(|lock| lock.id == id)
                .ok_or_else(|| CallError::not_found("lock", &id))?;
            if lock.lifted_at.is_none() {
                lock.lifted_at = Some(self.now().wall);
                lock.lifted_by = Some(who);
                let detail = lock.subject.to_string();
                self.registry(caller, "lock-lifted", &id, &detail).await?;
                self.store.lock_put(&lock).await?;
            }
            self.locks
                .change(|locks| locks.retain(|lock| lock.id != id));
            Ok(lock)
        })
        .await
    }

    /// Locks, newest first; lifted ones only where asked for. Persons only.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn lock_list(&self, caller: Caller, lifted: bool) -> Answer<Vec<Lock>> {
        self.noted(caller, "lock list", async {
            person(caller)?;
            Ok(self.store.lock_list(lifted).await?)
        })
        .await
    }

    /// Refuses what a lock stops.
    pub(super) fn check_unlocked(
        &self,
        agent: AgentId,
        lent: Option<(PersonId, &Scope)>,
    ) -> Answer<()> {
        let stops = |subject: &Subject| match lent {
            Some((lender, scope)) => subject.stops(agent, lender, scope),
            None => *subject == Subject::Agent(agent),
        };
        match self.locks.find(stops) {
            None => Ok(()),
            Some(lock) => Err(CallError::Conflict(format!(
                "{} is locked ({}): “{}”; ask a person to lift it",
                lock.subject, lock.id, lock.reason
            ))),
        }
    }

    /// Closes whatever a lock stops and is not closed yet.
    pub(super) async fn close_locked(&self, caller: impl Into<Actor>) -> Answer<()> {
        let actor = caller.into();
        let mut failed = Ok(());
        if self.locks.find(|_| true).is_none() {
            return failed;
        }
        for stored in self.store.delegation_unclosed().await? {
            let delegation = stored.delegation;
            let scope = scope(&delegation);
            let unlocked = self.check_unlocked(delegation.agent, Some((delegation.lender, scope)));
            if unlocked.is_err() {
                let closed = self
                    .close(actor.clone(), delegation.id, CloseReason::Locked)
                    .await;
                failed = failed.and(closed);
            }
        }
        for session in self.store.session_unended().await? {
            let locked = self.check_unlocked(session.agent, None).is_err();
            if locked && session.status == SessionStatus::Running {
                failed = failed.and(self.end_session(session.id, "its agent is locked").await);
            }
        }
        failed
    }

    async fn subject(&self, new: &NewLock) -> Answer<Subject> {
        match (&new.agent, new.person, &new.origin) {
            (Some(agent), None, None) => Ok(Subject::Agent(self.agent_known(agent).await?.id)),
            (None, Some(person), None) => {
                if self.store.person_exists(person).await? {
                    Ok(Subject::Person(person))
                } else {
                    Err(CallError::not_found("person", &person))
                }
            }
            (None, None, Some(origin)) => Ok(Subject::Origin(origin.clone())),
            _ => Err(CallError::invalid(
                "agent",
                "name exactly one of `agent`, `person` and `origin`",
            )),
        }
    }
}

pub(super) fn scope(delegation: &Delegation) -> &Scope {
    match &delegation.state {
        State::Approved { granted, .. } => &granted.scope,
        State::Requested | State::Closed { .. } => &delegation.requested.scope,
    }
}
