//! The Chrome `DevTools` Protocol as Hallpass speaks it: envelopes, the method
//! table, argument checks, redaction, and the virtual browser that an agent
//! sees. Pure: messages and clock readings in, messages and records out.

pub mod check;
pub mod envelope;
pub mod hub;
pub mod looking;
pub mod offered;
pub mod paused;
pub mod redact;
pub mod scan;
pub mod share;
pub mod table;
