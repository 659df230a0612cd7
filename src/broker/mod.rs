//! Leases, injection and the life of a session: what binds an open window to a
//! running browser context. Pure: no I/O, no clock, no randomness.

mod cookie_date;
pub mod injection;
pub mod lease;
pub mod quota;
pub mod rotation;
