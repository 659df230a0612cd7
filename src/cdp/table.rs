//! The method table: a verdict and a reason for every command and event of the
//! protocol. Data for people to review (`methods.tsv`); what has no row is refused.

use std::{collections::HashMap, sync::LazyLock};

/// What is done with a command or event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Passed on as it is.
    Allow,
    /// Passed on if its arguments are in order.
    Check,
    /// Answered by Hallpass, or passed on with other arguments.
    Rewrite,
    /// Passed on; values that must not leave are blanked.
    Redact,
    /// Never passed on.
    Refuse,
}

/// Command or event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// From the agent.
    Method,
    /// From the browser.
    Event,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// `Domain.name`.
    pub name: &'static str,
    /// Command or event.
    pub kind: Kind,
    /// What is done with it.
    pub verdict: Verdict,
    /// Why, in one line.
    pub reason: &'static str,
}

static TEXT: &str = include_str!("methods.tsv");

static METHODS: LazyLock<HashMap<&'static str, Row>> = LazyLock::new(|| index(Kind::Method));
static EVENTS: LazyLock<HashMap<&'static str, Row>> = LazyLock::new(|| index(Kind::Event));

fn index(kind: Kind) -> HashMap<&'static str, Row> {
    rows()
        .filter(|row| row.kind == kind)
        .map(|row| (row.name, row))
        .collect()
}

/// The row of a command.
pub fn method(name: &str) -> Option<&'static Row> {
    METHODS.get(name)
}

/// The row of an event.
pub fn event(name: &str) -> Option<&'static Row> {
    EVENTS.get(name)
}

/// All rows in the order of the file.
pub fn rows() -> impl Iterator<Item = Row> {
    TEXT.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(parse)
}

/// What a client is told that gives a refused command.
pub fn refusal(row: &Row) -> String {
    format!(
        "Hallpass refused {}: {} (rule `method-table`; see `hallpass policy explain cdp {}`)",
        row.name, row.reason, row.name
    )
}

impl Verdict {
    /// As written in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Check => "check",
            Self::Rewrite => "rewrite",
            Self::Redact => "redact",
            Self::Refuse => "refuse",
        }
    }
}

fn parse(line: &'static str) -> Option<Row> {
    let mut fields = line.split('\t');
    let name = fields.next()?;
    let kind = match fields.next()? {
        "method" => Kind::Method,
        "event" => Kind::Event,
        _ => return None,
    };
    let verdict = match fields.next()? {
        "allow" => Verdict::Allow,
        "check" => Verdict::Check,
        "rewrite" => Verdict::Rewrite,
        "redact" => Verdict::Redact,
        "refuse" => Verdict::Refuse,
        _ => return None,
    };
    let reason = fields.next()?;
    Some(Row {
        name,
        kind,
        verdict,
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_row_with_a_reason_and_no_row_stands_twice() {
        let lines = TEXT.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(rows().count(), lines);
        assert_eq!(METHODS.len() + EVENTS.len(), lines, "a name stands twice");
        for row in rows() {
            assert!(!row.reason.trim().is_empty(), "{} has no reason", row.name);
            assert!(row.name.contains('.'), "{}", row.name);
        }
    }

    #[test]
    fn what_has_no_row_is_not_found() {
        assert!(method("Page.navigat").is_none());
        assert!(
            method("Network.requestWillBeSent").is_none(),
            "an event is no command"
        );
    }
}
