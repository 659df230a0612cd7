//! How sessions end: left alone, out of windows, without their browser, their
//! broker or room for their records; and that nothing of them stays. Whatever
//! is struck, in the middle of whatever is done: see `random`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

mod support;

#[path = "lifecycle/endings.rs"]
mod endings;
#[path = "lifecycle/faults.rs"]
mod faults;
#[path = "lifecycle/random.rs"]
mod random;
#[path = "lifecycle/stage.rs"]
mod stage;
#[path = "lifecycle/volume.rs"]
mod volume;
