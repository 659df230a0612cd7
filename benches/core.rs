//! The pure core alone: `cargo bench --bench core [-- --quick] [--json FILE]`.

#[path = "suite/mod.rs"]
mod suite;
#[path = "../tests/support/mod.rs"]
mod support;

fn main() -> std::process::ExitCode {
    suite::main(suite::CORE)
}
