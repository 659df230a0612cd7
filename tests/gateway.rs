//! The gateway under a hostile client, and its files: real browsers, and a
//! server that writes down what arrives.

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

#[path = "gateway/connections.rs"]
mod connections;
#[path = "gateway/cookies.rs"]
mod cookies;
#[path = "gateway/devices.rs"]
mod devices;
#[path = "gateway/echoes.rs"]
mod echoes;
#[path = "gateway/files.rs"]
mod files;
#[path = "gateway/integrity.rs"]
mod integrity;
#[path = "gateway/neighbours.rs"]
mod neighbours;
#[path = "gateway/slow.rs"]
mod slow;
#[path = "lending/stage.rs"]
mod stage;
#[path = "gateway/watching.rs"]
mod watching;
