//! `hallpass hold`

use std::io::{self, IsTerminal, Write as _};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::{
    context::Context,
    failure::{Exit, Failure},
    output::{Table, printable},
};
use crate::model::{
    body::{Content, Field, Part},
    hold::{Hold, HoldAnswer},
    id::HoldId,
};

/// Holds: requests that wait for a person.
#[derive(Debug, Subcommand)]
pub enum HoldCommand {
    /// Show what waits now, the oldest first.
    List,
    /// Show one, with all that it carries.
    Show {
        /// Its id.
        id: HoldId,
    },
    /// Let requests go.
    Approve(ApproveArgs),
    /// Deny requests.
    Deny(DenyArgs),
}

/// Which requests go, and which more.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// Their ids.
    #[arg(required = true)]
    ids: Vec<HoldId>,
    /// And every request like it until the window ends: the rule is shown first.
    #[arg(long)]
    like_this: bool,
    /// And the others that wait and are like it.
    #[arg(long)]
    same_shape: bool,
    /// Accept the rule without being asked.
    #[arg(long, requires = "like_this")]
    yes: bool,
}

/// Which requests are denied.
#[derive(Debug, Args)]
pub struct DenyArgs {
    /// Their ids.
    #[arg(required = true)]
    ids: Vec<HoldId>,
    /// Words for the agent: what it should do instead.
    #[arg(long)]
    words: Option<String>,
    /// And the others that wait and are like it.
    #[arg(long)]
    same_shape: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct HoldList {
    holds: Vec<Hold>,
}

/// Does it.
///
/// # Errors
/// See [`Failure`].
pub async fn run(command: HoldCommand, context: &Context) -> Result<Exit, Failure> {
    match command {
        HoldCommand::List => {
            let list: HoldList = context.client()?.get("/v1/holds").await?;
            context.show(&list, |context, list| tell(context, &list.holds))?;
        }
        HoldCommand::Show { id } => {
            let hold = look(id, context).await?;
            context.show(&hold, one)?;
        }
        HoldCommand::Approve(args) => {
            for &id in &args.ids {
                let answer = if args.like_this {
                    like_this(id, args.yes, context).await?
                } else {
                    HoldAnswer::Once
                };
                send(id, &answer, args.same_shape, "let go", context).await?;
            }
        }
        HoldCommand::Deny(args) => {
            for &id in &args.ids {
                let words = args.words.clone();
                let answer = HoldAnswer::Deny { words };
                send(id, &answer, args.same_shape, "denied", context).await?;
            }
        }
    }
    Ok(Exit::Done)
}

async fn look(id: HoldId, context: &Context) -> Result<Hold, Failure> {
    context.client()?.get(&format!("/v1/holds/{id}")).await
}

async fn send(
    id: HoldId,
    answer: &HoldAnswer,
    same_shape: bool,
    what: &str,
    context: &Context,
) -> Result<(), Failure> {
    let path = format!("/v1/holds/{id}/answer?same_shape={same_shape}");
    let answered: HoldList = context.client()?.post(&path, answer).await?;
    context.show(&answered, |context, answered| {
        for hold in &answered.holds {
            let (id, request) = (hold.id, request(hold));
            context
                .screen
                .line(printable(&format!("{what}  {id}  {request}")));
        }
    })
}

/// The rule, once it was shown and accepted.
async fn like_this(id: HoldId, yes: bool, context: &Context) -> Result<HoldAnswer, Failure> {
    let hold = look(id, context).await?;
    let Some(rule) = hold.rule else {
        return Err(Failure::new(
            Exit::Failed,
            format!("{id} carries what is not known, so nothing can be told to be like it"),
        )
        .advise("let it go once: leave out `--like-this`"));
    };
    if yes {
        return Ok(HoldAnswer::LikeThis { rule });
    }
    let shown = printable(&rule.to_string());
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Failed,
            format!("this would let go until the window ends: {shown}"),
        )
        .advise("say `--yes` to accept that rule"));
    }
    let prompt = format!("Until the window ends, let go:\n  {shown}\nAccept? [y/N] ");
    let asked = io::stderr()
        .write_all(prompt.as_bytes())
        .and_then(|()| io::stderr().flush())
        .and_then(|()| {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|_| line)
        });
    match asked {
        Ok(line) if matches!(line.trim(), "y" | "Y" | "yes") => Ok(HoldAnswer::LikeThis { rule }),
        _ => Err(Failure::new(
            Exit::Failed,
            "the rule was not accepted; nothing was let go",
        )),
    }
}

