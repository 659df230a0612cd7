//! The `hallpass` program.

use std::process::ExitCode;

use clap::Parser;
use hallpass::cli::{self, Cli, output};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("HALLPASS_LOG")
        .unwrap_or_else(|_| EnvFilter::new("warn,hallpass=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(output::is_coloured(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .init();
    match cli::run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit.into()
        }
    }
}
