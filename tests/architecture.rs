//! Rules of the tree: the core is pure, files are small, nothing is skipped.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders whose code has no I/O, no clock and no randomness.
const PURE: [&str; 5] = ["model", "cdp", "policy", "broker", "trace"];

/// What would bring them in.
const IMPURE: [&str; 18] = [
    "tokio",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::thread",
    "std::env",
    "std::io::",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "getrandom",
    "crate::random",
    "crate::clock",
    "crate::store",
    "crate::recorder",
    "reqwest",
    "hyper",
];

/// Lines from which on a file is to be split.
const LONGEST: usize = 700;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn is_test(path: &Path) -> bool {
    let path = path.to_string_lossy();
    path.ends_with("tests.rs") || path.contains("/tests/") || path.ends_with("samples.rs")
}

/// A file's code, without its own tests and without comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_core_is_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for folder in PURE {
        let files = sources(&src.join(folder));
        assert!(!files.is_empty(), "{folder}");
        for file in files.iter().filter(|file| !is_test(file)) {
            let code = code(file);
            for word in IMPURE {
                assert!(!code.contains(word), "{} uses `{word}`", file.display());
            }
        }
    }
}

#[test]
fn files_are_small_and_no_test_is_skipped() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "tests", "examples"] {
        for file in sources(&root.join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            let shown = file.display();
            assert!(text.lines().count() <= LONGEST, "{shown} is to be split");
            if !file.ends_with("architecture.rs") {
                assert!(!text.contains("#[ignore"), "{shown} skips a test");
            }
        }
    }
}
