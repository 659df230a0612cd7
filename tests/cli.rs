//! The program itself: what it prints, and the code it ends with.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_hallpass");
const COOKIES: &str = "# Netscape HTTP Cookie File\n\
    app.example.com\tFALSE\t/\tTRUE\t4102444800\tsid\ttop-secret-value\n\
    .co.uk\tTRUE\t/\tTRUE\t4102444800\twide\tother-secret-value\n";

/// A folder for one test, and the program in it.
struct Place {
    folder: TempDir,
}

/// A broker that ends with the test.
struct Serving<'p> {
    place: &'p Place,
    child: Child,
    url: String,
    greeting: String,
}

// === impl Place ===

impl Place {
    fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("hallpass-test-")
            // Cells run as users of their own, who must be able to pass through.
            .permissions(fs::Permissions::from_mode(0o711))
            .tempdir()
            .unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.folder.path())
            .env("TZ", "UTC")
            .env("HALLPASS_DATA_DIR", self.path("data"))
            .env("HALLPASS_CELL_WARM", "0")
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs and asserts how it ends, with all of these on its standard error.
    fn fails(&self, arguments: &[&str], code: i32, says: &[&str]) {
        assert_ends(&self.run(arguments), code, says);
    }

    fn serve(&self) -> Serving<'_> {
        let mut child = self
            .command(&["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut greeting = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut greeting)
            .unwrap();
        let Some(url) = greeting
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
        else {
            let mut error = String::new();
            let mut stderr = child.stderr.take().unwrap();
            stderr.read_to_string(&mut error).unwrap();
            child.wait().unwrap();
            panic!("the broker did not start: {greeting} {error}");
        };
        Serving {
            place: self,
            url: url.to_owned(),
            greeting,
            child,
        }
    }
}

// === impl Serving ===

impl Serving<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        self.place
            .command(arguments)
            .args(["--url", &self.url])
            .output()
            .unwrap()
    }

    fn does(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{error}");
        text(&output.stdout)
    }

    fn does_json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.does(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn fails(&self, arguments: &[&str], code: i32, says: &[&str]) {
        assert_ends(&self.run(arguments), code, says);
    }

    /// Asks it to stop and asserts that it ends well.
    fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn assert_ends(output: &Output, code: i32, says: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for part in says {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

fn ask<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    let head = ["delegation", "request", "--agent", "worker"];
    [&head[..], &["--purpose", "read the tickets"], rest].concat()
}

#[test]
fn usage_errors_end_with_two() {
    let place = Place::new();
    for arguments in [
        vec!["dance"],
        vec!["serve", "--listen", "nowhere"],
        vec!["delegation", "show", "ses_aaaaaaaaaaaaaaaaaaaaaaaaaa"],
        ask(&["--cookie", "sid"]),
        ask(&["--origin", "https://*.com"]),
        ask(&["--origin", "https://app.example.com", "--for", "soon"]),
    ] {
        place.fails(&arguments, 2, &[]);
    }
}

#[test]
fn an_unknown_configuration_key_is_named_with_its_line_before_anything_is_touched() {
    let place = Place::new();
    let config = place.write("hallpass.toml", "# mine\n\nlisten_on = \"127.0.0.1:1\"\n");
    for arguments in [
        &["serve"][..],
        &["doctor"],
        &["agent", "list"],
        &["trace", "list"],
    ] {
        let arguments = [arguments, &["--config", &config]].concat();
        place.fails(&arguments, 2, &["line 3", "listen_on"]);
    }
    assert!(!place.path("data").exists());
    let missing = ["serve", "--config", "/nonexistent.toml"];
    place.fails(&missing, 2, &["/nonexistent.toml"]);
}

#[test]
fn without_a_broker_the_error_says_how_to_start_one() {
    let place = Place::new();
    place.fails(&["agent", "list"], 1, &["hallpass serve"]);
    let serving = place.serve();
    let url = serving.url.clone();
    let beside = place.run(&["agent", "list"]);
    assert!(beside.status.success(), "{}", text(&beside.stderr));
    serving.stop();
    place.fails(&["agent", "list"], 1, &["no broker", "hallpass serve"]);
    let list = ["agent", "list", "--url", &url];
    place.fails(&list, 1, &["no broker", "hallpass serve"]);
}

#[test]
fn an_occupied_port_is_named() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let serve = ["serve", "--listen", &address];
    place.fails(&serve, 1, &[&address, "--listen"]);
}

#[test]
fn a_data_folder_that_cannot_be_made_is_named() {
    let place = Place::new();
    let file = place.write("file", "");
    // Below a file, and where not even root can write.
    for folder in [format!("{file}/data"), "/proc/hallpass".to_owned()] {
        let serve = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            folder.as_str(),
        ];
        place.fails(&serve, 1, &[&folder]);
    }
}

