//! Nothing of a cell outlives it.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use hallpass::browser::{
    cell::{Cell, CellFolder},
    lock::DataLock,
    process::{self, Mark},
    reap::reap_orphans,
};

use super::{PATIENCE, Page, Place, browsers};

const PLAY_BROKER: &str = "HALLPASS_TEST_BROKER_DATA";

#[tokio::test]
async fn killing_ends_everything_and_again_is_fine() {
    for browser in browsers().await {
        let place = Place::new();
        let cell = Cell::launch(place.spec(&browser)).await.unwrap();
        let page = Page::open(cell, None).await;
        let mark = page.cell.process.mark().clone();
        let before = mark.living();
        assert!(before.len() > 2, "{before:?}");
        let (first, second) = tokio::join!(page.cell.process.kill(), page.cell.process.kill());
        first.unwrap();
        second.unwrap();
        assert!(mark.living().is_empty());
        for old in before {
            let now = process::read(old.pid);
            assert!(now.is_none_or(|now| now.is_gone || now.start != old.start));
        }
        let status = tokio::time::timeout(PATIENCE, page.cell.process.exited())
            .await
            .unwrap();
        assert!(status.is_some_and(|status| !status.success()));
        place.assert_empty();
    }
}

#[tokio::test]
async fn a_crash_is_noticed() {
    let place = Place::new();
    let browser = browsers().await.remove(0);
    let cell = Cell::launch(place.spec(&browser)).await.unwrap();
    let pid = nix::unistd::Pid::from_raw(cell.process.pid().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    tokio::time::timeout(PATIENCE, cell.process.exited())
        .await
        .unwrap();
    cell.process.kill().await.unwrap();
    place.assert_empty();
}

/// Such a browser would live on, and whoever is put there wait in vain.
#[tokio::test]
async fn a_browser_ends_with_what_it_is_of_no_use_without() {
    let vital = [
        "--type=zygote --no-zygote-sandbox",
        "--type=zygote ",
        "--utility-sub-type=network.mojom.NetworkService",
    ];
    for browser in browsers().await {
        for (nth, what) in vital.into_iter().enumerate() {
            let place = Place::new();
            let cell = Cell::launch(place.spec(&browser)).await.unwrap();
            let page = Page::open(cell, None).await;
            let cell = &page.cell.process;
            let command = |pid: i32| {
                let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', " ")
            };
            let is_wanted = |one: &process::Process| {
                let command = command(one.pid);
                Some(one.parent) == cell.pid()
                    && command.contains(what)
                    && (nth != 1 || !command.contains("--no-zygote-sandbox"))
            };
            let begun = std::time::Instant::now();
            let victim = loop {
                if let Some(found) = cell.mark().living().into_iter().find(is_wanted) {
                    break found;
                }
                assert!(begun.elapsed() < PATIENCE, "there is no {what}");
                tokio::task::yield_now().await;
            };
            let pid = nix::unistd::Pid::from_raw(victim.pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
            tokio::time::timeout(PATIENCE, cell.exited())
                .await
                .unwrap_or_else(|_| panic!("{} outlives {what}", browser.path.display()));
            cell.kill().await.unwrap();
            place.assert_empty();
        }
    }
}

#[tokio::test]
async fn dropping_ends_everything() {
    let place = Place::new();
    let browser = browsers().await.remove(0);
    let cell = Cell::launch(place.spec(&browser)).await.unwrap();
    let mark = cell.process.mark().clone();
    drop(cell);
    assert!(mark.living().is_empty());
    place.assert_empty();
}

// Not a test by itself: the process that the next test starts and kills.
#[tokio::test]
async fn play_broker() {
    let Some(data) = std::env::var_os(PLAY_BROKER) else {
        return;
    };
    // Its own folder too lies in the one that is cleaned up after it.
    let place = Place::new_in(data.as_ref());
    let mut spec = place.spec(&browsers().await.remove(0));
    spec.data_dir = data.into();
    let _lock = DataLock::take(&spec.data_dir).unwrap();
    let cell = Cell::launch(spec).await.unwrap();
    println!(
        "cell {}",
        serde_json::to_string(&cell.process.mark().leader).unwrap()
    );
    tokio::time::sleep(Duration::from_mins(2)).await;
}

#[tokio::test]
async fn what_a_killed_broker_leaves_is_reaped_at_the_next_start() {
    let place = Place::new();
    let mut broker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "endings::play_broker", "--nocapture"])
        .env(PLAY_BROKER, place.data.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (pid, start): (i32, u64) = BufReader::new(broker.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .find_map(|line| {
            let (_, json) = line.split_once("cell ")?;
            serde_json::from_str(json).ok()
        })
        .expect("the broker launched a cell");
    // While it lives, nobody else gets near its cells.
    assert!(DataLock::take(place.data.path()).is_err());
    broker.kill().unwrap();
    broker.wait().unwrap();

    let lock = DataLock::take(place.data.path()).unwrap();
    let reaped = reap_orphans(&lock).unwrap();
    assert_eq!(reaped.len(), 1);
    assert_eq!(reaped[0].problem, None);
    let now = process::read(pid);
    assert!(now.is_none_or(|now| now.is_gone || now.start != start));
    place.assert_empty();
    assert!(reap_orphans(&lock).unwrap().is_empty());
}

// A process that stands for a browser that survived its broker.
fn orphan(folder: &CellFolder) -> std::process::Child {
    use std::os::unix::process::CommandExt;
    Command::new("sleep")
        .arg("600")
        .env_clear()
        .env("HOME", folder.profile())
        .process_group(0)
        .spawn()
        .unwrap()
}

fn record(folder: &CellFolder, leader: (i32, u64), boot: &str) {
    let json = serde_json::json!({
        "pid": leader.0, "start": leader.1, "user": null, "boot": boot
    });
    fs::write(folder.path().join("cell.json"), json.to_string()).unwrap();
}

#[test]
fn reaping_ends_orphans_and_no_stranger() {
    let boot = hallpass::clock::boot_id().unwrap();
    // (start time is right, boot is right, in the cell's own home) → ended
    for (start, same_boot, own_home, ended) in [
        (true, true, true, true),
        (true, true, false, true),
        (false, true, false, false),
        (true, false, false, false),
    ] {
        let place = Place::new();
        let id = "cel_aaaaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap();
        let folder = CellFolder::make(place.data.path(), id, None).unwrap();
        let elsewhere = CellFolder::at("/nonexistent".into());
        let mut child = orphan(if own_home { &folder } else { &elsewhere });
        let pid = i32::try_from(child.id()).unwrap();
        let begun = process::read(pid).unwrap().start;
        let begun = if start { begun } else { begun + 1 };
        record(
            &folder,
            (pid, begun),
            if same_boot { &boot } else { "other" },
        );

        let lock = DataLock::take(place.data.path()).unwrap();
        let reaped = reap_orphans(&lock).unwrap();
        assert_eq!(reaped[0].killed, usize::from(ended));
        let mark = Mark {
            leader: Some((pid, process::read(pid).map_or(0, |p| p.start))),
            user: None,
            profile: folder.profile(),
        };
        assert_eq!(mark.living().is_empty(), ended);
        child.kill().unwrap();
        child.wait().unwrap();
        place.assert_empty();
    }
}

#[test]
fn a_record_that_cannot_be_read_is_kept_and_told() {
    let place = Place::new();
    let id = "cel_aaaaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap();
    let folder = CellFolder::make(place.data.path(), id, None).unwrap();
    fs::write(folder.path().join("cell.json"), "{").unwrap();
    fs::create_dir(place.data.path().join("cells/notes")).unwrap();
    let lock = DataLock::take(place.data.path()).unwrap();
    let reaped = reap_orphans(&lock).unwrap();
    assert_eq!(reaped.len(), 1);
    assert!(reaped[0].problem.is_some());
    assert!(folder.path().exists());
}

#[tokio::test]
async fn the_probe_finds_what_holds_and_leaves_nothing() {
    let place = Place::new();
    for browser in browsers().await {
        let findings = hallpass::browser::probe::probe(
            Some(&browser.path),
            super::LAUNCHER.as_ref(),
            place.data.path(),
        )
        .await;
        for finding in &findings {
            let expected = finding.name != "user" || super::is_root();
            assert_eq!(finding.holds, expected, "{finding:?}");
            assert_eq!(finding.mend.is_none(), finding.holds);
        }
        assert!(findings.len() >= 11, "{findings:?}");
        place.assert_empty();
    }
}
