//! Whose a paused request is. Chromium does not say of which context it is, but
//! names the frame and the request; which place those are of, other events tell,
//! sometimes a moment later and from another process of the browser.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    time::Duration,
};

use bytes::Bytes;

use super::PlaceId;
use crate::model::time::{BootTime, Now};

/// How long a request waits for somebody to know it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Frames and requests of one place that are remembered.
const MOST_NAMES: usize = 8192;

/// Requests that wait to be known.
const MOST_WAITING: usize = 1024;

/// Who has spoken of a frame or a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    By(PlaceId),
    /// More than one: it belongs to none of them.
    Disputed,
}

#[derive(Debug, Default)]
pub(super) struct Claims {
    words: HashMap<String, Word>,
    /// By place, the oldest first.
    order: HashMap<PlaceId, VecDeque<String>>,
    waiting: Vec<Waiting>,
}

/// A paused request that nobody knows yet.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Names the pause.
    pub(super) pause: String,
    frame: Option<String>,
    request: Option<String>,
    /// As Chromium told of it.
    pub(super) message: Bytes,
    until: BootTime,
}

fn frame_key(frame: &str) -> String {
    format!("f{frame}")
}

fn request_key(request: &str) -> String {
    format!("r{request}")
}

impl Claims {
    /// Something on a CDP session of the place told of a frame.
    pub(super) fn frame(&mut self, place: PlaceId, frame: &str) {
        self.claim(place, frame_key(frame));
    }

    /// Something on a CDP session of the place told of a request.
    pub(super) fn request(&mut self, place: PlaceId, request: &str) {
        self.claim(place, request_key(request));
    }

    fn claim(&mut self, place: PlaceId, name: String) {
        match self.words.entry(name) {
            Entry::Occupied(mut known) => {
                if *known.get() != Word::By(place) {
                    // The browser draws them at random or in turn, so one of the
                    // two has made it up.
                    known.insert(Word::Disputed);
                }
            }
            Entry::Vacant(free) => {
                let order = self.order.entry(place).or_default();
                order.push_back(free.key().clone());
                free.insert(Word::By(place));
                if order.len() > MOST_NAMES {
                    if let Some(oldest) = order.pop_front() {
                        self.words.remove(&oldest);
                    }
                }
            }
        }
    }

    /// Whose the frame is; or else the request. A frame's name is drawn at random
    /// and cannot be guessed, so it counts first.
    pub(super) fn owner(&self, frame: Option<&str>, request: Option<&str>) -> Option<PlaceId> {
        let names = [frame.map(frame_key), request.map(request_key)];
        let word = names.iter().flatten().find_map(|name| self.words.get(name));
        match word {
            Some(Word::By(place)) => Some(*place),
            Some(Word::Disputed) | None => None,
        }
    }

    /// Keeps a request until somebody knows it; answers another one for which
    /// there is no room any more.
    pub(super) fn wait(
        &mut self,
        pause: &str,
        frame: Option<&str>,
        request: Option<&str>,
        message: Bytes,
        now: Now,
    ) -> Option<String> {
        self.waiting.push(Waiting {
            pause: pause.to_owned(),
            frame: frame.map(str::to_owned),
            request: request.map(str::to_owned),
            message,
            until: now.boot.saturating_add(PATIENCE),
        });
        (self.waiting.len() > MOST_WAITING).then(|| self.waiting.remove(0).pause)
    }

    /// Those that somebody knows by now.
    pub(super) fn known(
        &mut self,
        by_target: impl Fn(&str) -> Option<PlaceId>,
    ) -> Vec<(PlaceId, Waiting)> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let mut known = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            let frame = waiting.frame.as_deref();
            let owner = frame
                .and_then(&by_target)
                .or_else(|| self.owner(frame, waiting.request.as_deref()));
            match owner {
                Some(place) => known.push((place, waiting)),
                None => self.waiting.push(waiting),
            }
        }
        known
    }

    pub(super) fn deadline(&self) -> Option<BootTime> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }

    /// The pauses that nobody has claimed in time.
    pub(super) fn late(&mut self, now: Now) -> Vec<String> {
        let (late, rest) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(|waiting| now.boot >= waiting.until);
        self.waiting = rest;
        late.into_iter().map(|waiting| waiting.pause).collect()
    }

    /// A place is gone.
    pub(super) fn forget(&mut self, place: PlaceId) {
        for name in self.order.remove(&place).unwrap_or_default() {
            self.words.remove(&name);
        }
    }
}
