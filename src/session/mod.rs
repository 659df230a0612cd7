//! The running sessions: cells, the tasks that drive them, and what the broker
//! may order.

mod backlog;
mod board;
mod driver;
mod files;
mod journal;
mod line;
mod order;
mod pace;
mod pool;
pub mod setup;
mod shared;
#[cfg(test)]
mod standin;
mod time_slice;
#[cfg(test)]
pub(crate) use self::standin::DOWNLOAD;

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::order::ToClient;
use self::{
    backlog::Backlog,
    files::{Downloads, Files},
    journal::{ConnectionJournal, SessionJournal},
    order::{Bind, FromClient, Handle, Order},
    pool::Pool,
};
pub use self::{
    board::Board,
    files::{FileError, UPLOAD_LIMIT, Upload},
    pool::{CellSettings, PoolError},
};
pub use crate::cdp::hub::{
    AnswerError, Download, DownloadState, Encounter, HoldLimits, Most, Proposal,
};
#[cfg(test)]
use crate::egress::{self, Egress, Resolver};
use crate::{
    broker::lease::{Lease, Leases},
    cdp::hub::{ClientId, Tenant},
    clock::Clock,
    egress::Gate,
    model::{
        cookie::CookieAttributes,
        delegation::CloseReason,
        hold::{Hold, HoldAnswer, HoldEnd},
        id::{AgentId, CredentialId, DelegationId, HoldId, PersonId, SessionId},
        secret::Secret,
    },
    policy::{Authority, Policies},
    recorder::Recorder,
    trace::record::{Actor, Draft, Event},
    vault::token::TokenHash,
};

/// What a session is started with.
#[derive(Debug)]
pub struct StartSession {
    /// Its id.
    pub session: SessionId,
    /// For whom.
    pub agent: AgentId,
    /// Who asked for it.
    pub by: Actor,
    /// The windows that it begins with.
    pub leases: Vec<Arc<Lease>>,
    /// Its trace; the session writes the first and the last record.
    pub recorder: Recorder,
    /// What its agent connects with.
    pub token_hash: TokenHash,
}

/// Why a session did not start.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No cell could be had.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// As many sessions run as the operator allows.
    #[error("{0} sessions are running, which is the most allowed (`session.max`); end one first")]
    TooMany(usize),
    /// Its first record could not be made.
    #[error("the trace does not accept records: {0}")]
    Unrecorded(String),
    /// The browser ended just then.
    #[error("the browser ended while the session was being started; try again")]
    BrowserEnded,
}

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
    /// A request waits for a person.
    Held(Box<Hold>),
    /// It does not wait any more.
    HoldEnded {
        /// Which.
        hold: HoldId,
        /// How.
        end: HoldEnd,
    },
    /// A page went to a place outside every open window.
    SecondSystem {
        /// In which session.
        session: SessionId,
        /// Where, and what led there.
        encounter: Box<Encounter>,
    },
    /// Pages need hosts that no window names.
    Proposed {
        /// In which session.
        session: SessionId,
        /// Which, and for what.
        proposal: Box<Proposal>,
    },
    /// A budget is used up; the window is closed in its session.
    UsedUp(DelegationId),
}

/// Where running sessions tell what happens.
pub type SessionEvents = mpsc::UnboundedReceiver<SessionEvent>;

/// Limits of running sessions.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most sessions at once.
    pub sessions: usize,
    /// How long a session may be without a client.
    pub grace: Duration,
    /// How long requests wait for a person, and how many.
    pub holds: HoldLimits,
    /// Connections of one session, counted apart for those that only look.
    pub connections: usize,
    /// What else one session may have at once.
    pub most: Most,
}

/// The running sessions.
#[derive(Debug)]
pub struct Sessions {
    pool: Pool,
    policies: Arc<Policies>,
    board: Arc<Board>,
    limits: Limits,
    running: RwLock<HashMap<SessionId, Arc<Running>>>,
    events: mpsc::UnboundedSender<SessionEvent>,
}

/// Watchers' tokens that one session may have.
pub const MOST_WATCHERS: usize = 16;

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Whatever the method table allows.
    Acts,
    /// Only look.
    Watches,
}

/// One running session, as the gateway sees it.
#[derive(Debug)]
pub struct Running {
    /// Its id.
    pub id: SessionId,
    /// Its agent.
    pub agent: AgentId,
    token_hash: TokenHash,
    watchers: RwLock<Vec<TokenHash>>,
    leases: Arc<Leases>,
    handle: Handle,
    connections: AtomicU64,
    /// References count the connections: who acts, who looks.
    seats: [Arc<()>; 2],
    most_connections: usize,
    recorder: Recorder,
    files: Files,
}

