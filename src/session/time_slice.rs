//! How long a busy task keeps its thread.
//!
//! What a task wakes, the runtime runs next on the same thread, and no other thread
//! takes it away. So where there is always more to do, those that a task has just
//! woken, such as the connection that an answer is for, wait until it lets go of
//! the thread by itself: seconds, on a machine with too much to do.

use std::time::{Duration, Instant};

/// Enough for many messages, and less than anybody notices.
const LONGEST: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Debug)]
pub(super) struct TimeSlice {
    begun: Instant,
}

impl TimeSlice {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
        }
    }

    /// Between two things that are done: lets others go first, once it is time.
    pub(super) async fn step_aside(&mut self) {
        if self.begun.elapsed() >= LONGEST {
            tokio::task::yield_now().await;
            self.begun = Instant::now();
        }
    }
}
