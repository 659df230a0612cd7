//! The task that drives one session: moves messages between Chromium's pipe, the
//! session's clients and the [`Hub`], and keeps the time of its windows.
//!
//! The hub decides; the driver only carries. Orders from the broker (close a
//! window, end) come on a channel of their own; nothing that a client sends does.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    Board, Downloads, SessionEvent,
    backlog::Backlog,
    files::Folders,
    line::{Ending, Incoming, Line, Outgoing},
    order::{FromClient, Handle, Order, ToClient},
    pace::Pace,
    time_slice::TimeSlice,
};
use crate::{
    broker::lease::{Lease, Leases},
    cdp::hub::{ClientId, Hub, Output, Setup},
    clock::Clock,
    egress::{Bar, Listener},
    model::{
        delegation::CloseReason,
        id::{DelegationId, SessionId},
        time::Now,
    },
    recorder::Recorder,
    trace::record::{Actor, Draft, Event},
};

/// Bytes that may wait for a client that reads slowly, or for Chromium.
const MOST_BACKLOG: usize = 256 << 20;

/// Bytes for Chromium from which on no more is taken from clients.
const PIPE_BACKLOG: usize = 8 << 20;

/// Messages of the browser that are taken in a row.
const AT_ONCE: usize = 64;

/// Closed by what holds here, not by a fault: RFC 6455, section 7.4.1.
const POLICY: u16 = 1008;

/// A cell that does not come to life.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReady {
    #[error("the browser did not get ready: it ended while it was set up")]
    Ended,
    #[error("the browser did not get ready: no answer within {0:?}")]
    Silent(Duration),
}

struct Driver {
    hub: Hub,
    listener: Arc<Listener>,
    clock: Clock,
    bound: Option<Bound>,
    pipe: Outgoing,
    connections: HashMap<ClientId, Connection>,
    fences: HashMap<u64, oneshot::Sender<()>>,
    fence: u64,
    /// Of windows that are being closed.
    bars: HashMap<u64, Bar>,
    ready: Option<oneshot::Sender<()>>,
    /// To itself; does not keep it.
    orders: mpsc::WeakUnboundedSender<Box<Order>>,
    idle_since: Instant,
    /// Delegations whose budget is used up.
    used_up: Vec<DelegationId>,
    ending: Option<String>,
    pace: Pace,
}

struct Bound {
    session: SessionId,
    leases: Arc<Leases>,
    recorder: Recorder,
    grace: Duration,
    events: mpsc::UnboundedSender<SessionEvent>,
    board: Arc<Board>,
    had_lease: bool,
    /// Delegations whose end is on record.
    over: HashSet<DelegationId>,
}

struct Connection {
    watches: bool,
    out: mpsc::UnboundedSender<ToClient>,
    backlog: Arc<Backlog>,
}

impl Connection {
    fn close(&self, reason: String) {
        let code = POLICY;
        self.out.send(ToClient::Close { code, reason }).ok();
        self.backlog.close();
    }
}

/// Takes a browser over, or a place in one, and waits until it has a context and a
/// page.
///
/// # Errors
/// Chromium refuses to be set up, or takes too long.
pub(crate) async fn start(line: Line, patience: Duration) -> Result<Handle, NotReady> {
    let (orders, order_in) = mpsc::unbounded_channel();
    let (clients, client_in) = mpsc::channel(256);
    let (ready, is_ready) = oneshot::channel();
    // Boxed: what `run` takes has room in its future more than once.
    let driver = Box::new(Driver {
        ready: Some(ready),
        ..Driver::new(
            &line.listener,
            &line.folders,
            line.outgoing,
            orders.downgrade(),
        )
    });
    tokio::spawn(driver.run(line.incoming, line.ending, order_in, client_in));
    match tokio::time::timeout(patience, is_ready).await {
        Ok(Ok(())) => Ok(Handle {
            orders,
            clients,
            listener: line.listener,
            version: line.version,
            folders: line.folders,
        }),
        Ok(Err(_)) => Err(NotReady::Ended),
        Err(_) => Err(NotReady::Silent(patience)),
    }
}

/// As contexts are told of it.
pub(super) fn proxy_of(listener: &Listener) -> String {
    format!("http://127.0.0.1:{}", listener.port())
}

