//! `hallpass demo`: the main job end to end on this machine.

use clap::Args;

use super::{
    context::Context,
    failure::{Exit, Failure},
};

/// How the demonstration runs.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// End after the last step, non-zero if any step did not hold.
    #[arg(long)]
    pub once: bool,
}

/// Runs it.
///
/// # Errors
/// A step did not hold.
#[expect(clippy::unused_async, reason = "the demonstration awaits the broker")]
pub async fn run(_args: DemoArgs, _context: &Context) -> Result<Exit, Failure> {
    Err(Failure::new(
        Exit::Failed,
        "this build has no demonstration",
    ))
}
