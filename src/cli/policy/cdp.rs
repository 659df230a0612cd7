//! `hallpass policy explain cdp`: rows of the method table.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::super::{
    context::Context,
    failure::{Exit, Failure},
    output::{Table, printable},
};
use crate::cdp::table::{self, Kind, Row, Verdict};

/// Names that are shown where one is not known.
const MOST_NEAR: usize = 5;

/// Which rows.
#[derive(Debug, Args)]
pub struct CdpArgs {
    /// Its name, such as `Page.navigate`.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    method: Option<String>,
    /// Show all rows.
    #[arg(long)]
    list: bool,
    /// Show rows of this verdict only.
    #[arg(long, requires = "list", value_name = "VERDICT")]
    verdict: Option<Wanted>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Wanted {
    Allow,
    Check,
    Rewrite,
    Redact,
    Refuse,
}

#[derive(Debug, Serialize)]
struct Explained {
    name: &'static str,
    kind: &'static str,
    verdict: &'static str,
    reason: &'static str,
    client_sees: String,
}

#[derive(Debug, Serialize)]
struct Rows {
    rows: Vec<Explained>,
}

/// Says it.
///
/// # Errors
/// The table has no such row.
pub(super) fn run(args: &CdpArgs, context: &Context) -> Result<Exit, Failure> {
    match &args.method {
        Some(method) => explain(method, context),
        None => list(args.verdict, context),
    }
}

fn explain(name: &str, context: &Context) -> Result<Exit, Failure> {
    let Some(row) = table::method(name).or_else(|| table::event(name)) else {
        return Err(unknown(name));
    };
    context.show(&Explained::new(row), |context, row| {
        context.fields(&[
            ("name", row.name.to_owned()),
            ("kind", row.kind.to_owned()),
            ("verdict", row.verdict.to_owned()),
            ("reason", row.reason.to_owned()),
            ("client sees", row.client_sees.clone()),
        ]);
    })?;
    Ok(Exit::Done)
}

fn list(wanted: Option<Wanted>, context: &Context) -> Result<Exit, Failure> {
    let rows = table::rows()
        .filter(|row| wanted.is_none_or(|wanted| row.verdict == wanted.into()))
        .map(|row| Explained::new(&row))
        .collect();
    context.show(&Rows { rows }, |context, list| {
        let mut table = Table::new(["NAME", "KIND", "VERDICT", "REASON"]);
        for row in &list.rows {
            table.row([row.name, row.kind, row.verdict, row.reason].map(str::to_owned));
        }
        context.list(&table, "no row has that verdict");
    })?;
    Ok(Exit::Done)
}

fn unknown(name: &str) -> Failure {
    let failure = Failure::new(
        Exit::Failed,
        format!(
            "the method table has no row `{}`: as a command it is refused, as an event it is not delivered",
            printable(name)
        ),
    );
    let near = near(name);
    if near.is_empty() {
        failure.advise("see all rows with `hallpass policy explain cdp --list`")
    } else {
        failure.advise(format!("did you mean {}?", near.join(", ")))
    }
}

/// Names that look like it, nearest first.
fn near(name: &str) -> Vec<String> {
    let wanted: Vec<char> = name.to_lowercase().chars().take(100).collect();
    let is_whole = name.contains('.');
    let mut found: Vec<(usize, &str)> = table::rows()
        .map(|row| {
            let known = row.name.to_lowercase();
            let bare = known.split('.').next_back().unwrap_or_default();
            let known = if is_whole { &known } else { bare };
            (distance(&wanted, known), row.name)
        })
        .filter(|(distance, _)| *distance <= wanted.len() / 3)
        .collect();
    found.sort_unstable();
    found
        .into_iter()
        .take(MOST_NEAR)
        .map(|(_, name)| format!("`{name}`"))
        .collect()
}

/// Insertions, deletions and replacements from one to the other.
fn distance(one: &[char], other: &str) -> usize {
    let mut above: Vec<usize> = (0..=one.len()).collect();
    for (row, b) in other.chars().enumerate() {
        let mut diagonal = row;
        let mut left = row + 1;
        if let Some(first) = above.first_mut() {
            *first = left;
        }
        for (place, a) in above.iter_mut().skip(1).zip(one) {
            let best = (diagonal + usize::from(*a != b))
                .min(left + 1)
                .min(*place + 1);
            diagonal = std::mem::replace(place, best);
            left = best;
        }
    }
    above.last().copied().unwrap_or_default()
}

// === impl Wanted ===

impl From<Wanted> for Verdict {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Allow => Self::Allow,
            Wanted::Check => Self::Check,
            Wanted::Rewrite => Self::Rewrite,
            Wanted::Redact => Self::Redact,
            Wanted::Refuse => Self::Refuse,
        }
    }
}

// === impl Explained ===

impl Explained {
    fn new(row: &Row) -> Self {
        let (kind, client_sees) = match row.kind {
            Kind::Method => ("method", reply(row)),
            Kind::Event => ("event", event(row.verdict).to_owned()),
        };
        Self {
            name: row.name,
            kind,
            verdict: row.verdict.as_str(),
            reason: row.reason,
            client_sees,
        }
    }
}

fn reply(row: &Row) -> String {
    match row.verdict {
        Verdict::Allow => "the browser's reply; lent values are blanked wherever they stand".into(),
        Verdict::Check => "the browser's reply where the arguments are in order, else error -32000 that says which is not (rule `arguments`)".into(),
        Verdict::Rewrite => "a reply about its own session alone: given by Hallpass, or by the browser to other arguments".into(),
        Verdict::Redact => "the browser's reply without the values of cookies that must not leave; lent values are blanked wherever they stand".into(),
        Verdict::Refuse => format!("error -32000: {}", table::refusal(row)),
    }
}

const fn event(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow | Verdict::Check => {
            "the event of its own targets; lent values are blanked wherever they stand"
        }
        Verdict::Rewrite => "the event as Hallpass tells it, of its own targets alone",
        Verdict::Redact => {
            "the event without the values of credentials; lent values are blanked wherever they stand"
        }
        Verdict::Refuse => "nothing: the event is never delivered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        for (asked, expected) in [
            ("Page.navigat", "`Page.navigate`"),
            ("page.NAVIGATE", "`Page.navigate`"),
            ("navigate", "`Page.navigate`"),
            ("Network.getCookie", "`Network.getCookies`"),
        ] {
            assert_eq!(near(asked).first().map(String::as_str), Some(expected));
        }
        assert_eq!(near("zzzzzzzzzzzz"), Vec::<String>::new());
        assert_eq!(near(""), Vec::<String>::new());
    }

    #[test]
    fn distances_are_right() {
        for (one, other, expected) in [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3)]
        {
            let one: Vec<char> = one.chars().collect();
            assert_eq!(distance(&one, other), expected);
        }
    }
}
