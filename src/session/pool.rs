//! Warm cells: launched, armed and holding a blank page, so that a session does
//! not wait for a browser to start.

use std::{collections::BTreeSet, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    driver::{self, NotReady},
    line::Line,
    order::{Handle, Order},
    shared::{LIVES, Place, SharedCell},
};
use crate::{
    browser::{
        cell::{Cell, CellSpec, LaunchError},
        cell_exec::Layer,
        discover::Browser,
        switches::Sandbox,
    },
    egress::{Egress, Listener},
    model::id::CellId,
    random::{RandomError, random_uuid_v7},
};

/// Between two tries to keep a cell warm where the first one failed, if none is
/// wanted earlier; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_mins(1);

/// Longest wait for a warm browser to say that it is there.
const ANSWER: Duration = Duration::from_secs(5);

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
    /// Sessions that share one at once; none: each has its own.
    pub share: Option<usize>,
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
    /// Shared ones: how many sessions each has, and those that there are.
    Shared(Arc<CellSettings>, usize, Arc<Mutex<Vec<SharedCell>>>),
    /// What a session needs besides a browser, for tests of its callers.
    #[cfg(test)]
    Nothing(Egress),
}

impl Source {
    async fn launch(&self) -> Result<Handle, PoolError> {
        match self {
            Self::Cells(settings) => {
                let (cell, mut listeners, deny) = launch(settings, 1).await?;
                let listener = listeners.pop().ok_or(PoolError::Closed)?;
                let line = Line::whole(cell, listener, deny);
                Ok(driver::start(line, settings.patience).await?)
            }
            Self::Shared(settings, most, cells) => loop {
                let (place, is_fresh) = place(settings, *most, cells).await?;
                match driver::start(Line::shared(place), settings.patience).await {
                    // It had died, or does so: another one is tried.
                    Err(NotReady::Ended) if !is_fresh => {}
                    started => return Ok(started?),
                }
            },
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
        let source = match settings.share {
            None => Source::Cells(settings.clone()),
            Some(most) => Source::Shared(settings.clone(), most, Arc::default()),
        };
        let pool = Self {
            source: source.clone(),
            warm: Mutex::new(warm),
            wanted,
            closing: closing.clone(),
        };
        if settings.warm > 0 {
            tokio::spawn(async move {
                let mut pause = FIRST_PAUSE;
                loop {
                    let Ok(place) = ready.clone().reserve_owned().await else {
                        return;
                    };
                    if closing.is_cancelled() {
                        return;
                    }
                    match source.launch().await {
                        Ok(handle) if closing.is_cancelled() => {
                            end(&handle).await;
                            return;
                        }
                        Ok(handle) => {
                            place.send(handle);
                            pause = FIRST_PAUSE;
                        }
                        Err(error) => {
                            // Whoever wants a cell launches one and is told why not.
                            let error = anyhow::Error::from(error);
                            tracing::warn!("a cell could not be kept warm: {error:#}");
                            drop(place);
                            tokio::select! {
                                wanted = wants.recv() => if wanted.is_none() { return },
                                () = closing.cancelled() => return,
                                () = sleep(pause) => pause = (pause * 2).min(LAST_PAUSE),
                            }
                        }
                    }
                }
            });
        }
        pool
    }

    /// A warm cell, or a new one. Warm cells whose browser has died or hangs are
    /// passed over, and end.
    pub(super) async fn take(&self) -> Result<Handle, PoolError> {
        if self.closing.is_cancelled() {
            return Err(PoolError::Closed);
        }
        loop {
            // Let go of before the browser is asked: others take meanwhile.
            let warm = self.warm.lock().await.try_recv();
            let Ok(handle) = warm else {
                break;
            };
            if is_there(&handle).await {
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

/// Whether the browser still answers: it may have died a moment ago.
async fn is_there(handle: &Handle) -> bool {
    let (answer, answered) = oneshot::channel();
    handle.orders.send(Box::new(Order::Ping(answer))).is_ok()
        && matches!(timeout(ANSWER, answered).await, Ok(Ok(())))
}

async fn end(handle: &Handle) {
    let (answer, done) = oneshot::channel();
    if handle
        .orders
        .send(Box::new(Order::End("it was not needed".into(), answer)))
        .is_ok()
    {
        done.await.ok();
    }
}

/// A place in a browser that has one free, or else in a new one, and whether it is
/// new. One at a time: who waits meanwhile finds a place in what was launched.
async fn place(
    settings: &CellSettings,
    most: usize,
    cells: &Mutex<Vec<SharedCell>>,
) -> Result<(Place, bool), PoolError> {
    let mut cells = cells.lock().await;
    cells.retain(|cell| !cell.is_over());
    for cell in cells.iter() {
        if let Some(place) = cell.join().await {
            return Ok((place, false));
        }
    }
    let (cell, listeners, deny) = launch(settings, most.saturating_mul(LIVES)).await?;
    let started = SharedCell::start(cell, listeners, deny, most);
    let (cell, first) = started.ok_or(PoolError::Closed)?;
    cells.push(cell);
    Ok((first, true))
}

/// A browser, the listeners that it may connect to, and the one that refuses all.
async fn launch(
    settings: &CellSettings,
    places: usize,
) -> Result<(Cell, Vec<Arc<Listener>>, Arc<Listener>), PoolError> {
    let deny = Arc::new(settings.egress.listen().await?);
    let mut listeners = Vec::new();
    for _ in 0..places {
        listeners.push(Arc::new(settings.egress.listen().await?));
    }
    let id = CellId::from_uuid(random_uuid_v7()?);
    let mut spec = CellSpec::new(
        id,
        settings.browser.clone(),
        &settings.data_dir,
        deny.port(),
        listeners.iter().map(|listener| listener.port()).collect(),
    )?;
    spec.launcher.clone_from(&settings.launcher);
    spec.require.clone_from(&settings.require);
    spec.sandbox = settings.sandbox;
    spec.users = settings.users.clone();
    spec.timeout = settings.patience;
    let cell = Cell::launch(spec).await?;
    Ok((cell, listeners, deny))
}
