//! Through Hallpass, and the same browser without it, side by side in one run:
//! `cargo bench --bench broker [-- --quick] [--json FILE] [GROUP ...]`.

#[path = "suite/mod.rs"]
mod suite;
#[path = "../tests/support/mod.rs"]
mod support;

fn main() -> std::process::ExitCode {
    suite::main(suite::BROKER)
}
