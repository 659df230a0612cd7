//! What the task of a session is told, by the broker and by clients' connections.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{Board, Downloads, SessionEvent, backlog::Backlog, files::Folders};
use crate::{
    broker::lease::Leases,
    cdp::hub::{AnswerError, ClientId, Tenant},
    egress::Listener,
    model::{
        hold::HoldAnswer,
        id::{DelegationId, HoldId, PersonId, SessionId},
    },
    recorder::Recorder,
    trace::record::Actor,
};

/// A message to a client's connection.
#[derive(Debug)]
pub(crate) enum ToClient {
    /// One CDP message.
    Message(Vec<u8>),
    /// Close with this code of RFC 6455 and this reason.
    Close { code: u16, reason: String },
}

/// An order of the broker, or the answer to a question of the task's own.
pub(crate) enum Order {
    /// Give the warm browser to a session.
    Bind(Box<Bind>, oneshot::Sender<()>),
    /// Answer once the browser has answered: it is there.
    Ping(oneshot::Sender<()>),
    /// A lease was added to the session's.
    LeaseAdded,
    /// Somebody closed a lease; answer when its credentials can go nowhere any
    /// more.
    LeaseClosed(DelegationId, Actor, oneshot::Sender<()>),
    /// A file was handed in; answer when clients may name it.
    Uploaded {
        path: String,
        real: String,
        answer: oneshot::Sender<()>,
    },
    /// Tell what pages gave for download.
    Downloads(oneshot::Sender<Downloads>),
    /// A person answers a hold.
    AnswerHold {
        hold: HoldId,
        answer: Box<HoldAnswer>,
        person: PersonId,
        done: oneshot::Sender<Result<(), AnswerError>>,
    },
    /// A budget of bytes is used up.
    UsedUp(DelegationId),
    /// The agent says what it is about to do.
    Explained(String),
    /// What a paused request waited for is on record, or will never be.
    Durable { paused: String, ok: bool },
    /// End the session; answer when nothing of it is left.
    End(String, oneshot::Sender<()>),
}

/// Where orders go. Boxed: a channel makes room for many at once, and few come.
pub(crate) type Orders = mpsc::UnboundedSender<Box<Order>>;

/// What a warm browser is bound to.
pub(crate) struct Bind {
    pub(crate) tenant: Tenant,
    pub(crate) session: SessionId,
    pub(crate) leases: Arc<Leases>,
    pub(crate) recorder: Recorder,
    pub(crate) grace: Duration,
    pub(crate) events: mpsc::UnboundedSender<SessionEvent>,
    pub(crate) board: Arc<Board>,
}

/// What clients' connections send.
pub(crate) enum FromClient {
    /// One connected.
    Opened {
        client: ClientId,
        name: String,
        /// It may only look.
        watches: bool,
        out: mpsc::UnboundedSender<ToClient>,
        backlog: Arc<Backlog>,
    },
    /// One sent a message.
    Message { client: ClientId, bytes: Bytes },
    /// One left.
    Closed { client: ClientId, why: String },
}

/// The driver's other ends.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pub(crate) orders: Orders,
    pub(crate) clients: mpsc::Sender<FromClient>,
    pub(crate) listener: Arc<Listener>,
    /// Product and version of the browser.
    pub(crate) version: Arc<str>,
    /// Where its files lie.
    pub(crate) folders: Folders,
}