impl Bound {
    /// Why the session ends with its last window.
    fn last_window_closed(&self, now: Now) -> String {
        let mut why = None;
        self.leases.each(|lease| why = lease.closed(now).or(why));
        match why {
            Some(why) => format!("its last window closed ({})", why.as_str()),
            None => "its last window closed".to_owned(),
        }
    }

    /// Puts the end of a lease on record, once, if it is over.
    fn record_end(&mut self, lease: &Lease, actor: Actor, now: Now) {
        let delegation = lease.delegation;
        let Some(reason) = lease.closed(now) else {
            return;
        };
        if self.over.insert(delegation) {
            let event = Event::DelegationClosed { delegation, reason };
            let at = now.wall;
            // A trace that takes nothing more ends its session by itself.
            self.recorder.record(Draft { at, actor, event }).ok();
        }
    }
}

impl Driver {
    fn new(
        listener: &Arc<Listener>,
        folders: &Folders,
        pipe: Outgoing,
        orders: mpsc::WeakUnboundedSender<Box<Order>>,
    ) -> Self {
        let setup = Setup {
            proxy: proxy_of(listener),
            // Below the profile, which is all that the cell may write to.
            downloads: folders.downloads(),
        };
        Self {
            hub: Hub::new(setup),
            listener: listener.clone(),
            clock: Clock,
            bound: None,
            pipe,
            connections: HashMap::new(),
            fences: HashMap::new(),
            fence: 0,
            bars: HashMap::new(),
            ready: None,
            orders,
            idle_since: Instant::now(),
            used_up: Vec::new(),
            ending: None,
            pace: Pace::new(Instant::now()),
        }
    }

    async fn run(
        mut self: Box<Self>,
        mut incoming: Incoming,
        ending: Ending,
        mut orders: mpsc::UnboundedReceiver<Box<Order>>,
        mut clients: mpsc::Receiver<FromClient>,
    ) {
        let mut end_answers = Vec::new();
        let mut slice = TimeSlice::new();
        self.carry();
        while self.ending.is_none() {
            slice.step_aside().await;
            // Time passes also where somebody always has something to say.
            let mut wait = self.wait();
            if wait.is_zero() {
                self.tick().await;
                self.carry();
                if self.ending.is_some() {
                    break;
                }
                wait = self.wait();
            }
            let rest = self.pace.rest();
            let due = Instant::now() + wait;
            let wake = rest.map_or(due, |rest| rest.min(due));
            let mut timer = pin!(tokio::time::sleep_until(wake));
            // What makes records waits for the writer; orders do not.
            let recorder = self.bound.as_ref().map(|bound| bound.recorder.clone());
            let behind = recorder.filter(Recorder::is_behind);
            let keeps_up = behind.is_none();
            let room = async {
                match &behind {
                    Some(recorder) => recorder.room().await,
                    None => std::future::pending().await,
                }
            };
            let open_to_clients = self.is_open_to_clients();
            let stuck = self.pipe.is_stuck();
            tokio::select! {
                biased;
                order = orders.recv() => match order.map(|order| *order) {
                    Some(Order::End(reason, answer)) => {
                        self.ending = Some(reason);
                        end_answers.push(answer);
                    }
                    Some(order) => self.obey(order).await,
                    None => self.ending = Some("the broker let go of it".into()),
                },
                () = room => {}
                message = incoming.next(), if keeps_up && rest.is_none() => {
                    self.said(message);
                    self.said_too(&mut incoming);
                    // Nor is the browser all that is listened to. What it said may
                    // have changed whether a client is.
                    if self.ending.is_none() && !self.is_behind() && self.is_open_to_clients() {
                        if let Ok(message) = clients.try_recv() {
                            self.client(message);
                        }
                    }
                }
                written = self.pipe.flush(), if stuck => self.written(written),
                Some(message) = clients.recv(), if keeps_up && open_to_clients => self.client(message),
                () = &mut timer => if !self.pace.has_rested(Instant::now()) {
                    self.tick().await;
                },
            }
            self.carry();
            self.close_used_up().await;
        }
        drop(incoming);
        self.finish(ending).await;
        for answer in end_answers {
            answer.send(()).ok();
        }
        while let Ok(order) = orders.try_recv() {
            match *order {
                Order::LeaseClosed(_, _, answer) | Order::End(_, answer) => {
                    answer.send(()).ok();
                }
                // Dropped unanswered, which tells that the session is over.
                Order::Bind(..)
                | Order::Ping(_)
                | Order::Uploaded { .. }
                | Order::Downloads(_)
                | Order::AnswerHold { .. }
                | Order::Explained(_)
                | Order::UsedUp(_)
                | Order::Durable { .. }
                | Order::LeaseAdded => {}
            }
        }
    }

