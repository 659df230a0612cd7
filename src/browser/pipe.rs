//! `DevTools` messages over a pair of pipes: each ends with a NUL byte.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use bytes::{Buf, Bytes, BytesMut};
use nix::fcntl::{FcntlArg, fcntl};
use tokio::{
    io::AsyncWriteExt,
    net::unix::pipe::{Receiver, Sender},
    task::coop::consume_budget,
};

/// The longest message that is taken, in bytes without its NUL.
pub const MAX_MESSAGE: usize = 256 << 20;

const PIPE_SIZE: i32 = 1 << 20;
/// Bytes to read into at first.
const CHUNK: usize = 4 << 10;
/// Bytes to read into at most while there is more than was asked for.
const MOST_CHUNK: usize = 64 << 10;
/// Less than this is not worth a call.
const ROOM: usize = 512;
const KEEP: usize = 1 << 20;

/// Why a message could not be read or written. The pipe is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    /// The browser sent more than [`MAX_MESSAGE`] bytes without a NUL.
    #[error("the browser sent a message of more than {MAX_MESSAGE} bytes; end the cell")]
    TooLong,
    /// The browser closed the pipe in the middle of a message.
    #[error("the browser closed the pipe in the middle of a message; the cell has ended")]
    Torn,
    /// A NUL inside would split one message into two.
    #[error("a message to the browser must not have a NUL byte inside")]
    NulInside,
    /// The pipe itself failed.
    #[error("the pipe to the browser failed; the cell has ended")]
    Io(#[from] io::Error),
}

/// The broker's end that reads what the browser says.
#[derive(Debug)]
pub struct PipeReader {
    pipe: Receiver,
    buffer: BytesMut,
    /// Bytes to make room for; grows with what comes at once.
    chunk: usize,
    scanned: usize,
    limit: usize,
}

/// The broker's end that writes to the browser.
#[derive(Debug)]
pub struct PipeWriter {
    pipe: Sender,
    buffer: BytesMut,
}

// === impl PipeReader ===

impl PipeReader {
    /// Takes the read end of a pipe; to be called within a runtime.
    ///
    /// # Errors
    /// It is not the read end of a pipe.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        enlarge(&fd);
        Ok(Self {
            pipe: Receiver::from_owned_fd(fd)?,
            buffer: BytesMut::new(),
            chunk: CHUNK,
            scanned: 0,
            limit: MAX_MESSAGE,
        })
    }

    /// The next message without its NUL; none once the browser has closed its
    /// end. May be cancelled without losing anything.
    ///
    /// # Errors
    /// The message is too long, or the pipe broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, PipeError> {
        loop {
            if let Some(message) = self.take() {
                return Ok(Some(message));
            }
            if self.buffer.len() > self.limit {
                return Err(PipeError::TooLong);
            }
            // Doubling keeps the copying of a long message linear in its length.
            if self.buffer.capacity() - self.buffer.len() < ROOM {
                self.buffer.reserve(self.buffer.len().max(self.chunk));
            }
            let room = self.buffer.capacity() - self.buffer.len();
            // A long message that keeps coming must not keep others from their turn.
            consume_budget().await;
            let read = match self.pipe.try_read_buf(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Nothing is kept for a browser that says nothing.
                    if self.buffer.is_empty() {
                        self.buffer = BytesMut::new();
                    }
                    self.pipe.readable().await?;
                    continue;
                }
                read => read?,
            };
            if read == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(PipeError::Torn)
                };
            }
            self.chunk = if read == room {
                (self.chunk * 2).min(MOST_CHUNK)
            } else if read < self.chunk / 4 {
                (self.chunk / 2).max(CHUNK)
            } else {
                self.chunk
            };
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let fresh = self.buffer.get(self.scanned..)?;
        let Some(end) = memchr(fresh) else {
            self.scanned = self.buffer.len();
            return None;
        };
        let message = self.buffer.split_to(self.scanned + end);
        self.buffer.advance(1);
        self.scanned = 0;
        // What follows a long message must not keep all of its memory.
        if message.len() > KEEP {
            self.buffer = BytesMut::from(self.buffer.as_ref());
        }
        Some(message.freeze())
    }
}

// === impl PipeWriter ===

impl PipeWriter {
    /// Takes the write end of a pipe; to be called within a runtime.
    ///
    /// # Errors
    /// It is not the write end of a pipe.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        enlarge(&fd);
        Ok(Self {
            pipe: Sender::from_owned_fd(fd)?,
            buffer: BytesMut::new(),
        })
    }

    /// Writes one message and its NUL, after what was fed before.
    ///
    /// # Errors
    /// A NUL is inside, or the pipe broke.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), PipeError> {
        self.feed(message)?;
        self.flush().await
    }

    /// Queues one message for the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// A NUL is inside.
    pub fn feed(&mut self, message: &[u8]) -> Result<(), PipeError> {
        if memchr(message).is_some() {
            return Err(PipeError::NulInside);
        }
        self.buffer.reserve(message.len() + 1);
        self.buffer.extend_from_slice(message);
        self.buffer.extend_from_slice(&[0]);
        Ok(())
    }

    /// Bytes that were fed and are not written yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Writes all that was fed. When cancelled, the next one goes on where it
    /// stopped.
    ///
    /// # Errors
    /// The pipe broke.
    pub async fn flush(&mut self) -> Result<(), PipeError> {
        while !self.buffer.is_empty() {
            self.pipe.write_buf(&mut self.buffer).await?;
        }
        self.buffer = BytesMut::new();
        Ok(())
    }
}

// A bigger pipe is a courtesy: fewer wake-ups. Limits per user may forbid it.
fn enlarge(fd: impl AsFd) {
    let _ = fcntl(fd, FcntlArg::F_SETPIPE_SZ(PIPE_SIZE));
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(0, bytes)
}

#[cfg(test)]
mod tests;
