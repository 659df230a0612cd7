//! Disks and folders that do not do as they are told, for real.

use std::{
    path::Path,
    process::{Command, Output},
};

use super::*;

// The kernel refuses `fdatasync` to the writer. Had `durable` looked at anything
// but its result, it would succeed here: the bytes are in the file.
#[test]
fn nothing_is_durable_before_the_sync_says_so() {
    let thread = std::thread::spawn(|| {
        refuse_fdatasync();
        let dir = TempDir::new().unwrap();
        let recorders = Recorders::new(dir.path().to_owned(), Settings::default()).unwrap();
        let recorder = recorders.create(trace(1), key()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let failure = Failure::Io {
                doing: "make the trace durable",
                error: std::io::Error::from_raw_os_error(nix::errno::Errno::EIO as i32).to_string(),
            };
            let failed = RecordError::Failed(failure.clone());
            let ticket = recorder.record(samples::navigation(1)).unwrap();
            assert_eq!(recorder.durable(ticket).await, Err(failed.clone()));
            assert_eq!(recorder.failed().await, failure);
            assert_eq!(recorder.head().records, 0);
            assert_eq!(recorder.record(samples::end()), Err(failed.clone()));
            assert_eq!(recorder.finish().await, Err(failed));
        });
        // It was written all the same, and no more than once.
        assert_eq!(read(dir.path(), 1, None).records.len(), 1);
    });
    thread.join().unwrap();
}

fn refuse_fdatasync() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    let number = fdatasync_number();
    let filter = SeccompFilter::new(
        [(number, Vec::new())].into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(nix::errno::Errno::EIO as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    )
    .unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

fn fdatasync_number() -> i64 {
    match std::env::consts::ARCH {
        "x86_64" => 75,
        "aarch64" | "riscv64" => 83,
        other => panic!("no system call number known for {other}"),
    }
}

// A disk that is full for real: the test runs itself again where a file system
// of 64 KiB is mounted, or, where nobody may mount one, where no file may grow
// beyond that.
#[test]
fn a_full_disk_ends_the_trace_and_what_is_on_it_stays_true() {
    let name = "recorder::tests::failing::a_full_disk_ends_the_trace_and_what_is_on_it_stays_true";
    match std::env::var_os("HALLPASS_TEST_FULL") {
        Some(dir) => fill(Path::new(&dir), &[Failure::DiskFull, Failure::FileTooLarge]),
        None => run_again(
            name,
            "HALLPASS_TEST_FULL",
            "if unshare $MAP -m mount -t tmpfs -o size=64k none \"$DIR\"; then
                 exec unshare $MAP -m sh -c 'mount -t tmpfs -o size=64k none \"$DIR\" && exec \"$@\"' sh \"$@\"
             fi
             trap '' XFSZ; ulimit -f 128; exec \"$@\"",
        ),
    }
}

#[test]
fn a_file_that_may_not_grow_ends_the_trace_and_what_is_in_it_stays_true() {
    let name = "recorder::tests::failing::a_file_that_may_not_grow_ends_the_trace_and_what_is_in_it_stays_true";
    match std::env::var_os("HALLPASS_TEST_LIMIT") {
        Some(dir) => fill(Path::new(&dir), &[Failure::FileTooLarge]),
        None => run_again(
            name,
            "HALLPASS_TEST_LIMIT",
            "trap '' XFSZ; ulimit -f 20; exec \"$@\"",
        ),
    }
}

#[test]
fn a_folder_that_takes_no_writing_is_told_at_create() {
    let name = "recorder::tests::failing::a_folder_that_takes_no_writing_is_told_at_create";
    match std::env::var_os("HALLPASS_TEST_READ_ONLY") {
        Some(dir) => {
            let recorders = Recorders::new(dir.into(), Settings::default()).unwrap();
            let error = recorders.create(trace(1), key()).unwrap_err();
            let RecordError::Create { path, failure } = &error else {
                panic!("{error}");
            };
            assert!(path.ends_with(trace(1).to_string()));
            assert!(
                matches!(failure, Failure::ReadOnly | Failure::Denied),
                "{error}"
            );
        }
        // The right to write means nothing to root, a read-only mount does.
        None => run_again(
            name,
            "HALLPASS_TEST_READ_ONLY",
            "if [ \"$(id -u)\" = 0 ]; then
                 exec unshare -m sh -c 'mount -t tmpfs -o ro none \"$DIR\" && exec \"$@\"' sh \"$@\"
             fi
             chmod 500 \"$DIR\"; exec \"$@\"",
        ),
    }
}

// Runs one test of this binary again, below `script`, with a folder's name in
// `variable`.
fn run_again(test: &str, variable: &str, script: &str) {
    let dir = TempDir::new().unwrap();
    let map = if nix::unistd::geteuid().is_root() {
        ""
    } else {
        "-r"
    };
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("DIR", dir.path())
        .env("MAP", map)
        .env(variable, dir.path())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&stdout);
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}

// Records until nothing more goes in.
fn fill(dir: &Path, expected: &[Failure]) {
    let recorders = Recorders::new(dir.to_owned(), Settings::default()).unwrap();
    let recorder = recorders.create(trace(1), key()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut anchor = recorder.head();
    let failure = runtime.block_on(async {
        for n in 0.. {
            // Several at once, so that the write that fails is one of many frames.
            for m in 0..5 {
                if recorder.record(samples::navigation(n * 10 + m)).is_err() {
                    return recorder.failed().await;
                }
            }
            let ticket = recorder.record(samples::navigation(n * 10 + 9));
            let Ok(ticket) = ticket else {
                return recorder.failed().await;
            };
            match recorder.durable(ticket).await {
                Ok(()) => anchor = recorder.head(),
                Err(RecordError::Failed(failure)) => return failure,
                Err(other) => panic!("{other}"),
            }
        }
        unreachable!("a disk without an end");
    });
    assert!(expected.contains(&failure), "{failure}");
    let refused = recorder.record(samples::navigation(0));
    assert_eq!(refused, Err(RecordError::Failed(failure)));
    assert!(anchor.records >= 6, "{anchor:?}");
    let last = recorder.head();
    assert!(last.records >= anchor.records);
    for anchor in [anchor, last] {
        let verified = read(dir, 1, Some(anchor)).outcome.unwrap();
        assert_eq!(verified.head, last);
        assert!(!verified.torn_tail);
    }
    // Another trace cannot begin on a disk without space; with a limit on each
    // file it can.
    let other = recorders.create(trace(2), key());
    assert_eq!(other.is_err(), last_block_is_gone(dir));
}

fn last_block_is_gone(dir: &Path) -> bool {
    fs::write(dir.join("probe"), [0; 16]).is_err()
}
