//! What whole-flow tests stand on: real servers, real browsers, real clients.
//! Whatever is missing is installed or named; nothing is skipped.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary compiles these modules and uses a part of them"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of tests fails by panicking"
)]

pub mod api;
pub mod broker;
pub mod canary;
pub mod cdp;
pub mod chromium;
pub mod django;
pub mod node;
pub mod process;
pub mod site;
pub mod tools;
