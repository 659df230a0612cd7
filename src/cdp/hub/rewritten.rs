//! Requests that a client has paused in its own `Fetch` and lets go otherwise than
//! they were. They are paused again nearer to the network and decided as they are
//! then; here it is remembered whose doing they are, and who had caused them.

use serde_json::{Map, Value};
use url::Url;

use super::{CdpSession, Hub};
use crate::{cdp::paused::Paused, trace::record::Actor};

/// Pauses of one CDP session that are remembered.
const MOST_PAUSES: usize = 4096;

/// What a client may change of a request.
const CHANGES: [&str; 4] = ["url", "method", "headers", "postData"];

impl Hub {
    /// `Fetch.requestPaused` on a client's session.
    pub(super) fn client_paused(&mut self, session: &str, params: &Value) {
        let text = |key: &str| params.get(key).and_then(Value::as_str);
        let (Some(pause), Some(network)) = (text("requestId"), text("networkId")) else {
            return;
        };
        if let Some(attached) = self.sessions.get_mut(session) {
            // Those that were failed or lost are never asked for again.
            if attached.pauses.len() >= MOST_PAUSES {
                attached.pauses.clear();
            }
            attached.pauses.insert(pause.to_owned(), network.to_owned());
        }
    }

    /// `Fetch.continueRequest` and its like, by a client.
    pub(super) fn client_continues(
        &mut self,
        session: Option<&CdpSession>,
        params: &Map<String, Value>,
    ) {
        let pause = params.get("requestId").and_then(Value::as_str);
        let network = session
            .and_then(|session| self.sessions.get_mut(session))
            .and_then(|attached| attached.pauses.remove(pause?));
        let Some(network) = network else {
            return;
        };
        if CHANGES.iter().any(|name| params.contains_key(*name)) {
            let url = params.get("url").and_then(Value::as_str);
            let url = url.and_then(|url| Url::parse(url).ok());
            self.causes.rewritten(&network, url.as_ref());
        }
    }

    /// Who is told to have made a request.
    pub(super) fn actor_of(&self, paused: &Paused<'_>) -> Actor {
        let network = paused.network_id.as_deref().unwrap_or_default();
        if self.causes.is_rewritten(network) {
            self.agent()
        } else {
            Actor::Page
        }
    }
}
