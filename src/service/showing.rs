//! A delegation as its caller may see it.

use std::collections::{HashMap, hash_map::Entry};

use super::{Answer, CallError, Caller, CookieLabel, DelegationInfo, Phase, Service};
use crate::{
    model::{
        delegation::{Delegation, State},
        id::PersonId,
        time::Now,
    },
    store::{CredentialInfo, StoredDelegation},
};

impl Service {
    /// One delegation.
    pub(super) async fn shown(
        &self,
        caller: Caller,
        stored: StoredDelegation,
    ) -> Answer<DelegationInfo> {
        let id = stored.delegation.id;
        let mut views = self.delegation_views(caller, vec![stored]).await?;
        views
            .pop()
            .ok_or_else(|| CallError::not_found("delegation", &id))
    }

    /// Many.
    pub(super) async fn delegation_views(
        &self,
        caller: Caller,
        stored: Vec<StoredDelegation>,
    ) -> Answer<Vec<DelegationInfo>> {
        let mut agents = HashMap::new();
        let mut lenders: HashMap<PersonId, Vec<CredentialInfo>> = HashMap::new();
        let mut views = Vec::with_capacity(stored.len());
        for stored in stored {
            let delegation = stored.delegation;
            let (agent, lender) = (delegation.agent, delegation.lender);
            let agent_name = match agents.entry(agent) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.agent_known(&agent.into()).await?.name),
            };
            let known = match lenders.entry(lender) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.store.credential_list(lender).await?),
            };
            views.push(DelegationInfo {
                agent_name: agent_name.clone(),
                phase: phase(&delegation, &self.time.boot_id, self.now()),
                cookies: labels(caller, &delegation, known),
                delegation: for_caller(caller, delegation),
                wanted: stored.wanted,
                revision: stored.revision,
            });
        }
        Ok(views)
    }
}

fn phase(delegation: &Delegation, boot_id: &str, now: Now) -> Phase {
    match &delegation.state {
        State::Requested => Phase::Requested,
        State::Approved { .. } => match delegation.live(boot_id) {
            Some(live) if live.is_open(now) => Phase::Open,
            Some(live) if !live.has_ended(now) => Phase::Pending,
            _ => Phase::Closed,
        },
        State::Closed { .. } => Phase::Closed,
    }
}

// An agent is told which credentials are granted to it, not which there are.
fn for_caller(caller: Caller, mut delegation: Delegation) -> Delegation {
    if matches!(caller, Caller::Agent { .. }) {
        let granted = match &delegation.state {
            State::Approved { granted, .. } => granted.credentials.clone(),
            State::Closed { granted, .. } => granted
                .as_ref()
                .map(|granted| granted.credentials.clone())
                .unwrap_or_default(),
            State::Requested => Vec::new(),
        };
        delegation.requested.credentials = granted;
    }
    delegation
}

fn labels(caller: Caller, delegation: &Delegation, known: &[CredentialInfo]) -> Vec<CookieLabel> {
    let granted = match &delegation.state {
        State::Approved { granted, .. } => Some(granted),
        State::Closed { granted, .. } => granted.as_ref(),
        State::Requested => None,
    };
    let lent = match (granted, caller) {
        (Some(granted), _) => &granted.credentials,
        (None, Caller::Person { .. }) => &delegation.requested.credentials,
        (None, Caller::Agent { .. }) => return Vec::new(),
    };
    lent.iter()
        .filter_map(|lent| known.iter().find(|info| info.id == lent.credential))
        .map(|info| CookieLabel {
            credential: info.id,
            name: info.cookie.name.clone(),
            domain: info.cookie.domain.clone(),
        })
        .collect()
}
