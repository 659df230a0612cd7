//! A cell that several sessions share: the task that owns its browser and gives
//! each of them a pipe of its own, which is none.
//!
//! The [`Router`] decides; the task only carries. Places take turns at the
//! browser's pipe, and what the browser says is never held up by one of them: a
//! place that does not take what is its own in time is ended.

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt as _, Stream, StreamExt as _,
    stream::{self, SelectAll},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::spawn_blocking,
    time::Instant,
};

use super::{files::Folders, time_slice::TimeSlice};
use crate::{
    browser::{
        cell::{Cell, CellProcess},
        pipe::{PipeReader, PipeWriter},
    },
    cdp::share::{Output, PlaceId, PlaceSetup, Router},
    clock::Clock,
    egress::Listener,
};

/// Sessions that a browser has in its life, for each that it has at once: then it
/// is left to end, and a fresh one takes its place.
pub(super) const LIVES: usize = 4;

/// Bytes that may wait for one session's task.
const MOST_WAITING: usize = 64 << 20;

/// Messages that are taken from Chromium before others have a turn.
const READ_AT_ONCE: usize = 64;

/// Messages of all places that may wait for Chromium.
const MOST_OUTGOING: usize = 32;

/// A browser with places.
#[derive(Debug, Clone)]
pub(super) struct SharedCell {
    controls: mpsc::UnboundedSender<Control>,
}

/// One place in a shared browser, and the ends of its pipe. Dropping it leaves.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) listener: Arc<Listener>,
    pub(super) folders: Folders,
    pub(super) version: Arc<str>,
    /// What Chromium says to it.
    pub(super) incoming: Incoming,
    /// What it says to Chromium.
    pub(super) outgoing: mpsc::UnboundedSender<Vec<u8>>,
    /// Bytes of that which are not written yet.
    pub(super) backlog: Arc<AtomicUsize>,
    pub(super) seat: Seat,
}

/// What Chromium says to one place.
#[derive(Debug)]
pub(super) struct Incoming {
    messages: mpsc::UnboundedReceiver<Result<Bytes, String>>,
    waiting: Arc<AtomicUsize>,
}

/// The right to a place.
#[derive(Debug)]
pub(super) struct Seat {
    id: PlaceId,
    controls: mpsc::UnboundedSender<Control>,
}

#[derive(Debug)]
enum Control {
    Join(oneshot::Sender<Place>),
    Leave(PlaceId, oneshot::Sender<()>),
}

/// The task's side of a place.
struct Line {
    to: mpsc::UnboundedSender<Result<Bytes, String>>,
    waiting: Arc<AtomicUsize>,
    backlog: Arc<AtomicUsize>,
    folders: Folders,
    /// Who waits for its end.
    gone: Vec<oneshot::Sender<()>>,
}

/// A message for Chromium.
struct Outgoing {
    message: Vec<u8>,
    /// Of whose backlog it is, and how much.
    counted: Option<(Arc<AtomicUsize>, usize)>,
    _turn: Option<OwnedSemaphorePermit>,
}

/// What one place says, and then once that it says no more.
type Said = Pin<Box<dyn Stream<Item = (PlaceId, Option<Vec<u8>>)> + Send>>;
type Lines = SelectAll<Said>;

struct Task {
    router: Router,
    process: CellProcess,
    _deny: Arc<Listener>,
    /// For places to come.
    free: Vec<Arc<Listener>>,
    /// Kept until the cell is gone: it may connect to their ports, so nobody else
    /// may have them.
    _used: Vec<Arc<Listener>>,
    most: usize,
    version: Arc<str>,
    profile: Arc<Path>,
    places: BTreeMap<PlaceId, Line>,
    lines: Lines,
    pipe: mpsc::UnboundedSender<Outgoing>,
    turns: Arc<Semaphore>,
    controls: mpsc::WeakUnboundedSender<Control>,
    /// Why the browser ends.
    over: Option<String>,
}

