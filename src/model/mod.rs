//! The words of the domain as types: ids, time, origins, scopes, cookies,
//! delegations, actions. Pure: no I/O, no clock, no randomness.

pub mod action;
pub mod body;
pub mod cookie;
pub mod delegation;
pub mod hold;
pub mod id;
pub mod json;
pub mod lock;
pub mod origin;
pub mod scope;
pub mod secret;
mod text;
pub mod time;
