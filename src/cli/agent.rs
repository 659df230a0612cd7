//! `hallpass agent`

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    context::Context,
    failure::{Exit, Failure},
    output::{Table, printable},
};
use crate::service::Agent;

/// Agents: workloads that may ask for delegations.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Add an agent and print its key, once.
    Add {
        /// A name to know it by.
        name: String,
    },
    /// Show all agents.
    List,
    /// Disable an agent for good: close its delegations, end its sessions.
    Disable {
        /// Its name or id.
        agent: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Added {
    agent: Agent,
    key: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct AgentList {
    agents: Vec<Agent>,
}

/// Does it.
///
/// # Errors
/// See [`Failure`].
pub async fn run(command: AgentCommand, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    match command {
        AgentCommand::Add { name } => {
            let added: Added = client.post("/v1/agents", &json!({ "name": name })).await?;
            context.show(&added, |context, added| {
                let screen = context.screen;
                screen.line(format!(
                    "agent  {} ({})",
                    printable(&added.agent.name),
                    added.agent.id
                ));
                screen.line(format!("key    {}", added.key));
                screen.line(
                    "The key is shown this once; the agent sends it as `Authorization: Bearer`.",
                );
            })?;
        }
        AgentCommand::List => {
            let list: AgentList = client.get("/v1/agents").await?;
            context.show(&list, |context, list| {
                let mut table = Table::new(["AGENT", "NAME", "ADDED", "STATUS"]);
                for agent in &list.agents {
                    table.row([
                        agent.id.to_string(),
                        agent.name.clone(),
                        context.when(agent.created_at),
                        agent.disabled_at.map_or_else(
                            || "active".to_owned(),
                            |at| format!("disabled {}", context.when(at)),
                        ),
                    ]);
                }
                context.list(
                    &table,
                    "no agent yet; add one with `hallpass agent add NAME`",
                );
            })?;
        }
        AgentCommand::Disable { agent } => {
            let path = format!("/v1/agents/{}/disable", super::segment(&agent));
            let agent: Agent = client.post(&path, &json!(null)).await?;
            context.show(&agent, |context, agent| {
                context.screen.line(format!(
                    "agent {} ({}) is disabled: its key no longer works, its delegations are closed, its sessions ended",
                    printable(&agent.name), agent.id
                ));
            })?;
        }
    }
    Ok(Exit::Done)
}
