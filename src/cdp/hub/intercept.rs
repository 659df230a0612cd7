//! The second ring: every paused request becomes an action, is decided afresh,
//! and continues, continues with lent cookies, or is answered with a notice.

use std::{collections::VecDeque, sync::Arc};

use data_encoding::BASE64;
use serde_json::{Value, json};
use url::Url;

use super::{Call, Hub, Output, Unrecorded, credentials::cookie_trace, notice};
use crate::{
    broker::{
        injection::{inject, strip},
        lease::LentCookie,
    },
    cdp::paused::Paused,
    model::{
        action::{Destination, Refusal, RequestAction, Rule, is_safe_method},
        cookie::{PartitionKey, SiteContext},
        id::DelegationId,
        origin::Origin,
        secret::Secret,
        time::Now,
    },
    policy::{Decision, Permit, decide_request},
    trace::record::{Actor, CookieTrace, Event},
};

/// How far a paused request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Just paused.
    Paused,
    /// Waited in vain for the browser to say who caused it.
    Waited,
    /// Decided once, and that is on record and durable.
    Recorded,
}

/// A request that waits for its record to be durable, as Chromium told it.
pub(super) struct Waiting(String);

/// Requests whose URLs are remembered until their headers are in.
const MOST_HOPS: usize = 4096;

impl Hub {
    /// `Fetch.requestPaused` on the root session.
    pub(super) fn request_paused(&mut self, params: &str, now: Now) {
        self.decide(params, Stage::Paused, now);
    }

    /// The record of a decision is durable (or never will be): decide again,
    /// for the window may have closed meanwhile, and act.
    pub fn handle_durable(&mut self, paused: &str, durable: bool, now: Now) {
        let Some(Waiting(params)) = self.paused.remove(paused) else {
            return;
        };
        if !durable {
            self.fail("its steps can no longer be put on record");
        }
        self.decide(&params, Stage::Recorded, now);
    }

