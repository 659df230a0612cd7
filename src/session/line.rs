//! A session's line to its browser: a whole one's pipe, or a place in one that
//! others share.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::sync::mpsc;

use super::{
    files::Folders,
    shared::{self, Place, Seat},
};
use crate::{
    browser::{
        cell::{Cell, CellProcess},
        pipe::{PipeError, PipeReader, PipeWriter},
    },
    egress::Listener,
};

/// What a driver takes over.
pub(super) struct Line {
    pub(super) listener: Arc<Listener>,
    pub(super) folders: Folders,
    /// Product and version of the browser.
    pub(super) version: Arc<str>,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    pub(super) ending: Ending,
}

/// What Chromium says.
pub(super) enum Incoming {
    Pipe(PipeReader),
    Place(shared::Incoming),
}

/// What Chromium is told.
pub(super) enum Outgoing {
    Pipe(PipeWriter),
    Place {
        to: mpsc::UnboundedSender<Vec<u8>>,
        /// Bytes of that which are not written yet.
        backlog: Arc<AtomicUsize>,
    },
}

/// How a session's part of the browser ends.
pub(super) enum Ending {
    /// With the whole browser.
    Cell {
        process: Box<CellProcess>,
        /// A listener that refuses all: the browser's own traffic.
        deny: Arc<Listener>,
    },
    /// With the contexts of a place.
    Place(Seat),
}

impl Line {
    /// To a cell of the session's own.
    pub(super) fn whole(cell: Cell, listener: Arc<Listener>, deny: Arc<Listener>) -> Self {
        Self {
            listener,
            folders: Folders::below(cell.process.folder().profile().into()),
            version: cell.version.product.as_str().into(),
            incoming: Incoming::Pipe(cell.reader),
            outgoing: Outgoing::Pipe(cell.writer),
            ending: Ending::Cell {
                process: Box::new(cell.process),
                deny,
            },
        }
    }

    /// To a place in a shared one.
    pub(super) fn shared(place: Place) -> Self {
        Self {
            listener: place.listener,
            folders: place.folders,
            version: place.version,
            incoming: Incoming::Place(place.incoming),
            outgoing: Outgoing::Place {
                to: place.outgoing,
                backlog: place.backlog,
            },
            ending: Ending::Place(place.seat),
        }
    }
}

impl Incoming {
    /// The next message; none once the browser has ended. An error says why the
    /// session must.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Self::Pipe(reader) => reader.next().await.map_err(|error| broke(&error)),
            Self::Place(incoming) => incoming.next().await,
        }
    }
}

impl Outgoing {
    /// Queues a message; [`flush`](Self::flush) writes it.
    pub(super) fn send(&mut self, message: Vec<u8>) -> Result<(), String> {
        match self {
            Self::Pipe(writer) => writer.feed(&message).map_err(|error| unwritable(&error)),
            Self::Place { to, backlog } => {
                backlog.fetch_add(message.len(), Ordering::Relaxed);
                // Who took the place away says why.
                to.send(message).ok();
                Ok(())
            }
        }
    }

    /// Bytes that Chromium has not been told yet.
    pub(super) fn waiting(&self) -> usize {
        match self {
            Self::Pipe(writer) => writer.waiting(),
            Self::Place { backlog, .. } => backlog.load(Ordering::Relaxed),
        }
    }

    /// Writes what goes without waiting.
    pub(super) fn push(&mut self) -> Result<(), String> {
        self.flush().now_or_never().unwrap_or(Ok(()))
    }

    /// Writes all that is queued here. May be cancelled without losing anything.
    pub(super) async fn flush(&mut self) -> Result<(), String> {
        match self {
            Self::Pipe(writer) => writer.flush().await.map_err(|error| unwritable(&error)),
            Self::Place { .. } => Ok(()),
        }
    }

    /// Whether [`flush`](Self::flush) has something to do.
    pub(super) fn is_stuck(&self) -> bool {
        matches!(self, Self::Pipe(writer) if writer.waiting() > 0)
    }
}

fn unwritable(error: &PipeError) -> String {
    tracing::debug!(%error, "the browser's pipe takes nothing");
    "its browser ended".to_owned()
}

fn broke(error: &PipeError) -> String {
    tracing::warn!(%error, "the browser's pipe broke");
    "its browser's pipe broke".to_owned()
}

impl Ending {
    /// When this answers, nothing of the session is left in a browser.
    pub(super) async fn end(self) {
        match self {
            Self::Cell { process, deny } => {
                if let Err(error) = process.kill().await {
                    tracing::error!(%error, "a cell could not be ended whole");
                }
                drop(deny);
            }
            Self::Place(seat) => seat.leave().await,
        }
    }
}
