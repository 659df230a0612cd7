//! `hallpass doctor`: what holds on this machine, what does not, how to mend it.

mod check;

use serde::Serialize;

use super::{
    context::Context,
    failure::{Exit, Failure},
    output::{Table, Tone},
};

/// Whether something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It does.
    Holds,
    /// It does, but it could be better.
    Warning,
    /// It does not.
    DoesNotHold,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// Whether it holds.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// How to mend it, where there is something to mend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

#[derive(Debug, Serialize)]
struct Findings {
    findings: Vec<Finding>,
}

/// Looks at everything and says what was found.
///
/// # Errors
/// Something does not hold.
pub async fn run(context: &Context) -> Result<Exit, Failure> {
    let findings = Findings {
        findings: check::all(context.config()).await,
    };
    context.show(&findings, |context, findings| {
        tell(context, &findings.findings);
    })?;
    let failing = findings
        .findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::DoesNotHold)
        .count();
    if failing == 0 {
        return Ok(Exit::Done);
    }
    Err(
        Failure::new(Exit::Failed, format!("{failing} of these do not hold"))
            .advise("mend them as the table says, then run `hallpass doctor` again"),
    )
}

fn tell(context: &Context, findings: &[Finding]) {
    let mut table = Table::new(["CHECK", "VERDICT", "FOUND"]);
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Holds => "holds",
            Verdict::Warning => "warning",
            Verdict::DoesNotHold => "does not hold",
        };
        table.row([
            finding.what.to_owned(),
            verdict.to_owned(),
            finding.found.clone(),
        ]);
    }
    context.screen.table(&table);
    for finding in findings {
        if let Some(mend) = &finding.mend {
            let tone = match finding.verdict {
                Verdict::Holds => Tone::Good,
                Verdict::Warning => Tone::Warn,
                Verdict::DoesNotHold => Tone::Bad,
            };
            context.screen.line(format!(
                "{} {mend}",
                context.screen.paint(tone, &format!("{}:", finding.what))
            ));
        }
    }
}

// === impl Finding ===

impl Finding {
    /// It holds.
    pub fn holds(what: &'static str, found: impl Into<String>) -> Self {
        Self::new(what, Verdict::Holds, found.into(), None)
    }

    /// It could be better.
    pub fn warning(what: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(what, Verdict::Warning, found.into(), Some(mend.into()))
    }

    /// It does not hold.
    pub fn fails(what: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(what, Verdict::DoesNotHold, found.into(), Some(mend.into()))
    }

    const fn new(
        what: &'static str,
        verdict: Verdict,
        found: String,
        mend: Option<String>,
    ) -> Self {
        Self {
            what,
            verdict,
            found,
            mend,
        }
    }
}