#[test]
fn a_second_broker_on_the_same_folder_is_refused() {
    let place = Place::new();
    let serving = place.serve();
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    place.fails(&serve, 1, &["another broker"]);
    serving.stop();
}

#[test]
fn a_key_that_does_not_open_the_vault_stops_the_start() {
    let place = Place::new();
    place.serve().stop();
    let other = Place::new();
    other.serve().stop();
    let key = place.path("data/keys/vault.key");
    fs::copy(other.path("data/keys/vault.key"), &key).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    place.fails(&serve, 1, &["key"]);
    fs::write(&key, "not a key\n").unwrap();
    place.fails(&serve, 1, &["key"]);
}

#[test]
fn the_greeting_says_where_and_what_next() {
    let place = Place::new();
    let serving = place.serve();
    for part in ["http://127.0.0.1:", "operator.token", "hallpass agent add"] {
        assert!(serving.greeting.contains(part), "{}", serving.greeting);
    }
    serving.stop();
}

#[test]
fn a_client_that_never_finishes_does_not_keep_the_broker() {
    let place = Place::new();
    let serving = place.serve();
    let address = serving.url.trim_start_matches("http://").to_owned();
    let mut half = std::net::TcpStream::connect(address).unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost: loc")
        .unwrap();
    serving.stop();
    assert!(!place.path("data/broker.url").exists());
}

#[test]
fn a_wrong_token_is_told_so() {
    let place = Place::new();
    let serving = place.serve();
    let output = place
        .command(&["agent", "list", "--url", &serving.url])
        .env("HALLPASS_TOKEN", "nonsense")
        .output()
        .unwrap();
    assert_ends(&output, 1, &["token"]);
    assert!(!text(&output.stderr).contains("nonsense"));
    serving.stop();
}

#[test]
fn a_refusal_ends_with_three() {
    let place = Place::new();
    let serving = place.serve();
    let added = serving.does_json(&["agent", "add", "worker"]);
    let output = place
        .command(&["agent", "list", "--url", &serving.url])
        .env("HALLPASS_TOKEN", added["key"].as_str().unwrap())
        .output()
        .unwrap();
    assert_ends(&output, 3, &["person"]);
    serving.stop();
}

#[test]
fn the_main_job_by_the_command_line() {
    let place = Place::new();
    let serving = place.serve();
    let added = serving.does(&["agent", "add", "worker"]);
    assert!(added.contains("agt_"), "{added}");
    let file = place.write("cookies.txt", COOKIES);
    let report = serving.does(&["credential", "import", &file]);
    for part in [
        "crd_",
        "sid",
        "wide",
        "public suffix",
        "1 sealed, 1 refused",
    ] {
        assert!(report.contains(part), "{report}");
    }
    assert!(!report.contains("secret-value"), "{report}");
    let list = serving.does(&["credential", "list"]);
    assert!(list.contains("app.example.com"), "{list}");

    let tickets = ask(&[
        "--cookie",
        "sid@https://app.example.com",
        "--path",
        "/tickets/*",
        "--for",
        "15m",
    ]);
    let asked = serving.does_json(&tickets);
    assert_eq!(asked["phase"], "requested");
    let id = asked["id"].as_str().unwrap();
    let waiting = serving.does(&["delegation", "list", "--status", "requested"]);
    assert!(waiting.contains(id), "{waiting}");
    let approved = serving.does(&["delegation", "approve", id]);
    for part in [
        "open, ends ",
        " min",
        "sid of",
        "/tickets/*",
        "GET, HEAD, OPTIONS",
    ] {
        assert!(approved.contains(part), "{approved}");
    }
    serving.fails(&["delegation", "approve", id], 1, &["already approved"]);
    let revoked = serving.does(&["delegation", "revoke", id]);
    assert!(revoked.contains("closed: revoked"), "{revoked}");

    let both = serving.does_json(&[&tickets[..], &["--approve"]].concat());
    assert_eq!(both["phase"], "open");
    let disabled = serving.does(&["agent", "disable", "worker"]);
    assert!(disabled.contains("disabled"), "{disabled}");
    serving.stop();
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let place = Place::new();
    let serving = place.serve();
    serving.does(&["agent", "add", "worker"]);
    let with = |window: &[&'static str]| {
        let origin = ["--origin", "https://app.example.com"];
        ask(&[&origin[..], window].concat())
    };
    let until = "2099-01-01T09:00:00Z";
    let backwards = with(&["--from", "2099-01-01T10:00:00Z", "--until", until]);
    serving.fails(&backwards, 2, &["ends", "before it starts"]);
    let past = with(&["--until", "2020-01-01T09:00:00Z"]);
    serving.fails(&past, 2, &["before it starts"]);
    serving.fails(&with(&["--for", "15m", "--until", "14:15"]), 2, &[]);
    let over = serving.run(&with(&["--for", "3d"]));
    let says = text(&over.stderr);
    assert!(matches!(over.status.code(), Some(2 | 3)), "{says}");
    assert!(says.contains("at most"), "{says}");
    let list = serving.does_json(&["delegation", "list"]);
    assert_eq!(list["delegations"], json!([]));
    serving.stop();
}

