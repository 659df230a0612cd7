//! A session's line to its browser: a whole one's pipe, or a place in one that
//! others share.

use std::sync::{Arc, atomic::AtomicUsize};

use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    files::Folders,
    pipe_writer::pipe_writer,
    shared::{self, Place, Seat},
};
use crate::{
    browser::{
        cell::{Cell, CellProcess},
        pipe::PipeReader,
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
    pub(super) outgoing: mpsc::UnboundedSender<Vec<u8>>,
    /// Bytes of what is sent that Chromium has not been told yet.
    pub(super) backlog: Arc<AtomicUsize>,
    pub(super) ending: Ending,
}

/// What Chromium says.
pub(super) enum Incoming {
    Pipe(PipeReader),
    Place(shared::Incoming),
}

/// How a session's part of the browser ends.
pub(super) enum Ending {
    /// With the whole browser.
    Cell {
        process: Box<CellProcess>,
        writer: JoinHandle<()>,
        /// A listener that refuses all: the browser's own traffic.
        deny: Arc<Listener>,
    },
    /// With the contexts of a place.
    Place(Seat),
}

impl Line {
    /// To a cell of the session's own.
    pub(super) fn whole(cell: Cell, listener: Arc<Listener>, deny: Arc<Listener>) -> Self {
        let (outgoing, backlog, writer) = pipe_writer(cell.writer);
        Self {
            listener,
            folders: Folders::below(cell.process.folder().profile().into()),
            version: cell.version.product.as_str().into(),
            incoming: Incoming::Pipe(cell.reader),
            outgoing,
            backlog,
            ending: Ending::Cell {
                process: Box::new(cell.process),
                writer,
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
            outgoing: place.outgoing,
            backlog: place.backlog,
            ending: Ending::Place(place.seat),
        }
    }
}

impl Incoming {
    /// The next message; none once the browser has ended. An error says why the
    /// session must.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Self::Pipe(reader) => reader.next().await.map_err(|error| {
                tracing::warn!(%error, "the browser's pipe broke");
                "its browser's pipe broke".to_owned()
            }),
            Self::Place(incoming) => incoming.next().await,
        }
    }
}

impl Ending {
    /// When this answers, nothing of the session is left in a browser.
    pub(super) async fn end(self) {
        match self {
            Self::Cell {
                process,
                writer,
                deny,
            } => {
                if let Err(error) = process.kill().await {
                    tracing::error!(%error, "a cell could not be ended whole");
                }
                writer.abort();
                drop(deny);
            }
            Self::Place(seat) => seat.leave().await,
        }
    }
}
