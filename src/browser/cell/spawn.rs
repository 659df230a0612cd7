//! From a plan to a process that answers.

use std::{
    collections::VecDeque,
    io,
    path::Path,
    process::Stdio,
    sync::{Arc, LazyLock, Mutex, Weak, mpsc},
    time::Duration,
};

use command_fds::{CommandFdExt, FdMapping};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    runtime::Handle,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use super::{
    AskError, Cell, CellFolder, CellProcess, CellRecord, Claim, LaunchError, Version, ask, ends,
    process::Exit,
};
use crate::{
    browser::{
        cell_exec::{Confinement, GO, Plan, Verdict},
        pipe::{PipeReader, PipeWriter},
        process::{CellUser, Mark, start_of},
    },
    clock::boot_id,
    model::id::CellId,
};

const TAIL_LINES: usize = 20;
const LINE_CHARS: usize = 300;
const LINE_BUFFER: usize = 512;
const VERDICT_BYTES: u64 = 64 << 10;
const GRACE: Duration = Duration::from_secs(5);

/// Kept until the browser answers.
type Tail = Mutex<VecDeque<String>>;

/// A started launcher that has not answered yet.
pub(super) struct Starting {
    id: CellId,
    reader: PipeReader,
    writer: PipeWriter,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    process: CellProcess,
    tail: Arc<Tail>,
    draining: Option<JoinHandle<()>>,
}

/// How starting failed, before what the browser said is added.
pub(super) enum Failure {
    Refused(String),
    Ended,
    Silent(Duration),
    Protocol(String),
}

/// Starts the launcher, which waits; puts the cell on record.
pub(super) async fn spawn(
    launcher: &Path,
    id: CellId,
    plan: &Plan,
    folder: CellFolder,
    claim: Option<Claim>,
) -> Result<Starting, LaunchError> {
    // Of the claim, not of the plan: by this user processes are ended.
    let user = claim.as_ref().map(Claim::user);
    let outcome = start(launcher, plan, &folder, user).await;
    let (mut child, mark, reader, writer) = match outcome {
        Ok(started) => started,
        Err(source) => {
            let _ = folder.remove();
            return Err(LaunchError::Spawn {
                launcher: launcher.to_owned(),
                source,
            });
        }
    };
    let stdin = child.stdin.take();
    let stdout = child.stdout.take();
    let tail = Arc::<Tail>::default();
    let draining = child
        .stderr
        .take()
        .map(|stderr| tokio::spawn(drain(id, stderr, Arc::downgrade(&tail))));
    Ok(Starting {
        id,
        reader,
        writer,
        stdin,
        stdout,
        process: CellProcess::new(mark, folder, claim, watch_exit(child)),
        tail,
        draining,
    })
}

async fn start(
    launcher: &Path,
    plan: &Plan,
    folder: &CellFolder,
    user: Option<CellUser>,
) -> io::Result<(Child, Mark, PipeReader, PipeWriter)> {
    let (theirs_in, writer, reader, theirs_out) = ends()?;
    let mut command = std::process::Command::new(launcher);
    command
        .arg("cell-exec")
        .arg(serde_json::to_string(plan)?)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .fd_mappings(vec![
            FdMapping {
                parent_fd: theirs_in.into(),
                child_fd: 3,
            },
            FdMapping {
                parent_fd: theirs_out.into(),
                child_fd: 4,
            },
        ])
        .map_err(io::Error::other)?;
    let child = spawn_by_thread(command).await?;
    // On failure from here on the child is dropped, which kills it, and it reads
    // the end of its standard input, which ends it.
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .ok_or_else(|| io::Error::other("the launcher ended at once"))?;
    let record = CellRecord {
        pid,
        start: start_of(pid)?,
        user,
        boot: boot_id()?,
    };
    folder.write(&record)?;
    Ok((child, folder.mark(Some(&record)), reader, writer))
}

impl Starting {
    /// Lets the launcher go on, hears what it applied, and meets the browser.
    pub(super) async fn meet(&mut self) -> Result<(Confinement, Version), Failure> {
        if let Some(mut stdin) = self.stdin.take() {
            // If it has ended, the verdict says so.
            let _ = stdin.write_all(&[GO]).await;
        }
        let confinement = self.verdict().await?;
        let answer = ask(
            &mut self.reader,
            &mut self.writer,
            1,
            None,
            "Browser.getVersion",
            &json!({}),
        )
        .await
        .map_err(|error| match error {
            AskError::Pipe(_) | AskError::Closed => Failure::Ended,
            other => Failure::Protocol(other.to_string()),
        })?;
        let version =
            serde_json::from_value(answer).map_err(|error| Failure::Protocol(error.to_string()))?;
        Ok((confinement, version))
    }

    /// Hands everything over.
    pub(super) fn into_cell(self, version: Version, confinement: Confinement) -> Cell {
        Cell {
            id: self.id,
            version,
            confinement,
            reader: self.reader,
            writer: self.writer,
            process: self.process,
        }
    }

