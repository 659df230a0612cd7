//! One browser for several sessions: whose a message is.
//!
//! Chromium has one pipe and one root CDP session. Each session of a shared cell
//! has a *place*: contexts of its own, and a [`Hub`](super::hub::Hub) that talks
//! as if the pipe were its alone. The router gives every message of Chromium to
//! the one place that it is of, and lets a place speak of its own things only.
//! The hubs check the same; neither relies on the other.
//!
//! Sans-I/O, as the hub is.

mod claims;
mod commands;
mod events;
mod flood;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use serde_json::{Value, json};

use self::claims::Claims;
use super::envelope;
use crate::model::time::{BootTime, Now};

/// Number of a place within its browser; never used twice.
pub type PlaceId = u32;

/// How long a place's contexts may take to be gone: longer than it takes to read
/// what a flood has left in the line.
const LEAVE: Duration = Duration::from_secs(30);

/// What a place is told of its part of the browser, and held to.
#[derive(Debug, Clone)]
pub struct PlaceSetup {
    /// The proxy of all its contexts.
    pub proxy: String,
    /// The folder that its downloads go to.
    pub downloads: String,
}

/// Something for the shell to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send to Chromium. `from`: the place whose message it is.
    Browser {
        /// One JSON text.
        message: Vec<u8>,
        /// Whose.
        from: Option<PlaceId>,
    },
    /// Hand to a place.
    Place {
        /// Which.
        place: PlaceId,
        /// One JSON text.
        message: Bytes,
    },
    /// Nothing of it is left in the browser.
    Left(PlaceId),
    /// Its session must end.
    End {
        /// Which.
        place: PlaceId,
        /// Why.
        why: &'static str,
    },
    /// The browser must end: it cannot be relied on any more.
    Fail(&'static str),
}

/// Gives messages to places.
#[derive(Debug)]
pub struct Router {
    next: u32,
    pending: HashMap<u32, Asked>,
    last_place: PlaceId,
    places: BTreeMap<PlaceId, Place>,
    contexts: HashMap<Arc<str>, PlaceId>,
    targets: HashMap<Arc<str>, PlaceId>,
    sessions: HashMap<Arc<str>, PlaceId>,
    claims: Claims,
    /// Requests that a place has yet to answer.
    paused: HashMap<String, PlaceId>,
    downloads: HashMap<String, PlaceId>,
    line: flood::Line,
    out: VecDeque<Output>,
}

#[derive(Debug)]
struct Place {
    setup: PlaceSetup,
    /// Contexts that it has asked for and Chromium has not made yet.
    creating: usize,
    /// It leaves, and by then nothing of it may be left.
    leaving: Option<BootTime>,
    /// Bytes that the browser said to it of late.
    heard: usize,
}

/// A command that Chromium has not answered yet.
#[derive(Debug)]
struct Asked {
    /// Whose, and its number for it.
    from: Option<(PlaceId, u64)>,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Only the answer matters.
    Plain,
    /// Without it no session is safe.
    Arm,
    /// For a context for this place.
    CreateContext(PlaceId),
    /// This context is to go.
    Dispose(Arc<str>),
    /// For a CDP session for this place.
    Attach(PlaceId),
    /// That it answers at all.
    Answers,
}

impl Router {
    /// For a browser that was just launched. Its first outputs arm it, before any
    /// place can ask for a context; Chromium obeys a pipe in order.
    #[must_use]
    pub fn new() -> Self {
        let mut router = Self {
            // Chromium was asked for its version under 1 when it was launched.
            next: 1,
            pending: HashMap::new(),
            last_place: 0,
            places: BTreeMap::new(),
            contexts: HashMap::new(),
            targets: HashMap::new(),
            sessions: HashMap::new(),
            claims: Claims::default(),
            paused: HashMap::new(),
            downloads: HashMap::new(),
            line: flood::Line::default(),
            out: VecDeque::new(),
        };
        // INVARIANT: nothing that can make a request comes before this.
        for (method, params) in super::hub::arming() {
            router.ask(method, params, None, What::Arm);
        }
        router
    }

