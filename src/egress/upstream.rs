//! The site's end of a forwarded request: a socket that counts and can be cut,
//! and a response body that keeps its exchange alive while it streams.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    exchange::Exchange,
    forward::{Kept, Slot},
};

/// A socket that counts what it moves.
#[derive(Debug)]
pub(super) struct Metered {
    // INVARIANT: the socket is closed before the exchange is let go.
    socket: TcpStream,
    exchange: Arc<Exchange>,
}

/// A response body. Read to its end, its connection is kept for the next request;
/// dropping it before ends the exchange.
#[derive(Debug)]
pub(super) struct Guarded {
    body: Incoming,
    kept: Option<Kept>,
    slot: Slot,
    _exchange: Arc<Exchange>,
}

// === impl Metered ===

impl Metered {
    pub(super) const fn new(socket: TcpStream, exchange: Arc<Exchange>) -> Self {
        Self { socket, exchange }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        let read = buffer.filled().len().saturating_sub(before);
        let counted = self.exchange.count_received(read);
        if counted.is_err() {
            buffer.set_filled(before);
        }
        Poll::Ready(counted)
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
        Poll::Ready(self.exchange.count_sent(written).map(|()| written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, slices))?;
        Poll::Ready(self.exchange.count_sent(written).map(|()| written))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        if self.exchange.was_cut() {
            abort_on_close(&self.socket);
        }
    }
}

/// Makes closing throw away what the kernel has not sent yet.
pub(super) fn abort_on_close(socket: &TcpStream) {
    if let Err(error) = socket.set_zero_linger() {
        tracing::debug!(%error, "a cut connection closes in its own time");
    }
}

// === impl Guarded ===

impl Guarded {
    pub(super) fn new(body: Incoming, kept: Kept, slot: Slot, exchange: Arc<Exchange>) -> Self {
        let mut guarded = Self {
            body,
            kept: Some(kept),
            slot,
            _exchange: exchange,
        };
        if guarded.body.is_end_stream() {
            guarded.keep();
        }
        guarded
    }

    fn keep(&mut self) {
        if let Some(kept) = self.kept.take() {
            self.slot.keep(kept);
        }
    }
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // The length of some is known: nobody asks for more than that then.
        if frame.is_none() || matches!(frame, Some(Ok(_))) && self.body.is_end_stream() {
            self.keep();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