    /// Ends what there is and says why.
    pub(super) async fn fail(mut self, failure: Failure) -> LaunchError {
        let status = if matches!(failure, Failure::Ended) {
            timeout(GRACE, self.process.exited()).await.ok().flatten()
        } else {
            None
        };
        if let Err(error) = self.process.kill().await {
            tracing::error!(cell = %self.id, %error, "a cell that did not start is not wholly gone");
        }
        if let Some(draining) = self.draining.take() {
            let _ = timeout(GRACE, draining).await;
        }
        let tail: Vec<String> = match self.tail.lock() {
            Ok(lines) => lines.iter().cloned().collect(),
            Err(_) => Vec::new(),
        };
        let advice = advice(&tail);
        match failure {
            Failure::Refused(why) => LaunchError::Refused(why),
            Failure::Ended => LaunchError::Ended {
                status: status.map_or_else(|| "closed its pipe".to_owned(), |s| s.to_string()),
                advice,
                tail,
            },
            Failure::Silent(after) => LaunchError::Silent {
                after,
                advice,
                tail,
            },
            Failure::Protocol(reason) => LaunchError::Protocol {
                reason,
                advice,
                tail,
            },
        }
    }

    // All that comes here: what the browser says goes elsewhere.
    async fn verdict(&mut self) -> Result<Confinement, Failure> {
        let stdout =
            BufReader::with_capacity(LINE_BUFFER, self.stdout.take().ok_or(Failure::Ended)?);
        let mut line = Vec::new();
        let read = stdout
            .take(VERDICT_BYTES)
            .read_until(b'\n', &mut line)
            .await;
        if read.is_err() || line.is_empty() {
            return Err(Failure::Ended);
        }
        match serde_json::from_slice(&line) {
            Ok(Verdict::Confined(confinement)) => Ok(confinement),
            Ok(Verdict::Refused(why)) => Err(Failure::Refused(why)),
            Err(_) => Err(Failure::Protocol(
                "the launcher is not the `hallpass` binary of this broker".to_owned(),
            )),
        }
    }
}

/// Starts it from a thread that lives as long as this process: the kernel
/// signals "the parent died" when the parent's *thread* ends, and threads of
/// the runtime come and go.
async fn spawn_by_thread(command: std::process::Command) -> io::Result<Child> {
    type Job = Box<dyn FnOnce() + Send>;
    static SPAWNER: LazyLock<Option<mpsc::Sender<Job>>> = LazyLock::new(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("cell-spawner".to_owned())
            .spawn(move || jobs.into_iter().for_each(|job| job()))
            .ok()
            .map(|_| sender)
    });
    let runtime = Handle::current();
    let (answer, answered) = oneshot::channel();
    let job = Box::new(move || {
        let _inside = runtime.enter();
        let mut command = Command::from(command);
        // The command holds the browser's pipe ends: it must not outlive this.
        let _ = answer.send(command.kill_on_drop(true).spawn());
    });
    let gone = || io::Error::other("the thread that starts cells is gone");
    SPAWNER
        .as_ref()
        .ok_or_else(gone)?
        .send(job)
        .map_err(|_| gone())?;
    answered.await.map_err(|_| gone())?
}

fn watch_exit(mut child: Child) -> Arc<Exit> {
    let exit = Arc::<Exit>::default();
    let known = exit.clone();
    tokio::spawn(async move {
        let status = child.wait().await.ok();
        known.set(status).ok();
    });
    exit
}

async fn drain(id: CellId, pipe: ChildStderr, tail: Weak<Tail>) {
    let mut pipe = BufReader::with_capacity(LINE_BUFFER, pipe);
    let mut line = Vec::new();
    while read_line(&mut pipe, &mut line).await {
        let text: String = String::from_utf8_lossy(&line)
            .chars()
            .filter(|c| !c.is_control())
            .take(LINE_CHARS)
            .collect();
        line = Vec::new();
        if text.is_empty() {
            continue;
        }
        tracing::debug!(cell = %id, "{text}");
        let Some(tail) = tail.upgrade() else {
            continue;
        };
        if let Ok(mut tail) = tail.lock() {
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(text);
        }
    }
}

// A line, or a part of one that is too long; false at the end.
async fn read_line(
    pipe: &mut (impl AsyncRead + Unpin + AsyncBufReadExt),
    line: &mut Vec<u8>,
) -> bool {
    matches!(pipe.take(4096).read_until(b'\n', line).await, Ok(count) if count > 0)
}

fn advice(tail: &[String]) -> &'static str {
    let says = |text: &str| tail.iter().any(|line| line.contains(text));
    if says("No usable sandbox") || says("Failed to move to new namespace") {
        "its sandbox needs unprivileged user namespaces: run `sysctl -w user.max_user_namespaces=15000`, and on Ubuntu `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`; in a container, allow `clone` and `unshare` in its seccomp profile"
    } else if says("error while loading shared libraries") {
        "a library is missing: install the browser through the package manager"
    } else if says("Running as root without --no-sandbox") {
        "it ran as root: the broker must be able to change its user (CAP_SETUID)"
    } else {
        "run `hallpass doctor` to see what does not hold here"
    }
}
