//! The targets of the session's contexts: pages, frames, workers. What Chromium
//! tells of them on the root session, and what clients are told.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{Attached, Call, CdpSession, ClientId, Hub, Owner, Pending, ReplyTo};
use crate::{
    cdp::envelope,
    model::{action::redacted_url, time::Now},
    trace::record::{Actor, Event},
};

/// One target of an own context.
pub(super) struct Target {
    pub(super) info: Value,
    pub(super) kind: String,
    pub(super) url: Option<Url>,
    pub(super) opener: Option<Arc<str>>,
    /// Our own CDP session on it.
    pub(super) broker: Option<CdpSession>,
    /// It waits for us before it runs.
    pub(super) held: bool,
    /// The agent's last act in it.
    pub(super) last_act: Option<&'static str>,
    /// Clients that asked to set it up before it runs.
    pub(super) waiting: BTreeSet<ClientId>,
    pub(super) told: Told,
    /// Replies to `Target.createTarget` that wait for the attachment.
    pub(super) created: Vec<ReplyTo>,
}

/// Whether the agent told a page to go somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    No,
    /// Its next request to go somewhere is the agent's doing.
    Next,
    /// This request is, at all its hops.
    By(Box<str>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    target_id: Arc<str>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    opener_id: Option<Arc<str>>,
    #[serde(default)]
    browser_context_id: Option<Arc<str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttachedToTarget {
    pub(super) session_id: CdpSession,
    pub(super) target_info: Value,
    #[serde(default)]
    pub(super) waiting_for_debugger: bool,
}

/// The virtual tab around a page, for clients that attach to tabs.
pub(super) fn tab_of(page: &str) -> String {
    format!("tab.{page}")
}

/// The page of a virtual tab.
pub(super) fn page_of(tab: &str) -> Option<&str> {
    tab.strip_prefix("tab.")
}

/// What can be seen of a browser: not its tabs and its own windows' parts.
fn is_shown(kind: &str) -> bool {
    matches!(
        kind,
        "page" | "iframe" | "worker" | "shared_worker" | "service_worker"
    ) || kind.ends_with("worklet")
}

impl Target {
    pub(super) fn tab_info(&self, page: &str) -> Value {
        let mut info = self.info.clone();
        if let Some(map) = info.as_object_mut() {
            map.insert("targetId".into(), tab_of(page).into());
            map.insert("type".into(), "tab".into());
            map.remove("openerFrameId");
        }
        info
    }
}

impl Hub {
    /// A `Target.*` event on the root session.
    pub(super) fn target_event(&mut self, method: &str, params: &Value, now: Now) {
        match method {
            "Target.targetCreated" | "Target.targetInfoChanged" => {
                if let Some(info) = params.get("targetInfo") {
                    self.target_known(info, now);
                }
            }
            "Target.targetDestroyed" | "Target.targetCrashed" => {
                if let Some(id) = params.get("targetId").and_then(Value::as_str) {
                    self.target_gone(method, id, params, now);
                }
            }
            "Target.attachedToTarget" => {
                if let Ok(attached) = AttachedToTarget::deserialize(params) {
                    self.broker_attached(attached, None, now);
                }
            }
            "Target.detachedFromTarget" => {
                if let Some(session) = params.get("sessionId").and_then(Value::as_str) {
                    self.session_gone(session, now);
                }
            }
            _ => {}
        }
    }

    /// Takes note of a target; answers its id if it is of an own context.
    pub(super) fn target_known(&mut self, value: &Value, now: Now) -> Option<Arc<str>> {
        let info = Info::deserialize(value).ok()?;
        let own = is_shown(&info.kind)
            && info
                .browser_context_id
                .as_ref()
                .is_some_and(|context| self.contexts.contains(context));
        if !own {
            return None;
        }
        let url = Url::parse(&info.url).ok();
        let id = info.target_id;
        let (event, moved) = if let Some(target) = self.targets.get_mut(&id) {
            if target.info == *value {
                return Some(id);
            }
            let moved = target.url != url;
            target.url.clone_from(&url);
            target.info = value.clone();
            ("Target.targetInfoChanged", moved)
        } else {
            // Only the agent opens a page that no other opened.
            let told = match info.opener_id {
                None => Told::Next,
                Some(_) => Told::No,
            };
            let target = Target {
                info: value.clone(),
                kind: info.kind.clone(),
                url: url.clone(),
                opener: info.opener_id,
                broker: None,
                held: false,
                last_act: None,
                waiting: BTreeSet::new(),
                told,
                created: Vec::new(),
            };
            // What a client may not open, its page may not either.
            let pages = || self.targets.values().filter(|known| known.kind == "page");
            if target.opener.is_some() && pages().count() >= self.most().pages {
                tracing::debug!("closed a page that a page opened beyond `session.pages`");
                let close = json!({"targetId": id});
                self.ask("Target.closeTarget", close, None, Call::Ignored);
            }
            self.targets.insert(id.clone(), Box::new(target));
            ("Target.targetCreated", false)
        };
        if moved && info.kind == "page" {
            if let Some(target) = self.targets.get_mut(&id) {
                if target.told == Told::Next {
                    target.told = Told::No;
                }
            }
            let url = url.map_or_else(|| "about:blank".to_owned(), |url| redacted_url(&url));
            let event = Event::Navigation {
                target: id.to_string(),
                url,
            };
            self.record(Actor::Page, event, now).ok();
        }
        self.announce(event, &id, now);
        Some(id)
    }

    /// Tells every client that discovers such targets.
    fn announce(&mut self, event: &str, id: &Arc<str>, now: Now) {
        let Some(target) = self.targets.get(id) else {
            return;
        };
        let mut messages = Vec::new();
        for (&number, client) in &self.clients {
            for (session, filter) in &client.discover {
                if filter.admits(&target.kind) {
                    let params = json!({"targetInfo": target.info});
                    messages.push((number, envelope::event(event, params, session.as_deref())));
                }
                if target.kind == "page" && filter.admits("tab") {
                    let params = json!({"targetInfo": target.tab_info(id)});
                    messages.push((number, envelope::event(event, params, session.as_deref())));
                }
            }
        }
        for (client, message) in messages {
            self.send(client, event, message, now);
        }
    }

    fn target_gone(&mut self, event: &str, id: &str, params: &Value, now: Now) {
        let crashed = event == "Target.targetCrashed";
        if self.tenant.is_none() && self.targets.contains_key(id) {
            // What is kept for a session must be what a fresh one is.
            self.fail("its page went before a session had it");
        }
        self.lost(id);
        self.page_left(id, now);
        self.hold_given_up(None, Some(id), now);
        let target = if crashed {
            None
        } else {
            self.targets.remove(id)
        };
        let Some(kind) = target
            .as_ref()
            .or_else(|| self.targets.get(id))
            .map(|target| target.kind.clone())
        else {
            return;
        };
        let mut messages = Vec::new();
        for (&number, client) in &mut self.clients {
            if !crashed {
                client.auto_done.remove(id);
                let tabs: Vec<_> = client
                    .tabs
                    .iter()
                    .filter(|(_, page)| &***page == id)
                    .map(|(session, _)| session.clone())
                    .collect();
                for session in tabs {
                    client.tabs.remove(&session);
                    let params = json!({"sessionId": session, "targetId": tab_of(id)});
                    messages.push((
                        number,
                        envelope::event("Target.detachedFromTarget", params, None),
                    ));
                }
            }
            for (session, filter) in &client.discover {
                if filter.admits(&kind) {
                    messages.push((number, envelope::event(event, params, session.as_deref())));
                }
                if kind == "page" && filter.admits("tab") {
                    let mut params = params.clone();
                    if let Some(map) = params.as_object_mut() {
                        map.insert("targetId".into(), tab_of(id).into());
                    }
                    messages.push((number, envelope::event(event, params, session.as_deref())));
                }
            }
        }
        for (client, message) in messages {
            self.send(client, event, message, now);
        }
        for to in target.map(|target| target.created).unwrap_or_default() {
            self.refuse(
                &to,
                envelope::Code::Server,
                "the page closed before it could be attached to",
                now,
            );
        }
    }

    /// Chromium attached a session of ours (`parent`: under which of ours).
    pub(super) fn broker_attached(
        &mut self,
        attached: AttachedToTarget,
        parent: Option<CdpSession>,
        now: Now,
    ) {
        if self.sessions.contains_key(&attached.session_id) {
            return;
        }
        let session = attached.session_id;
        let Some(id) = self.target_known(&attached.target_info, now) else {
            // Not of an own context: nothing of ours, but it must not hang.
            self.ask(
                "Runtime.runIfWaitingForDebugger",
                json!({}),
                Some(&session),
                Call::Ignored,
            );
            return;
        };
        let nested = parent.is_some();
        match self.targets.get_mut(&id) {
            // An attachment that a client's command asked for: its reply tells.
            Some(target) if target.broker.is_some() && !attached.waiting_for_debugger => return,
            Some(target) => {
                target.broker = Some(session.clone());
                target.held = attached.waiting_for_debugger;
            }
            None => return,
        }
        self.sessions.insert(
            session.clone(),
            Attached {
                owner: Owner::Broker,
                target: id.clone(),
                parent,
                by_root: false,
                challenges: HashSet::new(),
                pauses: HashMap::new(),
            },
        );
        // Bodies would be kept for whoever asks for them on this session: nobody.
        let nothing_kept = json!({"maxTotalBufferSize": 0, "maxResourceBufferSize": 0});
        self.ask(
            "Network.enable",
            nothing_kept,
            Some(&session),
            Call::Ignored,
        );
        self.ask(
            "Target.setAutoAttach",
            json!({"autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true,
                   "filter": [{"type": "service_worker", "exclude": true}, {"type": "shared_worker", "exclude": true},
                              {"type": "tab", "exclude": true}, {"type": "browser", "exclude": true}, {}]}),
            Some(&session),
            Call::Ignored,
        );
        if !nested {
            for client in self.clients.keys().copied().collect::<Vec<_>>() {
                self.auto_attach(client, &id, None, now);
            }
        }
        self.release(&id);
    }

    /// Lets a held target run once no client waits to set it up.
    pub(super) fn release(&mut self, id: &str) {
        let Some(target) = self.targets.get_mut(id) else {
            return;
        };
        if !target.held || !target.waiting.is_empty() {
            return;
        }
        target.held = false;
        if let Some(session) = target.broker.clone() {
            self.ask(
                "Runtime.runIfWaitingForDebugger",
                json!({}),
                Some(&session),
                Call::Ignored,
            );
        }
    }

    /// A CDP session ended: one of ours, or one of a client.
    pub(super) fn session_gone(&mut self, session: &str, now: Now) {
        let Some(attached) = self.sessions.remove(session) else {
            return;
        };
        match attached.owner {
            Owner::Broker => {
                if let Some(target) = self.targets.get_mut(&attached.target) {
                    if target.broker.as_deref() == Some(session) {
                        target.broker = None;
                    }
                }
            }
            Owner::Client(client) => {
                let params = json!({"sessionId": session, "targetId": attached.target});
                let message = envelope::event(
                    "Target.detachedFromTarget",
                    params,
                    attached.parent.as_deref(),
                );
                self.send(client, "Target.detachedFromTarget", message, now);
                self.forget_commands(client, session);
                if let Some(target) = self.targets.get_mut(&attached.target) {
                    target.waiting.remove(&client);
                }
                self.release(&attached.target);
            }
        }
    }

    /// Chromium does not answer what was asked on a session that is gone.
    fn forget_commands(&mut self, client: ClientId, session: &str) {
        let before = self.pending.len();
        self.pending.retain(|_, pending| match pending {
            Pending::Client { to, .. } => {
                to.client != client || to.session.as_deref() != Some(session)
            }
            Pending::Ours(_) => true,
        });
        if let Some(entry) = self.clients.get_mut(&client) {
            let forgotten = before - self.pending.len();
            entry.under_way = entry.under_way.saturating_sub(forgotten);
        }
    }

    /// Whether the target exists for clients.
    pub(super) fn is_own(&self, id: &str) -> bool {
        self.targets.contains_key(id)
    }
}
