//! What was decided in a recorded session, and what another bundle would decide.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::super::{
    context::Context,
    failure::{Exit, Failure},
    output::{Table, printable},
    trace::session_records,
};
use crate::{
    model::id::TraceId,
    policy::{
        bundle::Bundle,
        replay::{Decided, Outcome, replay as decide_again},
    },
};

/// Which request.
#[derive(Debug, Args)]
pub struct RequestArgs {
    /// The session's trace.
    trace: TraceId,
    /// Number of the record, as `hallpass trace show` tells it.
    seq: u64,
}

#[derive(Debug, Serialize)]
struct Replayed {
    revision: String,
    decisions: usize,
    otherwise: usize,
    listed: Vec<Decided>,
}

/// Says which policies decided a request, what they looked at, and what those that
/// are configured now would say.
pub(super) async fn explain(args: &RequestArgs, context: &Context) -> Result<Exit, Failure> {
    let records = session_records(args.trace, context).await?;
    let bundle = super::bundle(None, context)?;
    let revision = bundle.revision().to_string();
    let decided = decide_again(&records, bundle);
    let Some(found) = decided.into_iter().find(|decided| decided.seq == args.seq) else {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "record {} of {} is no decision about a request",
                args.seq, args.trace
            ),
        )
        .advise(format!(
            "find one with `hallpass trace show {}`",
            args.trace
        )));
    };
    context.show(&found, |context, found| {
        let same = found.revision.as_deref() == Some(revision.as_str());
        context.fields(&[
            ("request", found.what.clone()),
            ("when", context.when(found.at)),
            (
                "kind",
                found
                    .class
                    .map(|class| class.to_string())
                    .unwrap_or_default(),
            ),
            ("decided", in_words(&found.was)),
            ("by bundle", found.revision.clone().unwrap_or_default()),
            (
                "now",
                if same {
                    "the same bundle is configured".to_owned()
                } else {
                    format!("{} (bundle {revision})", in_words(&found.would_be))
                },
            ),
        ]);
    })?;
    Ok(Exit::Done)
}

/// Lists what another bundle would decide otherwise.
pub(super) async fn replay(
    trace: TraceId,
    bundle: Bundle,
    all: bool,
    context: &Context,
) -> Result<Exit, Failure> {
    let records = session_records(trace, context).await?;
    let revision = bundle.revision().to_string();
    let mut listed = decide_again(&records, bundle);
    let decisions = listed.len();
    let is_otherwise = |decided: &Decided| !decided.was.is_like(&decided.would_be);
    let otherwise = listed
        .iter()
        .filter(|decided| is_otherwise(decided))
        .count();
    if !all {
        listed.retain(is_otherwise);
    }
    let replayed = Replayed {
        revision,
        decisions,
        otherwise,
        listed,
    };
    context.show(&replayed, |context, replayed| {
        let mut table = Table::new(["#", "REQUEST", "WAS", "WOULD BE"]);
        for decided in &replayed.listed {
            table.row([
                decided.seq.to_string(),
                decided.what.clone(),
                in_words(&decided.was),
                in_words(&decided.would_be),
            ]);
        }
        if !table.is_empty() {
            context.screen.table(&table);
        }
        context.screen.line(printable(&format!(
            "{} of {} decisions would be made otherwise by {}",
            replayed.otherwise, replayed.decisions, replayed.revision
        )));
    })?;
    Ok(Exit::Done)
}

fn in_words(outcome: &Outcome) -> String {
    let (word, policies, says) = match outcome {
        Outcome::Allow { policies } => ("let go", policies, None),
        Outcome::Hold { policies, says } => ("held", policies, Some(says)),
        Outcome::Deny { policies, says, .. } => ("refused", policies, Some(says)),
    };
    let mut text = word.to_owned();
    if let Outcome::Deny { rule, .. } = outcome {
        let _ = write!(text, " ({rule})");
    }
    if !policies.is_empty() {
        let _ = write!(text, " by {}", policies.join(", "));
    }
    if let Some(says) = says {
        let _ = write!(text, ": {says}");
    }
    text
}
