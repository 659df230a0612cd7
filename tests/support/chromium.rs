//! A plain Chromium with a debugging port: the control that proves a script
//! does what it says where nothing holds it back, and the person's own browser.

use std::{
    os::unix::{fs::chown, process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use hallpass::browser::{
    discover::Browser,
    switches::{Sandbox, Switchboard, switches},
};
use tempfile::TempDir;

use super::{process, tools};

/// Whom a browser in the manner of a cell runs as where the tests are root: no
/// user of the system, and none that cells are given.
const USER: u32 = 60_999;

/// Switches of cells that take the debugging port, the network or the first
/// page away.
const NOT_PLAIN: &[&str] = &[
    "--remote-debugging-pipe",
    "--proxy-",
    "--host-resolver-rules",
    "--no-startup-window",
];

/// Ends with the value.
#[derive(Debug)]
pub struct PlainChromium {
    /// `ws://127.0.0.1:PORT/devtools/browser/…`.
    pub cdp_url: String,
    child: Child,
    _profile: TempDir,
}

impl PlainChromium {
    /// The headless shell on a profile of its own.
    pub fn start() -> Self {
        Self::start_as(&tools::headless_shell(), &[])
    }

    /// This browser, with further switches.
    pub fn start_as(browser: &Path, switches: &[&str]) -> Self {
        let profile = TempDir::new().unwrap();
        let mut command = Command::new(browser);
        command
            .args([
                "--headless=new",
                "--remote-debugging-port=0",
                "--no-first-run",
            ])
            .args(switches)
            // Containers that run tests often have no user namespaces; only the
            // test's own pages are opened here.
            .arg("--no-sandbox")
            .arg(format!("--user-data-dir={}", profile.path().display()));
        Self::run(command, profile)
    }

    /// That browser as a cell would run it, but for what holds a cell back:
    /// what Hallpass is measured against.
    pub fn like_a_cell(browser: &Browser) -> Self {
        let profile = TempDir::new().unwrap();
        let list = switches(&Switchboard {
            kind: browser.kind,
            profile: profile.path(),
            deny_port: 0,
            sandbox: Sandbox::On,
        });
        let is_plain = |switch: &&String| !NOT_PLAIN.iter().any(|not| switch.starts_with(not));
        let mut command = Command::new(&browser.path);
        command
            .arg("--remote-debugging-port=0")
            .args(list.iter().filter(is_plain))
            .env("HOME", profile.path());
        if nix::unistd::geteuid().is_root() {
            chown(profile.path(), Some(USER), Some(USER)).unwrap();
            command.uid(USER).gid(USER).current_dir(profile.path());
        }
        Self::run(command, profile)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn run(mut command: Command, profile: TempDir) -> Self {
        let mut child = command
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the browser starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().unwrap();
        let cdp_url =
            process::first_line(stderr, Duration::from_secs(30), Arc::clone(&log), |line| {
                line.strip_prefix("DevTools listening on ")
                    .map(str::to_owned)
            });
        let cdp_url = cdp_url.unwrap_or_else(|| {
            let _ = child.kill();
            panic!("the browser does not answer:\n{}", log.lock().unwrap())
        });
        Self {
            cdp_url,
            child,
            _profile: profile,
        }
    }
}

impl Drop for PlainChromium {
    fn drop(&mut self) {
        let below = process::descendants(self.child.id());
        process::end(&mut self.child, Duration::from_secs(5));
        below.iter().for_each(process::Known::kill);
    }
}
