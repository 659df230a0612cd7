//! Writing to Chromium.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{sync::mpsc, task::JoinHandle};

use crate::browser::pipe::PipeWriter;

/// Writes to Chromium from a task of its own: Chromium may wait for us to read
/// before it reads.
pub(super) fn pipe_writer(
    mut writer: PipeWriter,
) -> (
    mpsc::UnboundedSender<Vec<u8>>,
    Arc<AtomicUsize>,
    JoinHandle<()>,
) {
    let (sender, mut messages) = mpsc::unbounded_channel::<Vec<u8>>();
    let backlog = Arc::new(AtomicUsize::new(0));
    let counted = backlog.clone();
    let task = tokio::spawn(async move {
        let mut batch = Vec::new();
        while messages.recv_many(&mut batch, 64).await > 0 {
            let mut bytes = 0;
            for message in batch.drain(..) {
                bytes += message.len();
                if writer.feed(&message).is_err() {
                    return;
                }
            }
            if writer.flush().await.is_err() {
                return;
            }
            counted.fetch_sub(bytes, Ordering::Relaxed);
        }
    });
    (sender, backlog, task)
}
