//! What a launched cell is.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use hallpass::browser::{
    cell::{Cell, LaunchError},
    cell_exec::Layer,
    process::Process,
};

use super::{Page, Place, browsers, is_root, mode};

fn status(pid: i32, name: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect()
}

fn nice(pid: i32) -> i32 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // After the name, which may hold anything: proc(5).
    let (_, rest) = text.rsplit_once(')').unwrap();
    rest.split_ascii_whitespace()
        .nth(16)
        .unwrap()
        .parse()
        .unwrap()
}

fn is_renderer(process: &Process) -> bool {
    fs::read_to_string(format!("/proc/{}/cmdline", process.pid))
        .is_ok_and(|line| line.contains("--type=renderer"))
}

// The inodes of sockets that any process of the cell holds.
fn sockets(living: &[Process]) -> BTreeSet<String> {
    living
        .iter()
        .filter_map(|process| fs::read_dir(format!("/proc/{}/fd", process.pid)).ok())
        .flatten()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            let link = link.to_str()?.strip_prefix("socket:[")?;
            Some(link.strip_suffix(']')?.to_owned())
        })
        .collect()
}

fn listening() -> BTreeSet<String> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.lines()
                .map(|line| line.split_ascii_whitespace().map(str::to_owned).collect())
                .filter(|fields: &Vec<String>| fields.get(3).is_some_and(|state| state == "0A"))
                .filter_map(|fields| fields.get(9).cloned())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// How far the kernel sets a process's session back; none where it does not
/// share the processor out by sessions.
fn group_nice(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/autogroup")).ok()?;
    text.trim().rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test]
async fn cells_weigh_together_what_one_session_does() {
    let browser = &browsers().await[0];
    let (one, other) = (Place::new(), Place::new());
    let cells = [
        Cell::launch(one.spec(browser)).await.unwrap(),
        Cell::launch(other.spec(browser)).await.unwrap(),
    ];
    let ours = group_nice(i32::try_from(std::process::id()).unwrap());
    for cell in &cells {
        // Two of them at least, whatever other tests have launched.
        match group_nice(cell.process.pid().unwrap()) {
            Some(nice) => assert!(nice >= 4, "{nice}"),
            None => assert_eq!(ours, None),
        }
    }
    // The session that the broker is in stays what it was.
    assert!(ours.is_none_or(|nice| nice == 0), "{ours:?}");
    for cell in cells {
        cell.process.kill().await.unwrap();
    }
}

#[tokio::test]
async fn both_kinds_launch_confined_and_evaluate() {
    for browser in browsers().await {
        let place = Place::new();
        let cell = Cell::launch(place.spec(&browser)).await.unwrap();
        assert!(
            cell.version.product.ends_with(&browser.version),
            "{:?}",
            cell.version
        );
        let missing: Vec<_> = cell.confinement.missing.keys().collect();
        assert!(
            missing
                .iter()
                .all(|layer| **layer == Layer::User && !is_root()),
            "{missing:?}"
        );

        let mut page = Page::open(cell, None).await;
        assert_eq!(page.evaluate("[6 * 7, document.title].join()").await, "42,");

        let living = page.cell.process.mark().living();
        let first = page.cell.process.pid().unwrap();
        let of_first = |name| status(first, name);
        let renderer = living
            .iter()
            .find(|p| is_renderer(p))
            .expect("a renderer")
            .pid;
        // Its own sandbox is on: another process namespace, more filters.
        assert!(status(renderer, "NSpid:").len() >= 2);
        let filters = |pid| status(pid, "Seccomp_filters:")[0].parse::<u32>().unwrap();
        assert!(filters(renderer) > filters(first));
        let other_user_namespace = fs::read_link(format!("/proc/{renderer}/ns/user"));
        if is_root() {
            let ours = fs::read_link("/proc/self/ns/user").unwrap();
            assert_ne!(other_user_namespace.unwrap(), ours);
            let user = page.cell.process.mark().user.unwrap().number();
            assert!(living.iter().all(|p| p.users == [user; 4]), "{living:?}");
            assert_eq!(of_first("Gid:"), vec![user.to_string(); 4]);
        }
        for process in &living {
            assert_eq!(status(process.pid, "NoNewPrivs:"), ["1"]);
            assert_eq!(status(process.pid, "Seccomp:"), ["2"]);
            assert!(status(process.pid, "Groups:").is_empty() || !is_root());
            assert!(nice(process.pid) >= 10, "{process:?}");
        }
        // Nothing listens.
        let sockets = sockets(&living);
        assert!(!sockets.is_empty());
        assert!(sockets.is_disjoint(&listening()));
        assert!(
            !page
                .cell
                .process
                .folder()
                .profile()
                .join("DevToolsActivePort")
                .exists()
        );

        page.end().await;
        place.assert_empty();
    }
}

