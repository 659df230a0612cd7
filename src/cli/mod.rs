//! The command line: one file for each noun. `main` hands over the parsed
//! [`Cli`] and turns what comes back into an exit code.

pub mod agent;
pub mod client;
pub mod context;
pub mod credential;
pub mod delegation;
pub mod demo;
pub mod doctor;
pub mod failure;
pub mod hold;
pub mod lock;
pub mod output;
pub mod policy;
mod scratch;
pub mod serve;
pub mod session;
pub mod time;
pub mod trace;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use url::Url;

use self::{
    context::Context,
    failure::{Exit, Failure},
};

/// Lends an agent a slice of a person's browser session: named sites, for a
/// few minutes, every step on record, never the cookie.
#[derive(Debug, Parser)]
#[command(name = "hallpass", version, propagate_version = true)]
#[command(
    after_help = "Exit codes: 0 done; 1 failed; 2 usage or configuration; \
                        3 refused by policy; 4 verification failed."
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Folder of the broker's state, keys and traces.
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Configuration file (TOML); without it the defaults hold.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    pub json: bool,
    /// Where the broker answers, if elsewhere than its configuration says.
    #[arg(long, global = true, value_name = "URL", env = "HALLPASS_URL")]
    pub url: Option<Url>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the main job end to end on this machine, then stay up to be explored.
    Demo(demo::DemoArgs),
    /// Run the broker.
    Serve(serve::ServeArgs),
    /// Say what holds on this machine, what does not, and how to mend it.
    Doctor,
    /// Agents: workloads that may ask for delegations.
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Credentials: lent cookies, sealed in the vault.
    #[command(subcommand)]
    Credential(credential::CredentialCommand),
    /// Delegations: what a person grants an agent.
    #[command(subcommand)]
    Delegation(delegation::DelegationCommand),
    /// Sessions: isolated browser contexts, each for one agent.
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Holds: requests that wait for a person.
    #[command(subcommand)]
    Hold(hold::HoldCommand),
    /// Locks: stops on an agent, a person or an origin.
    #[command(subcommand)]
    Lock(lock::LockCommand),
    /// Traces: the record of what happened.
    #[command(subcommand)]
    Trace(trace::TraceCommand),
    /// Policy: what is decided, and why.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
}

/// Does what the command line says.
///
/// # Errors
/// What did not happen, why, and what the person can do now.
pub fn run(cli: Cli) -> Result<Exit, Failure> {
    let listen = match &cli.command {
        Command::Serve(args) => args.listen,
        _ => None,
    };
    let context = Context::new(cli.global, listen)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("the async runtime cannot be started", &error))?
        .block_on(dispatch(cli.command, &context))
}

async fn dispatch(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Demo(args) => Box::pin(demo::run(args, context)).await,
        Command::Serve(_) => serve::run(context).await,
        Command::Doctor => doctor::run(context).await,
        Command::Agent(command) => agent::run(command, context).await,
        Command::Credential(command) => credential::run(command, context).await,
        Command::Delegation(command) => delegation::run(command, context).await,
        Command::Session(command) => session::run(command, context).await,
        Command::Hold(command) => hold::run(command, context).await,
        Command::Lock(command) => lock::run(command, context).await,
        Command::Trace(command) => trace::run(command, context).await,
        Command::Policy(command) => policy::run(&command, context).await,
    }
}

/// Text as one segment of a path.
fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}
