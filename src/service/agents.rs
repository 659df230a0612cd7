//! Agents: adding, listing, disabling.

use super::{Agent, AgentRef, Answer, CallError, Caller, Service, ask, person};
use crate::{
    model::{delegation::CloseReason, id::AgentId, secret::Secret},
    random::random_uuid_v7,
    vault::token::{Token, TokenKind},
};

impl Service {
    /// Adds an agent and makes its key, which is told this once. Persons only.
    ///
    /// # Errors
    /// [`CallError::Invalid`] name, [`CallError::Conflict`] when it is taken.
    pub async fn agent_add(&self, caller: Caller, name: &str) -> Answer<(Agent, Secret)> {
        self.noted(caller, "agent add", async {
            person(caller)?;
            ask::check_name(name)?;
            let key = Token::draw(TokenKind::Agent)?;
            let agent = Agent {
                id: AgentId::from_uuid(random_uuid_v7()?),
                name: name.to_owned(),
                created_at: self.now().wall,
                disabled_at: None,
            };
            if self.store.agent_by_name(name).await?.is_some() {
                return Err(taken(name));
            }
            self.registry(caller, "agent-added", &agent.id, name)
                .await?;
            let hash = key.hash();
            if !self.store.agent_insert(&agent, hash.as_bytes()).await? {
                return Err(taken(name));
            }
            Ok((agent, Secret::new(key.expose().to_owned())))
        })
        .await
    }

    /// Every agent, disabled ones too. Persons only.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn agent_list(&self, caller: Caller) -> Answer<Vec<Agent>> {
        self.noted(caller, "agent list", async {
            person(caller)?;
            Ok(self.store.agent_list().await?)
        })
        .await
    }

    /// Disables an agent for good: its key stops working, its delegations are
    /// closed and its sessions ended. Persons only; once more is no error.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn agent_disable(&self, caller: Caller, agent: &AgentRef) -> Answer<Agent> {
        self.noted(caller, "agent disable", async {
            person(caller)?;
            let agent = self.agent_known(agent).await?;
            self.store.agent_disable(agent.id, self.now().wall).await?;
            self.registry(caller, "agent-disabled", &agent.id, &agent.name)
                .await?;
            for stored in self.store.delegation_unclosed().await? {
                if stored.delegation.agent == agent.id {
                    self.close(caller.into(), stored.delegation.id, CloseReason::Revoked)
                        .await?;
                }
            }
            for session in self.store.session_unended().await? {
                if session.agent == agent.id {
                    self.end_session(session.id, "its agent was disabled")
                        .await?;
                }
            }
            self.agent_known(&agent.id.into()).await
        })
        .await
    }
}

fn taken(name: &str) -> CallError {
    CallError::Conflict(format!(
        "there is an agent `{name}` already; choose another name (a disabled agent keeps its name)"
    ))
}