    /// Makes a place.
    pub fn join(&mut self, setup: PlaceSetup) -> PlaceId {
        self.last_place += 1;
        let place = Place {
            setup,
            creating: 0,
            leaving: None,
            heard: 0,
        };
        self.places.insert(self.last_place, place);
        self.last_place
    }

    /// Ends a place: its contexts go, and with them what they keep and do.
    /// [`Output::Left`] tells when they are gone.
    pub fn leave(&mut self, id: PlaceId, now: Now) {
        let Some(place) = self.places.get_mut(&id) else {
            return;
        };
        if place.leaving.is_some() {
            return;
        }
        place.leaving = Some(now.boot.saturating_add(LEAVE));
        let own: Vec<Arc<str>> = self
            .contexts
            .iter()
            .filter(|(_, owner)| **owner == id)
            .map(|(context, _)| context.clone())
            .collect();
        for context in own {
            self.dispose(context);
        }
        self.gone_if_empty(id);
    }

    /// How many places there are.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// Takes the next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Router::handle_timeout`] is due next, on the boot clock.
    #[must_use]
    pub fn deadline(&self) -> Option<BootTime> {
        let leaving = self.places.values().filter_map(|place| place.leaving);
        let others = [self.claims.deadline(), self.line_deadline()];
        leaving.chain(others.into_iter().flatten()).min()
    }

    /// Refuses requests that nobody has claimed in time, and ends who holds the
    /// others up.
    pub fn handle_timeout(&mut self, now: Now) {
        self.line_late(now);
        for request in self.claims.late(now) {
            tracing::warn!("refused a request that no session of the browser made");
            self.fail_request(&request);
        }
        let mut leaving = self.places.values().filter_map(|place| place.leaving);
        if leaving.any(|by| now.boot >= by) {
            self.out
                .push_back(Output::Fail("what a session had in it would not go"));
        }
    }

    fn dispose(&mut self, context: Arc<str>) {
        let params = json!({"browserContextId": context});
        let what = What::Dispose(context);
        self.ask("Target.disposeBrowserContext", params, None, what);
    }

    /// Says that a place has left, once nothing of it is left.
    fn gone_if_empty(&mut self, id: PlaceId) {
        let left = self
            .places
            .get(&id)
            .is_some_and(|place| place.leaving.is_some() && place.creating == 0);
        if !left || self.contexts.values().any(|owner| *owner == id) {
            return;
        }
        self.places.remove(&id);
        self.targets.retain(|_, owner| *owner != id);
        self.sessions.retain(|_, owner| *owner != id);
        self.paused.retain(|_, owner| *owner != id);
        self.downloads.retain(|_, owner| *owner != id);
        for asked in self.pending.values_mut() {
            if asked.from.is_some_and(|(place, _)| place == id) {
                asked.from = None;
            }
        }
        self.claims.forget(id);
        self.out.push_back(Output::Left(id));
    }

    fn fail_request(&mut self, request: &str) {
        let params = json!({"requestId": request, "errorReason": "BlockedByClient"});
        self.ask("Fetch.failRequest", params, None, What::Plain);
    }

    /// A command of the router's own.
    fn ask(&mut self, method: &str, params: Value, session: Option<&str>, what: What) {
        let number = self.number(Asked { from: None, what });
        let message = envelope::command(number.into(), method, Some(params), session);
        self.out.push_back(Output::Browser {
            message,
            from: None,
        });
    }

    /// A number that no command has that waits for its answer. Chromium counts
    /// in 31 bits.
    fn number(&mut self, asked: Asked) -> u32 {
        loop {
            self.next = if self.next >= i32::MAX.unsigned_abs() {
                2
            } else {
                self.next + 1
            };
            if !self.pending.contains_key(&self.next) {
                self.pending.insert(self.next, asked);
                return self.next;
            }
        }
    }

    fn is_own(&self, map: &HashMap<Arc<str>, PlaceId>, name: Option<&Value>, id: PlaceId) -> bool {
        let name = name.and_then(Value::as_str);
        name.and_then(|name| map.get(name)) == Some(&id) && self.places.contains_key(&id)
    }
}

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}
