//! Hallpass: a browser-automation session isolation broker.
pub mod broker;
pub mod clock;
pub mod model;
pub mod policy;
pub mod recorder;
pub mod trace;
