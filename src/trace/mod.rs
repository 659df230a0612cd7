//! The record of one session: what a record says. Pure.

pub mod record;
