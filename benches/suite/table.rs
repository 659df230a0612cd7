//! Samples to rows: minimum, median, 99th percentile, maximum, and the ratio to
//! the first variant of the same thing.

use std::time::Duration;

use serde::Serialize;

use super::Scale;

/// What a sample counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    #[serde(rename = "ns")]
    Nanoseconds,
    #[serde(rename = "us")]
    Microseconds,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "KiB")]
    Kibibytes,
}

/// What one variant of one thing took, in the order of the rounds: the same
/// round of two variants was measured one right after the other.
#[derive(Debug, Clone)]
pub struct Samples {
    pub what: &'static str,
    pub variant: &'static str,
    pub unit: Unit,
    pub values: Vec<f64>,
}

/// All that was measured, with what it was measured on.
#[derive(Debug, Serialize)]
pub struct Report {
    quick: bool,
    /// Whether the program was built to be fast; figures of one that was not
    /// mean nothing.
    optimised: bool,
    processors: usize,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
pub struct Row {
    group: &'static str,
    what: &'static str,
    variant: &'static str,
    unit: Unit,
    samples: usize,
    min: f64,
    median: f64,
    p99: f64,
    max: f64,
    /// The median of the rounds' ratios to the first variant; nothing for the
    /// first variant itself.
    ratio: Option<f64>,
}

// === impl Samples ===

impl Samples {
    /// No sample yet.
    pub const fn new(what: &'static str, variant: &'static str, unit: Unit) -> Self {
        Self {
            what,
            variant,
            unit,
            values: Vec::new(),
        }
    }

    /// One for each variant.
    pub fn each(what: &'static str, variants: &[&'static str], unit: Unit) -> Vec<Self> {
        let new = |variant: &&'static str| Self::new(what, variant, unit);
        variants.iter().map(new).collect()
    }

    /// Adds a length of time.
    pub fn time(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.values.push(match self.unit {
            Unit::Nanoseconds => seconds * 1e9,
            Unit::Microseconds => seconds * 1e6,
            Unit::Milliseconds => seconds * 1e3,
            Unit::Kibibytes => panic!("{} is not a length of time", self.what),
        });
    }
}

// === impl Report ===

impl Report {
    pub fn new(scale: Scale) -> Self {
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        let optimised = !cfg!(debug_assertions);
        println!(
            "{processors} processors; each ratio is to the first row of its kind, the median of the rounds' own"
        );
        if !optimised {
            println!("NOT BUILT TO BE FAST: these figures mean nothing");
        }
        Self {
            quick: scale == Scale::Quick,
            optimised,
            processors,
            rows: Vec::new(),
        }
    }

    /// Adds a group's rows and prints them.
    pub fn add(&mut self, group: &'static str, samples: &[Samples]) {
        println!("\n{group}");
        println!(
            "  {:<44} {:<22} {:>4} {:>6} {:>11} {:>11} {:>11} {:>11} {:>7}",
            "what", "variant", "unit", "n", "min", "median", "p99", "max", "ratio"
        );
        for one in samples {
            let first = samples.iter().find(|first| first.what == one.what).unwrap();
            let row = Row::new(group, one, first);
            println!("  {row}");
            self.rows.push(row);
        }
    }
}

// === impl Row ===

impl Row {
    fn new(group: &'static str, one: &Samples, first: &Samples) -> Self {
        let mut sorted = one.values.clone();
        sorted.sort_by(f64::total_cmp);
        Self {
            group,
            what: one.what,
            variant: one.variant,
            unit: one.unit,
            samples: sorted.len(),
            min: sorted[0],
            median: quantile(&sorted, 0.5),
            p99: quantile(&sorted, 0.99),
            max: sorted[sorted.len() - 1],
            ratio: (one.variant != first.variant).then(|| ratio(&one.values, &first.values)),
        }
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = serde_json::to_value(self.unit).unwrap();
        let ratio = self
            .ratio
            .map_or_else(String::new, |ratio| format!("{ratio:.2}x"));
        write!(
            f,
            "{:<44} {:<22} {:>4} {:>6} {:>11.1} {:>11.1} {:>11.1} {:>11.1} {ratio:>7}",
            self.what,
            self.variant,
            unit.as_str().unwrap(),
            self.samples,
            self.min,
            self.median,
            self.p99,
            self.max
        )
    }
}

/// Of a sorted list: the smallest value that at least that share is not above.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length is a place in the list"
    )]
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted[place.clamp(1, sorted.len()) - 1]
}

fn ratio(one: &[f64], first: &[f64]) -> f64 {
    let mut ratios: Vec<f64> = one
        .iter()
        .zip(first)
        .map(|(one, first)| one / first)
        .collect();
    ratios.sort_by(f64::total_cmp);
    quantile(&ratios, 0.5)
}
