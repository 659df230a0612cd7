//! Stand-in for the running sessions, until they are built: keeps leases and
//! answers as the real one will, without a browser.

use crate::config::Config;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::mpsc;

use crate::{
    broker::lease::{Lease, Leases},
    model::{
        cookie::CookieAttributes,
        delegation::CloseReason,
        id::{AgentId, CredentialId, DelegationId, SessionId},
        secret::Secret,
    },
    recorder::Recorder,
    vault::token::TokenHash,
};

/// What a session is started with.
#[derive(Debug)]
pub struct StartSession {
    /// Its id.
    pub session: SessionId,
    /// For whom.
    pub agent: AgentId,
    /// The windows that it begins with.
    pub leases: Vec<Arc<Lease>>,
    /// Its trace; the session writes the first and the last record.
    pub recorder: Recorder,
    /// What its agent connects with.
    pub token_hash: TokenHash,
}

/// Why a session did not start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SessionError(pub String);

/// What running sessions tell.
#[derive(Debug)]
pub enum SessionEvent {
    /// One ended, asked to or by itself.
    Ended {
        /// Which.
        session: SessionId,
        /// Why.
        reason: String,
    },
    /// A site set a lent cookie anew, or took it away (`None`).
    Rotated {
        /// Which.
        credential: CredentialId,
        /// The new value.
        value: Option<Secret>,
        /// The new attributes.
        attributes: CookieAttributes,
    },
}

/// Where running sessions tell what happens.
pub type SessionEvents = mpsc::UnboundedReceiver<SessionEvent>;

/// The running sessions.
#[derive(Debug)]
pub struct Sessions {
    running: Mutex<HashMap<SessionId, Leases>>,
    events: mpsc::UnboundedSender<SessionEvent>,
}

impl Sessions {
    /// No session yet.
    #[must_use]
    pub fn new(_config: &Config) -> (Arc<Self>, SessionEvents) {
        let (events, receiver) = mpsc::unbounded_channel();
        let sessions = Self {
            running: Mutex::default(),
            events,
        };
        (Arc::new(sessions), receiver)
    }

    /// Starts one.
    ///
    /// # Errors
    /// No browser, or it did not start.
    #[allow(clippy::unused_async, reason = "the real one waits for a browser")]
    pub async fn start(&self, start: StartSession) -> Result<(), SessionError> {
        let leases = Leases::default();
        for lease in start.leases {
            leases.add(lease);
        }
        self.running().insert(start.session, leases);
        Ok(())
    }

    /// Ends one; answers whether it was running.
    #[allow(clippy::unused_async, reason = "the real one waits for a browser")]
    pub async fn end(&self, session: SessionId, reason: &str) -> bool {
        let was_running = self.running().remove(&session).is_some();
        if was_running {
            let reason = reason.to_owned();
            drop(self.events.send(SessionEvent::Ended { session, reason }));
        }
        was_running
    }

    /// Closes a delegation's leases in every session; answers how many. When it
    /// answers, no request with its credentials can leave any more.
    #[allow(clippy::unused_async, reason = "the real one waits for a browser")]
    pub async fn close_delegation(&self, delegation: DelegationId, reason: CloseReason) -> usize {
        let mut closed = 0;
        for leases in self.running().values() {
            leases.each(|lease| {
                if lease.delegation == delegation {
                    lease.close(reason);
                    closed += 1;
                }
            });
        }
        closed
    }

    /// Binds a further window to a running session; answers whether it runs. A
    /// delegation that is bound to it already is not bound twice.
    #[allow(clippy::unused_async, reason = "the real one waits for a browser")]
    pub async fn bind(&self, session: SessionId, lease: Arc<Lease>) -> bool {
        self.running().get(&session).is_some_and(|leases| {
            let bound = leases.find(|known| (known.delegation == lease.delegation).then_some(()));
            if bound.is_none() {
                leases.add(lease);
            }
            true
        })
    }

    /// The leases of a running session.
    #[cfg(test)]
    pub(crate) fn leases(&self, session: SessionId) -> Vec<Arc<Lease>> {
        self.running()
            .get(&session)
            .map(Leases::all)
            .unwrap_or_default()
    }

    /// Tells what a session would tell.
    #[cfg(test)]
    pub(crate) fn tell(&self, event: SessionEvent) {
        self.events.send(event).unwrap();
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Leases>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
