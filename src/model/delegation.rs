//! What a person grants: agent, purpose, cookies, scope and window; and its
//! life from request to end. The one state machine for windows.
//!
//! ```text
//! requested ──approve──▶ approved (window pending → open) ──▶ closed
//!     └────────deny / lapse─────────────────────────────────────▲
//! ```
//! Time is an argument. A window ends at its wall-clock end or when its granted
//! length has passed on the boot clock, whichever comes first: no setting of a
//! clock lengthens it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    id::{AgentId, CredentialId, DelegationId, PersonId},
    scope::{Scope, ScopeError},
    time::{BootTime, Now, Timestamp},
};

/// How a cookie reaches the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// Added to each allowed request; the browser never holds it.
    #[default]
    Wire,
    /// Put into the context's jar: reaches sockets, and scripts if not `HttpOnly`.
    Jar,
}

/// One cookie of a delegation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LentCredential {
    /// Which one.
    pub credential: CredentialId,
    /// How it reaches the site.
    #[serde(default)]
    pub delivery: Delivery,
}

/// Wall-clock time in which a delegation is live: from `start`, before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// First moment inside.
    pub start: Timestamp,
    /// First moment outside.
    pub end: Timestamp,
}

/// What was asked for, or what was granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Where, which paths, which methods.
    pub scope: Scope,
    /// When.
    pub window: Window,
    /// Which cookies.
    pub credentials: Vec<LentCredential>,
}

/// Why a delegation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CloseReason {
    /// A person said no.
    Denied,
    /// The window's time is over, or nobody answered in time.
    Expired,
    /// The lender or an administrator took it back.
    Revoked,
    /// The agent's task is done.
    Completed,
    /// A budget is used up.
    Exhausted,
    /// A lock on its agent, person or origin.
    Locked,
}

impl CloseReason {
    /// As records name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Completed => "completed",
            Self::Exhausted => "exhausted",
            Self::Locked => "locked",
        }
    }
}

/// Where a delegation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "status", deny_unknown_fields)]
pub enum State {
    /// Waits for a person.
    Requested,
    /// A person agreed; live while the window is.
    Approved {
        /// Who agreed.
        approver: PersonId,
        /// To what: never more than was requested.
        granted: Terms,
        /// When, on both clocks.
        approved_at: Timestamp,
        /// The boot clock at approval.
        approved_boot: BootTime,
        /// Which boot of which machine that clock belongs to.
        boot_id: String,
    },
    /// Over for good.
    Closed {
        /// Why.
        reason: CloseReason,
        /// When.
        at: Timestamp,
        /// Who agreed, if anybody had.
        approver: Option<PersonId>,
        /// To what.
        granted: Option<Terms>,
    },
}

/// What a person grants an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// Its name.
    pub id: DelegationId,
    /// Who may use it.
    pub agent: AgentId,
    /// Whose session it is.
    pub lender: PersonId,
    /// What for, in the requester's words.
    pub purpose: String,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// What was asked for.
    pub requested: Terms,
    /// Where it stands.
    pub state: State,
}

/// Something that happens to a delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A person agrees, narrowing if they like.
    Approve {
        /// Who.
        approver: PersonId,
        /// To what.
        granted: Box<Terms>,
        /// Which boot the boot clock counts from.
        boot_id: String,
    },
    /// It ends; legal at any time before the end.
    Close(CloseReason),
}

/// What the operator allows at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest window.
    pub window: Duration,
}

/// Why an event was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// It already ended.
    #[error("the delegation is closed ({reason:?}) since {at}; ask for a new one")]
    Closed {
        /// Why it ended.
        reason: CloseReason,
        /// When.
        at: Timestamp,
    },
    /// It was already approved.
    #[error("the delegation is already approved; a window is never extended, ask for a new one")]
    AlreadyApproved,
    /// The window is no window.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// The grant is wider than the request, or empty.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The grant lends a cookie, or a delivery, that was not asked for.
    #[error("the grant lends {0}, which was not requested")]
    Credential(CredentialId),
    /// The grant's window reaches outside the requested one.
    #[error("the granted window reaches outside the requested one")]
    WindowWider,
}

/// Why a window is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Ends before it starts.
    #[error("the window ends ({end}) before it starts ({start})")]
    Backwards {
        /// Start.
        start: Timestamp,
        /// End.
        end: Timestamp,
    },
    /// Longer than the operator allows.
    #[error("the window is {asked:?} long; at most {cap:?} is allowed")]
    TooLong {
        /// Its length.
        asked: Duration,
        /// The longest allowed.
        cap: Duration,
    },
    /// Already over.
    #[error("the window ended at {end}, which is past")]
    Past {
        /// Its end.
        end: Timestamp,
    },
}

