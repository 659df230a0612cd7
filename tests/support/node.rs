//! Runs a client script, of Node or Python, and reads its report.

use std::{process::Stdio, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, timeout_at},
};

use super::tools;

/// Longest time for a whole script.
const LIMIT: Duration = Duration::from_mins(3);

/// A script that runs.
#[derive(Debug)]
pub struct Script {
    name: String,
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    deadline: Instant,
    report: Report,
}

/// What a script reported, step by step.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub steps: Vec<Step>,
}

/// One step: what it saw, or why it failed.
#[derive(Debug, Clone, Deserialize)]
pub struct Step {
    pub name: String,
    pub ok: bool,
    #[serde(default)]
    pub outcome: Value,
    #[serde(default)]
    pub error: String,
}

/// Runs `tests/clients/SCRIPT` to its end.
pub async fn run(script: &str, cdp_url: &str, options: &Value) -> Report {
    Script::start(script, cdp_url, options).finish().await
}

/// Runs `tests/clients/SCRIPT` with Python to its end.
pub async fn run_python(script: &str, cdp_url: &str, options: &Value) -> Report {
    let mut command = Command::new(tools::python_client());
    command
        .arg("-B")
        .arg(tools::source("tests/clients").join(script))
        .kill_on_drop(true);
    Script::start_as(command, script, cdp_url, options)
        .finish()
        .await
}

/// Runs `examples/SCRIPT`; answers its exit code and all that it printed.
pub async fn run_example(script: &str, cdp_url: &str, page: &str) -> (Option<i32>, String) {
    let command = node(&format!("examples/{script}"));
    to_its_end(command, &[cdp_url, page]).await
}

/// Runs `examples/chromiumoxide.rs`, which Cargo builds beside the tests;
/// answers all that it printed.
pub async fn run_chromiumoxide_example(cdp_url: &str, page: &str) -> String {
    let here = std::env::current_exe().unwrap();
    let folder = here.ancestors().nth(2).unwrap();
    let program = folder.join("examples/chromiumoxide");
    assert!(
        program.is_file(),
        "the example is not built: run `cargo build --example chromiumoxide`"
    );
    let (code, printed) = to_its_end(Command::new(program), &[cdp_url, page]).await;
    assert_eq!(code, Some(0), "{printed}");
    printed
}

// === impl Script ===

impl Script {
    /// Starts `tests/clients/SCRIPT`.
    pub fn start(script: &str, cdp_url: &str, options: &Value) -> Self {
        Self::start_as(node(&format!("clients/{script}")), script, cdp_url, options)
    }

    fn start_as(mut command: Command, script: &str, cdp_url: &str, options: &Value) -> Self {
        let mut child = command
            .args([cdp_url, &options.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            name: script.to_owned(),
            input: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
            deadline: Instant::now() + LIMIT,
            report: Report::default(),
        }
    }

    /// Reads the report until this step is in it.
    pub async fn until(&mut self, step: &str) -> &Report {
        while !self.report.steps.iter().any(|known| known.name == step) {
            assert!(
                self.next().await,
                "{} ended before `{step}`:\n{:#?}",
                self.name,
                self.report
            );
        }
        &self.report
    }

    /// Sends a line to the script's standard input.
    pub async fn signal(&mut self, line: &str) {
        self.input
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }

    /// Reads the report to its end; the script must have come to its last line.
    pub async fn finish(mut self) -> Report {
        while self.next().await {}
        let mut complaint = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            let _ = timeout_at(self.deadline, stderr.read_to_string(&mut complaint)).await;
        }
        assert!(
            self.report.steps.iter().any(|step| step.name == "finish"),
            "{} broke off:\n{complaint}\n{:#?}",
            self.name,
            self.report
        );
        self.report
    }

    async fn next(&mut self) -> bool {
        let line = timeout_at(self.deadline, self.lines.next_line())
            .await
            .unwrap_or_else(|_| panic!("{} took too long:\n{:#?}", self.name, self.report))
            .unwrap();
        let Some(line) = line else { return false };
        let step = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{}: {error} in `{line}`", self.name));
        self.report.steps.push(step);
        true
    }
}

// === impl Report ===

impl Report {
    /// The step of that name.
    pub fn step(&self, name: &str) -> &Step {
        self.steps
            .iter()
            .find(|step| step.name == name)
            .unwrap_or_else(|| panic!("no step `{name}` in {self:#?}"))
    }

    /// What the step saw; it must have worked.
    pub fn outcome(&self, name: &str) -> &Value {
        let step = self.step(name);
        assert!(step.ok, "`{name}` failed: {}", step.error);
        &step.outcome
    }

    /// Names of the steps in whose report `text` occurs.
    pub fn steps_with(&self, text: &str) -> Vec<&str> {
        self.steps
            .iter()
            .filter(|step| step.error.contains(text) || step.outcome.to_string().contains(text))
            .map(|step| step.name.as_str())
            .collect()
    }
}

fn node(script: &str) -> Command {
    let mut command = Command::new(tools::node());
    command
        .args(["--preserve-symlinks", "--preserve-symlinks-main"])
        .arg(tools::npm_workspace().join(script))
        .kill_on_drop(true);
    command
}

async fn to_its_end(mut command: Command, arguments: &[&str]) -> (Option<i32>, String) {
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output())
        .await
        .unwrap_or_else(|_| panic!("{command:?} did not end in time"))
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), printed.into_owned())
}
