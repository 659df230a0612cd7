//! A second system that an agent ran into becomes an authorization request of its
//! own, bound to the session: a person grants it, narrows it, or does not.

use super::{Answer, CallError, Caller, NewDelegation, Service, WindowAsk};
use crate::{
    model::{id::SessionId, scope::Scope},
    session::Encounter,
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
        let Some(known) = self.store.session_get(session).await? else {
            return Ok(());
        };
        if known.status == SessionStatus::Ended {
            return Ok(());
        }
        let agent = Caller::Agent { id: known.agent };
        let from = encounter.page.as_deref().unwrap_or("the agent itself");
        let by = encounter.cause.as_deref().unwrap_or("the page");
        let purpose = format!(
            "second system: {from} led to {} (by {by}) in {session}",
            encounter.url
        );
        let new = NewDelegation {
            agent: None,
            lender: None,
            purpose: purpose.chars().take(500).collect(),
            cookies: Vec::new(),
            scope: Scope::reading(vec![encounter.origin.clone().into()]),
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
