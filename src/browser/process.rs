//! The processes of a cell, and their end.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::unistd::geteuid;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};

/// One process, as `/proc` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it began, in clock ticks since boot. With `pid`, who it is.
    pub start: u64,
    /// Its parent.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// Real, effective, saved and file-system user.
    pub users: [u32; 4],
    /// Only an entry is left that its parent has not collected.
    pub is_gone: bool,
}

/// A user that is one cell's alone: never root, never the broker's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct CellUser(u32);

/// The number is root's, the broker's, or one that accounts have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("user {0} cannot be a cell's: it is root's, the broker's own, or below {LOWEST_USER}")]
pub struct NotCellUser(u32);

/// By what a cell's processes are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The process that was started, and when it began.
    pub leader: Option<(i32, u64)>,
    /// The user that is the cell's alone.
    pub user: Option<CellUser>,
    /// The profile folder.
    pub profile: PathBuf,
}

/// Why a cell's processes were not all ended.
#[derive(Debug, thiserror::Error)]
pub enum ExterminateError {
    /// They do not die.
    #[error("processes {pids:?} of a cell are still there after {} s of SIGKILL; the machine needs a look", waited.as_secs())]
    StillThere {
        /// Which.
        pids: Vec<i32>,
        /// How long was waited.
        waited: Duration,
    },
    /// The mark fits the broker itself or a process above it: nothing was ended.
    #[error(
        "the record of a cell fits the broker's own processes; nothing was ended; remove the cell's folder by hand"
    )]
    FitsBroker,
}

/// The lowest number that a cell's user may have; accounts of people and
/// services are below.
pub const LOWEST_USER: u32 = 10_000;

/// All processes that can be seen.
#[must_use]
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(read)
        .collect()
}

/// One process, if it is there.
#[must_use]
pub fn read(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    parse(pid, &stat, &status)
}

// === impl CellUser ===

impl CellUser {
    /// The number, of the user and of its group.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for CellUser {
    type Error = NotCellUser;

    fn try_from(number: u32) -> Result<Self, NotCellUser> {
        if number < LOWEST_USER || number == geteuid().as_raw() || number == u32::MAX {
            return Err(NotCellUser(number));
        }
        Ok(Self(number))
    }
}

impl From<CellUser> for u32 {
    fn from(user: CellUser) -> Self {
        user.0
    }
}

// === impl Mark ===

impl Mark {
    /// Its processes that are alive now. Blocking.
    #[must_use]
    pub fn living(&self) -> Vec<Process> {
        let mut ours = self.among(&all());
        ours.retain(|process| !process.is_gone);
        ours
    }

    /// Ends all of them and waits until none is left; returns how many there
    /// were. Blocking.
    ///
    /// # Errors
    /// Some do not die within `patience`, or the mark fits this very process.
    pub fn exterminate(&self, patience: Duration) -> Result<usize, ExterminateError> {
        let begin = Instant::now();
        let mut count = 0;
        loop {
            let everyone = all();
            let mut living = self.among(&everyone);
            if living.iter().any(|p| is_above(p, me(), &everyone)) {
                return Err(ExterminateError::FitsBroker);
            }
            living.retain(|process| !process.is_gone);
            if living.is_empty() {
                return Ok(count);
            }
            if begin.elapsed() >= patience {
                return Err(ExterminateError::StillThere {
                    pids: living.iter().map(|p| p.pid).collect(),
                    waited: patience,
                });
            }
            let dying: Vec<OwnedFd> = living.iter().filter_map(kill).collect();
            count += dying.len();
            wait(&dying, begin + patience);
        }
    }

    /// Those of `everyone` that are the cell's, dead entries included.
    fn among(&self, everyone: &[Process]) -> Vec<Process> {
        let leader_is_ours = self
            .leader
            .is_some_and(|leader| everyone.iter().any(|p| (p.pid, p.start) == leader));
        let mut ours: Vec<Process> = everyone
            .iter()
            .filter(|p| self.knows(p, leader_is_ours))
            .cloned()
            .collect();
        // Children that left the session, for brokers that have no users to give.
        let mut index = 0;
        while let Some(parent) = ours.get(index).map(|p| p.pid) {
            for child in everyone.iter().filter(|p| p.parent == parent) {
                if !ours.contains(child) {
                    ours.push(child.clone());
                }
            }
            index += 1;
        }
        ours
    }

