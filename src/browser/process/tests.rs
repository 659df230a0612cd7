use std::{os::unix::process::CommandExt, process::Command};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn sleeper(profile: &Path) -> Command {
    let mut command = Command::new("sleep");
    command.arg("600").env_clear().env("HOME", profile);
    command
}

fn mark(leader: Option<(i32, u64)>, profile: &Path) -> Mark {
    Mark {
        leader,
        user: None,
        profile: profile.to_owned(),
    }
}

#[test]
fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
    let status = "Name:\tx\nUid:\t1\t2\t3\t4\n";
    let stat = "7 (a) R 9 (b)) S 1 2 3 0 -1 0 0 0 0 0 0 0 0 0 20 0 5 0 777 0";
    let process = parse(7, stat, status).unwrap();
    assert_eq!(
        (
            process.parent,
            process.group,
            process.session,
            process.start
        ),
        (1, 2, 3, 777)
    );
    assert_eq!(process.users, [1, 2, 3, 4]);
}

#[test]
fn a_dead_first_thread_is_not_a_dead_process() {
    let status = "Uid:\t1\t1\t1\t1\n";
    let stat = |state, threads| {
        format!("7 (x) {state} 1 2 3 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 777 0")
    };
    for (state, threads, gone) in [("Z", 1, true), ("Z", 4, false), ("S", 1, false)] {
        assert_eq!(
            parse(7, &stat(state, threads), status).unwrap().is_gone,
            gone
        );
    }
}

#[test]
fn a_group_and_the_children_that_left_it_are_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut leader = Command::new("sh")
        .args(["-c", "setsid sleep 600 & sleep 600 & echo; wait"])
        .process_group(0)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0];
    io::Read::read_exact(leader.stdout.as_mut().unwrap(), &mut line).unwrap();
    let pid = i32::try_from(leader.id()).unwrap();
    let mark = mark(Some((pid, start_of(pid).unwrap())), folder.path());
    assert_eq!(mark.living().len(), 3);
    assert!(mark.exterminate(PATIENCE).unwrap() >= 3);
    assert!(mark.living().is_empty());
    assert_eq!(mark.exterminate(PATIENCE).unwrap(), 0);
    leader.wait().unwrap();
}

#[test]
fn a_stranger_that_reused_the_number_is_left_alone() {
    let ours = tempfile::tempdir().unwrap();
    let theirs = tempfile::tempdir().unwrap();
    let mut stranger = sleeper(theirs.path()).process_group(0).spawn().unwrap();
    let pid = i32::try_from(stranger.id()).unwrap();
    let start = start_of(pid).unwrap();
    let mark = mark(Some((pid, start + 1)), ours.path());
    assert!(mark.living().is_empty());
    assert_eq!(mark.exterminate(PATIENCE).unwrap(), 0);
    assert!(stranger.try_wait().unwrap().is_none());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn an_orphan_is_known_by_its_profile_alone() {
    let folder = tempfile::tempdir().unwrap();
    let longer = folder.path().join("more");
    let mut orphan = sleeper(folder.path()).spawn().unwrap();
    let mut other = sleeper(&longer).spawn().unwrap();
    let pid = i32::try_from(orphan.id()).unwrap();
    let living = mark(None, folder.path()).living();
    assert_eq!(living.iter().map(|p| p.pid).collect::<Vec<_>>(), [pid]);
    mark(None, folder.path()).exterminate(PATIENCE).unwrap();
    orphan.wait().unwrap();
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
}