    fn said(&mut self, message: Result<Option<Bytes>, String>) {
        self.pace.took();
        match message {
            Ok(Some(message)) => self.hub.handle_browser(&message, self.clock.now()),
            Ok(None) => self.ending = Some("its browser ended".into()),
            Err(why) => self.ending = Some(why),
        }
    }

    /// What has come already, without another look at the rest: much is read
    /// fastest so.
    fn said_too(&mut self, incoming: &mut Incoming) {
        for _ in 1..AT_ONCE {
            self.carry();
            if self.ending.is_some() || self.is_behind() {
                return;
            }
            let Some(message) = incoming.next().now_or_never() else {
                self.pace.drained(Instant::now());
                return;
            };
            self.said(message);
        }
    }

    fn is_open_to_clients(&self) -> bool {
        self.pipe.waiting() < PIPE_BACKLOG && !self.hub.is_leaving()
    }

    fn is_behind(&self) -> bool {
        let bound = self.bound.as_ref();
        bound.is_some_and(|bound| bound.recorder.is_behind())
    }

    fn written(&mut self, written: Result<(), String>) {
        if let Err(why) = written {
            self.ending.get_or_insert(why);
        }
    }

    async fn obey(&mut self, order: Order) {
        let now = self.clock.now();
        match order {
            Order::Bind(bind, answer) => {
                let bind = *bind;
                self.hub.bind(bind.tenant, now);
                self.bound = Some(Bound {
                    had_lease: bind.leases.any_alive(now),
                    over: HashSet::new(),
                    session: bind.session,
                    leases: bind.leases,
                    recorder: bind.recorder,
                    grace: bind.grace,
                    events: bind.events,
                    board: bind.board,
                });
                self.idle_since = Instant::now();
                self.fence(answer);
            }
            Order::Ping(answer) => self.fence(answer),
            Order::LeaseAdded => {
                if let Some(bound) = &mut self.bound {
                    bound.had_lease = true;
                }
                self.hub.lease_added(now);
            }
            Order::LeaseClosed(delegation, actor, answer) => {
                self.close_lease(delegation, actor).await;
                answer.send(()).ok();
                self.end_if_done(now);
            }
            Order::Uploaded { path, real, answer } => {
                self.hub.uploaded(path, real);
                answer.send(()).ok();
            }
            Order::Downloads(answer) => {
                let list = self.hub.downloads();
                let scanner = self.hub.scanner();
                answer.send(Downloads { list, scanner }).ok();
            }
            Order::AnswerHold {
                hold,
                answer,
                person,
                done,
            } => {
                done.send(self.hub.answer_hold(hold, &answer, person, now))
                    .ok();
            }
            Order::UsedUp(delegation) => self.used_up.push(delegation),
            Order::Explained(words) => self.hub.explained(&words),
            Order::Durable { paused, ok } => {
                self.hub.handle_durable(&paused, ok, now);
            }
            Order::End(..) => {}
        }
    }

    /// The lease is closed already: nothing new is lent. This takes away what
    /// is under way; when it returns, nothing lent by it can leave any more. Once
    /// is enough: what other windows allow at the same place is not cut again.
    async fn close_lease(&mut self, delegation: DelegationId, actor: Actor) {
        let Some(bound) = &mut self.bound else {
            return;
        };
        let lease = bound
            .leases
            .find(|lease| (lease.delegation == delegation).then(|| lease.clone()));
        let Some(lease) = lease.filter(|_| !bound.over.contains(&delegation)) else {
            return;
        };
        bound.record_end(&lease, actor, self.clock.now());
        self.fence += 1;
        self.bars
            .insert(self.fence, self.listener.bar(lease.clone()));
        self.listener.cut_lease(&lease).await;
        self.hub.drain(delegation, self.fence, self.clock.now());
    }