// === impl Window ===

impl Window {
    /// Refuses a window that runs backwards, is longer than the cap or is over.
    ///
    /// # Errors
    /// See [`WindowError`].
    pub fn validate(&self, limits: Limits, now: Timestamp) -> Result<(), WindowError> {
        let Self { start, end } = *self;
        if end <= start {
            return Err(WindowError::Backwards { start, end });
        }
        let asked = start.until(end);
        if asked > limits.window {
            return Err(WindowError::TooLong {
                asked,
                cap: limits.window,
            });
        }
        if end <= now {
            return Err(WindowError::Past { end });
        }
        Ok(())
    }
}

// === impl Delegation ===

impl Delegation {
    /// Applies an event, or says why it is refused; a refused event changes nothing.
    ///
    /// # Errors
    /// See [`TransitionError`].
    pub fn apply(&mut self, event: Event, limits: Limits, now: Now) -> Result<(), TransitionError> {
        if let State::Closed { reason, at, .. } = self.state {
            return Err(TransitionError::Closed { reason, at });
        }
        self.state = match event {
            Event::Approve {
                approver,
                granted,
                boot_id,
            } => {
                if matches!(self.state, State::Approved { .. }) {
                    return Err(TransitionError::AlreadyApproved);
                }
                self.check_grant(&granted, limits, now)?;
                State::Approved {
                    approver,
                    granted: *granted,
                    approved_at: now.wall,
                    approved_boot: now.boot,
                    boot_id,
                }
            }
            Event::Close(reason) => {
                let (approver, granted) = match &self.state {
                    State::Approved {
                        approver, granted, ..
                    } => (Some(*approver), Some(granted.clone())),
                    State::Requested | State::Closed { .. } => (None, None),
                };
                State::Closed {
                    reason,
                    at: now.wall,
                    approver,
                    granted,
                }
            }
        };
        Ok(())
    }

    /// The live span, if a person agreed and it has not ended: what a lease is
    /// made of. `boot_id` names the boot that `now.boot` counts from; after a
    /// reboot nothing approved before is live.
    #[must_use]
    pub fn live(&self, boot_id: &str) -> Option<LiveWindow> {
        match &self.state {
            State::Approved {
                granted,
                approved_at,
                approved_boot,
                boot_id: approved_in,
                ..
            } if approved_in == boot_id => Some(LiveWindow {
                window: granted.window,
                opens: approved_boot.saturating_add(approved_at.until(granted.window.start)),
                closes: approved_boot.saturating_add(approved_at.until(granted.window.end)),
            }),
            _ => None,
        }
    }

    /// Whether an approved window is over, or a request waited past the end of
    /// the window it asked for, so that [`CloseReason::Expired`] is due.
    #[must_use]
    pub fn is_due(&self, boot_id: &str, now: Now) -> bool {
        match &self.state {
            State::Requested => now.wall >= self.requested.window.end,
            State::Approved { .. } => self.live(boot_id).is_none_or(|live| live.has_ended(now)),
            State::Closed { .. } => false,
        }
    }

    fn check_grant(
        &self,
        granted: &Terms,
        limits: Limits,
        now: Now,
    ) -> Result<(), TransitionError> {
        granted.window.validate(limits, now.wall)?;
        let asked = &self.requested.window;
        if granted.window.start < asked.start || granted.window.end > asked.end {
            return Err(TransitionError::WindowWider);
        }
        self.requested.scope.check_narrowed(&granted.scope)?;
        match granted
            .credentials
            .iter()
            .find(|lent| !self.requested.credentials.contains(lent))
        {
            Some(lent) => Err(TransitionError::Credential(lent.credential)),
            None => Ok(()),
        }
    }
}

/// An approved window on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveWindow {
    /// On the wall clock.
    pub window: Window,
    /// Not open before this, on the boot clock.
    pub opens: BootTime,
    /// Not open from this on, on the boot clock.
    pub closes: BootTime,
}

impl LiveWindow {
    /// Whether both clocks are inside.
    #[must_use]
    pub fn is_open(&self, now: Now) -> bool {
        now.wall >= self.window.start && now.boot >= self.opens && !self.has_ended(now)
    }

    /// Whether either clock is past the end.
    #[must_use]
    pub fn has_ended(&self, now: Now) -> bool {
        now.wall >= self.window.end || now.boot >= self.closes
    }

    /// Time left by whichever clock leaves less.
    #[must_use]
    pub fn left(&self, now: Now) -> Duration {
        now.wall
            .until(self.window.end)
            .min(now.boot.until(self.closes))
    }
}

#[cfg(test)]
mod tests;
