//! What calls take and what they answer, apart from the domain's own words.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    config::Span,
    model::{
        delegation::{Delegation, Delivery},
        id::{AgentId, CredentialId, DelegationId, PersonId, SessionId, TraceId},
        origin::Origin,
        scope::Scope,
        secret::Secret,
        time::Timestamp,
    },
    store::{CredentialInfo, NamedCookie, SessionStatus, TraceKind},
};

/// An agent as a call names it: by id or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentRef {
    /// By id.
    Id(AgentId),
    /// By name.
    Name(String),
}

/// A cookie that was not imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedCookie {
    /// Where in what was imported: a line or an entry, from 1.
    pub position: u64,
    /// Its name, if it could be read.
    pub name: Option<String>,
    /// Why it was refused.
    pub reason: String,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// New credentials, and new versions of known ones.
    pub imported: Vec<CredentialInfo>,
    /// Cookies that were left out, and why.
    pub refused: Vec<RefusedCookie>,
    /// What else the file holds that is never imported, such as local storage.
    #[serde(default)]
    pub left_out: Vec<String>,
}

/// A cookie as a request names it: `{credential, delivery?}` or
/// `{name, origin, delivery?}`. Agents use the second form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CookieRefFields", untagged)]
pub enum CookieRef {
    /// By credential id.
    Credential {
        /// Which.
        credential: CredentialId,
        /// How it reaches the site.
        delivery: Delivery,
    },
    /// By name and origin.
    Named(NamedCookie),
}

/// The window asked for. Given `end`, that is the end; given `duration`, it
/// counts from `start`; given neither, the configured default length does.
/// `start` is now where absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowAsk {
    /// First moment inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// First moment outside; not together with `duration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// Length, such as `15m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
}

/// A delegation to be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDelegation {
    /// Who may use it; an agent may leave it out and names itself at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentRef>,
    /// Whose session is lent; the operator's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lender: Option<PersonId>,
    /// What for, in the requester's words.
    pub purpose: String,
    /// What is to be lent.
    #[serde(default)]
    pub cookies: Vec<CookieRef>,
    /// Where.
    pub scope: Scope,
    /// When.
    #[serde(default)]
    pub window: WindowAsk,
}

/// What an approver takes away from a request; absent parts stay as requested.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Narrow {
    /// A scope inside the requested one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// A window inside the requested one; absent parts stay as requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowAsk>,
    /// The credentials to lend, out of the requested ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Vec<CredentialId>>,
}

/// Where a delegation stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Waits for a person.
    Requested,
    /// Approved; its window has not begun.
    Pending,
    /// Approved; its window is open.
    Open,
    /// Over for good.
    Closed,
}

/// A delegation as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegationInfo {
    /// The delegation: requested, granted and state.
    #[serde(flatten)]
    pub delegation: Delegation,
    /// Name of its agent.
    pub agent_name: String,
    /// Where it stands now.
    pub phase: Phase,
    /// Cookies asked for by name that approval has yet to look up.
    pub wanted: Vec<NamedCookie>,
    /// Names and domains of the credentials in it; for an agent, of granted
    /// ones only.
    pub cookies: Vec<CookieLabel>,
    /// Counts its changes.
    pub revision: u64,
}

/// What a credential is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CookieLabel {
    /// Id.
    pub credential: CredentialId,
    /// Cookie's name.
    pub name: String,
    /// Cookie's domain.
    pub domain: String,
}

/// Which delegations to list; absent means any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelegationFilter {
    /// Of this agent.
    #[serde(default)]
    pub agent: Option<AgentRef>,
    /// Standing there now.
    #[serde(default)]
    pub phase: Option<Phase>,
}

/// A session as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Id.
    pub id: SessionId,
    /// For whom.
    pub agent: AgentId,
    /// Name of its agent.
    pub agent_name: String,
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

/// A session that has just been started. The token is told this once.
#[derive(Debug, Clone)]
pub struct StartedSession {
    /// The session.
    pub session: SessionInfo,
    /// `ws://HOST/v1/sessions/ID/cdp`, without the token.
    pub cdp_url: String,
    /// `http://HOST/v1/sessions/ID`, for clients that discover.
    pub http_url: String,
    /// The session's token.
    pub token: Secret,
}

/// A way to look at a session. The token is told this once.
#[derive(Debug, Clone)]
pub struct SharedSession {
    /// `ws://HOST/v1/sessions/ID/cdp`, without the token.
    pub cdp_url: String,
    /// `http://HOST/v1/sessions/ID`, for clients that discover.
    pub http_url: String,
    /// The watcher's token.
    pub token: Secret,
}

/// A trace as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceInfo {
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
    /// Records known to be in it.
    pub records: u64,
    /// Hex hash over them, as last stored apart from the trace.
    pub head: String,
}

/// What verifying a trace found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceVerdict {
    /// Which.
    pub trace: TraceId,
    /// Whether it is whole and unaltered.
    pub intact: bool,
    /// Records read.
    pub records: u64,
    /// Hex hash over them.
    pub head: String,
    /// What is wrong with it; absent when intact.
    pub problem: Option<String>,
}

// === impl AgentRef ===

impl fmt::Display for AgentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => fmt::Display::fmt(id, f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for AgentRef {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text
            .parse()
            .map_or_else(|_| Self::Name(text.to_owned()), Self::Id))
    }
}

impl From<AgentId> for AgentRef {
    fn from(id: AgentId) -> Self {
        Self::Id(id)
    }
}

impl Serialize for AgentRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AgentRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Ok(agent) = String::deserialize(deserializer)?.parse();
        Ok(agent)
    }
}

// === impl CookieRef ===

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CookieRefFields {
    credential: Option<CredentialId>,
    name: Option<String>,
    origin: Option<Origin>,
    #[serde(default)]
    delivery: Delivery,
}

impl TryFrom<CookieRefFields> for CookieRef {
    type Error = &'static str;

    fn try_from(fields: CookieRefFields) -> Result<Self, Self::Error> {
        let delivery = fields.delivery;
        match (fields.credential, fields.name, fields.origin) {
            (Some(credential), None, None) => Ok(Self::Credential {
                credential,
                delivery,
            }),
            (None, Some(name), Some(origin)) => Ok(Self::Named(NamedCookie {
                name,
                origin,
                delivery,
            })),
            _ => Err("a cookie is named by `credential` alone, or by `name` and `origin` together"),
        }
    }
}