    pub(super) fn decide(&mut self, params: &str, stage: Stage, now: Now) {
        let paused: Paused<'_> = match serde_json::from_str(params) {
            Ok(paused) => paused,
            Err(error) => {
                // It stays paused, which is a refusal too.
                tracing::error!(%error, "a paused request cannot be understood");
                return;
            }
        };
        if paused.is_answered() {
            self.response_paused(&paused, now);
            return;
        }
        if self.tenant.is_none() || self.ended {
            self.block(&paused);
            return;
        }
        let Some(url) = paused.url() else {
            self.block(&paused);
            return;
        };
        if matches!(url.scheme(), "data" | "blob") {
            // No bytes leave the browser for these.
            self.proceed(&paused, None, Vec::new());
            return;
        }
        let frame = paused.frame_id.as_deref().unwrap_or_default();
        let is_main = self
            .targets
            .get(frame)
            .is_some_and(|target| target.kind == "page");
        let destination = paused.destination(is_main);
        if destination == Destination::Page {
            self.follow_told(&paused);
        }
        let cause = self.cause(&paused, &url, destination);
        let site = cause.unwrap_or(SiteContext::CrossSite);
        let top = match destination {
            Destination::Page => Some(&url),
            _ => self.page_of_frame(frame),
        };
        let partition = top.and_then(Origin::of).map(|top| PartitionKey {
            top_level_site: top.site(),
            has_cross_site_ancestor: site == SiteContext::CrossSite,
        });
        let action = RequestAction {
            method: paused.method(),
            url,
            destination,
            site,
            partition,
        };
        if self.hold_back(&action, params) {
            return;
        }
        let Some(tenant) = &self.tenant else {
            return;
        };
        match decide_request(&action, &tenant.leases, now) {
            Decision::Deny(refusal) => self.deny(&paused, &action, refusal, now),
            Decision::Allow(permit) => {
                let waits =
                    stage == Stage::Paused && cause.is_none() && !permit.lending().is_empty();
                match paused.network_id.as_deref().filter(|_| waits) {
                    Some(request) => self.causes.wait(request, params, now),
                    None => self.allow(&paused, &action, &permit, params, stage, now),
                }
            }
        }
    }

    fn allow(
        &mut self,
        paused: &Paused<'_>,
        action: &RequestAction,
        permit: &Permit,
        params: &str,
        stage: Stage,
        now: Now,
    ) {
        let request = network_id(paused);
        if stage != Stage::Recorded {
            let event = self.request_event(paused, action, Ok(permit));
            let Ok(ticket) = self.record(Actor::Page, event, now) else {
                self.block(paused);
                return;
            };
            if !is_safe_method(&action.method) {
                let id = paused.request_id.to_string();
                self.paused.insert(id.clone(), Waiting(params.to_owned()));
                self.out.push_back(Output::Durable { ticket, paused: id });
                return;
            }
        }
        let stripped = self
            .tenant
            .as_ref()
            .and_then(|tenant| strip(paused.header("cookie")?, &tenant.leases, now));
        let own = stripped
            .as_ref()
            .map(Secret::expose)
            .or(paused.header("cookie"));
        let injection = if paused.is_anonymous() {
            None
        } else {
            inject(permit, action, own, now)
        };
        if let Some(injection) = &injection {
            let cookies = self.cookie_traces(&injection.cookies);
            if self
                .record(
                    Actor::Broker,
                    Event::Injection {
                        request: request.clone(),
                        cookies,
                    },
                    now,
                )
                .is_err()
            {
                self.block(paused);
                return;
            }
        }
        if self.hops.len() < MOST_HOPS {
            self.hops
                .entry(request)
                .or_default()
                .push_back(action.url.clone());
        }
        let wire: Vec<DelegationId> = permit
            .lending()
            .iter()
            .filter(|lease| {
                let carried = injection.iter().flat_map(|injection| &injection.cookies);
                carried
                    .into_iter()
                    .any(|lent| lease.cookies.iter().any(|own| Arc::ptr_eq(own, lent)))
            })
            .map(|lease| lease.delegation)
            .collect();
        let lent = self.carried(action, &wire, now);
        let header = injection.map(|injection| injection.header).or(stripped);
        self.proceed(paused, header.as_ref().map(Secret::expose), lent);
    }

    fn deny(&mut self, paused: &Paused<'_>, action: &RequestAction, refusal: Refusal, now: Now) {
        let event = self.request_event(paused, action, Err(&refusal));
        let refusal = match self.record(Actor::Page, event, now) {
            Ok(_) => refusal,
            Err(Unrecorded) => Refusal::new(Rule::RecordUnavailable, action.summary()),
        };
        match action.destination {
            Destination::Page | Destination::Frame => {
                let body = BASE64.encode(notice::page(&refusal).as_bytes());
                self.ask(
                    "Fetch.fulfillRequest",
                    json!({"requestId": paused.request_id, "responseCode": 403, "responseHeaders": notice::headers(), "body": body}),
                    None,
                    Call::Ignored,
                );
            }
            Destination::Load | Destination::Connect => self.block(paused),
        }
    }

    fn request_event(
        &self,
        paused: &Paused<'_>,
        action: &RequestAction,
        decided: Result<&Permit, &Refusal>,
    ) -> Event {
        Event::Request {
            request: network_id(paused),
            what: action.summary(),
            destination: action.destination,
            delegation: decided.ok().map(Permit::delegation),
            refusal: decided.err().cloned(),
            policy: self
                .tenant
                .as_ref()
                .map(|tenant| tenant.policy.to_string())
                .unwrap_or_default(),
        }
    }

    fn block(&mut self, paused: &Paused<'_>) {
        self.ask(
            "Fetch.failRequest",
            json!({"requestId": paused.request_id, "errorReason": "BlockedByClient"}),
            None,
            Call::Ignored,
        );
    }

    /// Lets a request go, with another `Cookie` header if there is one, and with
    /// what these leases lend.
    ///
    /// Chromium takes a header list whole, so the request's own are repeated.
    fn proceed(&mut self, paused: &Paused<'_>, cookie: Option<&str>, lent: Vec<DelegationId>) {
        let mut params = json!({"requestId": paused.request_id});
        if !lent.is_empty() {
            if let Some(params) = params.as_object_mut() {
                params.insert("interceptResponse".to_owned(), true.into());
            }
            self.took_off(paused, lent);
        }
        if let (Some(cookie), Some(params)) = (cookie, params.as_object_mut()) {
            let mut headers: Vec<Value> = paused
                .request
                .headers
                .iter()
                .filter(|(name, _)| !name.eq_ignore_ascii_case("cookie"))
                .map(|(name, value)| json!({"name": name, "value": value}))
                .collect();
            if !cookie.is_empty() {
                headers.push(json!({"name": "Cookie", "value": cookie}));
            }
            params.insert("headers".to_owned(), headers.into());
        }
        self.ask("Fetch.continueRequest", params, None, Call::Ignored);
    }

    fn cookie_traces(&self, cookies: &[Arc<LentCookie>]) -> Vec<CookieTrace> {
        let Some(tenant) = &self.tenant else {
            return Vec::new();
        };
        cookies
            .iter()
            .map(|cookie| cookie_trace(cookie, tenant.journal.as_ref()))
            .collect()
    }

    /// The URL that the next headers of a request are from.
    pub(super) fn next_hop(&mut self, request: &str) -> Option<Url> {
        self.hops.get_mut(request).and_then(VecDeque::pop_front)
    }
}

pub(super) fn network_id(paused: &Paused<'_>) -> String {
    paused
        .network_id
        .as_deref()
        .unwrap_or(&paused.request_id)
        .to_owned()
}
