//! Taking a stream of events in gulps.
//!
//! Chromium writes each message by itself. A reader that is quicker wakes for each
//! one, and so does whoever it hands it to, which costs more than the messages do.
//! So while the browser tells many things in a row that nothing is said to, it is
//! left to tell for a moment before it is listened to again. What we tell the
//! browser, or a client tells us, ends the stream; an answer or a paused request
//! in the middle of one waits for one rest.

use std::time::Duration;

use tokio::time::Instant;

/// So many messages in a row that nothing was said to are a stream,
const STREAM: usize = 32;
/// if they came within this time.
const WITHIN: Duration = Duration::from_millis(4);
/// and stay one while so many come in a rest.
const STILL: usize = 4;

/// For how long the browser is left alone; the timer's own grain.
const REST: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    taken: usize,
    /// Of those that are being taken now.
    fresh: usize,
    rest: Option<Instant>,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            taken: 0,
            fresh: 0,
            rest: None,
        }
    }

    /// A message was taken.
    pub(super) fn took(&mut self) {
        self.fresh += 1;
    }

    /// No more has come yet.
    pub(super) fn drained(&mut self, now: Instant) {
        if now.duration_since(self.since) > WITHIN {
            self.since = now;
            self.taken = 0;
        }
        self.taken += std::mem::take(&mut self.fresh);
        if self.taken >= STREAM {
            self.since = now;
            self.taken = STREAM - STILL;
            self.rest = Some(now + REST);
        }
    }

    /// Somebody waits: for the browser, or the browser for us.
    pub(super) fn break_off(&mut self) {
        self.taken = 0;
        self.fresh = 0;
        self.rest = None;
    }

    /// Until when the browser is left alone.
    pub(super) const fn rest(&self) -> Option<Instant> {
        self.rest
    }

    /// Whether a rest ends now.
    pub(super) fn has_rested(&mut self, now: Instant) -> bool {
        self.rest.take_if(|until| now >= *until).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn take(pace: &mut Pace, messages: usize, now: Instant) {
        for _ in 0..messages {
            pace.took();
        }
        pace.drained(now);
    }

    #[test]
    fn a_stream_is_taken_in_gulps_until_it_thins_out() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for _ in 0..STREAM - 1 {
            take(&mut pace, 1, start);
            assert_eq!(pace.rest(), None);
        }
        take(&mut pace, 1, start);
        let rest = pace.rest().unwrap();
        assert_eq!(rest, start + REST);
        assert!(!pace.has_rested(start));
        assert!(pace.has_rested(rest));
        assert_eq!(pace.rest(), None);

        take(&mut pace, STILL, rest);
        let rest = pace.rest().unwrap();
        assert!(pace.has_rested(rest));
        take(&mut pace, STILL - 1, rest);
        assert_eq!(pace.rest(), None, "it has thinned out");
    }

    #[test]
    fn what_comes_slowly_is_taken_at_once() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        // Six a millisecond, in the middle of which the count begins anew.
        let mut now = start;
        for _ in 0..1000 {
            take(&mut pace, STREAM / 5, now);
            assert_eq!(pace.rest(), None);
            now += MILLI;
        }
    }

    #[test]
    fn nobody_is_kept_waiting() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        take(&mut pace, STREAM, start);
        assert!(pace.rest().is_some());
        pace.break_off();
        assert_eq!(pace.rest(), None);
        // Nor after what came at once with a request that was paused.
        for _ in 0..STREAM {
            pace.took();
        }
        pace.break_off();
        take(&mut pace, 1, start);
        assert_eq!(pace.rest(), None);
        pace.break_off();
        take(&mut pace, STREAM - 1, start);
        assert_eq!(pace.rest(), None);
    }
}
