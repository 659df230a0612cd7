//! What one agent may use within an hour, and how much of it may wait for people,
//! over all its sessions and delegations.
//!
//! Use flows off evenly: at any moment, what was used before is given back at the
//! rate of the most an hour. One number says it all, the time at which nothing
//! would be left to give back (the generic cell rate algorithm of ITU-T I.371).

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::model::time::{BootTime, Now};

const HOUR_NANOS: u64 = 3_600_000_000_000;

/// The most that one agent may use; nothing means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Requests let go within an hour.
    pub requests: Option<NonZeroU64>,
    /// Bytes either way within an hour.
    pub bytes: Option<NonZeroU64>,
    /// Requests that wait for a person.
    pub holds: Option<usize>,
}

/// What one agent has used.
#[derive(Debug, Default)]
pub struct Quota {
    limits: QuotaLimits,
    requests: Used,
    bytes: Used,
    holds: Arc<AtomicUsize>,
}

/// The boot time in nanoseconds at which all that was used is given back.
#[derive(Debug, Default)]
struct Used(AtomicU64);

/// Something of the agent's that waits for a person; no more when dropped.
#[derive(Debug)]
pub struct HoldPlace(Arc<AtomicUsize>);

// === impl Quota ===

impl Quota {
    /// Nothing used so far.
    #[must_use]
    pub fn new(limits: QuotaLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Takes one request.
    ///
    /// # Errors
    /// None is left; how long it takes until one is.
    pub fn take_request(&self, now: Now) -> Result<(), Duration> {
        self.requests.take(1, self.limits.requests, now.boot)
    }

    /// Notes bytes that were moved; answers whether they were within the most.
    pub fn moved(&self, bytes: u64, now: Now) -> bool {
        self.limits.bytes.is_none() || {
            self.bytes.add(bytes, self.limits.bytes, now.boot);
            self.has_bytes(now)
        }
    }

    /// Whether more bytes may be moved now.
    #[must_use]
    pub fn has_bytes(&self, now: Now) -> bool {
        self.limits.bytes.is_none() || self.bytes.over(now.boot) <= HOUR_NANOS
    }

    /// A place for one more hold, if there is one.
    #[must_use]
    pub fn hold(&self) -> Option<HoldPlace> {
        let most = self.limits.holds.unwrap_or(usize::MAX);
        self.holds
            .try_update(Ordering::AcqRel, Ordering::Acquire, |held| {
                (held < most).then_some(held + 1)
            })
            .is_ok()
            .then(|| HoldPlace(self.holds.clone()))
    }
}

// === impl Used ===

impl Used {
    fn take(&self, units: u64, most: Option<NonZeroU64>, now: BootTime) -> Result<(), Duration> {
        let Some(most) = most else {
            return Ok(());
        };
        let now = nanos(now);
        let after = |until: u64| until.max(now).saturating_add(cost(units, most));
        self.0
            .try_update(Ordering::AcqRel, Ordering::Acquire, |until| {
                let after = after(until);
                (after.saturating_sub(now) <= HOUR_NANOS).then_some(after)
            })
            .map(|_| ())
            .map_err(|until| Duration::from_nanos((after(until) - now).saturating_sub(HOUR_NANOS)))
    }

    fn add(&self, units: u64, most: Option<NonZeroU64>, now: BootTime) {
        let Some(most) = most else { return };
        let now = nanos(now);
        self.0.update(Ordering::AcqRel, Ordering::Acquire, |until| {
            until.max(now).saturating_add(cost(units, most))
        });
    }

    /// What is still to be given back, as time.
    fn over(&self, now: BootTime) -> u64 {
        self.0.load(Ordering::Acquire).saturating_sub(nanos(now))
    }
}

/// How long it takes to give so much back, rounded up.
fn cost(units: u64, most: NonZeroU64) -> u64 {
    let nanos = (u128::from(units) * u128::from(HOUR_NANOS)).div_ceil(most.get().into());
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

const fn nanos(at: BootTime) -> u64 {
    at.0.saturating_mul(1000)
}

// === impl HoldPlace ===

impl Drop for HoldPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::time::Timestamp;

    fn at(seconds: u64) -> Now {
        Now {
            wall: Timestamp(0),
            boot: BootTime(seconds * 1_000_000),
        }
    }

    fn quota(requests: u64, bytes: u64) -> Quota {
        Quota::new(QuotaLimits {
            requests: NonZeroU64::new(requests),
            bytes: NonZeroU64::new(bytes),
            holds: Some(2),
        })
    }

    #[test]
    fn requests_come_back_as_time_passes() {
        let quota = quota(60, 0);
        for _ in 0..60 {
            quota.take_request(at(10)).unwrap();
        }
        assert_eq!(quota.take_request(at(10)), Err(Duration::from_mins(1)));
        assert_eq!(quota.take_request(at(30)), Err(Duration::from_secs(40)));
        // One a minute.
        quota.take_request(at(70)).unwrap();
        assert_eq!(quota.take_request(at(70)), Err(Duration::from_mins(1)));
        // Whatever was not used for hours is no more than the most.
        for _ in 0..60 {
            quota.take_request(at(100_000)).unwrap();
        }
        quota.take_request(at(100_000)).unwrap_err();
    }

    #[test]
    fn bytes_that_are_gone_are_counted_and_stop_more() {
        let quota = quota(0, 3600);
        assert!(quota.moved(3600, at(0)));
        assert!(!quota.moved(100, at(0)));
        assert!(!quota.has_bytes(at(99)));
        assert!(quota.has_bytes(at(100)));
        assert!(!quota.moved(1, at(100)));
    }

    #[test]
    fn without_a_limit_all_may_be_used() {
        let quota = Quota::default();
        assert!(quota.moved(u64::MAX, at(0)) && quota.moved(u64::MAX, at(0)));
        quota.take_request(at(0)).unwrap();
        assert!(quota.hold().is_some());
    }

    #[test]
    fn a_place_is_free_again_when_its_hold_is_over() {
        let quota = quota(0, 0);
        let (first, second) = (quota.hold(), quota.hold());
        assert!(first.is_some() && second.is_some());
        assert!(quota.hold().is_none());
        drop(first);
        let third = quota.hold();
        assert!(third.is_some());
        assert!(quota.hold().is_none());
    }

    proptest! {
        // Any hour sees no more than twice the most: what an idle hour before it
        // left, and what is given back within it.
        #[test]
        fn no_hour_sees_more_than_twice_the_most(
            most in 1_u64..50,
            steps in prop::collection::vec(0_u64..600, 1..400),
        ) {
            let quota = quota(most, 0);
            let mut now = 0;
            let mut taken = Vec::new();
            for step in steps {
                now += step;
                if quota.take_request(at(now)).is_ok() {
                    taken.push(now);
                }
            }
            for from in &taken {
                let within = taken.iter().filter(|at| (*from..from + 3600).contains(at));
                prop_assert!(within.count() as u64 <= 2 * most);
            }
        }
    }
}
