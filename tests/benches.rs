//! Every bench still runs and answers with every row that it promises. Nothing
//! here looks at how long anything took.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../benches/suite/mod.rs"]
mod suite;
mod support;

use suite::{Group, Scale};

fn check(group: &Group) {
    let samples = (group.run)(Scale::Quick);
    let mut found: Vec<(&str, &str)> = samples.iter().map(|row| (row.what, row.variant)).collect();
    let mut promised: Vec<(&str, &str)> = group
        .rows
        .iter()
        .flat_map(|(what, variants)| variants.iter().map(|variant| (*what, *variant)))
        .collect();
    found.sort_unstable();
    promised.sort_unstable();
    assert_eq!(found, promised, "{}", group.name);
    for row in &samples {
        assert!(!row.values.is_empty(), "{} / {}", row.what, row.variant);
        assert!(row.values.iter().all(|value| value.is_finite()));
    }
    let mut report = suite::table::Report::new(Scale::Quick);
    report.add(group.name, &samples);
    let written = serde_json::to_value(&report).unwrap();
    assert_eq!(written["rows"].as_array().unwrap().len(), promised.len());
    assert_eq!(written["quick"], true);
}

#[test]
fn the_pure_core() {
    suite::CORE.iter().for_each(check);
}

#[test]
fn side_by_side_with_a_browser() {
    suite::BROKER.iter().for_each(check);
}
