//! What Chromium says: replies to numbered commands, and events.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    Attached, Call, CdpSession, Hub, Output, Owner, Pending, ReplyTo, targets::AttachedToTarget,
};
use crate::{
    cdp::{
        envelope::{self, Message},
        redact,
        table::{self, Verdict},
    },
    model::time::Now,
};

/// Requests of one CDP session whose question for a password is remembered.
const MOST_CHALLENGES: usize = 1000;

/// `Target.detachedFromTarget`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detached<'a> {
    #[serde(borrow)]
    session_id: Cow<'a, str>,
}

impl Hub {
    /// Takes one message from Chromium.
    pub fn handle_browser(&mut self, bytes: &[u8], now: Now) {
        let message: Message<'_> = match serde_json::from_slice(bytes) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(%error, "dropped a message from the browser that cannot be parsed");
                return;
            }
        };
        match (message.id, message.method.as_deref()) {
            (Some(id), _) => self.browser_reply(id, &message, now),
            (None, Some(method)) => {
                let params = message.params.unwrap_or(RawValue::NULL);
                match message.session.as_deref() {
                    None => self.root_event(method, params, now),
                    Some(session) => self.session_event(session, method, params, now),
                }
            }
            (None, None) => {
                tracing::warn!(
                    error = message.error.map(RawValue::get),
                    "the browser could not read a command"
                );
            }
        }
    }

    fn browser_reply(&mut self, id: u64, message: &Message<'_>, now: Now) {
        match self.pending.remove(&id) {
            None => {}
            Some(Pending::Client { to, row, made }) => {
                if let Some(client) = self.clients.get_mut(&to.client) {
                    client.under_way = client.under_way.saturating_sub(1);
                    self.client_reply(&to, row.name, made, message, now);
                }
            }
            Some(Pending::Ours(call)) => {
                let result = match (message.result, message.error) {
                    (Some(result), None) => {
                        serde_json::from_str(result.get()).map_err(|e| e.to_string())
                    }
                    (_, error) => Err(error.map_or("no result", RawValue::get).to_owned()),
                };
                self.our_reply(call, result, now);
            }
        }
    }

    fn client_reply(
        &mut self,
        to: &ReplyTo,
        method: &str,
        made: bool,
        message: &Message<'_>,
        now: Now,
    ) {
        let session = to.session.as_deref();
        let Some(result) = message.result else {
            let error = message.error.unwrap_or(RawValue::NULL);
            self.send(
                to.client,
                method,
                envelope::failure(to.id, error, session),
                now,
            );
            return;
        };
        if !redact::is_structural_reply(method) {
            self.send(
                to.client,
                method,
                envelope::reply(to.id, result, session),
                now,
            );
            return;
        }
        let Ok(mut value) = serde_json::from_str::<Value>(result.get()) else {
            self.refuse(
                to,
                envelope::Code::Server,
                "the browser's answer cannot be read",
                now,
            );
            return;
        };
        redact::reply(method, &mut value, &|name| !made && self.is_lent_name(name));
        if let Some(window) = value.get("windowId").and_then(Value::as_i64) {
            if let Some(client) = self.clients.get_mut(&to.client) {
                client.windows.insert(window);
            }
        }
        self.reply(to, method, &value, now);
    }

    fn our_reply(&mut self, call: Call, result: Result<Value, String>, now: Now) {
        match (call, result) {
            (Call::Ignored | Call::Vital, Ok(_)) => {}
            (Call::Ignored, Err(error)) => {
                tracing::debug!(error, "the browser did not do what it was asked");
            }
            (Call::Vital | Call::FirstContext | Call::FirstPage, Err(error)) => {
                tracing::error!(error, "the browser refused to be set up");
                self.fail("the browser refused to be set up");
            }
            (Call::FirstContext, Ok(result)) => match context_id(&result) {
                Some(context) => {
                    self.contexts.push(context.clone());
                    self.ask(
                        "Browser.setDownloadBehavior",
                        json!({"behavior": "allowAndName", "browserContextId": context,
                               "downloadPath": self.setup.downloads, "eventsEnabled": true}),
                        None,
                        Call::Vital,
                    );
                    self.ask(
                        "Target.createTarget",
                        json!({"url": "about:blank", "browserContextId": context}),
                        None,
                        Call::FirstPage,
                    );
                }
                None => self.fail("the browser made no context"),
            },
            (Call::FirstPage, Ok(_)) => self.out.push_back(Output::Warm),
            (Call::Fence(token), _) => self.out.push_back(Output::Flushed { token }),
            (Call::Emptied(token), _) => self.emptied(token, now),
            (Call::Left { page, again }, result) => {
                self.page_answered(&page, again, result.ok().as_ref(), now);
            }
            (Call::Cleared(network), _) => self.cleared(&network),
            (Call::Attach(attach), result) => {
                self.attached(attach, result.as_ref().map_err(Clone::clone), now);
            }
            (Call::CreateTarget(to), Ok(result)) => {
                let id: Option<Arc<str>> = result
                    .get("targetId")
                    .and_then(Value::as_str)
                    .map(Into::into);
                match id {
                    Some(id) => self.created(to, &id, now),
                    None => self.refuse(
                        &to,
                        envelope::Code::Server,
                        "the browser opened no page",
                        now,
                    ),
                }
            }
            (Call::CreateContext { to, dispose }, Ok(result)) => match context_id(&result) {
                Some(context) => {
                    self.contexts.push(context.clone());
                    self.made_contexts = true;
                    if dispose {
                        if let Some(client) = self.clients.get_mut(&to.client) {
                            client.disposable.push(context.clone());
                        }
                    }
                    self.reply(
                        &to,
                        "Target.createBrowserContext",
                        &json!({"browserContextId": context}),
                        now,
                    );
                }
                None => self.refuse(
                    &to,
                    envelope::Code::Server,
                    "the browser made no context",
                    now,
                ),
            },
            (Call::History { to, session, entry }, Ok(result)) => {
                self.history_known(&to, &session, entry, &result, now);
            }
            (
                Call::CreateTarget(to) | Call::CreateContext { to, .. } | Call::History { to, .. },
                Err(error),
            ) => {
                let error: Value = serde_json::from_str(&error).unwrap_or(Value::Null);
                let message = envelope::failure(to.id, error, to.session.as_deref());
                self.send(to.client, "failure", message, now);
            }
        }
    }

    fn root_event(&mut self, method: &str, params: &RawValue, now: Now) {
        if method == "Fetch.requestPaused" {
            self.request_paused(params.get(), now);
            return;
        }
        let Ok(mut params) = serde_json::from_str::<Value>(params.get()) else {
            return;
        };
        match method {
            "Browser.downloadWillBegin" | "Browser.downloadProgress" => {
                if method == "Browser.downloadWillBegin" {
                    self.download_begins(&params, now);
                }
                self.break_off_refused(&mut params);
                self.download_event(&params);
                redact::event(method, &mut params, &|_| true);
                let listeners: Vec<_> = self
                    .clients
                    .iter()
                    .flat_map(|(&number, client)| {
                        let sessions = client.download_events.iter().cloned();
                        sessions.map(move |session| (number, session))
                    })
                    .collect();
                for (client, session) in listeners {
                    let event = envelope::event(method, &params, session.as_deref());
                    self.send(client, method, event, now);
                }
            }
            _ => self.target_event(method, &params, now),
        }
    }

    fn session_event(&mut self, session: &str, method: &str, params: &RawValue, now: Now) {
        let Some(attached) = self.sessions.get(session) else {
            return;
        };
        match attached.owner {
            Owner::Broker => self.broker_event(session, method, params, now),
            Owner::Client(client) => self.client_event(client, session, method, params, now),
        }
    }

    /// An event of a session of our own: what the record and the vault need.
    fn broker_event(&mut self, session: &str, method: &str, params: &RawValue, now: Now) {
        match method {
            "Network.requestWillBeSent" => self.will_be_sent(session, params.get(), now),
            "Network.responseReceivedExtraInfo"
            | "Network.responseReceived"
            | "Network.loadingFailed"
            | "Network.loadingFinished"
            | "Network.webSocketCreated"
            | "Network.webSocketClosed" => self.request_told(session, method, params.get(), now),
            "Target.attachedToTarget" => {
                if let Ok(attached) = serde_json::from_str(params.get()) {
                    self.broker_attached(attached, Some(session.into()), now);
                }
            }
            "Target.detachedFromTarget" => {
                if let Ok(detached) = serde_json::from_str::<Detached<'_>>(params.get()) {
                    self.session_gone(&detached.session_id, now);
                }
            }
            _ => {}
        }
    }

    fn client_event(
        &mut self,
        client: u64,
        session: &str,
        method: &str,
        params: &RawValue,
        now: Now,
    ) {
        match method {
            "Target.attachedToTarget" => {
                let Ok(attached) = serde_json::from_str::<AttachedToTarget>(params.get()) else {
                    return;
                };
                let Some(target) = self.target_known(&attached.target_info, now) else {
                    return;
                };
                let parent: CdpSession = session.into();
                self.sessions.insert(
                    attached.session_id,
                    Attached {
                        owner: Owner::Client(client),
                        target,
                        parent: Some(parent),
                        by_root: false,
                        challenges: HashSet::new(),
                        pauses: HashMap::new(),
                    },
                );
                self.send(
                    client,
                    method,
                    envelope::event(method, params, Some(session)),
                    now,
                );
                return;
            }
            "Target.detachedFromTarget" => {
                let gone = serde_json::from_str::<Value>(params.get())
                    .ok()
                    .and_then(|params| params.get("sessionId")?.as_str().map(str::to_owned));
                if let Some(gone) = gone {
                    self.session_gone(&gone, now);
                }
                return;
            }
            _ => {}
        }
        let Some(row) = table::event(method) else {
            tracing::warn!(
                method,
                "dropped an event that has no row in the method table"
            );
            return;
        };
        match row.verdict {
            Verdict::Refuse | Verdict::Rewrite => {}
            Verdict::Redact if redact::is_structural_event(method) => {
                let Ok(mut value) = serde_json::from_str::<Value>(params.get()) else {
                    return;
                };
                redact::event(method, &mut value, &|name| self.is_lent_name(name));
                match method {
                    "Fetch.authRequired" => self.password_asked(session, &value),
                    "Fetch.requestPaused" => self.client_paused(session, &value),
                    _ => {}
                }
                self.send(
                    client,
                    method,
                    envelope::event(method, &value, Some(session)),
                    now,
                );
            }
            // The scan in `send` is what these rows ask for: their values have
            // no place of their own in the message.
            Verdict::Redact | Verdict::Allow | Verdict::Check => {
                self.send(
                    client,
                    method,
                    envelope::event(method, params, Some(session)),
                    now,
                );
            }
        }
    }

    /// Who asked for a password in a paused request: a client may answer a site.
    fn password_asked(&mut self, session: &str, params: &Value) {
        let request = params.get("requestId").and_then(Value::as_str);
        let (Some(attached), Some(request)) = (self.sessions.get_mut(session), request) else {
            return;
        };
        let source = params.pointer("/authChallenge/source");
        attached.challenges.remove(request);
        if attached.challenges.len() < MOST_CHALLENGES
            && source.and_then(Value::as_str) == Some("Server")
        {
            attached.challenges.insert(request.to_owned());
        }
    }
}

fn context_id(result: &Value) -> Option<Arc<str>> {
    result.get("browserContextId")?.as_str().map(Into::into)
}
