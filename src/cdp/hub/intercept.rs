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
        action::{Class, Destination, Refusal, RequestAction, Rule, is_safe_method},
        cookie::{PartitionKey, SiteContext},
        id::DelegationId,
        origin::Origin,
        secret::Secret,
        time::Now,
    },
    policy::{Decision, Permit, decide_request},
    trace::record::{Actor, CookieTrace, Event, Facts},
};

/// How far a paused request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Just paused.
    Paused,
    /// Waited in vain for the browser to say who caused it.
    Waited,
    /// A person has let it go.
    Answered,
    /// Decided once, and that is on record and durable.
    Recorded,
    /// The same, and a person has let it go.
    AnsweredAndRecorded,
}

/// A request that waits for its record to be durable, as Chromium told it.
pub(super) struct Waiting {
    params: String,
    answered: bool,
}

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
        let Some(Waiting { params, answered }) = self.paused.remove(paused) else {
            return;
        };
        if !durable {
            self.fail("its steps can no longer be put on record");
        }
        let stage = if answered {
            Stage::AnsweredAndRecorded
        } else {
            Stage::Recorded
        };
        self.decide(&params, stage, now);
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
        let page = match destination {
            Destination::Page => None,
            _ => top.and_then(Origin::of),
        };
        let early = stage == Stage::Paused && cause.is_none() && paused.network_id.is_some();
        let action = RequestAction {
            method: paused.method(),
            body: paused.body(),
            // Where the browser has yet to say, it is waited for below.
            own_context: self.is_of_own_context(&paused).unwrap_or(early),
            url,
            destination,
            site,
            partition,
            page,
        };
        if self.is_barred(&action) {
            self.hold_back(params);
            return;
        }
        let Some(tenant) = &self.tenant else {
            return;
        };
        let (leases, authority) = (tenant.leases.clone(), tenant.authority.clone());
        let told = stage == Stage::Paused && cause.is_none();
        let unsure = paused.network_id.as_deref().filter(|_| told);
        let answered = matches!(stage, Stage::Answered | Stage::AnsweredAndRecorded);
        match decide_request(&action, &leases, &authority, answered, now) {
            Decision::Deny(refusal) => self.deny(&paused, &action, refusal, now),
            Decision::Hold(held) => {
                if let Some(request) = unsure {
                    self.causes.wait(request, params, now);
                } else if self.held(&paused, &action, held, params, now) {
                    self.decide(params, Stage::Answered, now);
                }
            }
            Decision::Allow(permit) => match unsure.filter(|_| !permit.lending().is_empty()) {
                Some(request) => self.causes.wait(request, params, now),
                None if self.is_closing(&action, now) => self.hold_back(params),
                None => self.allow(&paused, &action, &permit, params, stage, now),
            },
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
        let recorded = matches!(stage, Stage::Recorded | Stage::AnsweredAndRecorded);
        if !recorded {
            if let Err(rule) = self.spend(permit, action, now) {
                let mut refusal = Refusal::new(rule, action.summary());
                refusal.delegation = Some(permit.delegation());
                self.deny(paused, action, refusal, now);
                return;
            }
            let event = self.request_event(paused, action, Ok(permit), stage == Stage::Answered);
            let Ok(ticket) = self.record(self.actor_of(paused), event, now) else {
                self.block(paused);
                return;
            };
            if !is_safe_method(&action.method) || permit.class() != Class::Read {
                let id = paused.request_id.to_string();
                let waiting = Waiting {
                    params: params.to_owned(),
                    answered: stage == Stage::Answered,
                };
                self.paused.insert(id.clone(), waiting);
                self.out.push_back(Output::Durable { ticket, paused: id });
                return;
            }
        }
        let stripped = self
            .tenant
            .as_ref()
            // A context that the agent made has a jar of its own, and nothing else.
            .filter(|_| action.own_context)
            .and_then(|tenant| strip(paused.header("cookie")?, &tenant.leases, now));
        let own = stripped
            .as_ref()
            .map(Secret::expose)
            .or(paused.header("cookie"));
        let injection = if paused.is_anonymous() || !action.own_context {
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
        if self.hops.len() < MOST_HOPS && action.own_context {
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
        let lent = if action.own_context {
            self.carried(action, &wire, now)
        } else {
            Vec::new()
        };
        if let Some(origin) = Origin::of(&action.url) {
            for &delegation in &lent {
                self.endings.note(delegation, origin.clone());
            }
        }
        let header = injection.map(|injection| injection.header).or(stripped);
        self.proceed(paused, header.as_ref().map(Secret::expose), lent);
    }

    /// Takes one request from what the agent may use, and from the budgets of what
    /// it is lent by; a budget that is used up closes its window.
    fn spend(&mut self, permit: &Permit, action: &RequestAction, now: Now) -> Result<(), Rule> {
        let writes = permit.class() != Class::Read || !is_safe_method(&action.method);
        let Some(tenant) = &self.tenant else {
            return Err(Rule::SessionEnded);
        };
        let quota = tenant.leases.find(|lease| Some(lease.quota.clone()));
        if quota.is_some_and(|quota| quota.take_request(now).is_err()) {
            return Err(Rule::AgentLimit);
        }
        let mut used_up = None;
        tenant.leases.each(|lease| {
            let concerned = lease.delegation == permit.delegation()
                || permit
                    .lending()
                    .iter()
                    .any(|lending| Arc::ptr_eq(lending, lease));
            if concerned && !lease.spend_request(writes) {
                used_up = Some(lease.delegation);
            }
        });
        let Some(delegation) = used_up else {
            return Ok(());
        };
        self.out.push_back(Output::UsedUp(delegation));
        Err(Rule::BudgetUsedUp)
    }

    pub(super) fn deny(
        &mut self,
        paused: &Paused<'_>,
        action: &RequestAction,
        refusal: Refusal,
        now: Now,
    ) {
        let event = self.request_event(paused, action, Err(&refusal), false);
        let refusal = match self.record(self.actor_of(paused), event, now) {
            Ok(_) => refusal,
            Err(Unrecorded) => Refusal::new(Rule::RecordUnavailable, action.summary()),
        };
        self.ran_into(paused, action, &refusal, now);
        let leases = self.tenant.as_ref().map(|tenant| &tenant.leases);
        let ask = leases.and_then(|leases| notice::ask(&refusal, action, leases));
        let ask = ask.as_ref();
        let answer = match action.destination {
            Destination::Page | Destination::Frame => notice::page(&refusal, ask),
            // A script may read it where it could have read the answer.
            Destination::Connect => match notice::problem(&refusal, action, paused, ask) {
                Some(answer) => answer,
                None => return self.block(paused),
            },
            Destination::Load => return self.block(paused),
        };
        let body = BASE64.encode(answer.body.as_bytes());
        self.ask(
            "Fetch.fulfillRequest",
            json!({"requestId": paused.request_id, "responseCode": 403, "responseHeaders": answer.headers, "body": body}),
            None,
            Call::Ignored,
        );
    }

    fn request_event(
        &self,
        paused: &Paused<'_>,
        action: &RequestAction,
        decided: Result<&Permit, &Refusal>,
        answered: bool,
    ) -> Event {
        Event::Request {
            request: network_id(paused),
            what: action.summary(),
            destination: action.destination,
            delegation: decided.ok().map(Permit::delegation),
            refusal: decided.err().cloned(),
            policy: match (decided, &self.tenant) {
                (Ok(permit), _) => permit.revision().to_owned(),
                (Err(_), Some(tenant)) => tenant.authority.policies.bundle().revision().to_string(),
                (Err(_), None) => String::new(),
            },
            class: decided.ok().map(Permit::class),
            facts: Box::new(Facts::of(action)),
            answered,
            policies: decided
                .map(|permit| permit.policies().to_vec())
                .unwrap_or_default(),
        }
    }

    pub(super) fn block(&mut self, paused: &Paused<'_>) {
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
