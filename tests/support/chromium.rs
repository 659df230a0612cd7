//! A plain Chromium with a debugging port: the control that proves a script
//! does what it says where nothing holds it back, and the person's own browser.

use std::{
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;

use super::{process, tools};

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
        let profile = TempDir::new().unwrap();
        let mut child = Command::new(tools::headless_shell())
            .args(["--remote-debugging-port=0", "--no-first-run"])
            // Containers that run tests often have no user namespaces; only the
            // test's own pages are opened here.
            .arg("--no-sandbox")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the headless shell starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().unwrap();
        let cdp_url =
            process::first_line(stderr, Duration::from_secs(30), Arc::clone(&log), |line| {
                line.strip_prefix("DevTools listening on ")
                    .map(str::to_owned)
            });
        let cdp_url = cdp_url.unwrap_or_else(|| {
            let _ = child.kill();
            panic!(
                "the headless shell does not answer:\n{}",
                log.lock().unwrap()
            )
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
