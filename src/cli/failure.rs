//! How a command ends when it does not end well: what, why, what next, and
//! the exit code that scripts rely on.

use std::{fmt, process::ExitCode};

/// The exit codes. They are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0.
    Done,
    /// 1: it failed.
    Failed,
    /// 2: the command line or the configuration cannot be used.
    Usage,
    /// 3: a policy, a limit or a missing right refused it.
    Refused,
    /// 4: a trace does not verify.
    Unverified,
}

/// A command that did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For scripts.
    pub exit: Exit,
    /// What did not happen, and why.
    pub what: String,
    /// What the person can do now.
    pub next: Option<String>,
}

// === impl Exit ===

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Unverified => 4,
        })
    }
}

// === impl Failure ===

impl Failure {
    /// A failure without advice.
    pub fn new(exit: Exit, what: impl fmt::Display) -> Self {
        Self {
            exit,
            what: what.to_string(),
            next: None,
        }
    }

    /// It failed: an error with all its causes.
    pub fn because(what: impl fmt::Display, error: &dyn std::error::Error) -> Self {
        Self::new(Exit::Failed, format!("{what}: {}", chain(error)))
    }

    /// The command line cannot be used.
    pub fn usage(what: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Adds what the person can do now.
    #[must_use]
    pub fn advise(mut self, next: impl fmt::Display) -> Self {
        self.next = Some(next.to_string());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        if let Some(next) = &self.next {
            write!(f, "\n what next: {next}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// An error and its causes in one line, none said twice.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}
