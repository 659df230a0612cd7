//! The processes that a browser outlives and is of no use without: the zygotes,
//! of which pages' processes are born, and its network service. Chromium goes on
//! when one of them is gone, and shows no page any more; so the cell ends then,
//! rather than that sessions wait in it.

use std::{
    fs,
    future::poll_fn,
    os::fd::OwnedFd,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    task::spawn_blocking,
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    browser::process::{self, Mark, Process},
    model::id::CellId,
};

const ZYGOTE: &[u8] = b"--type=zygote";
const NETWORK_SERVICE: &str = "network service";
const NETWORK: &[u8] = b"--utility-sub-type=network.mojom.NetworkService";

/// The zygotes are there when the browser answers; the network service may come a
/// moment later.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Finds them; from then on the cell's first process ends once one of them has.
pub(super) async fn watch(id: CellId, mark: &Mark) -> AbortOnDropHandle<()> {
    let mut known: Vec<Process> = Vec::new();
    let mut ends = Vec::new();
    let mut has_network = false;
    for _ in 0..LOOKS {
        let look = mark.clone();
        let found = spawn_blocking(move || vital(&look)).await;
        for (process, kind) in found.unwrap_or_default() {
            has_network |= kind == NETWORK_SERVICE;
            if !known.contains(&process) {
                ends.push(Watched {
                    end: process::open(&process).and_then(readable_at_end),
                    kind,
                });
                known.push(process);
            }
        }
        if has_network {
            break;
        }
        sleep(PAUSE).await;
    }
    if !has_network {
        tracing::warn!(cell = %id, "a browser's network service is not found, and not watched");
    }
    ends.shrink_to_fit();
    let leader = mark.leader;
    AbortOnDropHandle::new(tokio::spawn(async move {
        let first = |context: &mut Context<'_>| {
            let ended = ends.iter().find(|process| process.has_ended(context));
            ended.map_or(Poll::Pending, |process| Poll::Ready(process.kind))
        };
        let lost = poll_fn(first).await;
        let leader = leader.and_then(|(pid, start)| {
            process::read(pid).filter(|leader| leader.start == start && !leader.is_gone)
        });
        if leader.as_ref().and_then(process::kill).is_some() {
            tracing::warn!(cell = %id, lost, "a browser lost a process without which it shows nothing; it is ended");
        }
    }))
}

/// One that is waited for.
struct Watched {
    /// None where it is gone, or cannot be watched.
    end: Option<AsyncFd<OwnedFd>>,
    kind: &'static str,
}

impl Watched {
    /// Otherwise the task is woken once it has.
    fn has_ended(&self, context: &mut Context<'_>) -> bool {
        match &self.end {
            // An error is the end of the runtime, and so of the cell.
            Some(end) => end.poll_read_ready(context).is_ready(),
            None => true,
        }
    }
}

fn readable_at_end(fd: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    #[expect(
        deprecated,
        reason = "what it became is unsafe for the sake of numbers that are nobody's; this one owns its descriptor"
    )]
    AsyncFd::with_interest(fd, Interest::READABLE).ok()
}

/// Those that are there. Blocking.
fn vital(mark: &Mark) -> Vec<(Process, &'static str)> {
    let Some((leader, _)) = mark.leader else {
        return Vec::new();
    };
    // Of the first process's children only: what a zygote has just given birth to
    // looks like one for a moment, and may end.
    let children = process::children(leader).unwrap_or_else(|_| mark.living());
    children
        .into_iter()
        .filter(|process| process.parent == leader && !process.is_gone)
        .filter_map(|process| {
            let line = fs::read(format!("/proc/{}/cmdline", process.pid)).ok()?;
            // Chromium rewrites some of these as a title, with spaces.
            let words = line.split(|byte| matches!(byte, 0 | b' '));
            let has = |wanted: &[u8]| words.clone().any(|word| word == wanted);
            let kind = match () {
                () if has(ZYGOTE) => "zygote",
                () if has(NETWORK) => NETWORK_SERVICE,
                () => return None,
            };
            Some((process, kind))
        })
        .collect()
}
