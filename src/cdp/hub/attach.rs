//! Attaching clients to targets: by their command, or because they asked to be
//! attached to whatever appears.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{
    Attached, AutoAttach, Barrier, Call, CdpSession, ClientId, Hub, Owner, ReplyTo,
    targets::tab_of, virtual_browser::BROWSER,
};
use crate::{cdp::envelope, model::time::Now};

/// CDP sessions that one connection may open by command.
const MOST_ATTACHED: usize = 4096;

/// An attachment under way.
pub(super) struct Attach {
    client: ClientId,
    target: Arc<str>,
    parent: Option<CdpSession>,
    waiting: bool,
    cause: Cause,
}

enum Cause {
    Auto(Option<u64>),
    Command(ReplyTo),
}

impl Hub {
    /// `Target.setAutoAttach` on the virtual browser.
    pub(super) fn set_auto_attach(&mut self, to: ReplyTo, auto: Option<AutoAttach>, now: Now) {
        let client = to.client;
        let on = auto.is_some();
        if let Some(entry) = self.clients.get_mut(&client) {
            entry.auto = auto;
        }
        if !on {
            self.stop_waiting(client);
            self.reply(&to, "Target.setAutoAttach", &json!({}), now);
            return;
        }
        let existing: Vec<_> = self
            .targets
            .iter()
            .filter(|(_, target)| {
                let session = target.broker.as_ref().and_then(|s| self.sessions.get(s));
                session.is_some_and(|session| session.parent.is_none())
            })
            .map(|(id, _)| id.clone())
            .collect();
        let barrier = self.barrier(to, json!({}));
        for id in existing {
            self.auto_attach(client, &id, Some(barrier), now);
        }
        self.barrier_done(barrier, now);
    }

    /// `Target.setAutoAttach` on a virtual tab: its page is the one thing in it.
    pub(super) fn set_auto_attach_in_tab(
        &mut self,
        to: ReplyTo,
        page: &Arc<str>,
        auto: Option<AutoAttach>,
        now: Now,
    ) {
        let Some(auto) = auto else {
            self.reply(&to, "Target.setAutoAttach", &json!({}), now);
            return;
        };
        let (client, parent) = (to.client, to.session.clone());
        let attached = self
            .sessions
            .values()
            .any(|s| s.owner == Owner::Client(client) && s.target == *page && s.parent == parent);
        let barrier = self.barrier(to, json!({}));
        if !attached && auto.filter.admits("page") {
            let held = self.targets.get(page).is_some_and(|target| target.held);
            self.attach(Attach {
                client,
                target: page.clone(),
                parent,
                waiting: held && auto.wait,
                cause: Cause::Auto(Some(barrier)),
            });
        }
        self.barrier_done(barrier, now);
    }

    /// `Target.attachToTarget` by a client.
    pub(super) fn attach_by_command(&mut self, to: ReplyTo, target: Arc<str>, now: Now) {
        let own = Owner::Client(to.client);
        let attached = self.sessions.values().filter(|known| known.owner == own);
        if attached.count() >= MOST_ATTACHED {
            let why = format!(
                "Hallpass refused Target.attachToTarget: a connection is attached {MOST_ATTACHED} times at most (rule `limit`); detach where it is not needed"
            );
            self.refuse(&to, envelope::Code::Server, &why, now);
            return;
        }
        self.attach(Attach {
            client: to.client,
            target,
            parent: to.session.clone(),
            waiting: false,
            cause: Cause::Command(to),
        });
    }

