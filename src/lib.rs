//! Hallpass: a browser-automation session isolation broker.

pub mod broker;
pub mod browser;
pub mod cdp;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod egress;
pub mod gateway;
pub mod http;
pub mod model;
pub mod policy;
pub mod random;
pub mod recorder;
pub mod serve;
pub mod service;
pub mod session;
pub mod store;
pub mod trace;
pub mod vault;
