//! A real Django project with its admin, and a person who signs in to it.

use std::{
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{chromium::PlainChromium, node, process, tools};

/// Whom the admin greets.
pub const USER: &str = "dispatcher";
const PASSWORD: &str = "gate-3-opens-at-seven";
/// Tickets in the fixture.
pub const TICKETS: u64 = 3;

/// A running project with a database of its own; ends with the value.
#[derive(Debug)]
pub struct Django {
    /// `http://127.0.0.1:PORT`.
    pub origin: String,
    child: Child,
    data: TempDir,
}

impl Django {
    /// Makes the database and serves.
    pub fn start() -> Self {
        let data = TempDir::new().unwrap();
        let prepared = python(&data)
            .args(["prepare.py", USER, PASSWORD])
            .output()
            .unwrap();
        assert!(
            prepared.status.success(),
            "the database cannot be made:\n{}",
            String::from_utf8_lossy(&prepared.stderr)
        );
        let log = std::fs::File::create(data.path().join("log")).unwrap();
        // Its standard input is a pipe that ends with this process, and it with it.
        let mut child = python(&data)
            .args(["-m", "desk.serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let rest = Arc::new(Mutex::new(String::new()));
        let origin = process::first_line(stdout, Duration::from_secs(30), rest, |line| {
            line.starts_with("http://").then(|| line.trim().to_owned())
        });
        let Some(origin) = origin else {
            let _ = child.kill();
            let log = std::fs::read_to_string(data.path().join("log")).unwrap_or_default();
            panic!("the project does not serve:\n{log}");
        };
        Self {
            origin,
            child,
            data,
        }
    }

    /// Signs in by the admin's form in a browser of the person's own; answers
    /// what Playwright calls a storage state.
    pub async fn login(&self) -> Value {
        let browser = PlainChromium::start();
        let options = json!({ "origin": self.origin, "username": USER, "password": PASSWORD });
        let report = node::run("django_login.mjs", &browser.cdp_url, &options).await;
        assert_eq!(report.outcome("login"), USER);
        report.outcome("storage state").clone()
    }

    /// The summary of a ticket, from the database itself.
    pub fn summary(&self, ticket: u64) -> String {
        let code = format!(
            "from tickets.models import Ticket; print(Ticket.objects.get(pk={ticket}).summary)"
        );
        let output = python(&self.data)
            .args(["manage.py", "shell", "--verbosity", "0", "-c", &code])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Django {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        process::end(&mut self.child, Duration::from_secs(5));
    }
}

/// The value of a cookie in a storage state.
pub fn cookie_value<'a>(state: &'a Value, name: &str) -> &'a str {
    state["cookies"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|cookie| cookie["name"] == name)
        .and_then(|cookie| cookie["value"].as_str())
        .unwrap_or_else(|| panic!("the storage state holds no cookie `{name}`"))
}

fn python(data: &TempDir) -> Command {
    let mut command = Command::new(tools::python());
    command
        .arg("-B")
        .current_dir(tools::source("tests/apps/django_desk"))
        .env("DESK_DATA", data.path());
    command
}
