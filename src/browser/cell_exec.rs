//! `hallpass cell-exec`: the launcher. It reads a [`Plan`] from its arguments,
//! waits for the broker's word on standard input, confines *itself*, says on
//! standard output what it applied, leads that to standard error, and becomes
//! Chromium with `exec`.
//!
//! So nothing runs between `fork` and `exec` in the broker, and every layer is
//! in place before the first instruction of Chromium. Descriptors 0 to 4 go
//! through: 3 and 4 are the `DevTools` pipe.

mod apply;
mod landlock;
mod plan;
mod syscalls;

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

pub use plan::{Confinement, Layer, Limits, Plan, Verdict};

/// What the broker writes to let the launcher go on.
pub const GO: u8 = b'\n';

/// The exit code of a launcher that did not become Chromium.
pub const NOT_STARTED: u8 = 125;

/// Why the launcher did not become Chromium.
#[derive(Debug, thiserror::Error)]
pub enum CellExecError {
    /// Not started by a broker.
    #[error(
        "`cell-exec` is started by the broker alone; use `hallpass serve` or `hallpass session start`"
    )]
    Usage,
    /// The broker ended first.
    #[error("the broker ended before the cell was on record")]
    NoBroker,
    /// A step failed that nothing may go on without.
    #[error("cannot {what}: {source}")]
    Step {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The browser's program does not run.
    #[error("cannot execute the browser: {0}")]
    Execute(#[source] io::Error),
    /// A layer that is required does not hold here.
    #[error(
        "required confinement is missing here: {0}; run `hallpass doctor`, or take it out of `cell.require`"
    )]
    Missing(String),
    /// The profile folder cannot be entered as the cell's user.
    #[error("user {uid} cannot enter the profile folder `{folder}`: {source}")]
    Profile {
        /// The cell's user.
        uid: u32,
        /// The folder.
        folder: String,
        /// Why.
        source: io::Error,
    },
}

/// Becomes Chromium, or says why not. Returns only on failure. To be called
/// first thing in `main`, while the process has one thread.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Err(error) = become_browser(arguments);
    let _ = writeln!(io::stderr(), "hallpass cell-exec: {error}");
    // Who got so far has given its verdict.
    if !matches!(error, CellExecError::Execute(_)) {
        let _ = say(&Verdict::Refused(error.to_string()));
    }
    ExitCode::from(NOT_STARTED)
}

fn become_browser(
    mut arguments: impl Iterator<Item = OsString>,
) -> Result<std::convert::Infallible, CellExecError> {
    let plan: Plan = arguments
        .next()
        .and_then(|text| serde_json::from_str(text.to_str()?).ok())
        .ok_or(CellExecError::Usage)?;
    let step = |what| move |source| CellExecError::Step { what, source };

    apply::own_session().map_err(step("start a session of its own"))?;
    let mut go = [0];
    if io::stdin().read_exact(&mut go).is_err() || go != [GO] {
        return Err(CellExecError::NoBroker);
    }
    let confinement = apply::all(&plan)?;
    let missing: Vec<String> = plan
        .require
        .iter()
        .filter(|layer| !confinement.applied.contains(layer))
        .map(|layer| match confinement.missing.get(layer) {
            Some(why) => format!("{layer} ({why})"),
            None => layer.to_string(),
        })
        .collect();
    if !missing.is_empty() {
        return Err(CellExecError::Missing(missing.join(", ")));
    }
    say(&Verdict::Confined(confinement)).map_err(step("answer the broker"))?;
    // Nobody reads on there: what the browser says goes with what it complains of.
    rustix::stdio::dup2_stdout(io::stderr())
        .map_err(io::Error::from)
        .map_err(step("lead standard output elsewhere"))?;
    let source = Command::new(&plan.program)
        .args(&plan.arguments)
        .env_clear()
        .envs(plan.environment())
        .exec();
    Err(CellExecError::Execute(source))
}

fn say(verdict: &Verdict) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, verdict)?;
    out.write_all(b"\n")?;
    out.flush()
}
