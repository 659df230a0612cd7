//! The processes of a running cell.

use std::{
    io,
    process::ExitStatus,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex, SetOnce},
    task::spawn_blocking,
};
use tokio_util::task::AbortOnDropHandle;

use super::{CellFolder, Claim, share::Share, vital};
use crate::{
    browser::process::{ExterminateError, Mark},
    model::id::CellId,
};

const PATIENCE: Duration = Duration::from_secs(10);
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// A cell's processes, user and folder. All end with it.
#[derive(Debug)]
pub struct CellProcess {
    mark: Mark,
    folder: CellFolder,
    exit: Arc<Exit>,
    claim: Mutex<Claimed>,
    share: std::sync::Mutex<Option<Share>>,
    vital: std::sync::Mutex<Option<AbortOnDropHandle<()>>>,
}

/// How the browser's first process ended, once it has; none where that is not
/// known.
pub(super) type Exit = SetOnce<Option<ExitStatus>>;

/// Why a cell could not be ended wholly.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    /// Processes remain.
    #[error(transparent)]
    Processes(#[from] ExterminateError),
    /// All processes are gone; its folder is not.
    #[error("cannot remove the folder of the cell; remove it by hand, or restart the broker")]
    Folder(#[from] io::Error),
}

#[derive(Debug)]
enum Claimed {
    Running(#[expect(dead_code, reason = "held until the cell is gone")] Option<Claim>),
    Gone,
}

impl CellProcess {
    pub(super) fn new(
        mark: Mark,
        folder: CellFolder,
        claim: Option<Claim>,
        exit: Arc<Exit>,
    ) -> Self {
        Self {
            mark,
            folder,
            exit,
            claim: Mutex::new(Claimed::Running(claim)),
            share: std::sync::Mutex::new(None),
            vital: std::sync::Mutex::new(None),
        }
    }

    /// From here on it counts where cells share the processor.
    pub(super) fn share(&self) {
        self.set_share(Share::of(&self.mark));
    }

    fn set_share(&self, share: Option<Share>) {
        *self.share.lock().unwrap_or_else(PoisonError::into_inner) = share;
    }

    /// From here on it ends with any of the processes that it is of no use without.
    pub(super) async fn watch(&self, id: CellId) {
        self.set_watch(Some(vital::watch(id, &self.mark).await));
    }

    fn set_watch(&self, watch: Option<AbortOnDropHandle<()>>) {
        *self.vital.lock().unwrap_or_else(PoisonError::into_inner) = watch;
    }

    /// Waits until the browser's first process has ended; answers how, where
    /// that is known. What else is left of the cell needs [`kill`](Self::kill).
    pub async fn exited(&self) -> Option<ExitStatus> {
        *self.exit.wait().await
    }

    /// Ends every process of the cell with SIGKILL, waits until none is left,
    /// removes its folder, and gives its user back. Again is fine.
    ///
    /// # Errors
    /// A process does not die, or the folder cannot be removed.
    pub async fn kill(&self) -> Result<(), KillError> {
        let mut claim = self.claim.lock().await;
        if matches!(*claim, Claimed::Gone) {
            return Ok(());
        }
        self.set_watch(None);
        let (mark, folder) = (self.mark.clone(), self.folder.clone());
        spawn_blocking(move || end(&mark, &folder, PATIENCE))
            .await
            .map_err(io::Error::other)??;
        *claim = Claimed::Gone;
        self.set_share(None);
        Ok(())
    }

    /// By what its processes are known.
    #[must_use]
    pub const fn mark(&self) -> &Mark {
        &self.mark
    }

    /// The number of the browser's first process.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.mark.leader.map(|(pid, _)| pid)
    }

    /// Its place on disk.
    #[must_use]
    pub const fn folder(&self) -> &CellFolder {
        &self.folder
    }
}

impl Drop for CellProcess {
    fn drop(&mut self) {
        if matches!(self.claim.get_mut(), Claimed::Gone) {
            return;
        }
        if let Err(error) = end(&self.mark, &self.folder, LAST_PATIENCE) {
            tracing::error!(folder = %self.folder.path().display(), %error, "a cell was dropped and is not wholly gone");
        }
    }
}

fn end(mark: &Mark, folder: &CellFolder, patience: Duration) -> Result<(), KillError> {
    mark.exterminate(patience)?;
    folder.remove()?;
    Ok(())
}
