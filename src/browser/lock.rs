//! One broker per data folder.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;

/// Why the data folder is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another broker runs on it.
    #[error(
        "another broker{} uses the data folder `{}`; stop it, or give this one a folder of its own with --data-dir",
        holder.map_or_else(String::new, |pid| format!(" (process {pid})")),
        folder.display()
    )]
    Held {
        /// The folder.
        folder: PathBuf,
        /// Its process, where known.
        holder: Option<u32>,
    },
    /// The lock file cannot be made or read.
    #[error("cannot lock the data folder `{}`; make it exist and writable for this user", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The right to use a data folder; given back when dropped, also by death.
#[derive(Debug)]
pub struct DataLock {
    folder: PathBuf,
    file: File,
}

impl DataLock {
    /// Takes the folder for this process.
    ///
    /// # Errors
    /// Another broker has it, or the lock file cannot be written.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io {
            folder: folder.to_owned(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(folder.join("broker.lock"))
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = (&file).take(20).read_to_string(&mut text);
                return Err(LockError::Held {
                    folder: folder.to_owned(),
                    holder: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self {
            folder: folder.to_owned(),
            file,
        })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // Closing alone would leave it to a process that is just being started: until
        // it has become its program, it has a copy of the descriptor.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "the data folder is given back by closing its lock alone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_broker_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataLock::take(folder.path()).unwrap();
        let refused = DataLock::take(folder.path()).unwrap_err();
        let LockError::Held { holder, .. } = &refused else {
            panic!("{refused}");
        };
        assert_eq!(*holder, Some(std::process::id()));
        assert!(refused.to_string().contains("--data-dir"));
        drop(first);
        DataLock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_copy_of_its_descriptor_does_not_keep_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataLock::take(folder.path()).unwrap();
        // What a child has between `fork` and `exec`.
        let _copy = first.file.try_clone().unwrap();
        drop(first);
        DataLock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "keep").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("broker.lock")).unwrap();
        assert!(matches!(
            DataLock::take(folder.path()),
            Err(LockError::Io { .. })
        ));
        assert_eq!(std::fs::read_to_string(victim).unwrap(), "keep");
    }
}
