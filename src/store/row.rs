//! What the store keeps, as values.

use serde::{Deserialize, Serialize};

use crate::model::{
    cookie::CookieAttributes,
    delegation::{Delegation, Delivery},
    id::{AgentId, CredentialId, DelegationId, PersonId, SessionId, TraceId},
    origin::Origin,
    time::Timestamp,
};
use crate::trace::chain::Head;

/// An agent, without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Id.
    pub id: AgentId,
    /// Unique name.
    pub name: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was disabled, if it was; for good.
    pub disabled_at: Option<Timestamp>,
}

/// A credential, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialInfo {
    /// Id; stays the same when a new value comes.
    pub id: CredentialId,
    /// Whose it is.
    pub person: PersonId,
    /// Everything about the cookie but its value.
    pub cookie: CookieAttributes,
    /// Counts the values it has had, from 1.
    pub version: u32,
    /// Whether the site has taken the cookie away; it cannot be lent then.
    pub cleared: bool,
    /// When it was first imported.
    pub created_at: Timestamp,
    /// When its value or attributes last changed.
    pub updated_at: Timestamp,
}

/// A credential with its sealed value; `None` once the site took it away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCredential {
    /// All but the value.
    pub info: CredentialInfo,
    /// The value, sealed for this id and version.
    pub sealed: Option<Vec<u8>>,
}

/// A cookie by what a site calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedCookie {
    /// Name, as sent.
    pub name: String,
    /// Where it would be sent; must lie in the scope.
    pub origin: Origin,
    /// How it reaches the site.
    #[serde(default)]
    pub delivery: Delivery,
}

/// A delegation as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDelegation {
    /// What was requested and granted, and where it stands.
    pub delegation: Delegation,
    /// Cookies asked for by name that approval has yet to look up.
    pub wanted: Vec<NamedCookie>,
    /// Counts its changes; a change names the one it was made from.
    pub revision: u64,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionStatus {
    /// Its browser context is being made.
    Starting,
    /// Its agent can connect.
    Running,
    /// Over for good.
    Ended,
}

/// A session as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSession {
    /// Id.
    pub id: SessionId,
    /// For whom.
    pub agent: AgentId,
    /// Its trace.
    pub trace: TraceId,
    /// Where it stands.
    pub status: SessionStatus,
    /// The delegations that it was started with.
    pub delegations: Vec<DelegationId>,
    /// When it was asked for.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    pub reason: Option<String>,
}

/// What a trace is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceKind {
    /// One session.
    Session,
    /// One run of the broker: who called what.
    Broker,
}

/// A trace as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredTrace {
    /// Id.
    pub id: TraceId,
    /// What about.
    pub kind: TraceKind,
    /// Its session, if it is one's.
    pub session: Option<SessionId>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ended; absent while it grows.
    pub ended_at: Option<Timestamp>,
    /// How far it has come, as last stored apart from the trace itself.
    pub head: Head,
}

// === impl SessionStatus ===

impl SessionStatus {
    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Ended => "ended",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Starting, Self::Running, Self::Ended]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

// === impl TraceKind ===

impl TraceKind {
    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Broker => "broker",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Session, Self::Broker]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}
