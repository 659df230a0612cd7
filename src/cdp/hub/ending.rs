//! What becomes of pages and storage when a window closes and the session goes on:
//! what was shown and kept with the lent session must not outlive it.

use std::collections::{BTreeSet, HashMap};

use serde_json::json;

use super::{Call, Hub};
use crate::{
    cdp::envelope,
    model::{action::Refusal, action::Rule, id::DelegationId, origin::Origin, time::Now},
};

/// Origins that are remembered of one window.
const MOST_ORIGINS: usize = 256;

/// The event by which clients are told; no browser has it.
const WINDOW_CLOSED: &str = "Hallpass.windowClosed";

/// Origins that were reached with what a delegation lends.
#[derive(Debug, Default)]
pub(super) struct Touched(HashMap<DelegationId, BTreeSet<Origin>>);

impl Touched {
    pub(super) fn note(&mut self, delegation: DelegationId, origin: Origin) {
        let origins = self.0.entry(delegation).or_default();
        if origins.len() < MOST_ORIGINS {
            origins.insert(origin);
        }
    }
}

impl Hub {
    /// Replaces pages on the origins of a closed window by a notice, clears what
    /// those origins keep in the browser, and tells the clients. What another open
    /// window lends to is left alone.
    pub(super) fn clean_up(&mut self, delegation: DelegationId, now: Now) {
        let touched = self.touched.0.remove(&delegation).unwrap_or_default();
        let Some(tenant) = &self.tenant else {
            return;
        };
        let over: BTreeSet<Origin> = touched
            .into_iter()
            .filter(|origin| {
                let lent_still = |lease: &std::sync::Arc<crate::broker::lease::Lease>| {
                    (lease.is_open(now)
                        && !lease.cookies.is_empty()
                        && lease.scope.covers_origin(origin))
                    .then_some(())
                };
                tenant.leases.find(lent_still).is_none()
            })
            .collect();
        let closed = tenant.leases.find(|lease| {
            (lease.delegation == delegation)
                .then(|| lease.closed(now))
                .flatten()
        });
        self.clear_storage(&over);
        self.leave_pages(&over);
        let mut refusal = Refusal::new(Rule::WindowClosed, "further use of it");
        refusal.delegation = Some(delegation);
        refusal.closed = closed;
        let params = json!({
            "delegation": delegation,
            "reason": closed,
            "message": refusal.to_string(),
        });
        for client in self.clients.keys().copied().collect::<Vec<_>>() {
            let event = envelope::event(WINDOW_CLOSED, &params, None);
            self.send(client, WINDOW_CLOSED, event, now);
        }
    }

    /// Cookies that sites set meanwhile, storage, caches, service workers; the
    /// memory of the pages goes with them.
    fn clear_storage(&mut self, over: &BTreeSet<Origin>) {
        if over.is_empty() {
            return;
        }
        // One page of each context speaks for it.
        let mut speakers: HashMap<String, super::CdpSession> = HashMap::new();
        for target in self.targets.values().filter(|target| target.kind == "page") {
            let context = target.info.get("browserContextId");
            if let (Some(session), Some(context)) =
                (&target.broker, context.and_then(serde_json::Value::as_str))
            {
                speakers.insert(context.to_owned(), session.clone());
            }
        }
        for session in speakers.values() {
            for origin in over {
                let params = json!({"origin": origin, "storageTypes": "all"});
                self.ask(
                    "Storage.clearDataForOrigin",
                    params,
                    Some(session),
                    Call::Ignored,
                );
            }
            self.ask(
                "Network.clearBrowserCache",
                json!({}),
                Some(session),
                Call::Ignored,
            );
        }
    }

    /// Each is sent where it is already; that request is decided and refused.
    fn leave_pages(&mut self, over: &BTreeSet<Origin>) {
        let mut leaving = Vec::new();
        for (id, target) in &self.targets {
            let shown = matches!(target.kind.as_str(), "page" | "iframe");
            let origin = target.url.as_ref().and_then(Origin::of);
            if let (Some(session), Some(url), true, Some(origin)) =
                (&target.broker, &target.url, shown, origin)
            {
                if over.contains(&origin) {
                    let mut url = url.clone();
                    url.set_fragment(None);
                    let params = json!({"url": url, "frameId": id});
                    leaving.push((session.clone(), params));
                }
            }
        }
        for (session, params) in leaving {
            self.ask("Page.navigate", params, Some(&session), Call::Ignored);
        }
    }
}
