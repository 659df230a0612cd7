//! The decision: an action, the session's leases, the policies, a reading of the
//! clocks in; a permit, a hold or a refusal out. Pure, and asked on every request,
//! on every connection, and on what an agent does in a page.

pub mod address;
pub mod bundle;
pub mod classify;
pub mod decide;
mod guard;
pub mod question;
pub mod replay;

use std::sync::{Arc, PoisonError, RwLock};

use bundle::Bundle;
pub use decide::{
    decide_act, decide_address, decide_connect, decide_connect_as, decide_recorded, decide_request,
};

use crate::{
    broker::lease::Lease,
    model::{
        action::{Class, Refusal},
        id::{AgentId, DelegationId, PersonId},
    },
};

/// Who acts, and the policies that are asked beside the scopes.
#[derive(Debug, Clone)]
pub struct Authority {
    /// The session's agent.
    pub agent: AgentId,
    /// What the operator allows at all.
    pub policies: Arc<Policies>,
}

/// The bundle that decides now; every session asks the same.
#[derive(Debug)]
pub struct Policies {
    bundle: RwLock<Arc<Bundle>>,
}

/// Proof that something was decided *allow*. Only deciding makes one; only with
/// one is anything forwarded, connected or a cookie added.
#[derive(Debug, Clone)]
#[must_use = "a permit that is not used leaves a request hanging"]
pub struct Permit {
    delegation: DelegationId,
    lending: Vec<Arc<Lease>>,
    class: Class,
    policies: Vec<String>,
    revision: Arc<str>,
}

/// What waits for a person, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The delegation that lends to it; the first one where several do.
    pub delegation: DelegationId,
    /// All under which it waits.
    pub wanted_by: Vec<DelegationId>,
    /// Whose session it is, who is asked.
    pub lender: PersonId,
    /// What kind of act it is.
    pub class: Class,
    /// The policies that want it; none where the delegation does.
    pub policies: Vec<String>,
    /// Why, in one sentence.
    pub says: String,
}

/// What was decided.
#[derive(Debug, Clone)]
pub enum Decision {
    /// It may go.
    Allow(Permit),
    /// It may go once a person says so.
    Hold(Held),
    /// It may not.
    Deny(Refusal),
}

impl Policies {
    /// That bundle decides.
    #[must_use]
    pub fn new(bundle: Bundle) -> Self {
        Self {
            bundle: RwLock::new(Arc::new(bundle)),
        }
    }

    /// The bundle that ships decides.
    ///
    /// # Errors
    /// Never: a test holds that it is valid.
    pub fn shipped() -> Result<Self, Vec<bundle::BundleError>> {
        Bundle::read(bundle::DEFAULT, classify::Classes::default()).map(Self::new)
    }

    /// The bundle that decides now.
    #[must_use]
    pub fn bundle(&self) -> Arc<Bundle> {
        let bundle = self.bundle.read().unwrap_or_else(PoisonError::into_inner);
        bundle.clone()
    }

    /// From here on that bundle decides.
    pub fn replace(&self, bundle: Bundle) {
        let mut current = self.bundle.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(bundle);
    }
}

impl Authority {
    /// An agent under the bundle that ships.
    ///
    /// # Errors
    /// Never: a test holds that it is valid.
    pub fn shipped(agent: AgentId) -> Result<Self, Vec<bundle::BundleError>> {
        let policies = Arc::new(Policies::shipped()?);
        Ok(Self { agent, policies })
    }
}

impl Permit {
    fn nothing(lease: &Lease, bundle: &Bundle) -> Self {
        Self {
            delegation: lease.delegation,
            lending: Vec::new(),
            class: Class::Read,
            policies: Vec::new(),
            revision: bundle.revision().clone(),
        }
    }

    /// The delegation that covers it; the first one where several do.
    #[must_use]
    pub const fn delegation(&self) -> DelegationId {
        self.delegation
    }

    /// What kind of act it is.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Ids of the policies that permit it, and of those that a person answered.
    #[must_use]
    pub fn policies(&self) -> &[String] {
        &self.policies
    }

    /// Revision of the bundle that was asked.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The leases whose cookies may go along: all that cover the request as one
    /// of their own origins. Empty for connections and listed sub-resources.
    #[must_use]
    pub fn lending(&self) -> &[Arc<Lease>] {
        &self.lending
    }
}

#[cfg(test)]
mod tests;
