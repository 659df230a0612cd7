//! What waits to be written to one client, and who waits for it.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Bytes unread by a client from which on nothing more is taken from it: more
/// than a result of usual size, far less than makes the session part with it.
const STALLED: usize = 32 << 20;

/// Bytes that wait for one client.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: AtomicUsize,
    room: Notify,
    closing: Notify,
}

impl Backlog {
    /// More waits; answers how much did before.
    pub(super) fn add(&self, bytes: usize) -> usize {
        self.bytes.fetch_add(bytes, Ordering::Relaxed)
    }

    /// So much was written.
    pub(super) fn written(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before >= STALLED && before - bytes < STALLED {
            // Kept for the one that may be about to wait.
            self.room.notify_one();
        }
    }

    /// Waits until the client has read enough of what it was sent.
    pub(super) async fn room(&self) {
        while self.bytes.load(Ordering::Relaxed) >= STALLED {
            self.room.notified().await;
        }
    }

    /// The session is done with the client.
    pub(super) fn close(&self) {
        self.closing.notify_one();
    }

    /// Waits for [`Backlog::close`].
    pub(super) async fn told_to_close(&self) {
        self.closing.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_does_not_read_waits_until_it_has_read() {
        let backlog = Backlog::default();
        assert_eq!(backlog.add(STALLED - 1), 0);
        assert!(backlog.room().now_or_never().is_some());
        assert_eq!(backlog.add(STALLED), STALLED - 1);
        assert!(backlog.room().now_or_never().is_none());
        backlog.written(STALLED / 2);
        assert!(backlog.room().now_or_never().is_none());
        let (waited, ()) = tokio::join!(backlog.room().map(|()| true), async {
            backlog.written(STALLED);
        });
        assert!(waited);
    }

    #[tokio::test]
    async fn an_order_to_close_is_kept_for_who_comes_to_wait() {
        let backlog = Backlog::default();
        assert!(backlog.told_to_close().now_or_never().is_none());
        backlog.close();
        assert!(backlog.told_to_close().now_or_never().is_some());
    }
}
