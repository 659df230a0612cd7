//! What is lent arrives at the site, where a browser would send it and nowhere
//! else; told by servers that write down each request's `Cookie` header.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

mod support;

#[path = "lending/endings.rs"]
mod endings;
#[path = "lending/site.rs"]
mod site;
#[path = "lending/stage.rs"]
mod stage;
#[path = "lending/ways.rs"]
mod ways;
