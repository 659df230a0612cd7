//! A lease: an open window bound to one running session.
//!
//! The interceptor and the egress proxy hold the same [`Leases`]; closing one
//! is a single store that every later decision sees. Time is an argument.

use std::{
    sync::{
        Arc, OnceLock, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use url::{Host, Url};

use super::quota::Quota;
use crate::model::{
    cookie::CookieAttributes,
    delegation::{CloseReason, Delivery, LiveWindow},
    id::{CredentialId, DelegationId, PersonId},
    origin::Origin,
    scope::Scope,
    secret::Secret,
    time::Now,
};

/// One lent cookie with its value, in memory while its lease lasts.
#[derive(Debug)]
pub struct LentCookie {
    /// Which vault entry.
    pub credential: CredentialId,
    /// Attributes, without the value.
    pub attributes: CookieAttributes,
    /// How it reaches the site.
    pub delivery: Delivery,
    /// A site may rotate it; every lease of the credential shares the value.
    pub value: RwLock<Secret>,
    cleared: AtomicBool,
}

/// An open window bound to one running session.
#[derive(Debug)]
pub struct Lease {
    /// The delegation.
    pub delegation: DelegationId,
    /// Whose session is lent.
    pub lender: PersonId,
    /// Who agreed.
    pub approver: PersonId,
    /// Where, which paths, which methods.
    pub scope: Scope,
    /// When, on both clocks.
    pub live: LiveWindow,
    /// What is lent.
    pub cookies: Vec<Arc<LentCookie>>,
    closed: OnceLock<CloseReason>,
    usage: Arc<Usage>,
    /// What its agent may use over all.
    pub quota: Arc<Quota>,
}

/// What counts against a delegation's budget: one for all leases of it, whatever
/// sessions they are in and whatever became of those.
#[derive(Debug, Default)]
pub struct Usage {
    requests: AtomicU64,
    writes: AtomicU64,
    bytes: AtomicU64,
}

/// What was used under a lease so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Requests that were let go.
    pub requests: u64,
    /// Those of them that do more than read.
    pub writes: u64,
    /// Bytes that went either way.
    pub bytes: u64,
}

/// The leases of one session.
#[derive(Debug, Default)]
pub struct Leases(RwLock<Vec<Arc<Lease>>>);

// === impl LentCookie ===

impl LentCookie {
    /// A cookie with the value that the vault unsealed.
    #[must_use]
    pub const fn new(
        credential: CredentialId,
        attributes: CookieAttributes,
        delivery: Delivery,
        value: Secret,
    ) -> Self {
        Self {
            credential,
            attributes,
            delivery,
            value: RwLock::new(value),
            cleared: AtomicBool::new(false),
        }
    }

    /// The value as it is now.
    #[must_use]
    pub fn value(&self) -> Secret {
        match self.value.read() {
            Ok(value) => value.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        }
    }

    /// Replaces the value; answers whether it changed.
    pub fn rotate(&self, fresh: Secret) -> bool {
        let mut value = match self.value.write() {
            Ok(value) => value,
            Err(poisoned) => poisoned.into_inner(),
        };
        let changed = *value != fresh;
        *value = fresh;
        self.cleared.swap(false, Ordering::AcqRel) || changed
    }

    /// The site took it away: it goes nowhere until it is set anew. Answers
    /// whether that changed anything.
    pub fn clear(&self) -> bool {
        !self.cleared.swap(true, Ordering::AcqRel)
    }

    /// Whether the site took it away.
    #[must_use]
    pub fn is_cleared(&self) -> bool {
        self.cleared.load(Ordering::Acquire)
    }
}

// === impl Lease ===

impl Lease {
    /// A lease on what a person granted.
    #[must_use]
    pub fn new(
        delegation: DelegationId,
        lender: PersonId,
        approver: PersonId,
        scope: Scope,
        live: LiveWindow,
        cookies: Vec<Arc<LentCookie>>,
    ) -> Self {
        Self {
            delegation,
            lender,
            approver,
            scope,
            live,
            cookies,
            closed: OnceLock::new(),
            usage: Arc::default(),
            quota: Arc::default(),
        }
    }

    /// The same, counting where other leases of the delegation count, and where
    /// all of its agent do.
    #[must_use]
    pub fn counting_in(self, usage: Arc<Usage>, quota: Arc<Quota>) -> Self {
        Self {
            usage,
            quota,
            ..self
        }
    }

    /// Whether it may be used now.
    #[must_use]
    pub fn is_open(&self, now: Now) -> bool {
        self.closed.get().is_none() && self.live.is_open(now)
    }

    /// Why it is over, if it is.
    #[must_use]
    pub fn closed(&self, now: Now) -> Option<CloseReason> {
        self.closed
            .get()
            .copied()
            .or_else(|| self.live.has_ended(now).then_some(CloseReason::Expired))
    }

    /// How long until it ends by itself; none where it has been ended.
    #[must_use]
    pub fn left(&self, now: Now) -> Option<Duration> {
        self.closed.get().is_none().then(|| self.live.left(now))
    }

    /// Whether what it lends can go there: its scope covers the endpoint, or a
    /// browser's jar would send one of its cookies to that host.
    #[must_use]
    pub fn reaches(&self, host: &Host, port: u16) -> bool {
        self.scope.covers_endpoint(host, port)
            || self.cookies.iter().any(|cookie| {
                cookie.delivery == Delivery::Jar && cookie.attributes.matches_host(host)
            })
    }

    /// Ends it for good; the first reason stays. Answers whether this ended it.
    pub fn close(&self, reason: CloseReason) -> bool {
        self.closed.set(reason).is_ok()
    }

    /// What was used so far.
    #[must_use]
    pub fn used(&self) -> Used {
        Used {
            requests: self.usage.requests.load(Ordering::Relaxed),
            writes: self.usage.writes.load(Ordering::Relaxed),
            bytes: self.usage.bytes.load(Ordering::Relaxed),
        }
    }

    /// Takes one request from its budget; answers whether there was one left.
    #[must_use]
    pub fn spend_request(&self, writes: bool) -> bool {
        let budget = &self.scope.budget;
        if writes && !take(&self.usage.writes, 1, budget.writes) {
            return false;
        }
        take(&self.usage.requests, 1, budget.requests)
    }

    /// Takes bytes from its budget; answers whether there were so many left.
    pub fn spend_bytes(&self, bytes: u64) -> bool {
        let used = self.usage.bytes.fetch_add(bytes, Ordering::Relaxed);
        let most = self.scope.budget.bytes;
        most.is_none_or(|most| used.saturating_add(bytes) <= most)
    }
}

/// Adds where the sum stays within the most.
fn take(used: &AtomicU64, more: u64, most: Option<u64>) -> bool {
    used.try_update(Ordering::AcqRel, Ordering::Acquire, |used| {
        let sum = used.saturating_add(more);
        most.is_none_or(|most| sum <= most).then_some(sum)
    })
    .is_ok()
}

// === impl Leases ===

impl Leases {
    /// Binds one more.
    pub fn add(&self, lease: Arc<Lease>) {
        match self.0.write() {
            Ok(mut leases) => leases.push(lease),
            Err(poisoned) => poisoned.into_inner().push(lease),
        }
    }

    /// All of them, ended ones included: a refusal names the one that is over.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Lease>> {
        match self.0.read() {
            Ok(leases) => leases.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        }
    }

    /// Looks at each in turn without copying the list.
    pub fn each(&self, mut look: impl FnMut(&Arc<Lease>)) {
        let leases = match self.0.read() {
            Ok(leases) => leases,
            Err(poisoned) => poisoned.into_inner(),
        };
        leases.iter().for_each(&mut look);
    }

    /// Looks at each in turn until one answers.
    pub fn find<T>(&self, mut look: impl FnMut(&Arc<Lease>) -> Option<T>) -> Option<T> {
        match self.0.read() {
            Ok(leases) => leases.iter().find_map(&mut look),
            Err(poisoned) => poisoned.into_inner().iter().find_map(&mut look),
        }
    }

    /// Whether at least one can be used now or later.
    #[must_use]
    pub fn any_alive(&self, now: Now) -> bool {
        self.find(|lease| lease.closed(now).is_none().then_some(()))
            .is_some()
    }

    /// Whether any open lease lets a connection to this endpoint be made.
    #[must_use]
    pub fn covers_endpoint(&self, host: &Host, port: u16, now: Now) -> bool {
        self.find(|lease| {
            (lease.is_open(now) && lease.scope.covers_endpoint(host, port)).then_some(())
        })
        .is_some()
    }

    /// Whether any open lease covers the URL's origin as a page.
    #[must_use]
    pub fn covers_page(&self, url: &Url, now: Now) -> bool {
        Origin::of(url).is_some_and(|origin| {
            self.find(|lease| {
                (lease.is_open(now) && lease.scope.covers_origin(&origin)).then_some(())
            })
            .is_some()
        })
    }
}