    /// Attaches a client to a target if it asked for such to be attached.
    pub(super) fn auto_attach(
        &mut self,
        client: ClientId,
        id: &Arc<str>,
        barrier: Option<u64>,
        now: Now,
    ) {
        let (Some(target), Some(entry)) = (self.targets.get_mut(id), self.clients.get_mut(&client))
        else {
            return;
        };
        let Some(auto) = &entry.auto else {
            return;
        };
        let by_tab = target.kind == "page" && auto.filter.admits("tab");
        if !by_tab && !auto.filter.admits(&target.kind) || !entry.auto_done.insert(id.clone()) {
            return;
        }
        let waiting = target.held && auto.wait;
        if waiting {
            target.waiting.insert(client);
        }
        if by_tab {
            let session: CdpSession = format!("{id}.tab.{client}").into();
            entry.tabs.insert(session.clone(), id.clone());
            let params = json!({"sessionId": session, "targetInfo": target.tab_info(id), "waitingForDebugger": waiting});
            let message = envelope::event("Target.attachedToTarget", params, None);
            self.send(client, "Target.attachedToTarget", message, now);
            self.created_replies(id, now);
        } else {
            self.attach(Attach {
                client,
                target: id.clone(),
                parent: None,
                waiting,
                cause: Cause::Auto(barrier),
            });
        }
    }

    fn attach(&mut self, attach: Attach) {
        if let Cause::Auto(Some(barrier)) = attach.cause {
            if let Some(barrier) = self.barriers.get_mut(&barrier) {
                barrier.left += 1;
            }
        }
        let params = json!({"targetId": attach.target, "flatten": true});
        self.ask("Target.attachToTarget", params, None, Call::Attach(attach));
    }

    /// The reply to `Target.attachToTarget`.
    pub(super) fn attached(&mut self, attach: Attach, result: Result<&Value, String>, now: Now) {
        let session: Option<CdpSession> = result
            .as_ref()
            .ok()
            .and_then(|result| result.get("sessionId")?.as_str().map(Into::into));
        let there = self.clients.contains_key(&attach.client);
        match (session, there) {
            (Some(session), true) => {
                self.sessions.insert(
                    session.clone(),
                    Attached {
                        owner: Owner::Client(attach.client),
                        target: attach.target.clone(),
                        parent: attach.parent.clone(),
                        by_root: true,
                        challenges: HashSet::new(),
                        pauses: HashMap::new(),
                    },
                );
                let info = self
                    .targets
                    .get(&attach.target)
                    .map(|target| target.info.clone());
                let params = json!({"sessionId": session, "targetInfo": info, "waitingForDebugger": attach.waiting});
                let message =
                    envelope::event("Target.attachedToTarget", params, attach.parent.as_deref());
                self.send(attach.client, "Target.attachedToTarget", message, now);
                if let Cause::Command(to) = &attach.cause {
                    self.reply(
                        to,
                        "Target.attachToTarget",
                        &json!({"sessionId": session}),
                        now,
                    );
                }
            }
            (Some(session), false) => {
                self.ask(
                    "Target.detachFromTarget",
                    json!({"sessionId": session}),
                    None,
                    Call::Ignored,
                );
            }
            (None, _) => {
                if let Some(target) = self.targets.get_mut(&attach.target) {
                    target.waiting.remove(&attach.client);
                }
                self.release(&attach.target);
                if let Cause::Command(to) = &attach.cause {
                    self.refuse(
                        to,
                        envelope::Code::Server,
                        "No target with given id found",
                        now,
                    );
                }
            }
        }
        if let Cause::Auto(barrier) = attach.cause {
            self.created_replies(&attach.target, now);
            if let Some(barrier) = barrier {
                self.barrier_done(barrier, now);
            }
        }
    }

    /// A client asked a target to run.
    pub(super) fn stop_waiting_for(&mut self, client: ClientId, id: &str) {
        if let Some(target) = self.targets.get_mut(id) {
            target.waiting.remove(&client);
        }
        self.release(id);
    }

    /// A client no longer sets anything up.
    pub(super) fn stop_waiting(&mut self, client: ClientId) {
        for id in self.targets.keys().cloned().collect::<Vec<_>>() {
            self.stop_waiting_for(client, &id);
        }
    }

    /// Answers a client's `Target.createTarget`, after the attachment that it
    /// expects to have been told of by then.
    pub(super) fn created(&mut self, to: ReplyTo, id: &Arc<str>, now: Now) {
        let expects = self
            .clients
            .get(&to.client)
            .is_some_and(|client| client.auto.is_some());
        let attached = self.is_attached(to.client, id);
        match self.targets.get_mut(id) {
            Some(target) if expects && !attached => target.created.push(to),
            _ => self.reply(&to, "Target.createTarget", &json!({"targetId": id}), now),
        }
    }

