//! `hallpass policy`: what is decided, and why. Works without a broker.

mod cdp;
mod decided;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

pub use self::{cdp::CdpArgs, decided::RequestArgs};
use super::{
    context::Context,
    failure::{Exit, Failure},
};
use crate::{
    policy::{bundle::Bundle, classify::Classes},
    policy_file::{self, PolicyFileError},
};

/// What is decided, and why.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Validate a bundle of policies: what is wrong is told by line and column.
    Check(CheckArgs),
    /// Say why something is allowed or refused.
    #[command(subcommand)]
    Explain(ExplainCommand),
    /// Decide a recorded session again, and list what would be decided otherwise.
    Replay(ReplayArgs),
}

/// Which bundle.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// File of Cedar policies; the one that is configured, or else the one that
    /// ships, unless said.
    file: Option<PathBuf>,
    /// Print the bundle that ships, to begin from.
    #[arg(long, conflicts_with = "file")]
    print_default: bool,
}

/// What is to be explained.
#[derive(Debug, Subcommand)]
pub enum ExplainCommand {
    /// A command or event of the `DevTools` protocol: its row in the method table.
    Cdp(CdpArgs),
    /// A recorded request: which policies decided it, and what they looked at.
    Request(RequestArgs),
}

/// Which session, by which bundle.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The session's trace.
    trace: crate::model::id::TraceId,
    /// File of Cedar policies; the one that is configured, or else the one that
    /// ships, unless said.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Show what is decided the same, too.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Serialize)]
struct Checked {
    revision: String,
    policies: Vec<String>,
}

/// Does it.
///
/// # Errors
/// The bundle is not valid, or there is no such record or row.
pub async fn run(command: &PolicyCommand, context: &Context) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Check(args) => check(args, context),
        PolicyCommand::Explain(ExplainCommand::Cdp(args)) => cdp::run(args, context),
        PolicyCommand::Explain(ExplainCommand::Request(args)) => {
            decided::explain(args, context).await
        }
        PolicyCommand::Replay(args) => {
            let bundle = bundle(args.bundle.as_ref(), context)?;
            decided::replay(args.trace, bundle, args.all, context).await
        }
    }
}

fn check(args: &CheckArgs, context: &Context) -> Result<Exit, Failure> {
    if args.print_default {
        context
            .screen
            .line(crate::policy::bundle::DEFAULT.trim_end());
        return Ok(Exit::Done);
    }
    let bundle = bundle(args.file.as_ref(), context)?;
    let checked = Checked {
        revision: bundle.revision().to_string(),
        policies: bundle.ids().map(str::to_owned).collect(),
    };
    context.show(&checked, |context, checked| {
        context.fields(&[
            ("revision", checked.revision.clone()),
            ("policies", checked.policies.join(", ")),
        ]);
    })?;
    Ok(Exit::Done)
}

fn bundle(file: Option<&PathBuf>, context: &Context) -> Result<Bundle, Failure> {
    let config = &context.config().policy;
    let read = match file {
        Some(file) => policy_file::read(file, Classes::with(config.sites.clone())),
        None => policy_file::load(config),
    };
    read.map_err(|error| match &error {
        PolicyFileError::Read { .. } => Failure::because("the bundle cannot be read", &error),
        PolicyFileError::Invalid { path, errors } => {
            let path = path.display();
            let wrong = errors.0.iter().map(|error| {
                let (line, column) = (error.line, error.column);
                format!("{path}:{line}:{column}: {}", error.message)
            });
            Failure::new(Exit::Failed, wrong.collect::<Vec<_>>().join("\n")).advise(
                "correct it; a broker keeps the policies that it has, and does not start with these",
            )
        }
    })
}
