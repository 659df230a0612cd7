//! The record of one session: what a record says, how records hang together,
//! how they are sealed, and how all that is checked. Pure.
//!
//! ```text
//! Draft ──fit──▶ Fitted ──chain──▶ Line (canonical JSON) ──segment──▶ sealed frame
//!                                                  verify ◀── segments + key + anchor
//! ```
//! A [`chain::Line`] is also what a tree over all traces takes as a leaf: its
//! bytes never change once made.

pub mod canonical;
pub mod chain;
pub mod fit;
pub mod record;
pub mod segment;
pub mod show;
pub mod verify;
