//! The `Target` domain, answered for the session alone: what a client may
//! discover, attach to, create and close.

use std::{collections::HashSet, sync::Arc};

use serde_json::{Map, Value, json};

use super::{
    AutoAttach, Call, CdpSession, Hub, Most, Pending, ReplyTo, client::Place, filter::Filter,
    targets::page_of,
};
use crate::{
    cdp::{
        check::{self, Checked},
        envelope::{self, Code},
        table::Row,
    },
    model::time::Now,
};

/// The virtual browser's own target.
pub(super) const BROWSER: &str = "browser";

impl Hub {
    #[expect(clippy::too_many_lines, reason = "one arm for each command")]
    pub(super) fn target_command(
        &mut self,
        to: ReplyTo,
        row: &'static Row,
        place: &Place,
        mut params: Map<String, Value>,
        now: Now,
    ) {
        let method = row.name;
        let text = |key: &str| params.get(key).and_then(Value::as_str).map(str::to_owned);
        let no_target = "No target with given id found";
        match method {
            "Target.setDiscoverTargets" => self.discover(to, &params, now),
            "Target.setAutoAttach" => {
                let auto =
                    (params.get("autoAttach").and_then(Value::as_bool) == Some(true)).then(|| {
                        AutoAttach {
                            // Who only looks holds nothing up.
                            wait: !self.clients.get(&to.client).is_some_and(|c| c.watches)
                                && params
                                    .get("waitForDebuggerOnStart")
                                    .and_then(Value::as_bool)
                                    == Some(true),
                            filter: filter(&params),
                        }
                    });
                if params.get("flatten").and_then(Value::as_bool) != Some(true) && auto.is_some() {
                    self.refuse(
                        &to,
                        Code::InvalidParams,
                        "only flat sessions are spoken here: set `flatten` to true",
                        now,
                    );
                    return;
                }
                match place {
                    Place::Browser => self.set_auto_attach(to, auto, now),
                    Place::Tab(page) => self.set_auto_attach_in_tab(to, page, auto, now),
                    Place::Target(_) => {
                        let session = to.session.clone();
                        self.pass_on(to, row, Some(params), session, now);
                    }
                }
            }
            "Target.getTargets" => {
                let infos = self.infos(&filter(&params));
                self.reply(&to, method, &json!({"targetInfos": infos}), now);
            }
            "Target.getTargetInfo" => {
                let info = match (text("targetId"), place) {
                    (Some(id), _) if id == BROWSER => Some(browser_info()),
                    (Some(id), _) => match page_of(&id) {
                        Some(page) => self.targets.get(page).map(|target| target.tab_info(page)),
                        None => self.targets.get(&*id).map(|target| target.info.clone()),
                    },
                    (None, Place::Target(id)) => {
                        self.targets.get(id).map(|target| target.info.clone())
                    }
                    (None, Place::Tab(id)) => {
                        self.targets.get(id).map(|target| target.tab_info(id))
                    }
                    (None, Place::Browser) => Some(browser_info()),
                };
                match info {
                    Some(info) => self.reply(&to, method, &json!({"targetInfo": info}), now),
                    None => self.refuse(&to, Code::InvalidParams, no_target, now),
                }
            }
            "Target.attachToTarget" => {
                if params.get("flatten").and_then(Value::as_bool) != Some(true) {
                    self.refuse(
                        &to,
                        Code::InvalidParams,
                        "only flat sessions are spoken here: set `flatten` to true",
                        now,
                    );
                    return;
                }
                let id = text("targetId").unwrap_or_default();
                let tab = page_of(&id)
                    .filter(|page| self.is_own(page))
                    .map(Arc::<str>::from);
                match tab {
                    None if id == BROWSER => self.attach_to_browser(&to, method, now),
                    Some(page) => self.attach_to_tab(&to, &page, now),
                    None if self.is_own(&id) => self.attach_by_command(to, id.into(), now),
                    None => self.refuse(&to, Code::InvalidParams, no_target, now),
                }
            }
            "Target.attachToBrowserTarget" => self.attach_to_browser(&to, method, now),
            "Target.detachFromTarget" => {
                let session = text("sessionId").unwrap_or_default();
                self.detach(&to, &session, now);
            }
            "Target.closeTarget" | "Target.activateTarget" => {
                let id = text("targetId").unwrap_or_default();
                let id = page_of(&id).unwrap_or(&id).to_owned();
                if self.is_own(&id) {
                    self.pass_on(to, row, Some(json!({"targetId": id})), None, now);
                } else {
                    self.refuse(&to, Code::InvalidParams, no_target, now);
                }
            }
            "Target.createTarget" => self.create_target(to, params, now),
            "Target.createBrowserContext" => {
                let dispose = params.get("disposeOnDetach").and_then(Value::as_bool) == Some(true);
                let refused = params.keys().find(|key| *key != "disposeOnDetach").cloned();
                if params.get("originsWithUniversalNetworkAccess").is_some() {
                    self.refuse(&to, Code::Server, "Hallpass refused Target.createBrowserContext: no origin is given access to all others (rule `arguments`)", now);
                    return;
                }
                if let Some(key) = refused {
                    // A client's own proxy is left out: every byte goes through ours.
                    tracing::debug!(key, "left out an argument of Target.createBrowserContext");
                }
                let asked = self.under_way(|call| matches!(call, Call::CreateContext { .. }));
                let most = self.most().contexts;
                if self.contexts.len() + asked >= most {
                    self.refuse(&to, Code::Server, &format!("Hallpass refused Target.createBrowserContext: a session has at most {most} contexts (rule `limit`, `session.contexts`); dispose of one"), now);
                    return;
                }
                let context = self.context_params();
                self.ask(method, context, None, Call::CreateContext { to, dispose });
            }
            "Target.getBrowserContexts" => {
                let made: Vec<_> = self.contexts.iter().skip(1).collect();
                self.reply(&to, method, &json!({"browserContextIds": made}), now);
            }
            "Target.disposeBrowserContext" => {
                let id = text("browserContextId").unwrap_or_default();
                if self.contexts.iter().skip(1).any(|own| **own == *id) {
                    self.pass_on(to, row, Some(json!({"browserContextId": id})), None, now);
                    self.forget_context(&id);
                } else {
                    self.refuse(
                        &to,
                        Code::InvalidParams,
                        "Failed to find context with id",
                        now,
                    );
                }
            }
            "Target.getDevToolsTarget" => self.reply(&to, method, &json!({}), now),
            _ => {
                params.clear();
                let why = format!(
                    "Hallpass refused {method}: it is not part of the virtual browser (rule `method-table`)"
                );
                self.refuse(&to, Code::Server, &why, now);
            }
        }
    }

