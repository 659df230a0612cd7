//! Who holds a token.

use super::{Answer, CallError, Caller, Service};
use crate::vault::token::{Token, TokenKind};

impl Service {
    /// Who holds this token: the operator by the operator token, an agent by
    /// its key. A session's token opens that session's endpoint and nothing here.
    ///
    /// # Errors
    /// [`CallError::Unauthenticated`].
    pub async fn authenticate(&self, bearer: &str) -> Answer<Caller> {
        let token = Token::parse(bearer).map_err(|_| CallError::Unauthenticated)?;
        match token.kind() {
            TokenKind::Operator if token.hash() == self.operator_token => {
                Ok(Caller::Person { id: self.operator })
            }
            TokenKind::Agent => {
                let hash = token.hash();
                let agent = self.store.agent_by_key(hash.as_bytes()).await?;
                agent
                    .filter(|agent| agent.disabled_at.is_none())
                    .map(|agent| Caller::Agent { id: agent.id })
                    .ok_or(CallError::Unauthenticated)
            }
            TokenKind::Operator | TokenKind::Session => Err(CallError::Unauthenticated),
        }
    }
}