/// A client's connection to a running session.
#[derive(Debug)]
pub(crate) struct Link {
    client: ClientId,
    to_driver: mpsc::Sender<FromClient>,
    to_self: mpsc::UnboundedSender<ToClient>,
    backlog: Arc<Backlog>,
}

/// A connection's place among those that its session may have; free again when
/// dropped.
#[derive(Debug)]
pub(crate) struct Seat(#[expect(dead_code, reason = "held to be counted")] Arc<()>);

/// What is to be written to a client.
pub(crate) type Outgoing = mpsc::UnboundedReceiver<ToClient>;

impl Sessions {
    /// No session yet; begins to warm cells.
    pub fn new(
        settings: CellSettings,
        limits: Limits,
        policies: Arc<Policies>,
    ) -> (Arc<Self>, SessionEvents) {
        let (events, receiver) = mpsc::unbounded_channel();
        let sessions = Arc::new(Self {
            pool: Pool::new(settings),
            policies,
            board: Arc::default(),
            limits,
            running: RwLock::default(),
            events,
        });
        (sessions, receiver)
    }

    /// Sessions that have all but a browser, for tests of their callers.
    #[cfg(test)]
    pub(crate) fn without_browsers() -> (Arc<Self>, SessionEvents) {
        let (events, receiver) = mpsc::unbounded_channel();
        let resolver = Resolver::new(HashMap::new()).unwrap();
        let sessions = Self {
            pool: Pool::without_browsers(Egress::new(resolver, egress::Limits::default())),
            policies: Arc::new(Policies::shipped().unwrap()),
            board: Arc::default(),
            limits: Limits {
                sessions: 100,
                grace: Duration::from_mins(1),
                holds: HoldLimits {
                    patience: Duration::from_secs(20),
                    deadline: Duration::from_mins(5),
                    most: 32,
                },
                connections: 16,
                most: Most::default(),
            },
            running: RwLock::default(),
            events,
        };
        (Arc::new(sessions), receiver)
    }

    /// Starts one.
    ///
    /// # Errors
    /// See [`SessionError`]; nothing is left behind.
    pub async fn start(&self, start: StartSession) -> Result<(), SessionError> {
        let running = self.read(HashMap::len);
        if running >= self.limits.sessions {
            return Err(SessionError::TooMany(running));
        }
        let handle = self.pool.take().await?;
        let leases = Arc::new(Leases::default());
        for lease in start.leases {
            leases.add(lease);
        }
        first_records(
            &start.recorder,
            (start.by, start.session, start.agent),
            &leases,
            &handle.version,
        )
        .map_err(SessionError::Unrecorded)?;
        let authority = Authority {
            agent: start.agent,
            policies: self.policies.clone(),
        };
        let opened = handle.listener.open(Gate {
            leases: leases.clone(),
            authority: authority.clone(),
            record: Arc::new(ConnectionJournal {
                recorder: start.recorder.clone(),
                orders: handle.orders.clone(),
            }),
            clock: Clock,
        });
        if !opened {
            return Err(SessionError::BrowserEnded);
        }
        let bind = Bind {
            tenant: Tenant {
                session: start.session,
                authority,
                leases: leases.clone(),
                journal: Box::new(SessionJournal(start.recorder.clone())),
                holds: self.limits.holds,
                most: self.limits.most,
            },
            session: start.session,
            leases: leases.clone(),
            recorder: start.recorder.clone(),
            grace: self.limits.grace,
            events: self.events.clone(),
            board: self.board.clone(),
        };
        let session = Arc::new(Running {
            id: start.session,
            agent: start.agent,
            token_hash: start.token_hash,
            watchers: RwLock::default(),
            leases,
            files: Files::of(handle.folders.clone()),
            handle,
            connections: AtomicU64::new(0),
            seats: [Arc::default(), Arc::default()],
            most_connections: self.limits.connections,
            recorder: start.recorder,
        });
        let (answer, bound) = oneshot::channel();
        session.order(Order::Bind(Box::new(bind), answer));
        // Before it can have ended, so that it is forgotten when it has.
        self.write(|running| running.insert(start.session, session));
        if bound.await.is_err() {
            self.forget(start.session);
            return Err(SessionError::BrowserEnded);
        }
        Ok(())
    }

    /// Ends one; answers whether it was running. When it answers, its browser
    /// and profile are gone, or its part of them where others share them.
    pub async fn end(&self, session: SessionId, reason: &str) -> bool {
        let Some(running) = self.write(|running| running.remove(&session)) else {
            return false;
        };
        running.end(reason).await;
        true
    }

    /// Forgets a session that ended by itself.
    pub fn forget(&self, session: SessionId) {
        self.write(|running| running.remove(&session));
    }

    /// Closes a delegation's leases in every session, because of `actor`; answers
    /// how many. When it answers, no request with its credentials can leave any
    /// more.
    pub async fn close_delegation(
        &self,
        delegation: DelegationId,
        actor: &Actor,
        reason: CloseReason,
    ) -> usize {
        let mut closed = 0;
        let mut waiting = Vec::new();
        for session in self.all() {
            let mut concerned = false;
            session.leases.each(|lease| {
                if lease.delegation == delegation {
                    lease.close(reason);
                    concerned = true;
                }
            });
            if concerned {
                closed += 1;
                let (answer, done) = oneshot::channel();
                session.order(Order::LeaseClosed(delegation, actor.clone(), answer));
                waiting.push(done);
            }
        }
        for done in waiting {
            // An answer that never comes is a session that is gone.
            done.await.ok();
        }
        closed
    }

    /// Binds a further window to a running session; answers whether it runs.
    ///
    /// # Errors
    /// It cannot be put on record, and is not bound.
    pub async fn bind(&self, session: SessionId, lease: Arc<Lease>) -> Result<bool, SessionError> {
        let Some(running) = self.get(session) else {
            return Ok(false);
        };
        let draft = window_opened(&running.recorder, &lease);
        running
            .recorder
            .record_durably(draft)
            .await
            .map_err(|error| SessionError::Unrecorded(error.to_string()))?;
        running.leases.add(lease);
        running.order(Order::LeaseAdded);
        Ok(true)
    }

    /// Returns once all that a running session has recorded so far can be read.
    pub async fn flush(&self, session: SessionId) {
        if let Some(running) = self.get(session) {
            // A trace that fails ends its session; what is on disk can be read.
            running.recorder.flush().await.ok();
        }
    }

    /// What waits for people in all of them.
    pub const fn holds(&self) -> &Arc<Board> {
        &self.board
    }

    /// Answers a hold; when this answers, what was let go is on its way.
    ///
    /// # Errors
    /// See [`AnswerError`].
    pub async fn answer_hold(
        &self,
        session: SessionId,
        hold: HoldId,
        answer: HoldAnswer,
        person: PersonId,
    ) -> Result<(), AnswerError> {
        let running = self.get(session).ok_or(AnswerError::Over)?;
        let (done, answered) = oneshot::channel();
        running.order(Order::AnswerHold {
            hold,
            answer: Box::new(answer),
            person,
            done,
        });
        answered.await.unwrap_or(Err(AnswerError::Over))
    }

    /// Passes on what an agent says that it is about to do; answers whether its
    /// session runs.
    pub fn explain(&self, session: SessionId, words: String) -> bool {
        self.get(session)
            .map(|running| running.order(Order::Explained(words)))
            .is_some()
    }

    /// The policies that decide in all of them.
    pub const fn policies(&self) -> &Arc<Policies> {
        &self.policies
    }

    /// A running session.
    pub fn get(&self, session: SessionId) -> Option<Arc<Running>> {
        self.read(|running| running.get(&session).cloned())
    }

    /// Ends all and the warm cells with them.
    pub async fn shut_down(&self, reason: &str) {
        self.pool.close().await;
        let all = self.all();
        let ends = all.iter().map(|session| self.end(session.id, reason));
        futures_util::future::join_all(ends).await;
    }

    /// The leases of a running session.
    #[cfg(test)]
    pub(crate) fn leases(&self, session: SessionId) -> Vec<Arc<Lease>> {
        self.get(session)
            .map(|running| running.leases.all())
            .unwrap_or_default()
    }

    /// Tells what a session would tell.
    #[cfg(test)]
    pub(crate) fn tell(&self, event: SessionEvent) {
        self.events.send(event).unwrap();
    }

    fn all(&self) -> Vec<Arc<Running>> {
        self.read(|running| running.values().cloned().collect())
    }

    fn read<T>(&self, look: impl FnOnce(&HashMap<SessionId, Arc<Running>>) -> T) -> T {
        look(&self.running.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut HashMap<SessionId, Arc<Running>>) -> T) -> T {
        change(&mut self.running.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Running {
    /// Whether this is the session's token.
    pub fn accepts(&self, token: &TokenHash) -> bool {
        self.token_hash == *token
    }

    /// What the token's holder may do; nothing where it is none of the session's.
    pub fn role_of(&self, token: &TokenHash) -> Option<Role> {
        if self.accepts(token) {
            return Some(Role::Acts);
        }
        let watchers = self.watchers.read().unwrap_or_else(PoisonError::into_inner);
        watchers.contains(token).then_some(Role::Watches)
    }

    /// Lets the holder of a token look; answers whether one more was free.
    pub fn add_watcher(&self, token: TokenHash) -> bool {
        let mut watchers = self
            .watchers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let free = watchers.len() < MOST_WATCHERS;
        if free {
            watchers.push(token);
        }
        free
    }

    /// Product and version of the browser, as Chromium tells it.
    pub fn version(&self) -> &str {
        &self.handle.version
    }

    /// A place for one more connection.
    ///
    /// # Errors
    /// All are taken; how many there are.
    pub(crate) fn seat(&self, role: Role) -> Result<Seat, usize> {
        let [acting, watching] = &self.seats;
        let seats = match role {
            Role::Acts => acting,
            // Who looks must not be able to shut out who acts.
            Role::Watches => watching,
        };
        let seat = Seat(seats.clone());
        // Ourselves and the first reference are counted too.
        if Arc::strong_count(seats) > self.most_connections + 1 {
            return Err(self.most_connections);
        }
        Ok(seat)
    }

    /// A new connection of the agent; `None` where the session just ended.
    pub(crate) async fn connect(&self, name: String, role: Role) -> Option<(Link, Outgoing)> {
        let client = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let (out, incoming) = mpsc::unbounded_channel();
        let backlog = Arc::<Backlog>::default();
        let opened = FromClient::Opened {
            client,
            name,
            watches: role == Role::Watches,
            out: out.clone(),
            backlog: backlog.clone(),
        };
        let to_driver = self.handle.clients.clone();
        to_driver.send(opened).await.ok()?;
        let link = Link {
            client,
            to_driver,
            to_self: out,
            backlog,
        };
        Some((link, incoming))
    }

    async fn end(&self, reason: &str) {
        let (answer, done) = oneshot::channel();
        self.order(Order::End(reason.to_owned(), answer));
        done.await.ok();
    }

    fn order(&self, order: Order) {
        // A driver that is gone has nothing left to be ordered.
        self.handle.orders.send(Box::new(order)).ok();
    }
}

impl Link {
    /// Hands a message of the client over; waits while the session is busy, and
    /// while the client leaves too much unread.
    pub(crate) async fn message(&self, bytes: Bytes) -> bool {
        self.backlog.room().await;
        let message = FromClient::Message {
            client: self.client,
            bytes,
        };
        self.to_driver.send(message).await.is_ok()
    }

    /// Bytes that were written to the client.
    pub(crate) fn written(&self, bytes: usize) {
        self.backlog.written(bytes);
    }

    /// Closes the connection from this side.
    pub(crate) fn close(&self, code: u16, reason: String) {
        self.to_self.send(ToClient::Close { code, reason }).ok();
    }

    /// Answers once the session has told the connection to close.
    pub(crate) async fn told_to_close(&self) {
        self.backlog.told_to_close().await;
    }

    /// The client left.
    pub(crate) async fn closed(self, why: String) {
        let message = FromClient::Closed {
            client: self.client,
            why,
        };
        self.to_driver.send(message).await.ok();
    }
}

fn first_records(
    recorder: &Recorder,
    (actor, session, agent): (Actor, SessionId, AgentId),
    leases: &Leases,
    browser: &str,
) -> Result<(), String> {
    let all = leases.all();
    let started = Draft {
        at: Clock.now().wall,
        actor,
        event: Event::SessionStarted {
            session,
            agent,
            delegations: all.iter().map(|lease| lease.delegation).collect(),
            browser: browser.to_owned(),
        },
    };
    let windows = all.iter().map(|lease| window_opened(recorder, lease));
    for draft in std::iter::once(started).chain(windows) {
        recorder.record(draft).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn window_opened(recorder: &Recorder, lease: &Lease) -> Draft {
    Draft {
        at: Clock.now().wall,
        actor: Actor::Person { id: lease.approver },
        event: Event::WindowOpened {
            delegation: lease.delegation,
            lender: lease.lender,
            approver: lease.approver,
            from: lease.live.window.start,
            until: lease.live.window.end,
            scope: lease.scope.clone(),
            cookies: lease
                .cookies
                .iter()
                .map(|cookie| crate::trace::record::CookieTrace {
                    credential: cookie.credential,
                    name: cookie.attributes.name.clone(),
                    domain: cookie.attributes.domain.clone(),
                    delivery: cookie.delivery,
                    digest: recorder.digest(&cookie.value()),
                })
                .collect(),
        },
    }
}
