//! Decided on every request: holds, locks, budgets, policies and endings, with a
//! real browser and a site that writes down what arrives.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "modules of several test binaries"
)]

mod support;

#[path = "deciding/asking.rs"]
mod asking;
#[path = "deciding/desk.rs"]
mod desk;
#[path = "deciding/ends.rs"]
mod ends;
#[path = "deciding/holds.rs"]
mod holds;
#[path = "deciding/policies.rs"]
mod policies;
#[path = "deciding/shares.rs"]
mod shares;
#[path = "lending/stage.rs"]
mod stage;
