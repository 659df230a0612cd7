//! What is lent now: values in memory that every lease of a credential shares,
//! and which delegations this broker has closed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::{Answer, CallError, Service, ask, credentials::label};
use crate::{
    broker::{
        lease::{Lease, LentCookie, Usage},
        quota::{Quota, QuotaLimits},
    },
    model::{
        delegation::{CloseReason, Delegation, Delivery, State},
        id::{AgentId, CredentialId, DelegationId, PersonId},
        scope::Scope,
        secret::Secret,
        time::Timestamp,
    },
    store::StoredCredential,
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lending {
    cookies: Mutex<HashMap<(CredentialId, Delivery), Weak<LentCookie>>>,
    // INVARIANT: a delegation is in here before its leases are cut and before
    // the store says so. Whoever binds a lease looks here afterwards, so that
    // no lease outlives a closing that it raced with.
    closed: Mutex<HashMap<DelegationId, CloseReason>>,
    // Outlives leases and sessions: a second session has no second budget.
    usage: Mutex<HashMap<DelegationId, Arc<Usage>>>,
    limits: QuotaLimits,
    quotas: Mutex<HashMap<AgentId, Arc<Quota>>>,
}

// === impl Lending ===

impl Lending {
    pub(super) fn new(limits: QuotaLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Marks a delegation as closed; the first reason stays and is answered.
    pub(super) fn close(&self, id: DelegationId, reason: CloseReason) -> CloseReason {
        lock(&self.usage).remove(&id);
        *lock(&self.closed).entry(id).or_insert(reason)
    }

    /// Why this broker closed a delegation, if it did.
    pub(super) fn closed(&self, id: DelegationId) -> Option<CloseReason> {
        lock(&self.closed).get(&id).copied()
    }

    /// Where all leases of a delegation count.
    fn usage(&self, id: DelegationId) -> Arc<Usage> {
        lock(&self.usage).entry(id).or_default().clone()
    }

    /// Where all leases of an agent count.
    fn quota(&self, id: AgentId) -> Arc<Quota> {
        let new = || Arc::new(Quota::new(self.limits));
        lock(&self.quotas).entry(id).or_insert_with(new).clone()
    }

    /// Gives every lease of the credential the new value.
    pub(super) fn rotate(&self, id: CredentialId, value: &Secret) {
        for delivery in [Delivery::Wire, Delivery::Jar] {
            let cookie = lock(&self.cookies)
                .get(&(id, delivery))
                .and_then(Weak::upgrade);
            if let Some(cookie) = cookie {
                cookie.rotate(value.clone());
            }
        }
    }

    fn share(&self, cookie: LentCookie) -> Arc<LentCookie> {
        let mut cookies = lock(&self.cookies);
        cookies.retain(|_, cookie| cookie.strong_count() > 0);
        let key = (cookie.credential, cookie.delivery);
        if let Some(shared) = cookies.get(&key).and_then(Weak::upgrade)
            && shared.attributes == cookie.attributes
        {
            shared.rotate(cookie.value());
            return shared;
        }
        let shared = Arc::new(cookie);
        cookies.insert(key, Arc::downgrade(&shared));
        shared
    }
}

// === impl Service ===

impl Service {
    /// A lease on an approved delegation; refused when it has ended.
    pub(super) async fn lease(&self, delegation: &Delegation) -> Answer<Arc<Lease>> {
        let id = delegation.id;
        let over = || {
            CallError::Conflict(format!(
                "the window of {id} is over; ask for a new delegation, a window is never extended"
            ))
        };
        let State::Approved {
            approver, granted, ..
        } = &delegation.state
        else {
            return Err(over());
        };
        let live = delegation
            .live(&self.time.boot_id)
            .filter(|live| !live.has_ended(self.now()))
            .ok_or_else(over)?;
        if self.lending.closed(id).is_some() {
            return Err(over());
        }
        self.check_unlocked(delegation.agent, Some((delegation.lender, &granted.scope)))?;
        let mut cookies = Vec::with_capacity(granted.credentials.len());
        for lent in &granted.credentials {
            let stored = self.lent(delegation.lender, lent.credential).await?;
            let value = self
                .unseal(&stored)?
                .ok_or_else(|| cleared(&stored.info.cookie.name))?;
            cookies.push(self.lending.share(LentCookie::new(
                lent.credential,
                stored.info.cookie,
                lent.delivery,
                value,
            )));
        }
        let lease = Lease::new(
            id,
            delegation.lender,
            *approver,
            granted.scope.clone(),
            live,
            cookies,
        );
        Ok(Arc::new(lease.counting_in(
            self.lending.usage(id),
            self.lending.quota(delegation.agent),
        )))
    }

    /// Refuses a credential that the lender does not have, or that no origin of
    /// the scope would be sent now.
    pub(super) async fn check_lendable(
        &self,
        lender: PersonId,
        id: CredentialId,
        scope: &Scope,
        now: Timestamp,
    ) -> Answer<()> {
        let cookie = self.lent(lender, id).await?.info.cookie;
        let label = label(&cookie);
        if cookie.expires.is_some_and(|at| at <= now) {
            return Err(CallError::invalid(
                "cookies",
                format!("{label} ({id}) has expired; sign in again and import it anew"),
            ));
        }
        if !ask::is_usable(&cookie, scope, now) {
            return Err(CallError::invalid(
                "cookies",
                format!(
                    "{label} ({id}) would be sent to no origin of the scope; name the origin that it belongs to, or leave it out"
                ),
            ));
        }
        Ok(())
    }

    async fn lent(&self, lender: PersonId, id: CredentialId) -> Answer<StoredCredential> {
        let found = self.store.credential_get(id).await?;
        let Some(stored) = found.filter(|stored| stored.info.person == lender) else {
            return Err(CallError::invalid(
                "cookies",
                format!("the lender has no credential {id}; list credentials to see the ids"),
            ));
        };
        if stored.info.cleared {
            return Err(cleared(&stored.info.cookie.name));
        }
        Ok(stored)
    }
}

fn cleared(name: &str) -> CallError {
    CallError::Conflict(format!(
        "the site has taken the cookie `{name}` away; sign in again and import it anew"
    ))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
