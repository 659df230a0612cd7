//! What an agent's client says: parsed, looked up in the method table, checked,
//! put on record, and only then passed on or answered.

use std::{collections::HashSet, sync::Arc};

use serde_json::{Map, Value, json, value::RawValue};

use super::{
    AutoAttach, Call, CdpSession, Client, ClientId, Hub, Output, Owner, Pending, ReplyTo, detail,
    filter::Filter,
    targets::{Told, page_of},
};
use crate::{
    cdp::{
        check::{self, Around, Checked},
        envelope::{self, Code, Command},
        json,
        table::{self, Row, Verdict},
    },
    model::time::Now,
    trace::record::Event,
};

/// Commands that one client may have under way.
const MOST_IN_FLIGHT: usize = 10_000;

/// All that is wanted of a message that is no command: the number by which its
/// client finds it again.
#[derive(serde::Deserialize)]
struct Id {
    id: i64,
}

/// What the client speaks to.
enum Place {
    /// The virtual browser.
    Browser,
    /// A virtual tab around a page.
    Tab(Arc<str>),
    /// A CDP session of its own on a target.
    Target(Arc<str>),
}

impl Hub {
    /// A client connected.
    pub fn client_opened(&mut self, client: ClientId, agent: &str, now: Now) -> bool {
        self.clients.insert(client, Client::default());
        self.client_event_record(client, "connected", agent, now)
    }

    /// A client left, or was made to.
    pub fn client_closed(&mut self, client: ClientId, why: &str, now: Now) {
        let Some(entry) = self.clients.remove(&client) else {
            return;
        };
        self.client_event_record(client, "disconnected", why, now);
        self.stop_waiting(client);
        let mine: Vec<CdpSession> = self
            .sessions
            .iter()
            .filter(|(_, attached)| attached.owner == Owner::Client(client))
            .map(|(session, _)| session.clone())
            .collect();
        for session in mine {
            if let Some(attached) = self.sessions.remove(&session) {
                if attached.by_root {
                    self.ask(
                        "Target.detachFromTarget",
                        json!({"sessionId": session}),
                        None,
                        Call::Ignored,
                    );
                }
            }
        }
        for context in entry.disposable {
            self.forget_context(&context);
            self.ask(
                "Target.disposeBrowserContext",
                json!({"browserContextId": context}),
                None,
                Call::Ignored,
            );
        }
    }

    fn client_event_record(
        &mut self,
        connection: ClientId,
        what: &str,
        detail: &str,
        now: Now,
    ) -> bool {
        let event = Event::Client {
            what: what.to_owned(),
            connection,
            detail: detail.chars().take(200).collect(),
        };
        self.record(self.agent(), event, now).is_ok()
    }

