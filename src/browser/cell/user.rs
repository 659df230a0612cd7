//! A user for one cell: a number that nobody on this machine uses now.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    ops::RangeInclusive,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::OFlag,
    unistd::{Uid, User, geteuid},
};

use crate::browser::process::{self, CellUser, NotCellUser};

/// Numbers that distributions keep free for short-lived users.
pub const DEFAULT_USERS: RangeInclusive<u32> = 61184..=65519;

/// Where claims are kept: one empty, locked file for each number in use.
const CLAIMS: &str = "/run/hallpass/users";

/// The right to use a number; given back when dropped, also by death.
#[derive(Debug)]
pub struct Claim {
    user: CellUser,
    path: PathBuf,
    _file: File,
}

/// Why there is no user for a cell.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// All taken.
    #[error("no user of {}..={} is free; end some sessions, or widen `cell.users`", .0.start(), .0.end())]
    NoneFree(RangeInclusive<u32>),
    /// Nothing is in the range.
    #[error("`cell.users` {}..={} is empty; choose numbers that no account has", .0.start(), .0.end())]
    EmptyRange(RangeInclusive<u32>),
    /// The range has a number that no cell may have.
    #[error("`cell.users` has a number that it must not have")]
    BadRange(#[from] NotCellUser),
    /// The folder of claims cannot be used.
    #[error("cannot keep claims in `{CLAIMS}`; it must be a folder of root with mode 0700")]
    Folder(#[source] io::Error),
}

impl Claim {
    /// A number of the range with no process, no account and no other claim.
    /// Blocking.
    ///
    /// # Errors
    /// None is free, or claims cannot be kept.
    pub fn any(range: &RangeInclusive<u32>) -> Result<Self, ClaimError> {
        let (first, last) = (*range.start(), *range.end());
        if range.is_empty() {
            return Err(ClaimError::EmptyRange(range.clone()));
        }
        let folder = folder().map_err(ClaimError::Folder)?;
        // Begin anywhere: a number rests before it is used again.
        let count = u64::from(last - first) + 1;
        let mut draw = [0; 8];
        getrandom::fill(&mut draw).map_err(|e| ClaimError::Folder(io::Error::other(e)))?;
        let begin = u64::from_ne_bytes(draw) % count;
        for step in 0..count {
            let offset = u32::try_from((begin + step) % count).unwrap_or(0);
            let user = CellUser::try_from(first + offset)?;
            let Some(claim) = Self::take(&folder, user).map_err(ClaimError::Folder)? else {
                continue;
            };
            if !is_in_use(claim.user) {
                return Ok(claim);
            }
        }
        Err(ClaimError::NoneFree(range.clone()))
    }

    /// This number, if no other broker has a claim on it. Blocking.
    ///
    /// # Errors
    /// Claims cannot be kept.
    pub fn this(user: CellUser) -> Result<Option<Self>, ClaimError> {
        let folder = folder().map_err(ClaimError::Folder)?;
        Self::take(&folder, user).map_err(ClaimError::Folder)
    }

    /// The number, of the user and of the group.
    #[must_use]
    pub const fn user(&self) -> CellUser {
        self.user
    }

    fn take(folder: &Path, user: CellUser) -> io::Result<Option<Self>> {
        let path = folder.join(user.number().to_string());
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The former holder may have removed it between opening and locking.
        let is_current = fs::metadata(&path)
            .is_ok_and(|named| file.metadata().is_ok_and(|held| held.ino() == named.ino()));
        Ok(is_current.then_some(Self {
            user,
            path,
            _file: file,
        }))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // While it is still locked.
        let _ = fs::remove_file(&self.path);
    }
}

fn folder() -> io::Result<PathBuf> {
    let path = Path::new(CLAIMS);
    let parent = path.parent().unwrap_or(path);
    for folder in [parent, path] {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let meta = fs::symlink_metadata(folder)?;
        let is_ours = meta.is_dir() && meta.uid() == geteuid().as_raw();
        if !is_ours || meta.mode() & 0o022 != 0 {
            return Err(io::Error::other(format!(
                "`{}` belongs to someone else, or others may write to it",
                folder.display()
            )));
        }
    }
    Ok(path.to_owned())
}

fn is_in_use(user: CellUser) -> bool {
    // An account that cannot be looked up counts as one.
    let has_account = !matches!(User::from_uid(Uid::from_raw(user.number())), Ok(None));
    has_account
        || process::all()
            .iter()
            .any(|p| p.users.contains(&user.number()))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::CommandExt, process::Command};

    use super::*;

    // Far from the default range, so that real cells are not in the way.
    const RANGE: RangeInclusive<u32> = 70_001..=70_003;

    #[test]
    fn root_is_never_in_the_range() {
        assert!(matches!(Claim::any(&(0..=0)), Err(ClaimError::BadRange(_))));
    }

    #[test]
    fn numbers_are_claimed_once_and_not_while_a_process_has_them() {
        if !geteuid().is_root() {
            return;
        }
        let mut process = Command::new("sleep")
            .arg("600")
            .uid(70_002)
            .spawn()
            .unwrap();
        let first = Claim::any(&RANGE).unwrap();
        let second = Claim::any(&RANGE).unwrap();
        let mut users = [first.user().number(), second.user().number()];
        users.sort_unstable();
        assert_eq!(users, [70_001, 70_003]);
        assert!(matches!(Claim::any(&RANGE), Err(ClaimError::NoneFree(_))));
        assert!(
            Claim::this(CellUser::try_from(70_001).unwrap())
                .unwrap()
                .is_none()
        );
        process.kill().unwrap();
        process.wait().unwrap();
        assert_eq!(Claim::any(&RANGE).unwrap().user().number(), 70_002);
        drop((first, second));
        assert!(
            Claim::this(CellUser::try_from(70_001).unwrap())
                .unwrap()
                .is_some()
        );
    }
}
