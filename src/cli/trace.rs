//! `hallpass trace`
use clap::Subcommand;

use super::{
    context::Context,
    failure::{Exit, Failure},
};
use crate::model::id::TraceId;

/// Traces: the record of what happened.
#[derive(Debug, Subcommand)]
pub enum TraceCommand {
    /// Show all traces of the data folder.
    List,
    /// Show the records of a trace.
    Show {
        /// Its id.
        id: TraceId,
    },
    /// Verify that nothing was altered.
    Verify {
        /// Its id; every trace unless said.
        id: Option<TraceId>,
    },
}

/// Does it.
///
/// # Errors
/// See [`Failure`].
pub async fn run(command: TraceCommand, context: &Context) -> Result<Exit, Failure> {
    let _ = (command, context);
    Ok(Exit::Done)
}
