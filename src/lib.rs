//! Hallpass: a browser-automation session isolation broker.
pub mod broker;
pub mod clock;
pub mod config;
pub mod model;
pub mod policy;
pub mod random;
pub mod recorder;
pub mod service;
pub mod session;
pub mod store;
pub mod trace;
pub mod vault;
