//! What Chromium says: each message goes to the one place that it is of.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::{Output, PlaceId, Router, What};
use crate::{cdp::envelope::Message, model::time::Now};

/// Downloads that are remembered.
const MOST_DOWNLOADS: usize = 4096;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    target_id: Arc<str>,
    #[serde(default)]
    browser_context_id: Option<Arc<str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfTarget {
    target_info: Info,
    /// Of `Target.attachedToTarget`.
    #[serde(default)]
    session_id: Option<Arc<str>>,
    #[serde(default)]
    waiting_for_debugger: bool,
}

/// Names in the arguments of other events.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Names<'a> {
    #[serde(borrow)]
    target_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    session_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    request_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    network_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    frame_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    guid: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Reply<'a> {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "sessionId")]
    session: Option<&'a str>,
}

impl Router {
    /// Takes one message from Chromium.
    pub fn handle_browser(&mut self, bytes: &Bytes, now: Now) {
        let message: Message<'_> = match serde_json::from_slice(bytes) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(%error, "dropped a message from the browser that cannot be parsed");
                return;
            }
        };
        match (message.id, message.method.as_deref()) {
            (Some(id), _) => self.reply(id, &message, now),
            (None, Some(method)) => {
                let params = message.params.map_or("{}", RawValue::get);
                let to = match message.session.as_deref() {
                    None => self.root_event(method, params, bytes, now),
                    Some(session) => self.session_event(session, method, params),
                };
                if let Some(place) = to {
                    self.heard(place, bytes.len(), now);
                    self.hand(place, bytes.clone());
                }
                self.known_now();
            }
            (None, None) => {
                tracing::warn!("the browser could not read a command");
            }
        }
    }

    fn hand(&mut self, place: PlaceId, message: Bytes) {
        // Who leaves listens no more.
        if self
            .places
            .get(&place)
            .is_some_and(|at| at.leaving.is_none())
        {
            self.out.push_back(Output::Place { place, message });
        }
    }

    /// Hands on the requests that somebody knows by now.
    fn known_now(&mut self) {
        let targets = &self.targets;
        let known = self.claims.known(|frame| targets.get(frame).copied());
        for (place, waiting) in known {
            self.paused.insert(waiting.pause, place);
            self.hand(place, waiting.message);
        }
    }

    fn reply(&mut self, id: u64, message: &Message<'_>, now: Now) {
        let asked = u32::try_from(id)
            .ok()
            .and_then(|id| self.pending.remove(&id));
        let Some(asked) = asked else {
            return;
        };
        let text = |key: &str| -> Option<Arc<str>> {
            let result: Value = serde_json::from_str(message.result?.get()).ok()?;
            result.get(key)?.as_str().map(Into::into)
        };
        match asked.what {
            What::Plain => {}
            What::Answers => self.answers(),
            What::Arm => {
                if message.result.is_none() {
                    self.out
                        .push_back(Output::Fail("it refused to be set up for sharing"));
                }
            }
            What::CreateContext(place) => {
                let made = text("browserContextId");
                let here = self.places.get_mut(&place).map(|at| {
                    at.creating = at.creating.saturating_sub(1);
                    at.leaving.is_some()
                });
                if let Some(context) = made {
                    self.contexts.insert(context.clone(), place);
                    // Made for nobody by now.
                    if here != Some(false) {
                        self.dispose(context);
                    }
                }
                self.gone_if_empty(place);
            }
            What::Dispose(context) => {
                // A context that is gone already is an error, and as good.
                if let Some(place) = self.contexts.remove(&context) {
                    self.gone_if_empty(place);
                }
            }
            What::Attach(place) => {
                if let Some(session) = text("sessionId") {
                    self.sessions.entry(session).or_insert(place);
                }
            }
        }
        if let Some((place, id)) = asked.from {
            let reply = Reply {
                id,
                result: message.result,
                error: message.error,
                session: message.session.as_deref(),
            };
            match serde_json::to_vec(&reply) {
                Ok(reply) => {
                    self.heard(place, reply.len(), now);
                    self.hand(place, reply.into());
                }
                Err(error) => tracing::error!(%error, "an answer cannot be written"),
            }
        }
    }

    /// Of whom an event on the root session is, if anybody's.
    fn root_event(
        &mut self,
        method: &str,
        params: &str,
        bytes: &Bytes,
        now: Now,
    ) -> Option<PlaceId> {
        match method {
            "Fetch.requestPaused" => self.request_paused(params, bytes, now),
            "Target.targetCreated" | "Target.targetInfoChanged" | "Target.attachedToTarget" => {
                let told: OfTarget = serde_json::from_str(params).ok()?;
                let context = told.target_info.browser_context_id.as_ref();
                let place = context
                    .and_then(|context| self.contexts.get(context))
                    .copied();
                let Some(place) = place else {
                    if let Some(session) = told.session_id {
                        self.let_go(&session, told.waiting_for_debugger);
                    }
                    return None;
                };
                self.targets.insert(told.target_info.target_id, place);
                if let Some(session) = told.session_id {
                    self.sessions.entry(session).or_insert(place);
                }
                Some(place)
            }
            "Target.targetDestroyed" => {
                let names: Names<'_> = serde_json::from_str(params).ok()?;
                self.targets.remove(&*names.target_id?)
            }
            "Target.targetCrashed" => {
                let names: Names<'_> = serde_json::from_str(params).ok()?;
                self.targets.get(&*names.target_id?).copied()
            }
            "Target.detachedFromTarget" => {
                let names: Names<'_> = serde_json::from_str(params).ok()?;
                self.sessions.remove(&*names.session_id?)
            }
            "Browser.downloadWillBegin" => {
                let names: Names<'_> = serde_json::from_str(params).ok()?;
                self.download_begins(&names)
            }
            "Browser.downloadProgress" => {
                let names: Names<'_> = serde_json::from_str(params).ok()?;
                self.downloads.get(&*names.guid?).copied()
            }
            _ => None,
        }
    }

    /// A target of nobody must not hang, and nobody may use it.
    fn let_go(&mut self, session: &str, waits: bool) {
        if waits {
            let method = "Runtime.runIfWaitingForDebugger";
            self.ask(method, json!({}), Some(session), What::Plain);
        }
        let params = json!({"sessionId": session});
        self.ask("Target.detachFromTarget", params, None, What::Plain);
    }

    fn request_paused(&mut self, params: &str, bytes: &Bytes, now: Now) -> Option<PlaceId> {
        let names: Names<'_> = serde_json::from_str(params).ok()?;
        let pause = names.request_id.as_deref()?;
        let frame = names.frame_id.as_deref().filter(|frame| !frame.is_empty());
        let request = names.network_id.as_deref();
        let owner = frame
            .and_then(|frame| self.targets.get(frame).copied())
            .or_else(|| self.claims.owner(frame, request));
        match owner {
            Some(place) if self.places.contains_key(&place) => {
                self.paused.insert(pause.to_owned(), place);
                Some(place)
            }
            Some(_) => {
                self.fail_request(pause);
                None
            }
            None => {
                let full = self.claims.wait(pause, frame, request, bytes.clone(), now);
                if let Some(other) = full {
                    self.fail_request(&other);
                }
                None
            }
        }
    }

    fn download_begins(&mut self, names: &Names<'_>) -> Option<PlaceId> {
        let guid = names.guid.as_deref()?;
        let frame = names.frame_id.as_deref();
        let owner = frame
            .and_then(|frame| self.targets.get(frame).copied())
            .or_else(|| self.claims.owner(frame, None));
        if let Some(place) = owner {
            if self.downloads.len() >= MOST_DOWNLOADS {
                self.downloads.clear();
            }
            self.downloads.insert(guid.to_owned(), place);
        } else {
            tracing::warn!("broke off a download of no session that is known");
            for context in self.contexts.keys().cloned().collect::<Vec<_>>() {
                let params = json!({"guid": guid, "browserContextId": context});
                self.ask("Browser.cancelDownload", params, None, What::Plain);
            }
        }
        owner
    }

    /// Of whom an event on another session is: of who has the session. What it
    /// tells of frames and requests is noted.
    fn session_event(&mut self, session: &str, method: &str, params: &str) -> Option<PlaceId> {
        let place = *self.sessions.get(session)?;
        match method {
            "Network.requestWillBeSent" => {
                let names: Names<'_> = serde_json::from_str(params).ok()?;
                if let Some(request) = &names.request_id {
                    self.claims.request(place, request);
                }
                if let Some(frame) = names.frame_id.as_deref().filter(|frame| !frame.is_empty()) {
                    self.claims.frame(place, frame);
                }
            }
            "Page.frameAttached" => {
                let names: Names<'_> = serde_json::from_str(params).ok()?;
                if let Some(frame) = &names.frame_id {
                    self.claims.frame(place, frame);
                }
            }
            "Target.attachedToTarget" => {
                let told: OfTarget = serde_json::from_str(params).ok()?;
                let context = told.target_info.browser_context_id.as_ref();
                let other =
                    context.is_some_and(|context| self.contexts.get(context) != Some(&place));
                let target = self.targets.get(&told.target_info.target_id);
                if other || target.is_some_and(|owner| *owner != place) {
                    return None;
                }
                self.targets.insert(told.target_info.target_id, place);
                if let Some(session) = told.session_id {
                    if *self.sessions.entry(session).or_insert(place) != place {
                        return None;
                    }
                }
            }
            "Target.detachedFromTarget" => {
                let names: Names<'_> = serde_json::from_str(params).ok()?;
                let gone = names.session_id?;
                if self.sessions.get(&*gone) == Some(&place) {
                    self.sessions.remove(&*gone);
                }
            }
            _ => {}
        }
        Some(place)
    }
}
