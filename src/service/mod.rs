//! The use cases: authenticate → decide → store → act.
//!
//! Every method takes a [`Caller`], checks what that caller may do, and puts
//! who called on record in the broker's own trace. Surfaces (HTTP, CLI) hold no
//! rules of their own.

mod call;
mod view;

use std::{net::SocketAddr, sync::Arc};

pub use call::{CallError, Caller};
pub use view::{
    AgentRef, CookieLabel, CookieRef, DelegationFilter, DelegationInfo, ImportReport, Narrow,
    NewDelegation, Phase, RefusedCookie, SessionInfo, StartedSession, TraceVerdict, WindowAsk,
};

pub use crate::store::{Agent, CredentialInfo, NamedCookie, SessionStatus, TraceInfo, TraceKind};

use crate::{
    config::Config,
    model::{
        id::{AgentId, CredentialId, DelegationId, PersonId, SessionId, TraceId},
        secret::Secret,
    },
    session::{SessionEvents, Sessions},
};

type Answer<T> = Result<T, CallError>;

/// Why the broker cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Placeholder until the parts are in.
    #[error("{0}")]
    Other(String),
}

/// The use cases. One for a data folder; shared by every surface.
#[derive(Debug)]
pub struct Service {
    config: Config,
}

impl Service {
    /// Opens the data folder, making what is missing, and settles what an
    /// earlier broker left: its sessions are ended, what is due is closed.
    ///
    /// # Errors
    /// See [`OpenError`].
    #[allow(clippy::unused_async, reason = "body follows")]
    pub async fn open(
        config: Config,
        sessions: Arc<Sessions>,
        events: SessionEvents,
    ) -> Result<Arc<Self>, OpenError> {
        let _ = (sessions, events);
        Ok(Arc::new(Self { config }))
    }

    /// What it was opened with.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The running sessions, for the CDP endpoint.
    #[must_use]
    pub fn sessions(&self) -> &Arc<Sessions> {
        todo!()
    }

    /// Tells where the broker listens, once the port is bound; URLs of sessions
    /// are made of it unless `public_url` is configured.
    pub fn listening_on(&self, address: SocketAddr) {
        let _ = address;
    }

    /// The person that the operator token stands for.
    #[must_use]
    pub fn operator(&self) -> PersonId {
        todo!()
    }

    /// Does what is due, over and over, until [`Service::shutdown`]: expires
    /// delegations, ends sessions without a live window, stores trace heads,
    /// takes in what sessions tell.
    pub async fn run_reconciler(self: Arc<Self>) {}

    /// One round of what [`Service::run_reconciler`] does.
    ///
    /// # Errors
    /// The store or the trace does not accept writes.
    pub async fn reconcile(&self) -> Answer<()> {
        todo!()
    }

    /// Ends every session and the broker's trace. Delegations stay.
    pub async fn shutdown(&self) {}

    /// Whether the broker can take calls: the store answers and the trace takes
    /// records. The error says which does not.
    ///
    /// # Errors
    /// [`CallError::Unavailable`].
    pub async fn ready(&self) -> Answer<()> {
        todo!()
    }

    /// Who holds this token.
    ///
    /// # Errors
    /// [`CallError::Unauthenticated`].
    pub async fn authenticate(&self, bearer: &str) -> Answer<Caller> {
        todo!("{bearer}")
    }

    /// Puts a call on record that was refused before it reached a method here.
    ///
    /// # Errors
    /// The trace does not accept records.
    pub async fn call_refused(
        &self,
        caller: Option<Caller>,
        route: &str,
        error: &CallError,
    ) -> Answer<()> {
        todo!("{caller:?} {route} {error}")
    }

    /// Adds an agent and makes its key, which is told this once. Persons only.
    ///
    /// # Errors
    /// [`CallError::Invalid`] name, [`CallError::Conflict`] when it is taken.
    pub async fn agent_add(&self, caller: Caller, name: &str) -> Answer<(Agent, Secret)> {
        todo!("{caller:?} {name}")
    }

