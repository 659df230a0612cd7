//! `hallpass delegation`

mod ask;
mod show;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::ask::RequestArgs;
use super::{
    context::Context,
    failure::{Exit, Failure},
};
use crate::{model::id::DelegationId, service::DelegationInfo};

/// Delegations: what a person grants an agent.
#[derive(Debug, Subcommand)]
pub enum DelegationCommand {
    /// Ask for a delegation, for an agent.
    Request(Box<RequestArgs>),
    /// Agree to a request.
    Approve(One),
    /// Say no to a request.
    Deny(One),
    /// Show all delegations, newest first.
    List {
        /// Only those that stand there now.
        #[arg(long, value_enum)]
        status: Option<Status>,
        /// Only those of this agent, by name or id.
        #[arg(long)]
        agent: Option<String>,
    },
    /// Show one delegation.
    Show(One),
    /// Take a delegation back, at once.
    Revoke(One),
    /// Close a delegation because its task is done.
    Complete(One),
}

/// Which delegation.
#[derive(Debug, Clone, Copy, Args)]
pub struct One {
    /// Its id.
    pub id: DelegationId,
}

/// Where a delegation stands.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Status {
    /// Waits for a person.
    Requested,
    /// Approved; its window has not begun.
    Pending,
    /// Its window is open.
    Open,
    /// Over for good.
    Closed,
}

#[derive(Debug, Serialize, Deserialize)]
struct DelegationList {
    delegations: Vec<DelegationInfo>,
}

/// Does it.
///
/// # Errors
/// See [`Failure`].
pub async fn run(command: DelegationCommand, context: &Context) -> Result<Exit, Failure> {
    match command {
        DelegationCommand::Request(args) => ask::run(&args, context).await,
        DelegationCommand::Approve(one) => act(one.id, "approve", context).await,
        DelegationCommand::Deny(one) => act(one.id, "deny", context).await,
        DelegationCommand::Revoke(one) => act(one.id, "revoke", context).await,
        DelegationCommand::Complete(one) => act(one.id, "complete", context).await,
        DelegationCommand::Show(One { id }) => {
            let path = format!("/v1/delegations/{id}");
            let delegation: DelegationInfo = context.client()?.get(&path).await?;
            context.show(&delegation, show::one)?;
            Ok(Exit::Done)
        }
        DelegationCommand::List { status, agent } => {
            let list: DelegationList = context.client()?.get(&list_path(status, agent)).await?;
            context.show(&list, |context, list| show::all(context, &list.delegations))?;
            Ok(Exit::Done)
        }
    }
}

async fn act(id: DelegationId, what: &str, context: &Context) -> Result<Exit, Failure> {
    let path = format!("/v1/delegations/{id}/{what}");
    let delegation: DelegationInfo = context.client()?.post(&path, &json!(null)).await?;
    context.show(&delegation, show::one)?;
    Ok(Exit::Done)
}

fn list_path(status: Option<Status>, agent: Option<String>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(status) = status {
        let word = match status {
            Status::Requested => "requested",
            Status::Pending => "pending",
            Status::Open => "open",
            Status::Closed => "closed",
        };
        query.append_pair("status", word);
    }
    if let Some(agent) = agent {
        query.append_pair("agent", &agent);
    }
    format!("/v1/delegations?{}", query.finish())
}
