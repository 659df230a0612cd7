//! `hallpass session`

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use super::{
    context::Context,
    failure::{Exit, Failure},
    output::{Table, printable},
};
use crate::{
    model::id::{DelegationId, SessionId},
    service::{SessionInfo, SessionStatus},
};

/// Sessions: isolated browser contexts, each for one agent.
#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// Start one and print where its agent connects.
    Start {
        /// Name or id of the agent.
        #[arg(long)]
        agent: String,
        /// An approved delegation; may be said several times.
        #[arg(long = "delegation", value_name = "ID", num_args = 1..)]
        delegations: Vec<DelegationId>,
    },
    /// Show all sessions.
    List,
    /// Show one session.
    Show {
        /// Its id.
        id: SessionId,
    },
    /// Give a running session a further delegation.
    Bind {
        /// Its id.
        id: SessionId,
        /// The delegation: at once if it is approved, else when it is.
        delegation: DelegationId,
    },
    /// Print an address at which somebody may look at a session, and not act in it.
    Share {
        /// Its id.
        id: SessionId,
    },
    /// End a session.
    End {
        /// Its id.
        id: SessionId,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Started {
    session: SessionInfo,
    cdp_url: String,
    http_url: String,
    token: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct SessionList {
    sessions: Vec<SessionInfo>,
}

/// Does it.
///
/// # Errors
/// See [`Failure`].
pub async fn run(command: SessionCommand, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    match command {
        SessionCommand::Start { agent, delegations } => {
            let body = json!({ "agent": agent, "delegations": delegations });
            let started: Started = client.post("/v1/sessions", &body).await?;
            context.show(&started, tell_started)?;
        }
        SessionCommand::List => {
            let list: SessionList = client.get("/v1/sessions").await?;
            context.show(&list, |context, list| {
                let mut table =
                    Table::new(["SESSION", "AGENT", "STATUS", "STARTED", "DELEGATIONS"]);
                for session in &list.sessions {
                    table.row([
                        session.id.to_string(),
                        session.agent_name.clone(),
                        status(session),
                        context.when(session.started_at),
                        session.delegations.len().to_string(),
                    ]);
                }
                context.list(
                    &table,
                    "no session yet; start one with `hallpass session start`",
                );
            })?;
        }
        SessionCommand::Show { id } => {
            let session: SessionInfo = client.get(&format!("/v1/sessions/{id}")).await?;
            context.show(&session, tell)?;
        }
        SessionCommand::Bind { id, delegation } => {
            let path = format!("/v1/sessions/{id}/delegations");
            let body = json!({ "delegation": delegation });
            let session: SessionInfo = client.post(&path, &body).await?;
            context.show(&session, tell)?;
        }
        SessionCommand::Share { id } => {
            let path = format!("/v1/sessions/{id}/watchers");
            let shared: SharedWith = client.post(&path, &json!(null)).await?;
            context.show(&shared, |context, shared| {
                context.screen.line(with_token(&shared.cdp_url, &shared.token));
                context.screen.line(
                    "Whoever has this address sees the session's pages until it ends; it is shown this once.",
                );
            })?;
        }
        SessionCommand::End { id } => {
            let session: SessionInfo = client.delete(&format!("/v1/sessions/{id}")).await?;
            context.show(&session, tell)?;
        }
    }
    Ok(Exit::Done)
}

#[derive(Debug, Serialize, Deserialize)]
struct SharedWith {
    cdp_url: String,
    http_url: String,
    token: String,
}

/// For clients that cannot send a header.
fn with_token(cdp_url: &str, token: &str) -> String {
    Url::parse(cdp_url).map_or_else(
        |_| cdp_url.to_owned(),
        |mut url| {
            url.query_pairs_mut().append_pair("token", token);
            url.to_string()
        },
    )
}

fn tell_started(context: &Context, started: &Started) {
    let with_token = with_token(&started.cdp_url, &started.token);
    let screen = context.screen;
    tell(context, &started.session);
    screen.line(format!("CDP URL      {with_token}"));
    screen.line("");
    screen.line(format!(
        "Playwright   const browser = await chromium.connectOverCDP('{with_token}');"
    ));
    screen.line(format!(
        "Puppeteer    const browser = await puppeteer.connect({{ browserWSEndpoint: '{with_token}' }});"
    ));
    screen.line("");
    screen.line("The token is shown this once. Whoever has it can use the session while it runs.");
}

fn tell(context: &Context, session: &SessionInfo) {
    let delegations: Vec<String> = session
        .delegations
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut fields = vec![
        ("session", session.id.to_string()),
        (
            "agent",
            format!("{} ({})", session.agent_name, session.agent),
        ),
        ("status", status(session)),
        ("started", context.when(session.started_at)),
        ("delegations", delegations.join(", ")),
        ("trace", session.trace.to_string()),
    ];
    if let Some(at) = session.ended_at {
        fields.insert(4, ("ended", context.when(at)));
    }
    context.fields(&fields);
}

fn status(session: &SessionInfo) -> String {
    let word = match session.status {
        SessionStatus::Starting => "starting",
        SessionStatus::Running => "running",
        SessionStatus::Ended => "ended",
    };
    match &session.reason {
        Some(reason) => format!("{word} ({})", printable(reason)),
        None => word.to_owned(),
    }
}
