//! The data folder: who may read it, and that one broker alone uses it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::browser::lock::{DataLock, LockError};

pub(super) const DATABASE: &str = "hallpass.db";
const KEYS: &str = "keys";

/// A data folder that this process holds: no other broker uses it.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: DataLock,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made or written to.
    #[error(
        "the data folder `{path}` cannot be {what}; check who owns it and whether its disk is writable, or name another with `--data-dir`"
    )]
    Unusable {
        /// Which file or folder.
        path: PathBuf,
        /// `made`, `written to`, `read`.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Somebody else may write to it or read keys in it.
    #[error(
        "`{path}` is open to other users (mode {mode:03o}); make it private with `chmod go-rw {path}`"
    )]
    Exposed {
        /// Which file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another broker holds it.
    #[error(
        "another broker uses the data folder `{0}`; stop it first, or name another folder with `--data-dir`"
    )]
    InUse(PathBuf),
}

impl DataDir {
    /// Makes the folder if it is not there, checks that it is private and
    /// writable, and takes hold of it.
    ///
    /// # Errors
    /// See [`DataDirError`].
    pub fn hold(path: &Path) -> Result<Self, DataDirError> {
        // Others may pass through, to reach a cell's profile of their own below
        // it, but not see what is in it.
        private_folder(path, 0o711)?;
        let path = fs::canonicalize(path).map_err(unusable(path, "read"))?;
        private_folder(&path.join(KEYS), 0o700)?;
        match DataLock::take(&path) {
            Ok(lock) => Ok(Self { path, lock }),
            Err(LockError::Held { .. }) => Err(DataDirError::InUse(path)),
            Err(LockError::Io { source, .. }) => Err(unusable(&path, "written to")(source)),
        }
    }

    /// The right to use it, for what works on the folder before the store is open.
    #[must_use]
    pub const fn lock(&self) -> &DataLock {
        &self.lock
    }

    /// The folder, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database file, made private if it is not there. The database's side
    /// files take over its permissions.
    pub(super) fn database(&self) -> io::Result<PathBuf> {
        let path = self.path.join(DATABASE);
        private_file(&path)
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        Ok(path)
    }

    /// Reads a small text file of the keys folder, or makes it of `fresh`.
    ///
    /// # Errors
    /// The file is open to other users, or cannot be read or written.
    pub fn key_text(
        &self,
        name: &str,
        fresh: impl FnOnce() -> Result<Zeroizing<String>, io::Error>,
    ) -> Result<Zeroizing<String>, DataDirError> {
        let path = self.path.join(KEYS).join(name);
        match OpenOptions::new().read(true).open(&path) {
            Ok(file) => {
                let mode = file.metadata().map_err(unusable(&path, "read"))?.mode() & 0o777;
                if mode & 0o077 != 0 {
                    return Err(DataDirError::Exposed { path, mode });
                }
                let mut text = Zeroizing::new(String::with_capacity(256));
                file.take(256)
                    .read_to_string(&mut text)
                    .map_err(unusable(&path, "read"))?;
                Ok(Zeroizing::new(text.trim_end().to_owned()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = fresh().map_err(unusable(&path, "made"))?;
                write_new(&path, text.as_bytes()).map_err(unusable(&path, "made"))?;
                Ok(text)
            }
            Err(error) => Err(unusable(&path, "read")(error)),
        }
    }
}

// Written beside and linked into place, so that a crash leaves no half of a key.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private_file(&beside)
        .write(true)
        .create_new(true)
        .open(&beside)?;
    file.write_all(bytes)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn private_file(_path: &Path) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// A folder of this user with these permissions, whatever the umask was when it
/// was made; one with more is not touched.
fn private_folder(path: &Path, most: u32) -> Result<(), DataDirError> {
    let missing = !path.exists();
    if missing {
        DirBuilder::new()
            .recursive(true)
            .mode(most)
            .create(path)
            .map_err(unusable(path, "made"))?;
    }
    let metadata = fs::metadata(path).map_err(unusable(path, "read"))?;
    if !metadata.is_dir() {
        return Err(unusable(path, "used: it is no folder")(
            io::ErrorKind::NotADirectory.into(),
        ));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & !most != 0 {
        return Err(DataDirError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    if mode != most {
        fs::set_permissions(path, Permissions::from_mode(most))
            .map_err(unusable(path, "made passable for cells"))?;
    }
    Ok(())
}

fn unusable(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError::Unusable { path, what, source }
}