#[test]
fn a_truncated_cookie_file_is_refused_whole() {
    let place = Place::new();
    let serving = place.serve();
    let cookie = r#"{"cookies":[{"name":"sid","value":"top-secret-value","domain":"a.test","#;
    let file = place.write("state.json", cookie);
    let output = serving.run(&["credential", "import", &file]);
    assert_ends(&output, 1, &["line 1"]);
    assert!(!text(&output.stderr).contains("secret-value"));
    let list = serving.does_json(&["credential", "list"]);
    assert_eq!(list["credentials"], json!([]));
    let missing = ["credential", "import", "/nonexistent"];
    serving.fails(&missing, 1, &["/nonexistent"]);
    serving.stop();
}

#[test]
fn a_changed_byte_in_a_trace_ends_with_four() {
    let place = Place::new();
    let serving = place.serve();
    serving.does(&["agent", "add", "worker"]);
    // Reading beside a running broker is right, too.
    let beside = place.run(&["trace", "verify"]);
    assert!(beside.status.success(), "{}", text(&beside.stderr));
    serving.stop();
    let list = place.run(&["trace", "list", "--json"]);
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    let id = list["traces"][0]["id"].as_str().unwrap();
    let shown = text(&place.run(&["trace", "show", id]).stdout);
    assert!(shown.contains("agent-added"), "{shown}");
    for verify in [&["trace", "verify"][..], &["trace", "verify", id]] {
        let whole = place.run(verify);
        assert!(whole.status.success(), "{}", text(&whole.stderr));
    }

    let segment = first_file(&place.path("data/traces").join(id));
    let whole = fs::read(&segment).unwrap();
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(&segment, &changed).unwrap();
    place.fails(&["trace", "verify", id], 4, &[id]);
    place.fails(&["trace", "verify"], 4, &[id]);
    // Cutting off the last record shows against the head that is kept apart.
    fs::write(&segment, &whole[..whole.len() - 40]).unwrap();
    place.fails(&["trace", "verify", id], 4, &[id]);
    fs::write(&segment, &whole).unwrap();
    assert!(place.run(&["trace", "verify", id]).status.success());
    let none = "trc_aaaaaaaaaaaaaaaaaaaaaaaaaa";
    place.fails(&["trace", "show", none], 1, &[none]);
}

fn first_file(folder: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.remove(0)
}

#[test]
fn the_doctor_says_what_does_not_hold_and_changes_nothing() {
    let place = Place::new();
    let look = || -> (Option<i32>, Value) {
        let output = place.run(&["doctor", "--json"]);
        let findings = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), findings)
    };
    let verdict = |findings: &Value, what: &str| {
        let list = findings["findings"].as_array().unwrap();
        let found = list.iter().find(|finding| finding["what"] == what);
        found.unwrap()["verdict"].as_str().unwrap().to_owned()
    };
    let (_, fresh) = look();
    assert!(!place.path("data").exists());
    assert_eq!(verdict(&fresh, "clock"), "holds");
    assert_eq!(verdict(&fresh, "key apart"), "warning");
    place.serve().stop();
    let (_, after) = look();
    for what in ["data folder", "store", "vault key", "operator token"] {
        assert_eq!(verdict(&after, what), "holds", "{after}");
    }
    let key = place.path("data/keys/vault.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, exposed) = look();
    assert_eq!(verdict(&exposed, "vault key"), "does-not-hold");
    assert_eq!(code, Some(1));
    let nonsense = "not a database, only long enough";
    fs::write(place.path("data/hallpass.db"), nonsense).unwrap();
    fs::remove_file(&key).unwrap();
    let (_, broken) = look();
    for what in ["store", "vault key"] {
        assert_eq!(verdict(&broken, what), "does-not-hold", "{broken}");
    }
}

#[test]
fn output_has_no_colour_unless_on_a_terminal() {
    let place = Place::new();
    let output = text(&place.run(&["doctor"]).stdout);
    assert!(output.starts_with("CHECK"), "{output}");
    assert!(!output.contains('\u{1b}'), "{output}");
}

#[test]
fn the_demo_holds_at_every_step() {
    let place = Place::new();
    let output = Command::new(PROGRAM)
        .args(["demo", "--once"])
        .current_dir(place.folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(!said.contains("did not hold"), "{said}");
    assert!(said.contains("hash-chained"), "{said}");
}