    fn fence(&mut self, answer: oneshot::Sender<()>) {
        self.fence += 1;
        self.fences.insert(self.fence, answer);
        self.hub.flush(self.fence);
    }

    fn client(&mut self, message: FromClient) {
        self.pace.break_off();
        let now = self.clock.now();
        match message {
            FromClient::Opened {
                client,
                name,
                watches,
                out,
                backlog,
            } => {
                let connection = Connection {
                    watches,
                    out,
                    backlog,
                };
                self.connections.insert(client, connection);
                if watches {
                    self.hub.watcher_opened(client, &name, now);
                } else {
                    self.hub.client_opened(client, &name, now);
                }
            }
            FromClient::Message { client, bytes } => self.hub.handle_client(client, &bytes, now),
            FromClient::Closed { client, why } => {
                let left = self.connections.remove(&client);
                self.hub.client_closed(client, &why, now);
                // Who only looks does not keep a session.
                if left.is_some_and(|left| !left.watches) {
                    self.idle_since = Instant::now();
                }
            }
        }
    }

    /// Does what the hub says.
    fn carry(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Browser(message) => {
                    self.pace.break_off();
                    let sent = self.pipe.send(message);
                    self.written(sent);
                }
                Output::Client { client, message } => self.send_to_client(client, message),
                Output::Close { client, reason } => {
                    if let Some(connection) = self.connections.get(&client) {
                        connection.close(reason);
                    }
                }
                Output::Durable { ticket, paused } => {
                    if let Some(bound) = &self.bound {
                        let (recorder, orders) = (bound.recorder.clone(), self.orders.clone());
                        tokio::spawn(async move {
                            let ok = recorder.durable(ticket).await.is_ok();
                            if let Some(orders) = orders.upgrade() {
                                let order = Order::Durable { paused, ok };
                                orders.send(Box::new(order)).ok();
                            }
                        });
                    }
                }
                Output::Warm => {
                    if let Some(ready) = self.ready.take() {
                        ready.send(()).ok();
                    }
                }
                Output::Flushed { token } => {
                    if let Some(answer) = self.fences.remove(&token) {
                        answer.send(()).ok();
                    }
                }
                Output::Drained { token, whole: true } => {
                    self.bars.remove(&token);
                }
                Output::Drained { whole: false, .. } => tracing::warn!(
                    "requests of a closed window did not end; its endpoints stay closed until they do"
                ),
                Output::Rotated {
                    credential,
                    value,
                    attributes,
                } => {
                    if let Some(bound) = &self.bound {
                        let event = SessionEvent::Rotated {
                            credential,
                            value,
                            attributes,
                        };
                        bound.events.send(event).ok();
                    }
                }
                Output::Held(hold) => self.tell(|bound| {
                    bound.board.put((*hold).clone());
                    Some(SessionEvent::Held(hold))
                }),
                Output::HoldWaits { hold, waiting } => self.tell(|bound| {
                    bound.board.waits(hold, waiting);
                    None
                }),
                Output::HoldEnded { hold, end } => self.tell(|bound| {
                    bound.board.take(hold);
                    Some(SessionEvent::HoldEnded { hold, end })
                }),
                Output::SecondSystem(encounter) => self.tell(|bound| {
                    let session = bound.session;
                    Some(SessionEvent::SecondSystem { session, encounter })
                }),
                Output::Proposed(proposal) => self.tell(|bound| {
                    let session = bound.session;
                    Some(SessionEvent::Proposed { session, proposal })
                }),
                Output::UsedUp(delegation) => self.used_up.push(delegation),
                Output::End { reason } => {
                    self.ending.get_or_insert(reason);
                }
            }
        }
        // Chromium may wait for us to read before it reads: what does not go now
        // goes when there is room.
        if self.pipe.is_stuck() {
            let written = self.pipe.push();
            self.written(written);
        }
    }

    fn tell(&self, what: impl FnOnce(&Bound) -> Option<SessionEvent>) {
        if let Some(bound) = &self.bound {
            if let Some(event) = what(bound) {
                bound.events.send(event).ok();
            }
        }
    }

    fn send_to_client(&mut self, client: ClientId, message: Vec<u8>) {
        let Some(connection) = self.connections.get(&client) else {
            return;
        };
        let waiting = connection.backlog.add(message.len());
        if waiting > MOST_BACKLOG {
            let why = format!(
                "it left {} MiB of what it was sent unread; read while you send",
                MOST_BACKLOG >> 20
            );
            connection.close(why.clone());
            self.connections.remove(&client);
            let now = self.clock.now();
            self.hub.client_closed(client, &why, now);
        } else {
            connection.out.send(ToClient::Message(message)).ok();
        }
    }

    /// How long until the next window ends or the grace is over.
    fn wait(&self) -> Duration {
        let now = self.clock.now();
        let mut wait = Duration::from_mins(1);
        if let Some(deadline) = self.hub.deadline() {
            wait = wait.min(now.boot.until(deadline));
        }
        if let Some(bound) = &self.bound {
            bound.leases.each(|lease| {
                if let Some(left) = lease.left(now) {
                    wait = wait.min(left);
                }
            });
            if self.is_idle() {
                wait = wait.min(bound.grace.saturating_sub(self.idle_since.elapsed()));
            }
        }
        wait
    }

    async fn tick(&mut self) {
        let now = self.clock.now();
        self.hub.handle_timeout(now);
        let Some(bound) = &self.bound else {
            return;
        };
        let mut over = Vec::new();
        bound.leases.each(|lease| {
            if lease.live.has_ended(now) && lease.close(CloseReason::Expired) {
                over.push(lease.delegation);
            }
        });
        for delegation in over {
            self.close_lease(delegation, Actor::Broker).await;
        }
        self.end_if_done(now);
    }

    /// What is used up ends as what has run out.
    async fn close_used_up(&mut self) {
        for delegation in std::mem::take(&mut self.used_up) {
            let Some(bound) = &self.bound else {
                return;
            };
            let closed = bound.leases.find(|lease| {
                (lease.delegation == delegation).then(|| lease.close(CloseReason::Exhausted))
            });
            if closed == Some(true) {
                self.tell(|_| Some(SessionEvent::UsedUp(delegation)));
                self.close_lease(delegation, Actor::Broker).await;
                self.end_if_done(self.clock.now());
                self.carry();
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.connections
            .values()
            .all(|connection| connection.watches)
    }

    fn end_if_done(&mut self, now: Now) {
        let Some(bound) = &self.bound else {
            return;
        };
        if bound.had_lease && !bound.leases.any_alive(now) {
            self.ending
                .get_or_insert_with(|| bound.last_window_closed(now));
        } else if self.is_idle() && self.idle_since.elapsed() >= bound.grace {
            self.ending
                .get_or_insert_with(|| "no client was connected for longer than the grace".into());
        }
    }

    /// One order, whatever the cause: nothing new, cut what is open, end the
    /// browser, close the record, tell.
    async fn finish(mut self: Box<Self>, browser: Ending) {
        let reason = self.ending.take().unwrap_or_default();
        self.hub.end(&reason, self.clock.now());
        self.ending = None;
        self.carry();
        self.listener.close().await;
        drop(self.connections);
        drop(self.pipe);
        browser.end().await;
        let Some(mut bound) = self.bound else {
            return;
        };
        // What ran out in this moment, and nobody has noticed yet.
        let now = self.clock.now();
        for lease in bound.leases.all() {
            bound.record_end(&lease, Actor::Broker, now);
        }
        let ended = Draft {
            at: self.clock.now().wall,
            actor: Actor::Broker,
            event: Event::SessionEnded {
                reason: reason.clone(),
            },
        };
        if bound.recorder.record(ended).is_ok() {
            if let Err(error) = bound.recorder.finish().await {
                tracing::error!(session = %bound.session, %error, "the trace could not be closed");
            }
        }
        let event = SessionEvent::Ended {
            session: bound.session,
            reason,
        };
        bound.events.send(event).ok();
    }
}

#[cfg(test)]
mod tests;
