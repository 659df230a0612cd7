//! Several sessions in one browser: what holds for a session with a browser of its
//! own holds for each of them. The suites of the one are run here as well.

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

#[path = "shared/apart.rs"]
mod apart;
#[path = "shared/ends.rs"]
mod ends;
#[path = "gateway/files.rs"]
mod files;
#[path = "lending/endings.rs"]
mod lending_endings;
#[path = "gateway/neighbours.rs"]
mod neighbours;
#[path = "lending/site.rs"]
mod site;
#[path = "shared/stage.rs"]
mod stage;
#[path = "shared/unseen.rs"]
mod unseen;
#[path = "lending/ways.rs"]
mod ways;
#[path = "lending/stage.rs"]
mod whole;