    fn knows(&self, process: &Process, leader_is_ours: bool) -> bool {
        if self
            .user
            .is_some_and(|user| process.users.contains(&user.number()))
        {
            return true;
        }
        let Some((pid, start)) = self.leader else {
            return self.is_named_by(process);
        };
        if process.pid == pid {
            return process.start == start;
        }
        let in_session = process.session == pid || process.group == pid;
        // Without the leader, the number may have become a stranger's.
        (in_session && leader_is_ours) || self.is_named_by(process)
    }

    // Only the broker's own user's processes, so that a stranger's command line
    // that mentions the folder ends nobody.
    fn is_named_by(&self, process: &Process) -> bool {
        self.user.is_none()
            && process.users == [geteuid().as_raw(); 4]
            && uses_profile(process.pid, &self.profile)
    }
}

fn me() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

// Whether it is this process, one above it, or the machine's first.
fn is_above(process: &Process, me: i32, everyone: &[Process]) -> bool {
    let mut pid = me;
    // A chain is no longer than there are processes.
    for _ in 0..=everyone.len() {
        if process.pid == pid {
            return true;
        }
        match everyone.iter().find(|p| p.pid == pid) {
            Some(found) => pid = found.parent,
            None => break,
        }
    }
    process.pid <= 1
}

// `--user-data-dir=<profile>` or `HOME=<profile>`, whole.
fn uses_profile(pid: i32, profile: &Path) -> bool {
    let profile = profile.as_os_str().as_encoded_bytes();
    let holds = |file: &str, name: &[u8]| {
        fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| {
            bytes
                .split(|byte| *byte == 0)
                .any(|part| part.strip_prefix(name) == Some(profile))
        })
    };
    holds("cmdline", b"--user-data-dir=") || holds("environ", b"HOME=")
}

/// The children of a process. Blocking.
///
/// # Errors
/// It is gone, or the kernel does not tell (`CONFIG_PROC_CHILDREN`).
pub(super) fn children(pid: i32) -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // Each thread has those that it started.
        let text = fs::read_to_string(task?.path().join("children"))?;
        let pids = text.split_ascii_whitespace();
        found.extend(pids.filter_map(|pid| read(pid.parse().ok()?)));
    }
    Ok(found)
}

/// A process by descriptor: between looking and acting, a number may change hands.
/// None if it is gone.
pub(super) fn open(process: &Process) -> Option<OwnedFd> {
    let fd = pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    (read(process.pid)?.start == process.start).then_some(fd)
}

/// Ends it with SIGKILL; its descriptor tells when it is gone. None if it was.
pub(super) fn kill(process: &Process) -> Option<OwnedFd> {
    let fd = open(process)?;
    pidfd_send_signal(&fd, Signal::KILL).ok()?;
    Some(fd)
}

fn wait(dying: &[OwnedFd], deadline: Instant) {
    for fd in dying {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return;
        };
        let _: Result<_, _> = poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout));
    }
}

fn parse(pid: i32, stat: &str, status: &str) -> Option<Process> {
    // The name in parentheses is the process's own choice.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |index: usize| fields.get(index).copied();
    let state = field(0)?;
    let threads: i64 = field(17)?.parse().ok()?;
    let mut users = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))?
        .split_ascii_whitespace()
        .map_while(|word| word.parse().ok());
    Some(Process {
        pid,
        start: field(19)?.parse().ok()?,
        parent: field(1)?.parse().ok()?,
        group: field(2)?.parse().ok()?,
        session: field(3)?.parse().ok()?,
        users: [users.next()?, users.next()?, users.next()?, users.next()?],
        // A first thread that has ended while others run looks dead and is not.
        is_gone: matches!(state, "Z" | "X") && threads <= 1,
    })
}

/// When a process began, in clock ticks since boot.
///
/// # Errors
/// It is not there.
pub(crate) fn start_of(pid: i32) -> io::Result<u64> {
    read(pid)
        .map(|process| process.start)
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests;
