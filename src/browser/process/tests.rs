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

fn table() -> Vec<Process> {
    let process = |pid, parent, session, user| Process {
        pid,
        start: 100 + u64::try_from(pid).unwrap(),
        parent,
        group: session,
        session,
        users: [user; 4],
        is_gone: false,
    };
    vec![
        process(1, 0, 1, 0),
        process(10, 1, 10, 0),
        process(11, 10, 10, 0),
        process(20, 11, 20, 61_200),
        process(21, 20, 20, 61_200),
        process(22, 1, 22, 61_200),
        process(30, 1, 30, 61_201),
    ]
}

#[test]
fn a_user_of_a_cell_is_never_root_or_the_brokers_own() {
    for number in [0, 1, 1000, 9_999, geteuid().as_raw(), u32::MAX] {
        assert!(CellUser::try_from(number).is_err(), "{number}");
        let json = serde_json::from_str::<CellUser>(&number.to_string());
        assert!(json.is_err(), "{number}");
    }
    assert_eq!(CellUser::try_from(61_200).unwrap().number(), 61_200);
}

#[test]
fn by_user_all_of_the_cell_and_nobody_else_is_meant() {
    let mark = Mark {
        leader: Some((20, 120)),
        user: Some(CellUser(61_200)),
        profile: "/nonexistent".into(),
    };
    let pids: Vec<i32> = mark.among(&table()).iter().map(|p| p.pid).collect();
    assert_eq!(pids, [20, 21, 22]);
}

#[test]
fn the_broker_and_all_above_it_are_recognised() {
    let table = table();
    let above: Vec<i32> = table
        .iter()
        .filter(|p| is_above(p, 11, &table))
        .map(|p| p.pid)
        .collect();
    assert_eq!(above, [1, 10, 11]);
}

#[test]
fn a_mark_that_fits_this_process_ends_nobody() {
    let own = start_of(me()).unwrap();
    let mark = mark(Some((me(), own)), Path::new("/nonexistent"));
    assert!(matches!(
        mark.exterminate(PATIENCE),
        Err(ExterminateError::FitsBroker)
    ));
}
