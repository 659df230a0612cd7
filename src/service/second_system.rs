//! A second system that an agent ran into, and hosts that its pages need, become
//! authorization requests of their own, bound to the session: a person grants them,
//! narrows them, or does not.

use std::collections::BTreeSet;

use super::{Answer, CallError, Caller, NewDelegation, Service, WindowAsk};
use crate::{
    model::{id::SessionId, origin::Origin, scope::Scope},
    session::{Encounter, Proposal},
    store::SessionStatus,
};

impl Service {
    /// Asks for a window of reading on the other system, in the agent's name; nothing
    /// is lent in it, since the agent may not know what the lender has there.
    pub(super) async fn ask_for_second_system(
        &self,
        session: SessionId,
        encounter: &Encounter,
    ) -> Answer<()> {
        let from = encounter.page.as_deref().unwrap_or("the agent itself");
        let by = encounter.cause.as_deref().unwrap_or("the page");
        let purpose = format!(
            "second system: {from} led to {} (by {by}) in {session}",
            encounter.url
        );
        let scope = Scope::reading(vec![encounter.origin.clone().into()]);
        self.ask_bound(session, &purpose, scope).await
    }

    /// Asks for hosts that pages need, so that a person need not know them by heart.
    pub(super) async fn propose(&self, session: SessionId, proposal: Proposal) -> Answer<()> {
        let named = |origins: &BTreeSet<Origin>| {
            let texts: Vec<String> = origins.iter().map(ToString::to_string).collect();
            texts.join(", ")
        };
        let mut wants = Vec::new();
        if !proposal.load.is_empty() {
            wants.push(format!("load from {}", named(&proposal.load)));
        }
        if !proposal.connect.is_empty() {
            wants.push(format!("connect to {}", named(&proposal.connect)));
        }
        let purpose = format!(
            "proposed: pages of {} {} in {session}",
            named(&proposal.pages),
            wants.join(", and ")
        );
        let scope = Scope {
            load: proposal.load.into_iter().map(Into::into).collect(),
            connect: proposal.connect.into_iter().map(Into::into).collect(),
            ..Scope::reading(Vec::new())
        };
        self.ask_bound(session, &purpose, scope).await
    }

    /// An authorization request in the agent's name, bound to its session.
    async fn ask_bound(&self, session: SessionId, purpose: &str, scope: Scope) -> Answer<()> {
        let Some(known) = self.store.session_get(session).await? else {
            return Ok(());
        };
        if known.status == SessionStatus::Ended {
            return Ok(());
        }
        let agent = Caller::Agent { id: known.agent };
        let new = NewDelegation {
            agent: None,
            lender: None,
            purpose: purpose.chars().take(500).collect(),
            cookies: Vec::new(),
            scope,
            window: WindowAsk::default(),
        };
        let asked = match self.delegation_request(agent, new).await {
            Ok(asked) => asked,
            // Locked, disabled, or as many wait as may: it is on record in the trace.
            Err(CallError::Conflict(_) | CallError::Limit(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.session_bind(agent, session, asked.delegation.id)
            .await
            .map(drop)
    }
}
