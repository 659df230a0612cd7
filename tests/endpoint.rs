//! The address that an agent's client connects to, by raw requests and messages:
//! who gets in, and what becomes of what cannot be understood.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

mod support;

#[path = "endpoint/doors.rs"]
mod doors;
#[path = "endpoint/messages.rs"]
mod messages;
