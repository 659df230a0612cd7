//! Warm cells: launched, armed and holding a blank page, so that a session does
//! not wait for a browser to start.

use std::{collections::BTreeSet, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::driver::{self, Handle, NotReady, Order};
use crate::{
    browser::{
        cell::{Cell, CellSpec, LaunchError},
        cell_exec::Layer,
        discover::Browser,
        switches::Sandbox,
    },
    egress::Egress,
    model::id::CellId,
    random::{RandomError, random_uuid_v7},
};

/// How cells are made.
#[derive(Debug, Clone)]
pub struct CellSettings {
    /// The browser.
    pub browser: Browser,
    /// The data folder, below which profiles lie.
    pub data_dir: PathBuf,
    /// The program that confines itself and becomes the browser.
    pub launcher: PathBuf,
    /// Layers of confinement without which it must not start.
    pub require: BTreeSet<Layer>,
    /// Chromium's own sandbox.
    pub sandbox: Sandbox,
    /// Where cells' users are taken from, when the broker is root.
    pub users: RangeInclusive<u32>,
    /// Where its connections go through.
    pub egress: Egress,
    /// How many are kept warm.
    pub warm: usize,
    /// How long one may take to get ready.
    pub patience: Duration,
}

/// Why no cell can be had.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// Its egress port could not be opened.
    #[error("no egress port: {0}")]
    Egress(#[from] std::io::Error),
    /// No fresh id.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The browser did not start.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// It started and could not be set up.
    #[error("{0}")]
    NotReady(String),
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Closed,
}

impl From<NotReady> for PoolError {
    fn from(error: NotReady) -> Self {
        Self::NotReady(error.to_string())
    }
}

/// The pool.
#[derive(Debug)]
pub(super) struct Pool {
    source: Source,
    warm: Mutex<mpsc::Receiver<Handle>>,
    wanted: mpsc::Sender<()>,
    closing: CancellationToken,
}

/// Where cells come from.
#[derive(Debug, Clone)]
enum Source {
    Cells(Arc<CellSettings>),
    /// What a session needs besides a browser, for tests of its callers.
    #[cfg(test)]
    Nothing(Egress),
}

impl Source {
    async fn launch(&self) -> Result<Handle, PoolError> {
        match self {
            Self::Cells(settings) => launch(settings).await,
            #[cfg(test)]
            Self::Nothing(egress) => Ok(super::standin::start(egress).await?),
        }
    }
}

impl Pool {
    /// No browser at all.
    #[cfg(test)]
    pub(super) fn without_browsers(egress: Egress) -> Self {
        Self {
            source: Source::Nothing(egress),
            warm: Mutex::new(mpsc::channel(1).1),
            wanted: mpsc::channel(1).0,
            closing: CancellationToken::new(),
        }
    }

    /// Begins to warm cells in a task of its own.
    pub(super) fn new(settings: CellSettings) -> Self {
        let settings = Arc::new(settings);
        let most = settings.warm.max(1);
        let (ready, warm) = mpsc::channel(most);
        let (wanted, mut wants) = mpsc::channel::<()>(64);
        let closing = CancellationToken::new();
        let pool = Self {
            source: Source::Cells(settings.clone()),
            warm: Mutex::new(warm),
            wanted,
            closing: closing.clone(),
        };
        if settings.warm > 0 {
            tokio::spawn(async move {
                loop {
                    let Ok(place) = ready.clone().reserve_owned().await else {
                        return;
                    };
                    if closing.is_cancelled() {
                        return;
                    }
                    match launch(&settings).await {
                        Ok(handle) if closing.is_cancelled() => {
                            end(&handle).await;
                            return;
                        }
                        Ok(handle) => {
                            place.send(handle);
                        }
                        Err(error) => {
                            // Whoever wants a cell launches one and is told why not.
                            let error = anyhow::Error::from(error);
                            tracing::warn!("a cell could not be kept warm: {error:#}");
                            drop(place);
                            tokio::select! {
                                wanted = wants.recv() => if wanted.is_none() { return },
                                () = closing.cancelled() => return,
                            }
                        }
                    }
                }
            });
        }
        pool
    }

    /// A warm cell, or a new one. Warm cells whose browser died are passed over.
    pub(super) async fn take(&self) -> Result<Handle, PoolError> {
        if self.closing.is_cancelled() {
            return Err(PoolError::Closed);
        }
        while let Ok(handle) = self.warm.lock().await.try_recv() {
            if !handle.orders.is_closed() {
                return Ok(handle);
            }
        }
        self.wanted.try_send(()).ok();
        self.source.launch().await
    }

    /// Ends the warm cells and makes no more.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        let mut warm = self.warm.lock().await;
        warm.close();
        while let Some(handle) = warm.recv().await {
            end(&handle).await;
        }
    }
}

async fn end(handle: &Handle) {
    let (answer, done) = oneshot::channel();
    if handle
        .orders
        .send(Order::End("it was not needed".into(), answer))
        .is_ok()
    {
        done.await.ok();
    }
}

async fn launch(settings: &CellSettings) -> Result<Handle, PoolError> {
    let deny = Arc::new(settings.egress.listen().await?);
    let listener = Arc::new(settings.egress.listen().await?);
    let id = CellId::from_uuid(random_uuid_v7()?);
    let mut spec = CellSpec::new(
        id,
        settings.browser.clone(),
        &settings.data_dir,
        deny.port(),
        vec![listener.port()],
    )?;
    spec.launcher.clone_from(&settings.launcher);
    spec.require.clone_from(&settings.require);
    spec.sandbox = settings.sandbox;
    spec.users = settings.users.clone();
    spec.timeout = settings.patience;
    let cell = Cell::launch(spec).await?;
    Ok(driver::start(cell, listener, deny, settings.patience).await?)
}
