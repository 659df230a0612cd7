//! What the benches measure and how. Each group answers with rows; nothing is
//! ever judged by time. `benches/*.rs` run groups by name, and `tests/benches.rs`
//! runs each once, small, to see that no row is missing.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every binary compiles these modules and uses a part of them"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench fails by panicking, and its figures are no money"
)]

pub mod cdp;
pub mod core;
pub mod download;
pub mod evaluate;
pub mod idle;
pub mod lease;
pub mod pages;
pub mod relay;
pub mod revoke;
pub mod start;
pub mod streams;
pub mod table;
pub mod world;

use std::{path::PathBuf, process::ExitCode};

use table::Samples;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// A few rounds: whether it works at all.
    Quick,
    /// Enough to quote.
    Full,
}

/// Rows that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    pub name: &'static str,
    /// Every row that it must answer with: what, and the variants of it, the
    /// one that the others are compared with first.
    pub rows: &'static [(&'static str, &'static [&'static str])],
    pub run: fn(Scale) -> Vec<Samples>,
}

/// The pure core.
pub const CORE: &[Group] = &[core::GROUP];

/// Side by side with a browser.
pub const BROKER: &[Group] = &[
    start::GROUP,
    evaluate::GROUP,
    pages::GROUP,
    download::GROUP,
    streams::GROUP,
    idle::GROUP,
    revoke::GROUP,
];

impl Scale {
    /// The one or the other.
    pub fn of<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

/// What a bench's command line says.
#[derive(Debug, clap::Parser)]
#[command(about = "Measures; never judges by time")]
struct Options {
    /// Few rounds.
    #[arg(long)]
    quick: bool,
    /// Write the rows to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Groups to run; all by default.
    groups: Vec<String>,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Runs the groups that the command line names.
pub fn main(groups: &[Group]) -> ExitCode {
    let options = <Options as clap::Parser>::parse();
    let names: Vec<&str> = groups.iter().map(|group| group.name).collect();
    if let Some(unknown) = options
        .groups
        .iter()
        .find(|name| !names.contains(&name.as_str()))
    {
        eprintln!(
            "there is no group `{unknown}`; give any of: {}",
            names.join(", ")
        );
        return ExitCode::from(2);
    }
    let scale = if options.quick {
        Scale::Quick
    } else {
        Scale::Full
    };
    let mut report = table::Report::new(scale);
    for group in groups {
        if options.groups.is_empty() || options.groups.iter().any(|name| name == group.name) {
            report.add(group.name, &(group.run)(scale));
        }
    }
    if let Some(path) = options.json {
        let text = serde_json::to_vec_pretty(&report).unwrap();
        if let Err(error) = std::fs::write(&path, text) {
            eprintln!("`{}` cannot be written: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// A runtime for the bench's own side.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}
