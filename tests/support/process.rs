//! Processes that a test starts: ended with their children, and seen to be gone.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead as _, BufReader, Read},
    net::{Ipv4Addr, TcpListener},
    process::Child,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A process with a known start, so that a recycled number is another process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Known {
    pub pid: i32,
    start: u64,
}

/// Asks the child to end, and kills it if it has not within `grace`.
///
/// Answers whether it ended by itself.
pub fn end(child: &mut Child, grace: Duration) -> bool {
    terminate(child.id());
    wait(child, grace)
}

/// Waits for the child to end by itself, and kills it if it has not within
/// `grace`; answers whether it did.
pub fn wait(child: &mut Child, grace: Duration) -> bool {
    if until(grace, || matches!(child.try_wait(), Ok(Some(_)))) {
        return true;
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// Asks a process to end.
pub fn terminate(pid: u32) {
    let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGTERM);
}

/// Every process below this one, however deep.
pub fn descendants(root: u32) -> HashSet<Known> {
    let all: Vec<(Known, i32)> = running().collect();
    let mut found = HashSet::new();
    let mut parents = vec![i32::try_from(root).unwrap()];
    while let Some(parent) = parents.pop() {
        for (known, _) in all.iter().filter(|(_, above)| *above == parent) {
            if found.insert(known.clone()) {
                parents.push(known.pid);
            }
        }
    }
    found
}

/// The processes that this one started itself.
pub fn children(root: u32) -> HashSet<Known> {
    let root = i32::try_from(root).unwrap();
    let own = running().filter(|(_, above)| *above == root);
    own.map(|(known, _)| known).collect()
}

/// Processes whose command line contains `text`.
pub fn with_argument(text: &str) -> HashSet<Known> {
    running()
        .map(|(known, _)| known)
        .filter(|known| known.command().contains(text))
        .collect()
}

/// A loopback port that nothing listened on just now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until `done` holds; answers whether it did in time.
pub fn until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The first line from which `find` makes something; the rest is read and kept
/// in `log`, so that the process never blocks on a full pipe.
pub fn first_line<T: Send + 'static>(
    from: impl Read + Send + 'static,
    limit: Duration,
    log: std::sync::Arc<std::sync::Mutex<String>>,
    find: impl Fn(&str) -> Option<T> + Send + 'static,
) -> Option<T> {
    let (found, wait) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if let Some(value) = find(&line) {
                let _ = found.send(value);
            }
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    });
    wait.recv_timeout(limit).ok()
}

// === impl Known ===

impl Known {
    /// Whether it still runs; a zombie does not.
    pub fn is_running(&self) -> bool {
        stat(self.pid).is_some_and(|(known, _)| known == *self)
    }

    /// Its command line, arguments separated by spaces.
    pub fn command(&self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    }

    /// Ends it at once.
    pub fn kill(&self) {
        if self.is_running() {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
    }
}

fn running() -> impl Iterator<Item = (Known, i32)> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(stat)
}

// Fields of /proc/PID/stat after the name, which may itself hold spaces and
// brackets: state, parent, …, and the start time as the twentieth.
fn stat(pid: i32) -> Option<(Known, i32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    (state != "Z").then_some((Known { pid, start }, parent))
}
