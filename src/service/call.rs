//! Who calls, and why a call is refused.

use std::error::Error;

use crate::{
    model::{
        action::Refusal,
        delegation::TransitionError,
        id::{AgentId, PersonId},
    },
    random::RandomError,
    store::StoreError,
    vault::VaultError,
};

/// Who makes a call: known by the kind of token, never by what it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A person, by the operator token.
    Person {
        /// Who.
        id: PersonId,
    },
    /// An agent, by its key.
    Agent {
        /// Who.
        id: AgentId,
    },
}

/// Why a call was refused or failed. The message says what to do next and
/// holds no secret; it is fit to be sent to the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No token, or one that is not known.
    #[error(
        "the token is missing, unknown or of a disabled agent; send `Authorization: Bearer` with an agent's key or the operator token"
    )]
    Unauthenticated,
    /// The caller's kind may not do this at all.
    #[error("{0}")]
    Forbidden(&'static str),
    /// There is no such thing, or it is not the caller's to know of.
    #[error("there is no {what} `{id}`; list what there is to see the ids")]
    NotFound {
        /// `delegation`, `session`, …
        what: &'static str,
        /// As the caller named it.
        id: String,
    },
    /// Something in the call is not acceptable.
    #[error("`{field}`: {reason}")]
    Invalid {
        /// Path of the field, such as `scope.origins`.
        field: &'static str,
        /// Why, and what is allowed.
        reason: String,
    },
    /// The state it applies to does not allow it, or changed meanwhile.
    #[error("{0}")]
    Conflict(String),
    /// The policy refused it.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// A configured limit is reached.
    #[error("{0}")]
    Limit(String),
    /// A part of the broker does not work now; nothing was allowed.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of the broker; what it was is in its log only.
    #[error(
        "the broker failed and did nothing further; its log says why, under `{0}`; tell the operator"
    )]
    Internal(&'static str),
}

// === impl CallError ===

impl CallError {
    /// A name of the kind that stays the same between releases.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden(_) => "forbidden",
            Self::NotFound { .. } => "not-found",
            Self::Invalid { .. } => "invalid",
            Self::Conflict(_) => "conflict",
            Self::Refused(_) => "refused",
            Self::Limit(_) => "limit",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal",
        }
    }

    pub(crate) fn not_found(what: &'static str, id: &impl ToString) -> Self {
        Self::NotFound {
            what,
            id: id.to_string(),
        }
    }

    pub(crate) fn invalid(field: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Invalid {
            field,
            reason: reason.to_string(),
        }
    }
}

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> Self {
        let internal = report("store", &error);
        match error {
            StoreError::Row { .. } => internal,
            _ => Self::Unavailable(
                "the store does not answer, so nothing was allowed; tell the operator, or try again"
                    .to_owned(),
            ),
        }
    }
}

impl From<VaultError> for CallError {
    fn from(error: VaultError) -> Self {
        report("vault", &error)
    }
}

impl From<RandomError> for CallError {
    fn from(error: RandomError) -> Self {
        report("random", &error)
    }
}

impl From<TransitionError> for CallError {
    fn from(error: TransitionError) -> Self {
        match &error {
            TransitionError::Closed { .. } | TransitionError::AlreadyApproved => {
                Self::Conflict(error.to_string())
            }
            TransitionError::Window(_) | TransitionError::WindowWider => {
                Self::invalid("window", error)
            }
            TransitionError::Scope(_) => Self::invalid("scope", error),
            TransitionError::Credential(_) => Self::invalid("credentials", error),
        }
    }
}

/// Logs a fault with its causes; the caller is told its place alone.
pub(super) fn report(place: &'static str, error: &(dyn Error + 'static)) -> CallError {
    tracing::error!(place, error = chain(error), "a call failed");
    CallError::Internal(place)
}

/// An error with its causes, for persons and logs.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut chain = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        chain.push_str(": ");
        chain.push_str(&error.to_string());
        cause = error.source();
    }
    chain
}
