//! A small disk of its own for a folder.

use std::{
    cell::Cell,
    fs::{self, DirBuilder, File},
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::broker::Broker;

/// Mounted while it lives.
pub struct Volume {
    at: PathBuf,
    mounted: Cell<bool>,
}

impl Volume {
    /// Makes the folder and mounts a disk of that many bytes on it.
    pub fn mount(at: &Path, bytes: u64) -> Self {
        // As private as the broker wants its folders.
        let mode = 0o700;
        DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(at)
            .unwrap();
        let volume = Self {
            at: at.to_owned(),
            mounted: Cell::new(false),
        };
        let options = format!("size={bytes},mode=0700");
        volume.run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"]);
        volume.mounted.set(true);
        volume
    }

    /// Uses up what is free.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    pub fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    pub fn read_only(&self) {
        self.run("mount", &["-o", "remount,ro"]);
    }

    pub fn unmount(&self) {
        if self.mounted.take() {
            self.run("umount", &[]);
        }
    }

    /// Ends the broker first.
    pub fn unmount_after(&self, broker: Broker) {
        let folder = broker.finish();
        self.unmount();
        drop(folder);
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let done = Command::new(program)
            .args(arguments)
            .arg(&self.at)
            .status()
            .unwrap();
        assert!(
            done.success(),
            "`{program}` failed: this test mounts a small disk, run it as root or in `unshare --map-root-user --mount`"
        );
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted.take() {
            // Lazily: after a failure something may still use it.
            let _ = Command::new("umount").arg("-l").arg(&self.at).status();
        }
    }
}
