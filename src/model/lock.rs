//! A lock: a stop on an agent, a person or an origin. It closes what is open and
//! refuses what is new until it is lifted.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    id::{AgentId, LockId, PersonId},
    origin::OriginPattern,
    scope::Scope,
    time::Timestamp,
};

/// What is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Subject {
    /// Everything of an agent: its windows and its sessions.
    Agent(AgentId),
    /// Everything that a person lends.
    Person(PersonId),
    /// Every window that reaches an origin.
    Origin(OriginPattern),
}

/// A stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Its name.
    pub id: LockId,
    /// What is stopped.
    pub subject: Subject,
    /// Why, in the words of who set it.
    pub reason: String,
    /// Who set it.
    pub set_by: PersonId,
    /// When.
    pub set_at: Timestamp,
    /// Who lifted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_by: Option<PersonId>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_at: Option<Timestamp>,
}

impl Subject {
    /// Whether it stops what this agent is lent by that person in that scope.
    #[must_use]
    pub fn stops(&self, agent: AgentId, lender: PersonId, scope: &Scope) -> bool {
        match self {
            Self::Agent(id) => *id == agent,
            Self::Person(id) => *id == lender,
            Self::Origin(origin) => scope.reaches(origin),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(id) => write!(f, "agent {id}"),
            Self::Person(id) => write!(f, "person {id}"),
            Self::Origin(origin) => write!(f, "origin {origin}"),
        }
    }
}
