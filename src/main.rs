//! The `hallpass` program.

use std::process::ExitCode;

use clap::Parser;
use hallpass::{
    browser::cell_exec,
    cli::{self, Cli, Command, output},
};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // Before any thread, runtime or logger: this process becomes Chromium.
    if arguments.next().is_some_and(|first| first == "cell-exec") {
        return cell_exec::run(arguments);
    }
    let cli = Cli::parse();
    // A broker tells what it does; the other commands answer with their output.
    let level = match cli.command {
        Command::Serve(_) => "warn,hallpass=info",
        _ => "error,hallpass=warn",
    };
    let filter = EnvFilter::try_from_env("HALLPASS_LOG").unwrap_or_else(|_| EnvFilter::new(level));
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