    fn created_replies(&mut self, id: &Arc<str>, now: Now) {
        let waiting = self
            .targets
            .get_mut(id)
            .map(|target| std::mem::take(&mut target.created))
            .unwrap_or_default();
        for to in waiting {
            self.created(to, id, now);
        }
    }

    fn is_attached(&self, client: ClientId, id: &Arc<str>) -> bool {
        let tab = self
            .clients
            .get(&client)
            .is_some_and(|entry| entry.tabs.values().any(|page| page == id));
        tab || self
            .sessions
            .values()
            .any(|session| session.owner == Owner::Client(client) && session.target == *id)
    }

    /// A session on the virtual tab around `page`.
    pub(super) fn attach_to_tab(&mut self, to: &ReplyTo, page: &Arc<str>, now: Now) {
        self.next += 1;
        let session: CdpSession = format!("{page}.tab.{}.{}", to.client, self.next).into();
        let Some(target) = self.targets.get(page) else {
            return;
        };
        let params = json!({"sessionId": session, "targetInfo": target.tab_info(page), "waitingForDebugger": false});
        if let Some(client) = self.clients.get_mut(&to.client) {
            client.tabs.insert(session.clone(), page.clone());
        }
        let message = envelope::event("Target.attachedToTarget", params, to.session.as_deref());
        self.send(to.client, "Target.attachedToTarget", message, now);
        self.reply(
            to,
            "Target.attachToTarget",
            &json!({"sessionId": session}),
            now,
        );
    }

    /// `Target.detachFromTarget` by a client, of a session that is its own.
    pub(super) fn detach(&mut self, to: &ReplyTo, session: &str, now: Now) {
        let client = to.client;
        if let Some(entry) = self.clients.get_mut(&client) {
            if let Some(page) = entry.tabs.remove(session) {
                self.reply(to, "Target.detachFromTarget", &json!({}), now);
                let params = json!({"sessionId": session, "targetId": tab_of(&page)});
                let message = envelope::event("Target.detachedFromTarget", params, None);
                self.send(client, "Target.detachedFromTarget", message, now);
                self.stop_waiting_for(client, &page);
                return;
            }
            if entry.roots.remove(session) {
                entry.download_events.remove(&Some(session.into()));
                entry
                    .discover
                    .retain(|(by, _)| by.as_deref() != Some(session));
                self.reply(to, "Target.detachFromTarget", &json!({}), now);
                let params = json!({"sessionId": session, "targetId": BROWSER});
                let message =
                    envelope::event("Target.detachedFromTarget", params, to.session.as_deref());
                self.send(client, "Target.detachedFromTarget", message, now);
                return;
            }
        }
        let own = self
            .sessions
            .get(session)
            .filter(|attached| attached.owner == Owner::Client(client))
            .map(|attached| attached.parent.clone().filter(|_| !attached.by_root));
        match own {
            // Chromium tells of the detachment on the session that attached;
            // that event is passed on.
            Some(via) => {
                self.ask(
                    "Target.detachFromTarget",
                    json!({"sessionId": session}),
                    via.as_deref(),
                    Call::Ignored,
                );
                self.reply(to, "Target.detachFromTarget", &json!({}), now);
            }
            None => self.refuse(to, envelope::Code::Server, "No session with given id", now),
        }
    }

    fn barrier(&mut self, reply: ReplyTo, result: Value) -> u64 {
        self.next += 1;
        // One for the caller, who lets go when all attachments are under way.
        self.barriers.insert(
            self.next,
            Barrier {
                left: 1,
                reply,
                result,
            },
        );
        self.next
    }

    fn barrier_done(&mut self, number: u64, now: Now) {
        let Some(barrier) = self.barriers.get_mut(&number) else {
            return;
        };
        barrier.left = barrier.left.saturating_sub(1);
        if barrier.left == 0 {
            if let Some(barrier) = self.barriers.remove(&number) {
                self.reply(&barrier.reply, "Target.setAutoAttach", &barrier.result, now);
            }
        }
    }
}