impl SharedCell {
    /// Takes a launched cell over, with the listeners that it may connect to, for
    /// at most so many sessions at once; answers its first place.
    pub(super) fn start(
        cell: Cell,
        listeners: Vec<Arc<Listener>>,
        deny: Arc<Listener>,
        most: usize,
    ) -> Option<(Self, Place)> {
        let (controls, incoming) = mpsc::unbounded_channel();
        let (pipe, messages) = mpsc::unbounded_channel();
        tokio::spawn(write(cell.writer, messages));
        let mut task = Task {
            router: Router::new(),
            version: cell.version.product.as_str().into(),
            profile: cell.process.folder().profile().into(),
            process: cell.process,
            _deny: deny,
            free: listeners.clone(),
            _used: listeners,
            most,
            places: BTreeMap::new(),
            lines: SelectAll::new(),
            pipe,
            turns: Arc::new(Semaphore::new(MOST_OUTGOING)),
            controls: controls.downgrade(),
            over: None,
        };
        let first = task.join()?;
        tokio::spawn(task.run(cell.reader, incoming));
        Some((Self { controls }, first))
    }

    /// A place in it; none where it is full, or ending.
    pub(super) async fn join(&self) -> Option<Place> {
        let (answer, joined) = oneshot::channel();
        self.controls.send(Control::Join(answer)).ok()?;
        joined.await.ok()
    }

    /// Whether its browser is gone.
    pub(super) fn is_over(&self) -> bool {
        self.controls.is_closed()
    }
}

impl Seat {
    /// Gives the place up; when this answers, nothing of it is left. The last
    /// takes the browser along.
    pub(super) async fn leave(self) {
        let (answer, gone) = oneshot::channel();
        if self.controls.send(Control::Leave(self.id, answer)).is_ok() {
            gone.await.ok();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let (answer, _) = oneshot::channel();
        self.controls.send(Control::Leave(self.id, answer)).ok();
    }
}

impl Incoming {
    /// The next message; none once the browser has ended. An error says why the
    /// place was taken away.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        let message = self.messages.recv().await.transpose()?;
        if let Some(message) = &message {
            self.waiting.fetch_sub(message.len(), Ordering::Relaxed);
        }
        Ok(message)
    }
}

impl Task {
    async fn run(mut self, mut reader: PipeReader, mut controls: mpsc::UnboundedReceiver<Control>) {
        let clock = Clock;
        let mut slice = TimeSlice::new();
        while self.over.is_none() {
            slice.step_aside().await;
            self.carry().await;
            if self.over.is_some() || self.places.is_empty() {
                break;
            }
            let mut wait = Duration::from_mins(1);
            if let Some(deadline) = self.router.deadline() {
                wait = wait.min(clock.now().boot.until(deadline));
            }
            let wake = Instant::now() + wait;
            let (turns, lines) = (&self.turns, &mut self.lines);
            tokio::select! {
                control = controls.recv() => match control {
                    Some(Control::Join(answer)) => self.joins(answer),
                    Some(Control::Leave(place, answer)) => self.leaves(place, Some(answer)),
                    None => break,
                },
                message = reader.next() => match message {
                    Ok(Some(message)) => {
                        self.router.handle_browser(&message, clock.now());
                        // What has come already, at once: a flood is read fastest so.
                        for _ in 0..READ_AT_ONCE {
                            let Some(Ok(Some(message))) = reader.next().now_or_never() else {
                                break;
                            };
                            self.router.handle_browser(&message, clock.now());
                        }
                    }
                    Ok(None) => self.over = Some("its browser ended".to_owned()),
                    Err(error) => {
                        tracing::warn!(%error, "the browser's pipe broke");
                        self.over = Some("its browser's pipe broke".to_owned());
                    }
                },
                said = next_turn(turns, lines) => if let Some((turn, place, said)) = said {
                    match said {
                        Some(message) => self.said(place, &message, turn),
                        None => self.leaves(place, None),
                    }
                },
                () = tokio::time::sleep_until(wake) => self.router.handle_timeout(clock.now()),
            }
        }
        let why = self.over.take().unwrap_or_default();
        for line in self.places.values() {
            line.to.send(Err(why.clone())).ok();
        }
        if let Err(error) = self.process.kill().await {
            tracing::error!(%error, "a cell could not be ended whole");
        }
        for answer in std::mem::take(&mut self.places)
            .into_values()
            .flat_map(|line| line.gone)
        {
            answer.send(()).ok();
        }
        // Whoever still asks finds it gone: what is unanswered is dropped here.
        drop(controls);
    }

