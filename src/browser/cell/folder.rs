//! A cell's place on disk.
//!
//! ```text
//! <data>/cells/<cel_…>/            the broker's, 0711
//! <data>/cells/<cel_…>/cell.json   the broker's, 0600: what to reap by
//! <data>/cells/<cel_…>/profile/    the cell's, 0700: all it may write
//! ```
//! The record is out of the cell's reach: a browser that could write it could
//! have the next broker kill any process by its number.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::{
    browser::process::{CellUser, Mark},
    model::id::CellId,
};

/// What a later broker needs to end a cell that was left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellRecord {
    /// The launcher, later Chromium.
    pub pid: i32,
    /// When it began, in clock ticks since boot.
    pub start: u64,
    /// The cell's own user, if it has one.
    pub user: Option<CellUser>,
    /// The boot in which `pid` and `start` mean something.
    pub boot: String,
}

/// The folder of one cell.
#[derive(Debug, Clone)]
pub struct CellFolder {
    path: PathBuf,
}

/// Why a cell has no folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Some folder above keeps the cell's user out.
    #[error(
        "user {user} of the cell cannot pass `{}`; run `chmod o+x` on it, or put the data folder elsewhere with --data-dir (for example /var/lib/hallpass)",
        at.display()
    )]
    Closed {
        /// The cell's user.
        user: u32,
        /// The folder that is in the way.
        at: PathBuf,
    },
    /// Switches and records are text.
    #[error("the data folder `{}` is not UTF-8; choose another with --data-dir", .0.display())]
    NotText(PathBuf),
    /// The file system refused.
    #[error("cannot prepare `{}`", path.display())]
    Io {
        /// Which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl CellFolder {
    /// The folder that all cells of a data folder are in.
    #[must_use]
    pub fn all(data: &Path) -> PathBuf {
        data.join("cells")
    }

    /// A folder that is there already.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Makes the folder of a new cell. Blocking.
    ///
    /// # Errors
    /// The user cannot reach it, or the file system refused.
    pub fn make(data: &Path, id: CellId, user: Option<CellUser>) -> Result<Self, FolderError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| FolderError::Io { path, source }
        };
        let data = data.canonicalize().map_err(io(data))?;
        if data.to_str().is_none() {
            return Err(FolderError::NotText(data));
        }
        let cells = Self::all(&data);
        match DirBuilder::new().mode(0o711).create(&cells) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(io(&cells)(error));
            }
            _ => {}
        }
        own(&cells).map_err(io(&cells))?;
        let folder = Self::at(cells.join(id.to_string()));
        DirBuilder::new()
            .create(&folder.path)
            .map_err(io(&folder.path))?;
        let made = folder.fill(user.map(CellUser::number));
        if made.is_err() {
            let _ = folder.remove();
        }
        made.map(|()| folder)
    }

    /// Its place.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All that the cell may write.
    #[must_use]
    pub fn profile(&self) -> PathBuf {
        self.path.join("profile")
    }

    /// Puts the record down, durably enough to outlive this process.
    ///
    /// # Errors
    /// The file system refused.
    pub fn write(&self, record: &CellRecord) -> io::Result<()> {
        let fresh = self.path.join("cell.json.new");
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        fs::rename(fresh, self.path.join("cell.json"))
    }

    /// The record; none where the broker died before it started anything.
    ///
    /// # Errors
    /// It cannot be read, or is not one.
    pub fn read(&self) -> io::Result<Option<CellRecord>> {
        match fs::read(self.path.join("cell.json")) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// By what its processes are known.
    #[must_use]
    pub fn mark(&self, record: Option<&CellRecord>) -> Mark {
        Mark {
            leader: record.map(|record| (record.pid, record.start)),
            user: record.and_then(|record| record.user),
            profile: self.profile(),
        }
    }

    /// Removes it with all in it; being gone already is fine. Blocking.
    ///
    /// # Errors
    /// The file system refused.
    pub fn remove(&self) -> io::Result<()> {
        // The record goes last: what is interrupted here is finished later.
        gone(fs::remove_dir_all(self.profile()))?;
        gone(fs::remove_dir_all(&self.path))
    }

    fn fill(&self, user: Option<u32>) -> Result<(), FolderError> {
        let profile = self.profile();
        let io = |source| FolderError::Io {
            path: self.path.clone(),
            source,
        };
        own(&self.path).map_err(io)?;
        for folder in ["", "tmp", "xdg", "xdg/cache", "xdg/config", "xdg/data"]
            .iter()
            .chain(&["xdg/state", "xdg/runtime"])
            .map(|name| profile.join(name))
        {
            DirBuilder::new().mode(0o700).create(&folder).map_err(io)?;
            chown(&folder, user, user).map_err(io)?;
        }
        user.map_or(Ok(()), |user| passable(&self.path, user))
    }
}

// Ours, and passable but not readable for others, whatever the umask is.
fn own(path: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_dir() || meta.uid() != geteuid().as_raw() {
        return Err(io::Error::other("it belongs to someone else"));
    }
    fs::set_permissions(path, Permissions::from_mode(0o711))
}

/// Whether that user can pass every folder down to this one.
///
/// # Errors
/// The one that is in the way.
pub fn passable(path: &Path, user: u32) -> Result<(), FolderError> {
    for folder in path.ancestors() {
        let meta = fs::metadata(folder).map_err(|source| FolderError::Io {
            path: folder.to_owned(),
            source,
        })?;
        let bit = if meta.uid() == user {
            0o100
        } else if meta.gid() == user {
            0o010
        } else {
            0o001
        };
        if meta.mode() & bit == 0 {
            return Err(FolderError::Closed {
                user,
                at: folder.to_owned(),
            });
        }
    }
    Ok(())
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id() -> CellId {
        CellId::from_uuid(Uuid::from_u128(1))
    }

    #[test]
    fn the_record_round_trips_and_is_the_brokers_alone() {
        let data = tempfile::tempdir().unwrap();
        let folder = CellFolder::make(data.path(), id(), None).unwrap();
        assert_eq!(folder.read().unwrap(), None);
        let record = CellRecord {
            pid: 7,
            start: 8,
            user: Some(CellUser::try_from(61_200).unwrap()),
            boot: "b".to_owned(),
        };
        folder.write(&record).unwrap();
        assert_eq!(folder.read().unwrap(), Some(record));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&folder.path().join("cell.json")), 0o600);
        assert_eq!(mode(folder.path()), 0o711);
        assert_eq!(mode(&folder.profile()), 0o700);
        folder.remove().unwrap();
        folder.remove().unwrap();
        assert!(!folder.path().exists());
    }

    #[test]
    fn a_closed_folder_above_is_named_with_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o700)).unwrap();
        let cell = home.path().join("data");
        fs::create_dir(&cell).unwrap();
        let error = passable(&cell, 61_200).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&format!("`{}`", home.path().display())),
            "{text}"
        );
        assert!(text.contains("chmod o+x") && text.contains("--data-dir"));
    }

    #[test]
    fn a_link_in_place_of_the_cells_folder_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), data.path().join("cells")).unwrap();
        assert!(CellFolder::make(data.path(), id(), None).is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
