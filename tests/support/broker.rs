//! The broker as a person runs it: the binary, in a data folder of its own.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;
use url::Url;

use super::{api::Api, process, tools};

/// File of the operator token in the data folder.
const TOKEN_FILE: &str = "keys/operator.token";
/// What tests are told by the environment, and the broker would refuse.
const OURS: &[&str] = &[
    "HALLPASS_FAULT_SEED",
    "HALLPASS_FAULT_ROUNDS",
    "HALLPASS_FAULT_ROUND",
];
/// Longest time from start to listening.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Longest time for an orderly end, and for its browsers to be gone after it.
const END_LIMIT: Duration = Duration::from_secs(15);

/// `hallpass serve`; ends with the value, and no browser of it outlives it.
#[derive(Debug)]
pub struct Broker {
    /// `http://127.0.0.1:PORT/`.
    pub url: Url,
    pub operator_token: String,
    pub data_dir: PathBuf,
    /// What it said on standard output and standard error so far.
    pub log: Arc<Mutex<String>>,
    child: Option<Child>,
    asked_to_end: bool,
    // Last: the folder goes when nothing uses it any more.
    folder: Option<TempDir>,
}

impl Broker {
    /// Starts it on a free port. `config` is TOML, put after the lines that
    /// this helper needs, so it may begin with tables only.
    pub fn start(config: &str) -> Self {
        Self::start_in(Self::folder(), config)
    }

    /// An empty folder for a broker, whose data goes into `data` in it.
    pub fn folder() -> TempDir {
        let folder = TempDir::new().unwrap();
        // Cells run as users of their own, who must be able to pass through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        folder
    }

    /// The same in a folder that may have been used before.
    pub fn start_in(folder: TempDir, config: &str) -> Self {
        tools::headless_shell();
        let data_dir = folder.path().join("data");
        let file = folder.path().join("hallpass.toml");
        fs::write(&file, format!("listen = \"127.0.0.1:0\"\n{config}\n")).unwrap();
        let mut child = program()
            .arg("serve")
            .arg("--data-dir")
            .arg(&data_dir)
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().unwrap();
        let rest = Arc::clone(&log);
        std::thread::spawn(move || {
            process::first_line(stderr, Duration::ZERO, rest, |_| None::<()>);
        });
        let stdout = child.stdout.take().unwrap();
        let url = process::first_line(stdout, START_LIMIT, Arc::clone(&log), url_in);
        let token = fs::read_to_string(data_dir.join(TOKEN_FILE));
        let (Some(url), Ok(token)) = (url, token) else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("`hallpass serve` does not serve:\n{}", log.lock().unwrap());
        };
        Self {
            url,
            operator_token: token.trim().to_owned(),
            data_dir,
            log,
            child: Some(child),
            asked_to_end: false,
            folder: Some(folder),
        }
    }

    /// Kills it as a crash would, and waits until all that it had started is
    /// gone by itself; answers its folder.
    pub fn crash(mut self) -> TempDir {
        let mut child = self.child.take().unwrap();
        let mut below = process::descendants(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        below.extend(process::with_argument(&self.data_dir.display().to_string()));
        let gone = process::until(END_LIMIT, || !below.iter().any(process::Known::is_running));
        below.iter().for_each(process::Known::kill);
        assert!(gone, "processes outlived a killed broker by {END_LIMIT:?}");
        self.folder.take().unwrap()
    }

    /// Ends it in an orderly way; answers its folder.
    pub fn finish(mut self) -> TempDir {
        let folder = self.folder.take().unwrap();
        drop(self);
        folder
    }

    /// Asks it to end, as `systemctl stop` does.
    pub fn terminate(&mut self) {
        process::terminate(self.pid());
        self.asked_to_end = true;
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Its HTTP API, by the operator.
    pub fn operator(&self) -> Api {
        Api::new(self.url.clone(), &self.operator_token)
    }

    /// Its HTTP API, by an agent's key.
    pub fn agent(&self, key: &str) -> Api {
        Api::new(self.url.clone(), key)
    }

    /// `hallpass ARGUMENTS` against this broker.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        program()
            .args(arguments)
            .arg("--data-dir")
            .arg(&self.data_dir)
            .arg("--config")
            .arg(self.data_dir.with_file_name("hallpass.toml"))
            .arg("--url")
            .arg(self.url.as_str())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Fails if this text is in a file of its data folder or in what it said.
    pub fn assert_never_wrote(&self, secret: &str) {
        let mut folders = vec![self.data_dir.clone()];
        let mut read = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    // A browser's profile changes while it is read.
                    Ok(kind) if kind.is_file() => {
                        let Ok(bytes) = fs::read(&path) else { continue };
                        read += 1;
                        let found = bytes
                            .windows(secret.len())
                            .any(|part| part == secret.as_bytes());
                        assert!(!found, "{} holds a lent value", path.display());
                    }
                    _ => {}
                }
            }
        }
        assert!(
            read > 0,
            "nothing was written to {}",
            self.data_dir.display()
        );
        assert!(!self.log.lock().unwrap().contains(secret));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else {
            return;
        };
        let mut below = process::descendants(child.id());
        // Asked twice, it would end at once.
        let by_itself = if self.asked_to_end {
            process::wait(child, END_LIMIT)
        } else {
            process::end(child, END_LIMIT)
        };
        below.extend(process::with_argument(&self.data_dir.display().to_string()));
        process::until(END_LIMIT, || !below.iter().any(process::Known::is_running));
        let left: Vec<String> = below
            .iter()
            .filter(|known| known.is_running())
            .map(process::Known::command)
            .collect();
        below.iter().for_each(process::Known::kill);
        if std::thread::panicking() {
            eprintln!("the broker said:\n{}", self.log.lock().unwrap());
            return;
        }
        assert!(
            by_itself,
            "the broker did not end within {END_LIMIT:?} of SIGTERM"
        );
        assert!(
            left.is_empty(),
            "the broker left processes behind: {left:#?}"
        );
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
    for name in OURS {
        command.env_remove(name);
    }
    command
}

fn url_in(line: &str) -> Option<Url> {
    line.split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/'))
        .filter(|word| word.starts_with("http://"))
        .find_map(|word| word.parse().ok())
}
