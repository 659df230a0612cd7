//! The use cases: authenticate → decide → store → act.
//!
//! Every method takes a [`Caller`], checks what that caller may do, and puts
//! what was done, and by whom, on record in the broker's own trace. Surfaces
//! (HTTP, command line) hold no rules of their own.

mod agents;
mod approvals;
mod ask;
mod call;
mod closing;
mod credentials;
mod delegations;
mod files;
mod holds;
mod identity;
mod leases;
mod ledger;
mod locks;
mod open;
mod policies;
mod reconciler;
mod second_system;
mod sessions;
mod showing;
mod traces;
mod view;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use call::{CallError, Caller};
pub use holds::Answered;
pub use locks::NewLock;
pub use open::{OpenError, Time};
pub use view::{
    AgentRef, CookieLabel, CookieRef, DelegationFilter, DelegationInfo, ImportReport, Narrow,
    NewDelegation, Phase, RefusedCookie, SessionInfo, SharedSession, StartedSession, TraceInfo,
    TraceVerdict, WindowAsk,
};

pub use crate::store::{Agent, CredentialInfo, NamedCookie, SessionStatus, TraceKind};

use crate::{
    config::Config,
    model::{
        id::{AgentId, PersonId},
        time::Now,
    },
    session::{SessionEvents, Sessions},
    store::{DataDir, Store},
    trace::record::{Actor, Event},
    vault::{Vault, token::TokenHash},
};
use leases::Lending;
use ledger::Ledger;

type Answer<T> = Result<T, CallError>;

/// The use cases. One for a data folder; shared by every surface.
pub struct Service {
    config: Config,
    // Held until the end: no other broker may use the folder.
    _dir: DataDir,
    store: Store,
    vault: Vault,
    ledger: Ledger,
    sessions: Arc<Sessions>,
    lending: Lending,
    locks: locks::Locks,
    operator: PersonId,
    operator_token: TokenHash,
    time: Time,
    address: OnceLock<SocketAddr>,
    /// Wakes the reconciler before its time.
    due: Notify,
    stop: CancellationToken,
    events: tokio::sync::Mutex<SessionEvents>,
    /// One session at a time is counted against the limit and added.
    admission: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("data_dir", &self.config.data_dir)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// What it was opened with.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The running sessions, for the CDP endpoint.
    #[must_use]
    pub const fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// The person that the operator token stands for.
    #[must_use]
    pub const fn operator(&self) -> PersonId {
        self.operator
    }

    /// Tells where the broker listens, once the port is bound; URLs of sessions
    /// are made of it unless `public_url` is configured. The first address stays.
    pub fn listening_on(&self, address: SocketAddr) {
        self.address.get_or_init(|| address);
    }

    /// Whether the broker can take calls: the store answers and the trace takes
    /// records.
    ///
    /// # Errors
    /// [`CallError::Unavailable`] says which does not.
    pub async fn ready(&self) -> Answer<()> {
        self.store.ping().await?;
        self.ledger.check()
    }

    /// Puts a call on record that was refused before it reached a method here,
    /// such as one without a known token or with an unreadable body. `route` is
    /// method and route pattern, never what a caller wrote.
    ///
    /// # Errors
    /// The trace does not accept records.
    pub async fn call_refused(
        &self,
        caller: Option<Caller>,
        route: &str,
        error: &CallError,
    ) -> Answer<()> {
        std::future::ready(self.note_refused(caller, route, error)).await
    }

    // Every use case goes through here: a refusal is on record, whatever made it.
    async fn noted<T>(
        &self,
        caller: Caller,
        call: &'static str,
        work: impl Future<Output = Answer<T>>,
    ) -> Answer<T> {
        let answer = work.await;
        if let Err(error) = &answer {
            self.note_refused(Some(caller), call, error)?;
        }
        answer
    }

    fn note_refused(&self, caller: Option<Caller>, route: &str, error: &CallError) -> Answer<()> {
        let event = Event::CallRefused {
            route: route.to_owned(),
            reason: format!("{}: {error}", error.kind()),
        };
        let actor = caller.map_or(Actor::Broker, Actor::from);
        self.ledger.note(self.now().wall, actor, event)
    }

    async fn registry(
        &self,
        actor: impl Into<Actor>,
        what: &str,
        id: &impl ToString,
        detail: &str,
    ) -> Answer<()> {
        let event = Event::Registry {
            what: what.to_owned(),
            id: id.to_string(),
            detail: detail.to_owned(),
        };
        self.ledger
            .record(self.now().wall, actor.into(), event)
            .await
    }

    fn now(&self) -> Now {
        (self.time.now)()
    }

    async fn agent_known(&self, agent: &AgentRef) -> Answer<Agent> {
        let found = match agent {
            AgentRef::Id(id) => self.store.agent_get(*id).await?,
            AgentRef::Name(name) => self.store.agent_by_name(name).await?,
        };
        found.ok_or_else(|| CallError::not_found("agent", agent))
    }
}

// === who may do what ===

const PERSONS_ONLY: &str =
    "only a person may do that; an agent's key cannot, so ask the person whose session it is";

fn person(caller: Caller) -> Answer<PersonId> {
    match caller {
        Caller::Person { id } => Ok(id),
        Caller::Agent { .. } => Err(CallError::Forbidden(PERSONS_ONLY)),
    }
}

// What belongs to an agent does not exist for another one.
fn may_see(caller: Caller, agent: AgentId) -> bool {
    match caller {
        Caller::Person { .. } => true,
        Caller::Agent { id } => id == agent,
    }
}

#[cfg(test)]
mod tests;
