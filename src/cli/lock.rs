//! `hallpass lock`

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    context::Context,
    failure::{Exit, Failure},
    output::Table,
};
use crate::{
    model::{
        id::{LockId, PersonId},
        lock::Lock,
        origin::OriginPattern,
    },
    service::{AgentRef, NewLock},
};

/// Locks: stops on an agent, a person or an origin.
#[derive(Debug, Subcommand)]
pub enum LockCommand {
    /// Stop one: close what is open and refuse what is new.
    Set(SetArgs),
    /// Show the locks that hold, newest first.
    List {
        /// Lifted ones, too.
        #[arg(long)]
        all: bool,
    },
    /// Lift one; what it closed stays closed.
    Lift {
        /// Its id.
        id: LockId,
    },
}

/// What is stopped, and why.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("subject").required(true)))]
pub struct SetArgs {
    /// An agent, by name or id.
    #[arg(long, group = "subject")]
    agent: Option<String>,
    /// A person, by id: everything that they lend.
    #[arg(long, group = "subject")]
    person: Option<PersonId>,
    /// An origin, such as `https://app.example.com` or `https://*.example.com`.
    #[arg(long, group = "subject")]
    origin: Option<OriginPattern>,
    /// Why, for those who meet it.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct LockList {
    locks: Vec<Lock>,
}

/// Does it.
///
/// # Errors
/// See [`Failure`].
pub async fn run(command: LockCommand, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    match command {
        LockCommand::Set(args) => {
            let new = NewLock {
                agent: args.agent.map(|agent| {
                    let Ok(agent) = agent.parse::<AgentRef>();
                    agent
                }),
                person: args.person,
                origin: args.origin,
                reason: args.reason,
            };
            let lock: Lock = client.post("/v1/locks", &new).await?;
            context.show(&lock, one)?;
        }
        LockCommand::List { all } => {
            let list: LockList = client.get(&format!("/v1/locks?lifted={all}")).await?;
            context.show(&list, |context, list| {
                let mut table = Table::new(["LOCK", "STOPS", "SINCE", "LIFTED", "REASON"]);
                for lock in &list.locks {
                    table.row([
                        lock.id.to_string(),
                        lock.subject.to_string(),
                        context.when(lock.set_at),
                        lock.lifted_at
                            .map_or_else(|| "-".to_owned(), |at| context.when(at)),
                        lock.reason.clone(),
                    ]);
                }
                context.list(&table, "no lock holds");
            })?;
        }
        LockCommand::Lift { id } => {
            let path = format!("/v1/locks/{id}/lift");
            let lock: Lock = client.post(&path, &json!(null)).await?;
            context.show(&lock, one)?;
        }
    }
    Ok(Exit::Done)
}

fn one(context: &Context, lock: &Lock) {
    let state = match lock.lifted_at {
        None => "holds: what it stops is closed, and nothing new is let".to_owned(),
        Some(at) => format!("lifted {}; what it closed stays closed", context.when(at)),
    };
    context.fields(&[
        ("lock", lock.id.to_string()),
        ("stops", lock.subject.to_string()),
        ("reason", lock.reason.clone()),
        ("status", state),
    ]);
}