    fn create_target(&mut self, to: ReplyTo, mut params: Map<String, Value>, now: Now) {
        if let Checked::Refuse(why) = check::navigate(&mut params) {
            let why = format!("Hallpass refused Target.createTarget: {why} (rule `arguments`)");
            self.refuse(&to, Code::Server, &why, now);
            return;
        }
        let pages = self.targets.values().filter(|target| target.kind == "page");
        let asked = self.under_way(|call| matches!(call, Call::CreateTarget(_)));
        let most = self.most().pages;
        if pages.count() + asked >= most {
            self.refuse(&to, Code::Server, &format!("Hallpass refused Target.createTarget: a session has at most {most} pages (rule `limit`, `session.pages`); close one"), now);
            return;
        }
        let known: HashSet<&str> = [
            "url",
            "width",
            "height",
            "left",
            "top",
            "windowState",
            "newWindow",
            "background",
            "browserContextId",
            "enableBeginFrameControl",
        ]
        .into();
        params.retain(|key, _| known.contains(key.as_str()));
        let default = self.contexts.first().cloned();
        let context = match (params.get("browserContextId"), default) {
            (None | Some(Value::Null), Some(default)) => Some(default.to_string()),
            (Some(Value::String(id)), _) if self.contexts.iter().any(|own| **own == **id) => {
                Some(id.clone())
            }
            _ => None,
        };
        let Some(context) = context else {
            self.refuse(
                &to,
                Code::InvalidParams,
                "Failed to find browser context with id",
                now,
            );
            return;
        };
        params.insert("browserContextId".into(), context.into());
        self.ask(
            "Target.createTarget",
            params.into(),
            None,
            Call::CreateTarget(to),
        );
    }

    pub(super) fn most(&self) -> Most {
        self.tenant
            .as_ref()
            .map_or_else(Most::default, |tenant| tenant.most)
    }

    fn under_way(&self, is_it: impl Fn(&Call) -> bool) -> usize {
        let ours = |pending: &&Pending| matches!(pending, Pending::Ours(call) if is_it(call));
        self.pending.values().filter(ours).count()
    }

    /// What there is to be seen through a filter.
    fn infos(&self, filter: &Filter) -> Vec<Value> {
        let browser = filter.admits("browser").then(browser_info);
        let targets = self.targets.iter().flat_map(|(id, target)| {
            let own = filter.admits(&target.kind).then(|| target.info.clone());
            let tab = (target.kind == "page" && filter.admits("tab")).then(|| target.tab_info(id));
            own.into_iter().chain(tab)
        });
        browser.into_iter().chain(targets).collect()
    }

    /// A further session on the virtual browser itself.
    fn attach_to_browser(&mut self, to: &ReplyTo, method: &str, now: Now) {
        self.next += 1;
        let session: CdpSession = format!("browser.{}.{}", to.client, self.next).into();
        if let Some(client) = self.clients.get_mut(&to.client) {
            client.roots.insert(session.clone());
        }
        let params = json!({"sessionId": session, "targetInfo": browser_info(), "waitingForDebugger": false});
        let message = envelope::event("Target.attachedToTarget", params, to.session.as_deref());
        self.send(to.client, "Target.attachedToTarget", message, now);
        self.reply(to, method, &json!({"sessionId": session}), now);
    }

    fn discover(&mut self, to: ReplyTo, params: &Map<String, Value>, now: Now) {
        let on = params.get("discover").and_then(Value::as_bool) == Some(true);
        let filter = filter(params);
        let mut messages = Vec::new();
        if let Some(client) = self.clients.get_mut(&to.client) {
            client
                .discover
                .retain(|(session, _)| *session != to.session);
            if on {
                client.discover.push((to.session.clone(), filter.clone()));
                messages = self.infos(&filter);
            }
        }
        for info in messages {
            let event = envelope::event(
                "Target.targetCreated",
                json!({"targetInfo": info}),
                to.session.as_deref(),
            );
            self.send(to.client, "Target.targetCreated", event, now);
        }
        self.reply(&to, "Target.setDiscoverTargets", &json!({}), now);
    }

    /// Nothing new can be made in it; the ends of its targets are still told.
    pub(super) fn forget_context(&mut self, context: &str) {
        self.contexts.retain(|own| **own != *context);
    }
}

fn browser_info() -> Value {
    json!({"targetId": BROWSER, "type": "browser", "title": "", "url": "", "attached": true, "canAccessOpener": false})
}

fn filter(params: &Map<String, Value>) -> Filter {
    params
        .get("filter")
        .and_then(|filter| serde_json::from_value(filter.clone()).ok())
        .unwrap_or_default()
}