    /// Takes one message from a client.
    pub fn handle_client(&mut self, client: ClientId, bytes: &[u8], now: Now) {
        if self.ended || !self.clients.contains_key(&client) {
            return;
        }
        let command: Command<'_> = match serde_json::from_slice(bytes) {
            Ok(command) => command,
            Err(error) => {
                self.malformed(client, bytes, &error, now);
                return;
            }
        };
        let to = ReplyTo {
            client,
            id: command.id,
            session: command.session.as_deref().map(Into::into),
        };
        let Some(place) = self.place(client, to.session.as_ref()) else {
            self.refuse(
                &to,
                Code::SessionNotFound,
                "Session with given id not found.",
                now,
            );
            return;
        };
        let Some(row) = table::method(&command.method) else {
            self.recorded(
                &to,
                &command.method,
                &place,
                "refuse",
                "not in the method table",
                now,
            );
            self.refuse(
                &to,
                Code::MethodNotFound,
                &format!("'{}' wasn't found", command.method),
                now,
            );
            return;
        };
        self.dispatch(to, row, &place, command.params, now);
    }

    fn malformed(&mut self, client: ClientId, bytes: &[u8], error: &serde_json::Error, now: Now) {
        let code = if error.is_syntax() || error.is_eof() {
            Code::Parse
        } else {
            Code::InvalidRequest
        };
        let id = serde_json::from_slice::<Id>(bytes)
            .ok()
            .map(|message| message.id);
        let why = format!(
            "Hallpass cannot read this message ({error}); expected one object with id, method, params and sessionId, each once"
        );
        let message = envelope::refusal(id, code, &why, None);
        self.send(client, "malformed", message, now);
        self.client_event_record(client, "malformed", &error.to_string(), now);
    }

    fn place(&self, client: ClientId, session: Option<&CdpSession>) -> Option<Place> {
        let Some(session) = session else {
            return Some(Place::Browser);
        };
        if let Some(attached) = self.sessions.get(session) {
            return (attached.owner == Owner::Client(client))
                .then(|| Place::Target(attached.target.clone()));
        }
        let entry = self.clients.get(&client)?;
        if entry.roots.contains(session) {
            return Some(Place::Browser);
        }
        entry.tabs.get(session).cloned().map(Place::Tab)
    }

    fn dispatch(
        &mut self,
        to: ReplyTo,
        row: &'static Row,
        place: &Place,
        params: Option<&RawValue>,
        now: Now,
    ) {
        // What is checked is parsed and written anew; what is not is passed on
        // as it came, inside an envelope of ours.
        let by_target = row.name.starts_with("Target.")
            || row.name.starts_with("Browser.")
            || matches!(row.verdict, Verdict::Check | Verdict::Rewrite);
        if let Some(Err(error)) = params.map(|params| json::unambiguous(params.get())) {
            let why = format!(
                "`params` is expected to be one object with each key once, at every depth ({error})"
            );
            self.refuse(&to, Code::InvalidParams, &why, now);
            return;
        }
        let parsed: Map<String, Value> = match params {
            Some(params) if by_target || detail::looks_into(row.name) => match strict(params) {
                Ok(parsed) => parsed,
                Err(why) => {
                    self.refuse(&to, Code::InvalidParams, &why, now);
                    return;
                }
            },
            _ => Map::new(),
        };
        let told = detail::detail(row.name, &parsed);
        if !self.recorded(&to, row.name, place, row.verdict.as_str(), &told, now) {
            self.refuse(&to, Code::Server, "Hallpass refused this command: it could not be put on record (rule `record-unavailable`)", now);
            return;
        }
        if row.verdict == Verdict::Refuse {
            let why = format!(
                "Hallpass refused {}: {} (rule `method-table`; see `hallpass policy explain cdp {}`)",
                row.name, row.reason, row.name
            );
            self.refuse(&to, Code::Server, &why, now);
            return;
        }
        if row.name.starts_with("Target.") {
            self.target_command(to, row, place, parsed, now);
        } else if let Place::Tab(_) = place {
            match row.name {
                "Runtime.runIfWaitingForDebugger" => self.reply(&to, row.name, &json!({}), now),
                _ => self.refuse(
                    &to,
                    Code::MethodNotFound,
                    &format!("'{}' wasn't found", row.name),
                    now,
                ),
            }
        } else if by_target {
            self.checked_command(to, row, place, parsed, now);
        } else if matches!(place, Place::Browser) {
            self.refuse(
                &to,
                Code::MethodNotFound,
                &format!("'{}' wasn't found", row.name),
                now,
            );
        } else {
            if row.name == "Page.reload" {
                self.told(place);
            }
            let session = to.session.clone();
            self.pass_on(to, row, params, session, now);
        }
    }

    fn checked_command(
        &mut self,
        to: ReplyTo,
        row: &'static Row,
        place: &Place,
        mut params: Map<String, Value>,
        now: Now,
    ) {
        let at_browser = is_browser_level(row.name);
        if matches!(place, Place::Browser) && !at_browser {
            self.refuse(
                &to,
                Code::MethodNotFound,
                &format!("'{}' wasn't found", row.name),
                now,
            );
            return;
        }
        match row.name {
            "Browser.close" => {
                self.reply(&to, row.name, &json!({}), now);
                self.fail("its agent closed the browser");
                return;
            }
            "Browser.getVersion" | "Browser.getGlobalPrivacyControl" => {
                self.pass_on(to, row, Some(params), None, now);
                return;
            }
            "Runtime.runIfWaitingForDebugger" => {
                if let Place::Target(target) = place {
                    self.stop_waiting_for(to.client, &target.clone());
                }
                let session = to.session.clone();
                self.pass_on(to, row, Some(params), session, now);
                return;
            }
            "Page.navigateToHistoryEntry" => {
                self.history_entry(to, &params, now);
                return;
            }
            _ => {}
        }
        if row.verdict == Verdict::Redact || row.verdict == Verdict::Allow {
            let session = if at_browser { None } else { to.session.clone() };
            self.pass_on(to, row, Some(params), session, now);
            return;
        }
        match self.check(to.client, row.name, &mut params, place, now) {
            None => {
                let why = format!(
                    "Hallpass refused {}: no check is written for it (rule `method-table`)",
                    row.name
                );
                self.refuse(&to, Code::Server, &why, now);
            }
            Some(Checked::Refuse(why)) => {
                self.recorded(&to, row.name, place, "refuse", &why, now);
                let why = format!("Hallpass refused {}: {why} (rule `arguments`)", row.name);
                self.refuse(&to, Code::Server, &why, now);
            }
            Some(Checked::Answer(result)) => self.reply(&to, row.name, &result, now),
            Some(Checked::Forward) => {
                match row.name {
                    "Browser.setDownloadBehavior" => {
                        if let Some(client) = self.clients.get_mut(&to.client) {
                            client.download_events = true;
                        }
                    }
                    "Page.navigate" => self.told(place),
                    _ => {}
                }
                let session = if at_browser { None } else { to.session.clone() };
                self.pass_on(to, row, Some(params), session, now);
            }
        }
    }

    fn check(
        &self,
        client: ClientId,
        method: &str,
        params: &mut Map<String, Value>,
        place: &Place,
        now: Now,
    ) -> Option<Checked> {
        let tenant = self.tenant.as_ref()?;
        let default = self.contexts.first()?;
        // `Browser.getWindowForTarget` without a target means the session's own.
        if method == "Browser.getWindowForTarget" && !params.contains_key("targetId") {
            if let Place::Target(target) = place {
                params.insert("targetId".into(), (**target).into());
            }
        }
        if let Some(Value::String(target)) = params.get_mut("targetId") {
            if let Some(page) = page_of(target) {
                *target = page.to_owned();
            }
        }
        let around = Around {
            leases: &tenant.leases,
            now,
            downloads: &self.setup.downloads,
            context: default,
            owns_context: &|context| self.contexts.iter().any(|own| **own == *context),
            owns_page: &|page| {
                self.targets
                    .get(page)
                    .is_some_and(|target| target.kind == "page")
            },
            owns_window: &|window| {
                self.clients
                    .get(&client)
                    .is_some_and(|entry| entry.windows.contains(&window))
            },
            lent: &|name| self.is_lent_name(name),
        };
        check::check(method, params, &around)
    }

    /// The agent told a page to go somewhere.
    fn told(&mut self, place: &Place) {
        if let Place::Target(id) = place {
            if let Some(target) = self.targets.get_mut(id) {
                target.told = Told::Next;
            }
        }
    }

    /// Where a history entry leads must be known before it is gone to.
    fn history_entry(&mut self, to: ReplyTo, params: &Map<String, Value>, now: Now) {
        match (
            params.get("entryId").and_then(Value::as_i64),
            to.session.clone(),
        ) {
            (Some(entry), Some(session)) => {
                let call = Call::History {
                    to,
                    session: session.clone(),
                    entry,
                };
                self.ask("Page.getNavigationHistory", json!({}), Some(&session), call);
            }
            _ => self.refuse(
                &to,
                Code::InvalidParams,
                "`entryId` is expected to be a number",
                now,
            ),
        }
    }

    pub(super) fn history_known(
        &mut self,
        to: &ReplyTo,
        session: &CdpSession,
        entry: i64,
        result: &Value,
        now: Now,
    ) {
        let url = result
            .get("entries")
            .and_then(Value::as_array)
            .and_then(|entries| {
                entries
                    .iter()
                    .find(|e| e.get("id").and_then(Value::as_i64) == Some(entry))
            })
            .and_then(|entry| entry.get("url"));
        match (check::navigable(url), table::method("Page.navigateToHistoryEntry")) {
            (Checked::Forward, Some(row)) => {
                self.pass_on(to.clone(), row, Some(json!({"entryId": entry})), Some(session.clone()), now);
            }
            _ => self.refuse(to, Code::Server, "Hallpass refused Page.navigateToHistoryEntry: no entry with that id that may be gone to (rule `arguments`)", now),
        }
    }

    fn pass_on(
        &mut self,
        to: ReplyTo,
        row: &'static Row,
        params: Option<impl serde::Serialize>,
        session: Option<CdpSession>,
        now: Now,
    ) {
        let is_full = self.pending.len() > MOST_IN_FLIGHT
            && self
                .pending
                .values()
                .filter(|pending| matches!(pending, Pending::Client { .. }))
                .count()
                > MOST_IN_FLIGHT;
        if is_full {
            self.refuse(&to, Code::Server, "Hallpass refused this command: too many are under way in this session; wait for replies", now);
            return;
        }
        self.next += 1;
        let message = envelope::command(self.next, row.name, params, session.as_deref());
        self.pending.insert(self.next, Pending::Client { to, row });
        self.out.push_back(Output::Browser(message));
    }

    fn recorded(
        &mut self,
        to: &ReplyTo,
        method: &str,
        place: &Place,
        verdict: &str,
        detail: &str,
        now: Now,
    ) -> bool {
        let target = match place {
            Place::Browser => None,
            Place::Tab(page) | Place::Target(page) => Some(page.to_string()),
        };
        let event = Event::Command {
            connection: to.client,
            method: method.chars().take(100).collect(),
            target,
            verdict: verdict.to_owned(),
            detail: detail.to_owned(),
        };
        self.record(self.agent(), event, now).is_ok()
    }

    /// Nothing new can be made in it; the ends of its targets are still told.
    fn forget_context(&mut self, context: &str) {
        self.contexts.retain(|own| **own != *context);
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each command")]
    fn target_command(
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
                            wait: params
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
                let filter = filter(&params);
                let infos: Vec<Value> = self
                    .targets
                    .iter()
                    .flat_map(|(id, target)| {
                        let own = filter.admits(&target.kind).then(|| target.info.clone());
                        let tab = (target.kind == "page" && filter.admits("tab"))
                            .then(|| target.tab_info(id));
                        own.into_iter().chain(tab)
                    })
                    .collect();
                self.reply(&to, method, &json!({"targetInfos": infos}), now);
            }
            "Target.getTargetInfo" => {
                let info = match (text("targetId"), place) {
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
                    (None, Place::Browser) => Some(
                        json!({"targetId": "browser", "type": "browser", "title": "", "url": "", "attached": true, "canAccessOpener": false}),
                    ),
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
                    Some(page) => self.attach_to_tab(&to, &page, now),
                    None if self.is_own(&id) => self.attach_by_command(to, id.into()),
                    None => self.refuse(&to, Code::InvalidParams, no_target, now),
                }
            }
            "Target.attachToBrowserTarget" => {
                self.next += 1;
                let session: CdpSession = format!("browser.{}.{}", to.client, self.next).into();
                if let Some(client) = self.clients.get_mut(&to.client) {
                    client.roots.insert(session.clone());
                }
                self.reply(&to, method, &json!({"sessionId": session}), now);
            }
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
        if let Checked::Refuse(why) = check::navigable(params.get("url")) {
            let why = format!("Hallpass refused Target.createTarget: {why} (rule `arguments`)");
            self.refuse(&to, Code::Server, &why, now);
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
                for (id, target) in &self.targets {
                    let own = filter.admits(&target.kind).then(|| target.info.clone());
                    let tab = (target.kind == "page" && filter.admits("tab"))
                        .then(|| target.tab_info(id));
                    messages.extend(own.into_iter().chain(tab));
                }
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
}

/// Commands that Chromium takes on its root session, where ours is: the few of
/// them that clients may use are sent there.
fn is_browser_level(method: &str) -> bool {
    method.starts_with("Browser.")
        || matches!(
            method,
            "Storage.getCookies"
                | "Storage.setCookies"
                | "Storage.clearCookies"
                | "SystemInfo.getProcessInfo"
                | "Schema.getDomains"
                | "Extensions.getExtensions"
        )
}

fn filter(params: &Map<String, Value>) -> Filter {
    params
        .get("filter")
        .and_then(|filter| serde_json::from_value(filter.clone()).ok())
        .unwrap_or_default()
}

/// Arguments as an object; what is passed on is written anew from it.
fn strict(params: &RawValue) -> Result<Map<String, Value>, String> {
    serde_json::from_str(params.get())
        .map_err(|error| format!("`params` is expected to be an object ({error})"))
}
