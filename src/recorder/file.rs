//! Folders and segment files.

use std::{
    ffi::OsStr,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Makes a folder that nobody else may look into.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// The same with the folders above it; one that exists is left as it is.
pub(super) fn create_folder_all(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes a file that did not exist, with `bytes` in it, durably. A file that
/// could not be filled is taken away again.
pub(super) fn create_file(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let filled = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = filled {
        // The first error is the one to tell; a remainder reads as torn.
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    Ok(file)
}

/// Where a segment is.
pub(super) fn segment_path(folder: &Path, segment: u32) -> PathBuf {
    folder.join(format!("{segment:06}.seg"))
}

/// The segment that a file name is of.
pub(super) fn segment_number(name: &OsStr) -> Option<u32> {
    let name = name.to_str()?;
    let number = name.strip_suffix(".seg")?.parse().ok()?;
    (format!("{number:06}.seg") == name).then_some(number)
}

/// Writes all of `bytes`; on an error also answers how many were written.
pub(super) fn write_counted(file: &mut File, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}
