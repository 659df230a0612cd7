//! Sessions: starting, binding, listing, ending.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    AgentRef, Answer, CallError, Caller, Service, SessionInfo, SessionStatus, SharedSession,
    StartedSession,
    call::{chain, report},
    may_see,
};
use crate::{
    model::{
        delegation::{State, TransitionError},
        id::{AgentId, DelegationId, SessionId, TraceId},
        secret::Secret,
    },
    random::random_uuid_v7,
    recorder::Recorder,
    session::{MOST_WATCHERS, StartSession},
    store::{StoredDelegation, StoredSession, StoredTrace, TraceKind},
    trace::record::Actor,
    vault::token::{Token, TokenKind},
};

/// Delegations that one session may have.
const BOUND: usize = 32;

impl Service {
    /// Starts a session with approved delegations of its agent; with none,
    /// nothing is in scope. An agent starts its own and may leave out `agent`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn session_start(
        &self,
        caller: Caller,
        agent: Option<&AgentRef>,
        delegations: &[DelegationId],
    ) -> Answer<StartedSession> {
        self.noted(caller, "session start", async {
            let agent = self.acting_for(caller, agent).await?;
            self.check_unlocked(agent.id, None)?;
            if delegations.len() > BOUND {
                return Err(CallError::invalid(
                    "delegations",
                    format!("at most {BOUND} can be bound to one session"),
                ));
            }
            let mut leases = Vec::with_capacity(delegations.len());
            let mut bound: Vec<DelegationId> = Vec::with_capacity(delegations.len());
            for id in delegations {
                let stored = self.bindable(caller, agent.id, *id).await?;
                if matches!(stored.delegation.state, State::Requested) {
                    return Err(CallError::Conflict(format!(
                        "{id} waits for a person's approval; start the session afterwards"
                    )));
                }
                if !bound.contains(id) {
                    leases.push(self.lease(&stored.delegation).await?);
                    bound.push(*id);
                }
            }
            let token = Token::draw(TokenKind::Session)?;
            let session = StoredSession {
                id: SessionId::from_uuid(random_uuid_v7()?),
                agent: agent.id,
                trace: TraceId::from_uuid(random_uuid_v7()?),
                status: SessionStatus::Starting,
                delegations: bound,
                started_at: self.now().wall,
                ended_at: None,
                reason: None,
            };
            let (http_url, cdp_url) = self.urls(session.id)?;
            let recorder = self.admit(caller, &session).await?;
            let started = self
                .sessions
                .start(StartSession {
                    session: session.id,
                    agent: agent.id,
                    by: caller.into(),
                    leases,
                    recorder,
                    token_hash: token.hash(),
                })
                .await;
            if let Err(error) = started {
                report("session", &error);
                // Folders and programs of this machine are no agent's business.
                let why = match caller {
                    Caller::Person { .. } => chain(&error),
                    Caller::Agent { .. } => error.to_string(),
                };
                self.end_session(session.id, "it did not start").await?;
                return Err(CallError::Unavailable(format!(
                    "the session did not start: {why}; `hallpass doctor` says what is missing"
                )));
            }
            self.after_start(&session).await?;
            Ok(StartedSession {
                session: self.session_info(session.id).await?,
                cdp_url,
                http_url,
                token: Secret::new(token.expose().to_owned()),
            })
        })
        .await
    }

    /// Binds a further delegation of its agent to a running session: an
    /// approved one at once, a requested one when it is approved. Its agent, or
    /// a person; once more is no error.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn session_bind(
        &self,
        caller: Caller,
        session: SessionId,
        delegation: DelegationId,
    ) -> Answer<SessionInfo> {
        self.noted(caller, "session bind", async {
            let known = self.session_of(caller, session).await?;
            if known.status == SessionStatus::Ended {
                return Err(CallError::Conflict(format!(
                    "{session} has ended; start a new session"
                )));
            }
            if known.delegations.contains(&delegation) {
                return self.session_info(session).await;
            }
            if known.delegations.len() >= BOUND {
                return Err(CallError::Limit(format!(
                    "{BOUND} delegations are bound to {session}; start another session"
                )));
            }
            let stored = self.bindable(caller, known.agent, delegation).await?;
            if matches!(stored.delegation.state, State::Approved { .. }) {
                // Refuses what has ended before anything is stored.
                self.lease(&stored.delegation).await?;
            }
            self.registry(caller, "session-bound", &session, &delegation.to_string())
                .await?;
            self.store
                .session_delegation_add(session, delegation)
                .await?;
            // Once it is stored, an approval that comes between binds it, too.
            self.bind_to(session, delegation).await?;
            self.session_info(session).await
        })
        .await
    }

    /// Makes a token for a connection that may only look: at the pages of the session
    /// and what they tell, never to act. Its agent, or a person; it is void once the
    /// session ended.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn session_share(&self, caller: Caller, id: SessionId) -> Answer<SharedSession> {
        self.noted(caller, "session share", async {
            let session = self.session_of(caller, id).await?;
            let running = self.sessions.get(id).ok_or_else(|| {
                CallError::Conflict(format!("{id} does not run; start a new session"))
            })?;
            let token = Token::draw(TokenKind::Session)?;
            self.registry(caller, "session-shared", &session.id, "to look at")
                .await?;
            if !running.add_watcher(token.hash()) {
                return Err(CallError::Limit(format!(
                    "{MOST_WATCHERS} tokens to look at {id} were made, which is the most"
                )));
            }
            let (http_url, cdp_url) = self.urls(id)?;
            Ok(SharedSession {
                cdp_url,
                http_url,
                token: Secret::new(token.expose().to_owned()),
            })
        })
        .await
    }

    /// Sessions, newest first; an agent sees its own.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn session_list(&self, caller: Caller) -> Answer<Vec<SessionInfo>> {
        self.noted(caller, "session list", async {
            let agent = match caller {
                Caller::Person { .. } => None,
                Caller::Agent { id } => Some(id),
            };
            let agents = self.store.agent_list().await?;
            let sessions = self.store.session_list(agent).await?.into_iter();
            Ok(sessions
                .map(|session| {
                    let agent = agents.iter().find(|agent| agent.id == session.agent);
                    view(session, agent.map(|agent| agent.name.clone()))
                })
                .collect())
        })
        .await
    }

    /// One session; an agent sees its own.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn session_show(&self, caller: Caller, id: SessionId) -> Answer<SessionInfo> {
        self.noted(caller, "session show", async {
            self.session_of(caller, id).await?;
            self.session_info(id).await
        })
        .await
    }

    /// Ends a session. Its agent, or a person; once more is no error.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn session_end(&self, caller: Caller, id: SessionId) -> Answer<SessionInfo> {
        self.noted(caller, "session end", async {
            let session = self.session_of(caller, id).await?;
            if session.status != SessionStatus::Ended {
                let reason = match caller {
                    Caller::Person { .. } => "ended by a person",
                    Caller::Agent { .. } => "ended by its agent",
                };
                self.end_session(id, reason).await?;
                self.registry(caller, "session-ended", &id, reason).await?;
            }
            self.session_info(id).await
        })
        .await
    }

    /// Ends a session wherever it is; nothing more to do is no error.
    pub(super) async fn end_session(&self, id: SessionId, reason: &str) -> Answer<()> {
        self.sessions.end(id, reason).await;
        self.session_ended(id, reason).await
    }

    /// Stores that a session has ended, and where its trace stands.
    pub(super) async fn session_ended(&self, id: SessionId, reason: &str) -> Answer<()> {
        let now = self.now().wall;
        self.store.session_end(id, now, reason).await?;
        if let Some(session) = self.store.session_get(id).await? {
            if let Some(head) = self.ledger.head(session.trace) {
                self.store.trace_head_set(&head).await?;
            }
            self.store.trace_end(session.trace, now).await?;
        }
        Ok(())
    }

    /// Gives every running session that has this delegation its lease.
    pub(super) async fn bind_running(&self, id: DelegationId) -> Answer<()> {
        for session in self.store.session_unended().await? {
            if session.delegations.contains(&id) {
                self.bind_to(session.id, id).await?;
            }
        }
        Ok(())
    }

    async fn bind_to(&self, session: SessionId, id: DelegationId) -> Answer<()> {
        let stored = self.store.delegation_get(id).await?;
        let stored = stored.filter(|s| matches!(s.delegation.state, State::Approved { .. }));
        if let Some(stored) = stored {
            let lease = self.lease(&stored.delegation).await?;
            self.sessions
                .bind(session, lease)
                .await
                .map_err(|error| CallError::Unavailable(error.to_string()))?;
            self.cut_if_closed(&[id]).await;
        }
        Ok(())
    }

    async fn admit(&self, caller: Caller, session: &StoredSession) -> Answer<Recorder> {
        let one_at_a_time = self.admission.lock().await;
        let max = self.config.session.max;
        let unended = self.store.session_unended().await?;
        let running = unended.len();
        let most = self.config.agent.sessions as usize;
        let own = unended.iter().filter(|other| other.agent == session.agent);
        if own.count() >= most {
            return Err(CallError::Limit(format!(
                "{most} sessions of this agent run, which is the most (`agent.sessions`); end one"
            )));
        }
        if running >= max as usize {
            return Err(CallError::Limit(format!(
                "{running} sessions run and `session.max` is {max}; end one, or wait until one ends"
            )));
        }
        let recorder = self.ledger.recorder(session.trace)?;
        let head = recorder.head();
        let trace = StoredTrace {
            id: session.trace,
            kind: TraceKind::Session,
            session: Some(session.id),
            created_at: session.started_at,
            ended_at: None,
            head,
        };
        let detail = format!("for {}, trace {}", session.agent, session.trace);
        self.registry(caller, "session-started", &session.id, &detail)
            .await?;
        self.store.session_insert(session, &trace).await?;
        drop(one_at_a_time);
        Ok(recorder)
    }

    // What was closed while the browser started must not be open in it. The
    // agent has no token yet, so nothing can have been asked for meanwhile.
    async fn after_start(&self, session: &StoredSession) -> Answer<()> {
        self.cut_if_closed(&session.delegations).await;
        let agent = self.store.agent_get(session.agent).await?;
        let disabled = agent.is_none_or(|agent| agent.disabled_at.is_some());
        if !disabled && self.store.session_run(session.id).await? {
            return Ok(());
        }
        self.end_session(session.id, "it was ended while it started")
            .await?;
        Err(CallError::Conflict(
            "the session was ended while it started".to_owned(),
        ))
    }

    async fn cut_if_closed(&self, delegations: &[DelegationId]) {
        for id in delegations {
            if let Some(reason) = self.lending.closed(*id) {
                self.sessions
                    .close_delegation(*id, &Actor::Broker, reason)
                    .await;
            }
        }
    }

    async fn bindable(
        &self,
        caller: Caller,
        agent: AgentId,
        id: DelegationId,
    ) -> Answer<StoredDelegation> {
        let stored = self.delegation_of(caller, id).await?;
        if stored.delegation.agent != agent {
            return Err(CallError::invalid(
                "delegations",
                format!("{id} is another agent's"),
            ));
        }
        match stored.delegation.state {
            State::Closed { reason, at, .. } => Err(TransitionError::Closed { reason, at }.into()),
            State::Requested | State::Approved { .. } => Ok(stored),
        }
    }

    pub(super) async fn session_of(&self, caller: Caller, id: SessionId) -> Answer<StoredSession> {
        let found = self.store.session_get(id).await?;
        found
            .filter(|session| may_see(caller, session.agent))
            .ok_or_else(|| CallError::not_found("session", &id))
    }

    async fn session_info(&self, id: SessionId) -> Answer<SessionInfo> {
        let found = self.store.session_get(id).await?;
        let session = found.ok_or_else(|| CallError::not_found("session", &id))?;
        let agent = self.store.agent_get(session.agent).await?;
        Ok(view(session, agent.map(|agent| agent.name)))
    }

    fn urls(&self, id: SessionId) -> Answer<(String, String)> {
        let base = match (&self.config.public_url, self.address.get()) {
            (Some(url), _) => url.origin().ascii_serialization(),
            (None, address) => {
                let address = address.copied().unwrap_or(self.config.listen);
                format!("http://{}", reachable(address))
            }
        };
        let Some(rest) = base.strip_prefix("http") else {
            return Err(CallError::Internal("public_url"));
        };
        Ok((
            format!("{base}/v1/sessions/{id}"),
            format!("ws{rest}/v1/sessions/{id}/cdp"),
        ))
    }
}

// An address that stands for all of them is none to connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn view(session: StoredSession, agent_name: Option<String>) -> SessionInfo {
    SessionInfo {
        id: session.id,
        agent: session.agent,
        agent_name: agent_name.unwrap_or_default(),
        trace: session.trace,
        status: session.status,
        delegations: session.delegations,
        started_at: session.started_at,
        ended_at: session.ended_at,
        reason: session.reason,
    }
}