    fn joins(&mut self, answer: oneshot::Sender<Place>) {
        if self.places.len() < self.most {
            if let Some(place) = self.join() {
                // Given back by itself where nobody waits for it any more.
                answer.send(place).ok();
            }
        }
    }

    fn join(&mut self) -> Option<Place> {
        let controls = self.controls.upgrade()?;
        let listener = self.free.pop()?;
        let number = self.free.len();
        let folders = Folders::of_place(self.profile.clone(), number);
        let id = self.router.join(PlaceSetup {
            proxy: super::driver::proxy_of(&listener),
            downloads: folders.downloads(),
        });
        let (to, messages) = mpsc::unbounded_channel();
        let (outgoing, from) = mpsc::unbounded_channel();
        let (waiting, backlog) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        self.lines.push(line(id, from));
        self.places.insert(
            id,
            Line {
                to,
                waiting: waiting.clone(),
                backlog: backlog.clone(),
                folders: folders.clone(),
                gone: Vec::new(),
            },
        );
        Some(Place {
            listener,
            folders,
            version: self.version.clone(),
            incoming: Incoming { messages, waiting },
            outgoing,
            backlog,
            seat: Seat { id, controls },
        })
    }

    fn leaves(&mut self, place: PlaceId, answer: Option<oneshot::Sender<()>>) {
        // An answer for a place that is gone is dropped, which tells as much.
        if let Some(line) = self.places.get_mut(&place) {
            line.gone.extend(answer);
            self.router.leave(place, Clock.now());
        }
    }

    /// A place's turn to speak.
    fn said(&mut self, place: PlaceId, message: &[u8], turn: OwnedSemaphorePermit) {
        self.router.handle_place(place, message);
        let Some(line) = self.places.get(&place) else {
            return;
        };
        let mut counted = Some((line.backlog.clone(), message.len()));
        let mut turn = Some(turn);
        // What was just said is last.
        let mut rest = Vec::new();
        while let Some(output) = self.router.poll_output() {
            match output {
                Output::Browser { message, from } if from == Some(place) => {
                    let (counted, turn) = (counted.take(), turn.take());
                    let outgoing = Outgoing {
                        message,
                        counted,
                        _turn: turn,
                    };
                    self.pipe.send(outgoing).ok();
                }
                other => rest.push(other),
            }
        }
        if let Some((backlog, bytes)) = counted {
            backlog.fetch_sub(bytes, Ordering::Relaxed);
        }
        for output in rest {
            self.deliver(output);
        }
    }

    async fn carry(&mut self) {
        while let Some(output) = self.router.poll_output() {
            if let Output::Left(place) = output {
                self.left(place).await;
            } else {
                self.deliver(output);
            }
        }
    }

    fn deliver(&mut self, output: Output) {
        match output {
            Output::Browser { message, .. } => {
                let outgoing = Outgoing {
                    message,
                    counted: None,
                    _turn: None,
                };
                self.pipe.send(outgoing).ok();
            }
            Output::Place { place, message } => {
                let Some(line) = self.places.get(&place) else {
                    return;
                };
                let bytes = message.len();
                let waiting = line.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes;
                if waiting > MOST_WAITING {
                    self.ends(place, "its browser told it more than it took");
                } else {
                    line.to.send(Ok(message)).ok();
                }
            }
            Output::End { place, why } => self.ends(place, why),
            // Of `carry` alone; a command of a place does not end one.
            Output::Left(_) => {}
            Output::Fail(why) => {
                tracing::error!(why, "a shared browser is ended");
                self.over.get_or_insert_with(|| why.to_owned());
            }
        }
    }

