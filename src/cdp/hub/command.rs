//! A client's command by the verdict of its row: refused, answered here, or
//! checked and passed on under a number of ours.

use serde_json::{Map, Value, json, value::RawValue};

use super::{
    Call, CdpSession, Hub, Output, Pending, ReplyTo, acts,
    client::Place,
    detail,
    targets::{Told, page_of},
};
use crate::{
    cdp::{
        check::{self, Around, Checked},
        envelope::{self, Code},
        table::{self, Row, Verdict},
    },
    model::{json, time::Now},
};

impl Hub {
    pub(super) fn dispatch(
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
        if let (Some(act), Place::Target(target)) = (acts::act_of(row.name), place) {
            if let Err(refusal) = self.may_act(act, target, now) {
                let refusal = refusal.to_string();
                self.recorded(&to, row.name, place, "refuse", &refusal, now);
                self.refuse(&to, Code::Server, &refusal, now);
                return;
            }
        }
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
        if let Place::Target(target) = place {
            self.acted(target, row.name);
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
                // Who only looks holds nothing up, and lets nothing of others go.
                if self
                    .clients
                    .get(&to.client)
                    .is_some_and(|entry| entry.watches)
                {
                    self.reply(&to, row.name, &json!({}), now);
                    return;
                }
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
        match self.check(&to, row.name, &mut params, place, now) {
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
                            client.download_events.insert(to.session.clone());
                        }
                    }
                    "Page.navigate" => self.told(place),
                    "Fetch.continueRequest" | "Fetch.fulfillRequest" => {
                        self.client_continues(to.session.as_ref(), &params);
                    }
                    _ => {}
                }
                let session = if at_browser { None } else { to.session.clone() };
                self.pass_on(to, row, Some(params), session, now);
            }
        }
    }

    fn check(
        &self,
        to: &ReplyTo,
        method: &str,
        params: &mut Map<String, Value>,
        place: &Place,
        now: Now,
    ) -> Option<Checked> {
        let (client, session) = (to.client, to.session.as_ref());
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
            // At the browser a name may reach further than the session does.
            if is_browser_level(method) && !self.targets.contains_key(target.as_str()) {
                return Some(Checked::Refuse("no target with given id found".to_owned()));
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
            asked_by_site: &|request| match place {
                Place::Target(_) => session
                    .and_then(|session| self.sessions.get(session))
                    .is_some_and(|attached| attached.challenges.contains(request)),
                _ => false,
            },
            upload: &|path| self.uploads.get(path).cloned(),
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

    pub(super) fn pass_on(
        &mut self,
        to: ReplyTo,
        row: &'static Row,
        params: Option<impl serde::Serialize>,
        session: Option<CdpSession>,
        now: Now,
    ) {
        let most = self.most().commands;
        if let Some(client) = self.clients.get_mut(&to.client) {
            if client.under_way >= most {
                let why = format!(
                    "Hallpass refused {}: {most} commands of this connection are under way, which is the most (rule `limit`, `session.commands`); wait for replies",
                    row.name
                );
                self.refuse(&to, Code::Server, &why, now);
                return;
            }
            client.under_way += 1;
        }
        self.next += 1;
        let made = matches!(
            row.name,
            "Storage.getCookies" | "Network.getCookies" | "Network.getAllCookies"
        ) && self.is_of_made(session.as_deref(), &json!(params));
        let message = envelope::command(self.next, row.name, params, session.as_deref());
        self.pending
            .insert(self.next, Pending::Client { to, row, made });
        self.out.push_back(Output::Browser(message));
    }
}

impl Hub {
    /// Whether a command is about a context that a client made.
    fn is_of_made(&self, session: Option<&str>, params: &Value) -> bool {
        let context = match session {
            Some(session) => self
                .sessions
                .get(session)
                .and_then(|attached| self.targets.get(&attached.target))
                .and_then(|target| target.info.get("browserContextId")),
            None => params.get("browserContextId"),
        };
        let id = context.and_then(Value::as_str);
        id.is_some_and(|id| self.contexts.iter().skip(1).any(|own| **own == *id))
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

/// Arguments as an object; what is passed on is written anew from it.
fn strict(params: &RawValue) -> Result<Map<String, Value>, String> {
    serde_json::from_str(params.get())
        .map_err(|error| format!("`params` is expected to be an object ({error})"))
}
