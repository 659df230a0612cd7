//! The processes that a browser outlives and is of no use without: the zygotes,
//! of which pages' processes are born, and its network service. Chromium goes on
//! when one of them is gone, and shows no page any more; so the cell ends then,
//! rather than that sessions wait in it.

use std::{fs, os::fd::OwnedFd, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
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
const NETWORK: &[u8] = b"--utility-sub-type=network.mojom.NetworkService";

/// The network service may come a moment after the browser's first answer.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Ends the cell's first process once one of these has ended.
pub(super) fn watch(id: CellId, mark: Mark) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let Some(lost) = lost(&mark).await else {
            return;
        };
        let leader = mark.leader.and_then(|(pid, start)| {
            process::read(pid).filter(|leader| leader.start == start && !leader.is_gone)
        });
        if leader.as_ref().and_then(process::kill).is_some() {
            tracing::warn!(cell = %id, lost, "a browser lost a process without which it shows nothing; it is ended");
        }
    }))
}

/// Waits for the first that ends; answers what it was. None where nothing can be
/// watched.
async fn lost(mark: &Mark) -> Option<&'static str> {
    let mut known: Vec<Process> = Vec::new();
    let mut ends = FuturesUnordered::new();
    for _ in 0..LOOKS {
        let look = mark.clone();
        let found = spawn_blocking(move || vital(&look)).await.ok()?;
        for (process, kind) in found {
            if known.contains(&process) {
                continue;
            }
            match process::open(&process) {
                Some(fd) => ends.push(ended(fd, kind)),
                // Gone since.
                None => return Some(kind),
            }
            known.push(process);
            if kind == "network service" {
                return ends.next().await.flatten();
            }
        }
        tokio::select! {
            end = ends.next(), if !ends.is_empty() => return end.flatten(),
            () = sleep(PAUSE) => {}
        }
    }
    tracing::warn!("a browser has no network service of its own; only its zygotes are watched");
    ends.next().await.flatten()
}

async fn ended(fd: OwnedFd, kind: &'static str) -> Option<&'static str> {
    #[expect(
        deprecated,
        reason = "what it became is unsafe for the sake of numbers that are nobody's; this one owns its descriptor"
    )]
    let fd = AsyncFd::with_interest(fd, Interest::READABLE).ok()?;
    let _ = fd.readable().await.ok()?;
    Some(kind)
}

/// Zygotes first. Blocking.
fn vital(mark: &Mark) -> Vec<(Process, &'static str)> {
    let Some((leader, _)) = mark.leader else {
        return Vec::new();
    };
    // Of the first process's children only: what a zygote has just given birth to
    // looks like one for a moment, and may end.
    let children = process::children(leader).unwrap_or_else(|_| mark.living());
    let mut found: Vec<_> = children
        .into_iter()
        .filter(|process| process.parent == leader && !process.is_gone)
        .filter_map(|process| {
            let line = fs::read(format!("/proc/{}/cmdline", process.pid)).ok()?;
            // Chromium rewrites some of these as a title, with spaces.
            let words = line.split(|byte| matches!(byte, 0 | b' '));
            let has = |wanted: &[u8]| words.clone().any(|word| word == wanted);
            let kind = match () {
                () if has(ZYGOTE) => "zygote",
                () if has(NETWORK) => "network service",
                () => return None,
            };
            Some((process, kind))
        })
        .collect();
    found.sort_by_key(|(_, kind)| *kind == "network service");
    found
}
