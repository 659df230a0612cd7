//! The decision: an action, the session's leases, a reading of the clocks in;
//! a permit or a refusal out. Pure, and asked on every request and connection.

pub mod address;
pub mod decide;

use std::sync::Arc;

pub use decide::{decide_address, decide_connect, decide_connect_as, decide_request};

use crate::{
    broker::lease::Lease,
    model::{action::Refusal, id::DelegationId},
};

/// Proof that something was decided *allow*. Only deciding makes one; only with
/// one is anything forwarded, connected or a cookie added.
#[derive(Debug, Clone)]
#[must_use = "a permit that is not used leaves a request hanging"]
pub struct Permit {
    delegation: DelegationId,
    lending: Vec<Arc<Lease>>,
}

/// What was decided.
#[derive(Debug, Clone)]
pub enum Decision {
    /// It may go.
    Allow(Permit),
    /// It may not.
    Deny(Refusal),
}

impl Permit {
    /// The delegation that covers it; the first one where several do.
    #[must_use]
    pub const fn delegation(&self) -> DelegationId {
        self.delegation
    }

    /// The leases whose cookies may go along: all that cover the request as one
    /// of their own origins. Empty for connections and listed sub-resources.
    #[must_use]
    pub fn lending(&self) -> &[Arc<Lease>] {
        &self.lending
    }
}