    /// Takes a place away.
    fn ends(&mut self, place: PlaceId, why: &str) {
        tracing::warn!(why, "a session of a shared browser is ended");
        if let Some(line) = self.places.get(&place) {
            line.to.send(Err(why.to_owned())).ok();
        }
        self.router.leave(place, Clock.now());
    }

    async fn left(&mut self, place: PlaceId) {
        let Some(line) = self.places.remove(&place) else {
            return;
        };
        if self.places.is_empty() {
            // Its folder goes with the browser; who waits is told after that.
            self.places.insert(place, line);
            self.over = Some("its last session ended".to_owned());
            return;
        }
        let folders = line.folders;
        let removed = spawn_blocking(move || folders.remove()).await;
        if let Err(error) = removed.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::error!(%error, "the files of a session could not be removed");
        }
        for answer in line.gone {
            answer.send(()).ok();
        }
    }
}

fn line(place: PlaceId, from: mpsc::UnboundedReceiver<Vec<u8>>) -> Said {
    Box::pin(stream::unfold(Some(from), move |from| async move {
        let mut from = from?;
        match from.recv().await {
            Some(message) => Some(((place, Some(message)), Some(from))),
            None => Some(((place, None), None)),
        }
    }))
}

/// The next message of the places in turn, once there is room for one.
async fn next_turn(
    turns: &Arc<Semaphore>,
    lines: &mut Lines,
) -> Option<(OwnedSemaphorePermit, PlaceId, Option<Vec<u8>>)> {
    let turn = turns.clone().acquire_owned().await.ok()?;
    match lines.next().await {
        Some((place, said)) => Some((turn, place, said)),
        None => std::future::pending().await,
    }
}

/// Chromium may wait for us to read before it reads, so it is written to from a
/// task of its own.
async fn write(mut writer: PipeWriter, mut messages: mpsc::UnboundedReceiver<Outgoing>) {
    let mut batch = Vec::new();
    while messages.recv_many(&mut batch, MOST_OUTGOING).await > 0 {
        for outgoing in &batch {
            if writer.feed(&outgoing.message).is_err() {
                return;
            }
        }
        if writer.flush().await.is_err() {
            return;
        }
        for outgoing in batch.drain(..) {
            if let Some((backlog, bytes)) = outgoing.counted {
                backlog.fetch_sub(bytes, Ordering::Relaxed);
            }
        }
    }
}

impl Folders {
    /// Removes what a session kept in a browser that goes on.
    fn remove(&self) -> io::Result<()> {
        for folder in self.all() {
            // A link in its place is removed, not followed.
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A place of no browser, to which so much was said already.
#[cfg(test)]
pub(super) fn place_of_nothing(listener: Arc<Listener>, said: Vec<Bytes>) -> Place {
    let folders = Folders::below(Path::new("/nowhere").into());
    let (to, messages) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(said.iter().map(Bytes::len).sum()));
    for message in said {
        to.send(Ok(message)).unwrap();
    }
    let id = Router::new().join(PlaceSetup {
        proxy: super::driver::proxy_of(&listener),
        downloads: folders.downloads(),
    });
    Place {
        listener,
        folders,
        version: "no browser".into(),
        incoming: Incoming { messages, waiting },
        outgoing: mpsc::unbounded_channel().0,
        backlog: Arc::default(),
        seat: Seat {
            id,
            controls: mpsc::unbounded_channel().0,
        },
    }
}

#[cfg(test)]
impl Incoming {
    /// Bytes that wait to be taken.
    pub(super) fn waiting(&self) -> Arc<AtomicUsize> {
        self.waiting.clone()
    }
}
