//! A folder for one run, removed with it.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::random::random_bytes;

/// A folder below the system's temporary one. Others may pass through it, as
/// through a data folder, for cells run as users of their own.
#[derive(Debug)]
pub(super) struct ScratchFolder(PathBuf);

impl ScratchFolder {
    /// Makes one.
    ///
    /// # Errors
    /// The temporary folder cannot be written to.
    pub(super) fn make(purpose: &str) -> io::Result<Self> {
        let tag = random_bytes::<6>().map_err(io::Error::other)?;
        let tag = data_encoding::HEXLOWER.encode(&tag);
        let path = std::env::temp_dir().join(format!("hallpass-{purpose}-{tag}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        let folder = Self(path);
        // The umask may have taken bits away.
        fs::set_permissions(&folder.0, Permissions::from_mode(0o711))?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "a temporary folder is left behind");
        }
    }
}
