//! One task, in a browser of one's own and in one lent by Hallpass: step by
//! step the same, but for differences that are named with their reason.

use serde_json::{Value, json};

use crate::{
    desk::REPORT,
    support::{
        canary::{Canary, Hit},
        node::{Report, Step},
    },
};

/// A step that comes out otherwise with Hallpass between.
#[derive(Debug, Clone, Copy)]
pub struct Difference {
    pub step: &'static str,
    /// What its error or outcome says there.
    pub says: &'static str,
    pub why: &'static str,
}

/// What came of a task in both places.
#[derive(Debug)]
pub struct Compared {
    pub plain: Report,
    pub hallpass: Report,
}

/// Files of a client lie with it; those of a session are fetched by the API.
pub const FILE_STAYS: &str = "a download lies with the session: `GET /v1/sessions/ID/downloads`";
/// Cookies that are lent are in no answer and no event.
pub const NO_VALUES: &str = "what is lent is in no answer and no event";
/// The other site was not lent.
pub const OUT_OF_SCOPE: &str = "it is in no delegation's scope";

impl Compared {
    /// Fails on a step that differs without a reason, and on a reason without
    /// a difference.
    pub fn assert_same(&self, differences: &[Difference]) {
        let order = |report: &Report| -> Vec<String> {
            report.steps.iter().map(|step| step.name.clone()).collect()
        };
        assert_eq!(order(&self.plain), order(&self.hallpass));
        for (alone, lent) in self.plain.steps.iter().zip(&self.hallpass.steps) {
            assert!(
                alone.ok,
                "`{}` fails by itself: {}",
                alone.name, alone.error
            );
            let named = differences.iter().find(|known| known.step == alone.name);
            let same = lent.ok && alone.outcome == lent.outcome;
            match named {
                None => assert!(same, "alone: {alone:#?}\nwith Hallpass: {lent:#?}"),
                Some(known) => {
                    assert!(!same, "`{}` no longer differs ({})", known.step, known.why);
                    assert!(
                        said(lent).contains(known.says),
                        "{} ({}), but: {lent:#?}",
                        known.says,
                        known.why
                    );
                }
            }
        }
        for known in differences {
            self.plain.step(known.step);
        }
    }

    /// What every client must have seen, wherever it ran.
    pub fn assert_task_done(&self) {
        let popup = "popped up for Dispatcher";
        for (step, expected) in [
            (
                "log-in state",
                json!({ "title": "Desk", "who": "Dispatcher" }),
            ),
            (
                "navigate",
                json!({ "there": "second page for Dispatcher", "back": "Dispatcher" }),
            ),
            (
                "form",
                json!("summary is Door 7 ✓, state is closed, filed by Dispatcher"),
            ),
            ("popup", json!(popup)),
            // Another site: nothing of the desk's cookies goes there.
            ("frame", json!("framed for nobody")),
            ("upload", json!("note.txt: from the client")),
            ("download", json!("report.csv")),
            (
                "screenshot",
                json!({ "png": true, "width": 800, "height": 600 }),
            ),
            (
                "two contexts",
                json!({ "inside": "nobody", "own": "mine=1", "shared": false }),
            ),
            (
                "service worker",
                json!({ "answer": "worker of Dispatcher", "page": "made for Dispatcher" }),
            ),
            ("disconnect", Value::Null),
        ] {
            assert_eq!(self.plain.outcome(step), &expected, "{step}");
        }
    }

    /// Neither of these values in any step with Hallpass.
    pub fn assert_kept(&self, values: &[&str]) {
        for value in values {
            assert_eq!(self.hallpass.steps_with(value), Vec::<&str>::new());
        }
    }
}

/// What the session gave for download, by the API.
pub fn assert_fetched(downloads: &[(String, String)]) {
    let report = ("report.csv".to_owned(), REPORT.to_owned());
    assert!(downloads.contains(&report), "{downloads:?}");
}

/// Nothing of a session has reached this place.
pub fn assert_untouched(elsewhere: &Canary) {
    let hits: Vec<String> = elsewhere.hits().iter().map(Hit::line).collect();
    assert_eq!(hits, Vec::<String>::new());
    assert_eq!(elsewhere.connections(), 0);
}

fn said(step: &Step) -> String {
    format!("{} {}", step.error, step.outcome)
}