    /// Every agent, disabled ones too. Persons only.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn agent_list(&self, caller: Caller) -> Answer<Vec<Agent>> {
        todo!("{caller:?}")
    }

    /// Disables an agent for good: its key stops working, its delegations are
    /// closed and its sessions ended. Persons only; once more is no error.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn agent_disable(&self, caller: Caller, agent: &AgentRef) -> Answer<Agent> {
        todo!("{caller:?} {agent}")
    }

    /// Seals cookies of a file into the vault, for the calling person.
    /// `format` is `cookies.txt`, `storage-state` or `extension`.
    ///
    /// # Errors
    /// [`CallError::Invalid`] when the file as a whole cannot be read; single
    /// cookies that cannot be lent are in the report.
    pub async fn credential_import(
        &self,
        caller: Caller,
        format: &str,
        bytes: &[u8],
    ) -> Answer<ImportReport> {
        todo!("{caller:?} {format} {}", bytes.len())
    }

    /// The calling person's credentials, without their values.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn credential_list(&self, caller: Caller) -> Answer<Vec<CredentialInfo>> {
        todo!("{caller:?}")
    }

    /// Removes a credential and revokes the delegations that lend it.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn credential_remove(&self, caller: Caller, id: CredentialId) -> Answer<()> {
        todo!("{caller:?} {id}")
    }

    /// Asks for a delegation. An agent asks for itself and names cookies by
    /// name and origin, which are looked up at approval only.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegation_request(
        &self,
        caller: Caller,
        new: NewDelegation,
    ) -> Answer<DelegationInfo> {
        todo!("{caller:?} {new:?}")
    }

    /// Agrees, narrowing if wanted. The lender only.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegation_approve(
        &self,
        caller: Caller,
        id: DelegationId,
        narrow: Option<Narrow>,
    ) -> Answer<DelegationInfo> {
        todo!("{caller:?} {id} {narrow:?}")
    }

    /// Says no to a request. Persons only.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegation_deny(
        &self,
        caller: Caller,
        id: DelegationId,
    ) -> Answer<DelegationInfo> {
        todo!("{caller:?} {id}")
    }

    /// Takes a delegation back; when this answers, no request with its
    /// credentials can leave any more. Persons only; once more is no error.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegation_revoke(
        &self,
        caller: Caller,
        id: DelegationId,
    ) -> Answer<DelegationInfo> {
        todo!("{caller:?} {id}")
    }

    /// Closes a delegation because its task is done. Its agent, or a person.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegation_complete(
        &self,
        caller: Caller,
        id: DelegationId,
    ) -> Answer<DelegationInfo> {
        todo!("{caller:?} {id}")
    }

    /// Delegations, newest first; an agent sees its own.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegation_list(
        &self,
        caller: Caller,
        filter: &DelegationFilter,
    ) -> Answer<Vec<DelegationInfo>> {
        todo!("{caller:?} {filter:?}")
    }

    /// One delegation; an agent sees its own.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegation_show(
        &self,
        caller: Caller,
        id: DelegationId,
    ) -> Answer<DelegationInfo> {
        todo!("{caller:?} {id}")
    }

    /// Starts a session for an agent with approved delegations of its own; with
    /// none, nothing is in scope. `agent` may be absent for an agent's own call.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn session_start(
        &self,
        caller: Caller,
        agent: Option<&AgentRef>,
        delegations: &[DelegationId],
    ) -> Answer<StartedSession> {
        todo!("{caller:?} {agent:?} {delegations:?}")
    }

    /// Sessions, newest first; an agent sees its own.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn session_list(&self, caller: Caller) -> Answer<Vec<SessionInfo>> {
        todo!("{caller:?}")
    }

    /// One session; an agent sees its own.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn session_show(&self, caller: Caller, id: SessionId) -> Answer<SessionInfo> {
        todo!("{caller:?} {id}")
    }

    /// Ends a session. Its agent, or a person; once more is no error.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn session_end(&self, caller: Caller, id: SessionId) -> Answer<SessionInfo> {
        todo!("{caller:?} {id}")
    }

    /// Traces, newest first. Persons only.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn trace_list(&self, caller: Caller) -> Answer<Vec<TraceInfo>> {
        todo!("{caller:?}")
    }

    /// The records of a trace in order, as JSON objects. Persons only.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn trace_records(
        &self,
        caller: Caller,
        id: TraceId,
    ) -> Answer<Vec<serde_json::Value>> {
        todo!("{caller:?} {id}")
    }

    /// Verifies a trace against itself and against the stored head. Persons only.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn trace_verify(&self, caller: Caller, id: TraceId) -> Answer<TraceVerdict> {
        todo!("{caller:?} {id}")
    }

    #[allow(dead_code, reason = "body follows")]
    async fn agent_named(&self, agent: &AgentRef) -> Answer<AgentId> {
        todo!("{agent}")
    }
}
