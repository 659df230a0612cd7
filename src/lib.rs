//! Hallpass: a browser-automation session isolation broker.

pub mod broker;
pub mod browser;
pub mod cdp;
pub mod clock;
pub mod demo;
pub mod egress;
pub mod model;
pub mod policy;
pub mod random;
pub mod trace;
pub mod vault;
