//! Stand-in for the vault, until it is merged.

pub mod token;
