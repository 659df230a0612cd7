//! The cell: finding, installing, launching, confining and reaping Chromium.
//!
//! ```text
//! discover ─ install      which browser, and how to get one
//! cell ─ cell_exec        the broker starts itself as a launcher, which confines
//!                         itself and then becomes Chromium
//! pipe                    DevTools messages over descriptors 3 and 4
//! process ─ reap ─ lock   nothing of a cell outlives it
//! probe                   what of this holds on this machine
//! ```

pub mod cell;
pub mod cell_exec;
pub mod discover;
pub mod install;
pub mod lock;
pub mod pipe;
pub mod probe;
pub mod process;
pub mod reap;
pub mod switches;
