//! The two clocks of the shell. The pure core is handed their readings.

use std::io;

use nix::time::{ClockId, clock_gettime};

use crate::model::time::{BootTime, Now, Timestamp};

/// Reads wall time and boot time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// Both clocks, now.
    #[must_use]
    pub fn now(self) -> Now {
        Now {
            wall: Timestamp(micros(ClockId::CLOCK_REALTIME)),
            boot: BootTime(micros(ClockId::CLOCK_BOOTTIME).unsigned_abs()),
        }
    }
}

/// Names this boot of this machine; boot times of different boots do not compare.
///
/// # Errors
/// The kernel does not tell.
pub fn boot_id() -> io::Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

// A clock that cannot be read reads as the end of time, so that every window is
// over: nothing is open when it is not known what time it is.
fn micros(clock: ClockId) -> i64 {
    clock_gettime(clock).map_or(i64::MAX, |time| {
        time.tv_sec()
            .saturating_mul(1_000_000)
            .saturating_add(time.tv_nsec() / 1_000)
    })
}
