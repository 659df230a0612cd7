//! Clients come, say something, and leave. What one says is parsed, looked up in
//! the method table and put on record before anything comes of it.

use std::sync::Arc;

use serde_json::{json, value::RawValue};

use super::{Call, CdpSession, Client, ClientId, Hub, Owner, ReplyTo};
use crate::{
    cdp::{
        envelope::{self, Code, Command},
        looking::is_looking,
        table,
    },
    model::time::Now,
    trace::record::Event,
};

/// See [`Hub::explain`].
const EXPLAIN: &str = "Hallpass.explain";

/// All that is wanted of a message that is no command: the number by which its
/// client finds it again.
#[derive(serde::Deserialize)]
struct Id {
    id: i64,
}

/// What the client speaks to.
pub(super) enum Place {
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

    /// A client connected that may only look.
    pub fn watcher_opened(&mut self, client: ClientId, agent: &str, now: Now) -> bool {
        let entry = Client {
            watches: true,
            ..Client::default()
        };
        self.clients.insert(client, entry);
        self.client_event_record(client, "connected to watch", agent, now)
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
        let watches = self.clients.get(&client).is_some_and(|entry| entry.watches);
        if watches && !is_looking(&command.method) {
            let why = format!(
                "Hallpass refused {}: this connection may only look (rule `watch-only`); act by a connection with the session's own token",
                command.method
            );
            self.recorded(&to, &command.method, &place, "refuse", "watch-only", now);
            self.refuse(&to, Code::Server, &why, now);
            return;
        }
        if command.method == EXPLAIN {
            self.explain(&to, &place, command.params, now);
            return;
        }
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

    /// The one command that no browser has: the agent says, in its own words, what
    /// it is about to do and why. A person sees them with the next hold.
    fn explain(&mut self, to: &ReplyTo, place: &Place, params: Option<&RawValue>, now: Now) {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Explain {
            reason: String,
        }
        let params = params.map_or("{}", RawValue::get);
        let Ok(Explain { reason }) = serde_json::from_str(params) else {
            let why = format!("`{EXPLAIN}` takes one string, `reason`");
            self.refuse(to, Code::InvalidParams, &why, now);
            return;
        };
        if self.recorded(to, EXPLAIN, place, "rewrite", "", now) {
            self.explained(&reason);
            self.reply(to, EXPLAIN, &json!({}), now);
        }
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

    pub(super) fn recorded(
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
}