#[tokio::test]
async fn nothing_of_the_brokers_environment_or_descriptors_goes_in() {
    for browser in browsers().await {
        let place = Place::new();
        let secret = fs::File::open("/etc/passwd").unwrap();
        // As a library that forgets close-on-exec would leave it.
        nix::fcntl::fcntl(
            &secret,
            nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
        )
        .unwrap();
        let cell = Cell::launch(place.spec(&browser)).await.unwrap();
        let pid = cell.process.pid().unwrap();
        let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
        let mut names: Vec<_> = environment
            .split_terminator('\0')
            .map(|pair| pair.split_once('=').unwrap().0)
            // Set by the browser for its own children.
            .filter(|name| !name.starts_with("CHROME_") && !name.starts_with("SBX_"))
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "HOME",
                "LANG",
                "PATH",
                "TMPDIR",
                "TZ",
                "XDG_CACHE_HOME",
                "XDG_CONFIG_HOME",
                "XDG_DATA_HOME",
                "XDG_RUNTIME_DIR",
                "XDG_STATE_HOME",
            ]
        );
        let open: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
            .collect();
        assert!(
            !open.iter().any(|path| path == Path::new("/etc/passwd")),
            "{open:?}"
        );
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core"))
            .unwrap();
        assert!(core.contains(" 0 "), "{core}");
        cell.process.kill().await.unwrap();
        drop(secret);
    }
}

#[tokio::test]
async fn two_cells_have_two_users() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let browser = browsers().await.remove(0);
    let (one, two) = tokio::join!(
        Cell::launch(place.spec(&browser)),
        Cell::launch(place.spec(&browser))
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.process.mark().user, two.process.mark().user);
    // And neither can read the other's record or profile: both are closed.
    let record = one.process.folder().path().join("cell.json");
    assert_eq!(fs::metadata(&record).unwrap().uid(), 0);
    one.process.kill().await.unwrap();
    assert!(!two.process.mark().living().is_empty());
    two.process.kill().await.unwrap();
    place.assert_empty();
}

#[tokio::test]
async fn a_browser_that_dies_while_starting_gives_its_last_words() {
    let place = Place::new();
    let (_folder, script) = script("echo No usable sandbox! >&2; exit 7");
    let mut browser = browsers().await.remove(0);
    browser.path = script;
    let error = Cell::launch(place.spec(&browser)).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, LaunchError::Ended { .. }), "{error:?}");
    assert!(text.contains("exit status: 7"), "{text}");
    assert!(
        text.contains("No usable sandbox!") && text.contains("user namespaces"),
        "{text}"
    );
    place.assert_empty();
}

#[tokio::test]
async fn a_browser_that_says_nothing_is_ended_in_time() {
    let place = Place::new();
    let (_folder, script) = script("echo waiting >&2; exec sleep 600");
    let mut browser = browsers().await.remove(0);
    browser.path = script;
    let mut spec = place.spec(&browser);
    spec.timeout = std::time::Duration::from_secs(2);
    let error = Cell::launch(spec).await.unwrap_err();
    assert!(matches!(error, LaunchError::Silent { .. }), "{error:?}");
    assert!(error.to_string().contains("waiting"), "{error}");
    place.assert_empty();
}

#[tokio::test]
async fn a_required_layer_that_is_missing_stops_the_launch() {
    let place = Place::new();
    let browser = browsers().await.remove(0);
    let error = Cell::launch_with(place.spec(&browser), |plan| {
        plan.layers.remove(&Layer::Syscalls);
    })
    .await
    .unwrap_err();
    assert!(matches!(error, LaunchError::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("syscalls"), "{error}");
    place.assert_empty();
}

// A program in a folder of its own that any user can run. Written by another
// process: were it open for writing here while another test forks, it could not
// be executed.
fn script(body: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), mode(0o755)).unwrap();
    let path = folder.path().join("chromium");
    let written = Command::new("sh")
        .args([
            "-c",
            "printf '#!/bin/sh\\n%s\\n' \"$2\" > \"$1\" && chmod 755 \"$1\"",
            "sh",
        ])
        .args([path.as_os_str(), body.as_ref()])
        .status()
        .unwrap();
    assert!(written.success());
    (folder, path)
}

#[tokio::test]
async fn a_data_folder_that_the_cell_cannot_pass_is_named() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    fs::set_permissions(place.data.path(), mode(0o700)).unwrap();
    let browser = browsers().await.remove(0);
    let error = Cell::launch(place.spec(&browser)).await.unwrap_err();
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(text.contains("chmod o+x"), "{text}");
    place.assert_empty();
}
