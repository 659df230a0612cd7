//! What an earlier broker left behind.

use std::{fs, io, time::Duration};

use nix::unistd::{Uid, User, geteuid};

use super::{
    cell::{CellFolder, Claim},
    lock::DataLock,
    process::CellUser,
};
use crate::{clock::boot_id, model::id::CellId};

const PATIENCE: Duration = Duration::from_secs(10);

/// What was done about one cell that was left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaped {
    /// Which.
    pub cell: CellId,
    /// How many of its processes were ended.
    pub killed: usize,
    /// What could not be done; its folder stays for the next try.
    pub problem: Option<String>,
}

/// Ends every cell of the data folder and removes its folder. Holding the lock
/// proves that no live broker has cells there; so this comes before the first
/// launch. Blocking.
///
/// # Errors
/// The folder of cells cannot be listed.
pub fn reap_orphans(lock: &DataLock) -> io::Result<Vec<Reaped>> {
    let boot = boot_id()?;
    let entries = match fs::read_dir(CellFolder::all(lock.folder())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut reaped = Vec::new();
    for entry in entries {
        let entry = entry?;
        let id = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let (Some(cell), true) = (id, entry.file_type()?.is_dir()) else {
            continue;
        };
        let done = reap(&CellFolder::at(entry.path().canonicalize()?), &boot);
        let one = Reaped {
            cell,
            killed: *done.as_ref().unwrap_or(&0),
            problem: done.err(),
        };
        tracing::info!(cell = %one.cell, killed = one.killed, problem = ?one.problem, "reaped a cell of an earlier broker");
        reaped.push(one);
    }
    Ok(reaped)
}

fn reap(folder: &CellFolder, boot: &str) -> Result<usize, String> {
    let record = folder.read().map_err(|error| error.to_string())?;
    let mut killed = 0;
    // Numbers of an earlier boot mean nothing now, and its processes are gone.
    if record.as_ref().is_none_or(|record| record.boot == boot) {
        let mut mark = folder.mark(record.as_ref());
        let claim = match mark.user {
            Some(user) => claim(user)?,
            None => None,
        };
        if claim.is_none() {
            mark.user = None;
        }
        killed = mark
            .exterminate(PATIENCE)
            .map_err(|error| error.to_string())?;
    }
    folder.remove().map_err(|error| error.to_string())?;
    Ok(killed)
}

// A user that meanwhile is another broker's cell or an account is a stranger.
fn claim(user: CellUser) -> Result<Option<Claim>, String> {
    let is_free =
        geteuid().is_root() && matches!(User::from_uid(Uid::from_raw(user.number())), Ok(None));
    if !is_free {
        return Ok(None);
    }
    Claim::this(user).map_err(|error| error.to_string())
}
