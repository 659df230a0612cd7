//! `hallpass trace`: works on a data folder, whether or not a broker runs.

mod archive;

use clap::Subcommand;
use serde::Serialize;
use serde_json::Value;

use self::archive::Archive;
use super::{
    context::Context,
    failure::{Exit, Failure, chain},
    output::{Table, Tone},
};
use crate::{
    model::id::TraceId,
    recorder::read::{ReadError, Reading},
    service::{TraceInfo, TraceKind, TraceVerdict},
    store::StoredTrace,
    trace::{chain::StoredRecord, show},
};

/// Traces: the record of what happened.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum TraceCommand {
    /// Show all traces of the data folder, newest first.
    List,
    /// Show the records of a trace, one a line.
    Show {
        /// Its id.
        id: TraceId,
    },
    /// Verify that nothing was altered, left out or cut off.
    Verify {
        /// Its id; every trace unless said.
        id: Option<TraceId>,
    },
}

#[derive(Debug, Serialize)]
struct TraceList {
    traces: Vec<TraceInfo>,
}

#[derive(Debug, Serialize)]
struct Verdicts {
    verdicts: Vec<TraceVerdict>,
}

/// Does it.
///
/// # Errors
/// See [`Failure`].
pub async fn run(command: TraceCommand, context: &Context) -> Result<Exit, Failure> {
    let archive = Archive::open(context.config()).await?;
    match command {
        TraceCommand::List => {
            let list = TraceList {
                traces: archive.list().await?.into_iter().map(view).collect(),
            };
            context.show(&list, |context, list| tell_list(context, &list.traces))?;
            Ok(Exit::Done)
        }
        TraceCommand::Show { id } => {
            let reading = archive
                .read(id)
                .await?
                .map_err(|error| unreadable(id, &error))?;
            for (_, record) in &reading.records {
                context.screen.line(line(context, record));
            }
            match &reading.outcome {
                Ok(_) => Ok(Exit::Done),
                Err(error) => Err(altered(&format!(
                    "trace {id} is not what was recorded: {error}"
                ))),
            }
        }
        TraceCommand::Verify { id } => {
            let ids = match id {
                Some(id) => vec![id],
                None => archive
                    .list()
                    .await?
                    .into_iter()
                    .map(|trace| trace.id)
                    .collect(),
            };
            let mut verdicts = Vec::with_capacity(ids.len());
            for id in ids {
                verdicts.push(verdict(id, archive.read(id).await?));
            }
            let verdicts = Verdicts { verdicts };
            context.show(&verdicts, |context, found| {
                tell_verdicts(context, &found.verdicts);
            })?;
            judge(&verdicts.verdicts)
        }
    }
}

/// The records of a session's trace, if it is whole.
pub(super) async fn session_records(
    id: TraceId,
    context: &Context,
) -> Result<Vec<StoredRecord>, Failure> {
    let archive = Archive::open(context.config()).await?;
    let reading = archive
        .read(id)
        .await?
        .map_err(|error| unreadable(id, &error))?;
    if let Err(error) = &reading.outcome {
        return Err(altered(&format!(
            "trace {id} is not what was recorded: {error}"
        )));
    }
    reading
        .records
        .into_iter()
        .map(|(_, record)| serde_json::from_value(record))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::because(format!("trace {id} is of another release"), &error))
}

fn view(trace: StoredTrace) -> TraceInfo {
    TraceInfo {
        id: trace.id,
        kind: trace.kind,
        session: trace.session,
        created_at: trace.created_at,
        ended_at: trace.ended_at,
        records: trace.head.records,
        head: String::from(trace.head.hash),
    }
}

fn judge(verdicts: &[TraceVerdict]) -> Result<Exit, Failure> {
    let damaged: Vec<String> = verdicts
        .iter()
        .filter(|verdict| !verdict.intact)
        .map(|verdict| verdict.trace.to_string())
        .collect();
    if damaged.is_empty() {
        return Ok(Exit::Done);
    }
    Err(altered(&format!(
        "{} not what was recorded: {}",
        if damaged.len() == 1 {
            "a trace is"
        } else {
            "traces are"
        },
        damaged.join(", ")
    )))
}

fn altered(what: &str) -> Failure {
    Failure::new(Exit::Unverified, what).advise(
        "keep the data folder as it is, and look at who could write to it; records before the fault are as they were",
    )
}

fn unreadable(id: TraceId, error: &ReadError) -> Failure {
    match error {
        ReadError::Io { .. } => Failure::because(format!("trace {id} cannot be read"), error),
        ReadError::NoSuchTrace(_) | ReadError::Key { .. } | ReadError::Verify(_) => altered(
            &format!("trace {id} is not what was recorded: {}", chain(error)),
        ),
    }
}

fn verdict(id: TraceId, read: Result<Reading, ReadError>) -> TraceVerdict {
    let (records, outcome) = match read {
        Ok(reading) => (
            reading.records.len(),
            reading.outcome.map_err(|error| error.to_string()),
        ),
        Err(error) => (0, Err(chain(&error))),
    };
    let (intact, head, problem) = match outcome {
        Ok(verified) => (true, String::from(verified.head.hash), None),
        Err(problem) => (false, String::new(), Some(problem)),
    };
    TraceVerdict {
        trace: id,
        intact,
        records: u64::try_from(records).unwrap_or(u64::MAX),
        head,
        problem,
    }
}

fn line(context: &Context, record: &Value) -> String {
    if context.json() {
        record.to_string()
    } else {
        show::line(record)
    }
}

fn tell_list(context: &Context, traces: &[TraceInfo]) {
    let mut table = Table::new(["TRACE", "OF", "BEGAN", "ENDED", "RECORDS"]);
    for trace in traces {
        let of = match (trace.kind, trace.session) {
            (TraceKind::Broker, _) => "broker".to_owned(),
            (TraceKind::Session, Some(session)) => session.to_string(),
            (TraceKind::Session, None) => "session".to_owned(),
        };
        table.row([
            trace.id.to_string(),
            of,
            context.when(trace.created_at),
            trace
                .ended_at
                .map_or_else(|| "-".to_owned(), |at| context.when(at)),
            trace.records.to_string(),
        ]);
    }
    context.list(&table, "no trace yet");
}

fn tell_verdicts(context: &Context, verdicts: &[TraceVerdict]) {
    let mut table = Table::new(["TRACE", "VERDICT", "RECORDS", "PROBLEM"]);
    for verdict in verdicts {
        table.row([
            verdict.trace.to_string(),
            if verdict.intact { "intact" } else { "ALTERED" }.to_owned(),
            verdict.records.to_string(),
            verdict.problem.clone().unwrap_or_default(),
        ]);
    }
    context.list(&table, "no trace to verify");
    let damaged = verdicts.iter().filter(|verdict| !verdict.intact).count();
    if damaged == 0 && !verdicts.is_empty() {
        let screen = context.screen;
        screen.line(screen.paint(Tone::Good, "every record is as it was written"));
    }
}