fn tell(context: &Context, holds: &[Hold]) {
    let mut table = Table::new(["HOLD", "REQUEST", "KIND", "SINCE", "DENIED", "PAGE"]);
    for hold in holds {
        table.row([
            hold.id.to_string(),
            request(hold),
            hold.class.to_string(),
            context.when(hold.opened_at),
            context.when(hold.deadline),
            if hold.waiting {
                "waits"
            } else {
                "was told to try again"
            }
            .to_owned(),
        ]);
    }
    context.list(&table, "nothing waits for a person");
}

/// One, with everything that a person should see before answering.
fn one(context: &Context, hold: &Hold) {
    let mut fields = vec![
        ("hold", hold.id.to_string()),
        ("request", request(hold)),
        ("kind", hold.class.to_string()),
        ("waits because", hold.says.clone()),
        ("policies", hold.policies.join(", ")),
        ("page", hold.page.clone().unwrap_or_default()),
        ("caused by", hold.cause.clone().unwrap_or_default()),
        (
            "agent says",
            hold.agent_says
                .as_deref()
                .map(|words| format!("“{words}” (its own words, checked by nobody)"))
                .unwrap_or_default(),
        ),
        ("agent", hold.agent.to_string()),
        ("delegation", hold.delegation.to_string()),
        ("since", context.when(hold.opened_at)),
        ("denied", context.when(hold.deadline)),
        (
            "like this",
            hold.rule
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
        (
            "carries",
            format!("{} bytes{}", hold.body_size, kind(&hold.body)),
        ),
    ];
    fields.retain(|(_, text)| !text.is_empty());
    context.fields(&fields);
    for (name, value) in parts(&hold.body) {
        let name = printable(&name);
        for (number, line) in value.lines().enumerate() {
            let name = if number == 0 { name.as_str() } else { "" };
            context
                .screen
                .line(format!("    {name:<24} {}", printable(line)));
        }
    }
}

fn request(hold: &Hold) -> String {
    format!("{} {}", hold.method, hold.url)
}

const fn kind(body: &Content) -> &'static str {
    match body {
        Content::Empty => "",
        Content::Form { .. } => ", a form",
        Content::Json { .. } => ", JSON",
        Content::Multipart { .. } => ", a form with files",
        Content::Text { .. } => ", text",
        Content::Binary => ", which are no text",
        Content::Unseen => ", not told whole by the browser",
    }
}

fn parts(body: &Content) -> Vec<(String, String)> {
    match body {
        Content::Empty | Content::Binary | Content::Unseen => Vec::new(),
        Content::Form { fields } => {
            let pair = |Field { name, value }: &Field| (name.clone(), value.clone());
            fields.iter().map(pair).collect()
        }
        Content::Json { text, .. } | Content::Text { text } => {
            vec![(String::new(), text.clone())]
        }
        Content::Multipart { parts } => parts
            .iter()
            .map(
                |Part {
                     name,
                     file,
                     size,
                     value,
                 }| {
                    let value = match (file, value) {
                        (Some(file), _) => format!("file `{file}`, {size} bytes"),
                        (None, Some(value)) => value.clone(),
                        (None, None) => format!("{size} bytes"),
                    };
                    (name.clone(), value)
                },
            )
            .collect(),
    }
}
