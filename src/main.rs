//! The `hallpass` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // Before any thread, runtime or logger: this process becomes Chromium.
    if arguments.next().is_some_and(|first| first == "cell-exec") {
        return hallpass::browser::cell_exec::run(arguments);
    }
    ExitCode::SUCCESS
}
