//! Requests that wait for a person.
//!
//! A held request stays paused for a while; then its page is told to send it
//! again, before its client's own patience ends. The hold stays open until a
//! person answers or its deadline denies it. What was approved too late for the
//! page goes through when the same request comes again.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use url::Url;

use super::{Hub, Output, intercept::Stage, intercept::network_id};
use crate::{
    broker::quota::HoldPlace,
    cdp::paused::Paused,
    model::{
        action::{Class, Refusal, RequestAction, Rule},
        body::{Body, Content},
        hold::{Hold, HoldAnswer, HoldEnd, HoldRule, Shape},
        id::{DelegationId, HoldId, PersonId},
        time::{BootTime, Now, Timestamp},
    },
    policy::Held,
    trace::record::{Actor, Event, Facts},
};

/// How long requests wait, and how many.
#[derive(Debug, Clone, Copy)]
pub struct HoldLimits {
    /// How long a page is kept waiting before it is told to try again.
    pub patience: std::time::Duration,
    /// How long a person may take.
    pub deadline: std::time::Duration,
    /// Most that wait in one session.
    pub most: usize,
}

/// Bytes of requests that may wait in one session.
const MOST_BYTES: usize = 16 << 20;

/// Longest text of a body that a person is shown.
const LONGEST_SHOWN: usize = 64 << 10;

/// Answers that are remembered.
const MOST_ANSWERS: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Holds {
    open: BTreeMap<HoldId, Open>,
    answers: Vec<Answer>,
    count: u64,
    /// Why, in the agent's words: of the next hold.
    says: Option<String>,
}

#[derive(Debug)]
struct Open {
    delegation: DelegationId,
    /// All that want an answer.
    wanted_by: Vec<DelegationId>,
    action: RequestAction,
    class: Class,
    shape: Option<Shape>,
    /// Its request, while it is paused.
    waiting: Option<Waiting>,
    deadline: BootTime,
    bytes: usize,
    /// Among those of the agent's that may wait.
    _place: HoldPlace,
}

#[derive(Debug)]
struct Waiting {
    params: String,
    network: String,
    frame: Option<String>,
    until: BootTime,
}

/// What a person said before.
#[derive(Debug)]
struct Answer {
    /// For what is done under these, no others among them.
    wanted_by: Vec<DelegationId>,
    what: Said,
}

#[derive(Debug)]
enum Said {
    /// That one request may go once.
    Once(Shape),
    /// What the rule fits may go.
    LikeThis(HoldRule),
    /// That one may not, with words for the agent.
    No(Shape, Option<String>),
}

/// What is known of a request that would be held.
enum Known {
    Nothing,
    MayGo,
    Denied(Option<String>),
}

/// The hold is not open any more, or the answer does not fit it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Answered, expired, or never there.
    #[error("the hold is not open any more")]
    Over,
    /// The rule is not the one that was shown.
    #[error("the rule is not the one that the hold shows; look at it again")]
    OtherRule,
    /// It could not be put on record.
    #[error("the answer could not be put on record, so nothing was let go")]
    Unrecorded,
}

impl Hub {
    /// What the agent says that it is about to do, for the next hold.
    pub fn explained(&mut self, words: &str) {
        let words = words.chars().take(crate::model::hold::LONGEST_WORDS);
        self.holds.says = Some(words.collect());
    }

    /// Remembers what the agent did last in a page.
    pub(super) fn acted(&mut self, target: &str, method: &'static str) {
        let acts = method.starts_with("Input.")
            || matches!(
                method,
                "Page.navigate" | "Page.reload" | "Runtime.evaluate" | "Runtime.callFunctionOn"
            );
        if !acts {
            return;
        }
        if let Some(target) = self.targets.get_mut(target) {
            // A click is told rather than the script that found what to click.
            let clicked = target
                .last_act
                .is_some_and(|last| last.starts_with("Input."));
            if !(clicked && method.starts_with("Runtime.")) {
                target.last_act = Some(method);
            }
        }
    }

    /// What the agent did last in a page.
    pub(super) fn last_act(&self, target: &str) -> Option<String> {
        let last = self.targets.get(target)?.last_act?;
        Some(last.to_owned())
    }

    /// A request that a person must answer for: let go where one has, refused where
    /// one has, else held. `true` means that it may go.
    pub(super) fn held(
        &mut self,
        paused: &Paused<'_>,
        action: &RequestAction,
        held: Held,
        params: &str,
        now: Now,
    ) -> bool {
        let shape = Shape::of(action);
        let Some(limits) = self.tenant.as_ref().map(|tenant| tenant.holds) else {
            self.block(paused);
            return false;
        };
        match self.holds.take_known(&held, action, shape) {
            Known::MayGo => return true,
            Known::Denied(words) => {
                let refusal = denied(action, held.delegation, None, words);
                self.deny(paused, action, refusal, now);
                return false;
            }
            Known::Nothing => {}
        }
        let waiting = Waiting {
            params: params.to_owned(),
            network: network_id(paused),
            frame: paused.frame_id.as_deref().map(str::to_owned),
            until: now.boot.saturating_add(limits.patience),
        };
        // Sent again, as its page was told to.
        let resent = self.holds.open.iter_mut().find(|(_, open)| {
            open.waiting.is_none()
                && open.wanted_by == held.wanted_by
                && shape.is_some()
                && open.shape == shape
        });
        if let Some((&hold, open)) = resent {
            open.waiting = Some(waiting);
            self.out.push_back(Output::HoldWaits {
                hold,
                waiting: true,
            });
            return false;
        }
        let bytes: usize = self.holds.open.values().map(|open| open.bytes).sum();
        let place = self.tenant.as_ref().and_then(|tenant| {
            let leases = &tenant.leases;
            leases.find(|lease| Some(lease.quota.hold()))?
        });
        let full = self.holds.open.len() >= limits.most || bytes + params.len() > MOST_BYTES;
        let Some(place) = place.filter(|_| !full) else {
            let mut refusal = Refusal::new(Rule::TooManyHolds, action.summary());
            refusal.delegation = Some(held.delegation);
            self.deny(paused, action, refusal, now);
            return false;
        };
        let Some(shown) = self.describe(paused, action, &held, now) else {
            self.block(paused);
            return false;
        };
        let event = Event::HoldOpened {
            hold: shown.id,
            request: network_id(paused),
            what: action.summary(),
            class: held.class,
            delegation: held.delegation,
            policies: held.policies,
            says: held.says,
            destination: action.destination,
            facts: Box::new(Facts::of(action)),
            page: shown.page.clone(),
            cause: shown.cause.clone(),
            agent_says: shown.agent_says.clone(),
            until: shown.deadline,
        };
        if self.record(Actor::Page, event, now).is_err() {
            self.block(paused);
            return false;
        }
        self.holds.open.insert(
            shown.id,
            Open {
                delegation: held.delegation,
                wanted_by: held.wanted_by,
                action: action.clone(),
                class: held.class,
                shape,
                waiting: Some(waiting),
                deadline: now.boot.saturating_add(limits.deadline),
                bytes: params.len(),
                _place: place,
            },
        );
        self.out.push_back(Output::Held(Box::new(shown)));
        false
    }

    fn describe(
        &mut self,
        paused: &Paused<'_>,
        action: &RequestAction,
        held: &Held,
        now: Now,
    ) -> Option<Hold> {
        let tenant = self.tenant.as_ref()?;
        self.holds.count += 1;
        let mut hash = Sha256::new();
        hash.update(tenant.session.to_string().as_bytes());
        hash.update(self.holds.count.to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let id = uuid::Builder::from_custom_bytes(*digest.first_chunk()?).into_uuid();
        let frame = paused.frame_id.as_deref().unwrap_or_default();
        let page = self
            .page_of_frame(frame)
            .map(ToString::to_string)
            .or_else(|| paused.header("referer").map(str::to_owned))
            .and_then(|page| Url::parse(&page).ok())
            .map(|page| crate::model::action::redacted_url(&page));
        let described = Hold {
            id: HoldId::from_uuid(id),
            session: tenant.session,
            agent: tenant.authority.agent,
            delegation: held.delegation,
            lender: held.lender,
            class: held.class,
            method: action.method.clone(),
            url: action.url.to_string(),
            destination: action.destination,
            body: shown(&action.body),
            body_size: action.body.size,
            page,
            cause: self.last_act(frame),
            agent_says: self.holds.says.take(),
            policies: held.policies.clone(),
            says: held.says.clone(),
            rule: HoldRule::of(action, held.class),
            opened_at: now.wall,
            deadline: Timestamp(now.wall.0.saturating_add(micros(tenant.holds.deadline))),
            waiting: true,
        };
        // A person reads it, and it lies about until then: without what is lent.
        let mut text = serde_json::to_vec(&described).ok()?;
        self.scanner.as_ref()?.blank(&mut text);
        serde_json::from_slice(&text).ok()
    }

    /// A person's answer.
    ///
    /// # Errors
    /// See [`AnswerError`]; then nothing was let go.
    pub fn answer_hold(
        &mut self,
        id: HoldId,
        answer: &HoldAnswer,
        person: PersonId,
        now: Now,
    ) -> Result<(), AnswerError> {
        let open = self.holds.open.get(&id).ok_or(AnswerError::Over)?;
        if let HoldAnswer::LikeThis { rule } = answer {
            if HoldRule::of(&open.action, open.class).as_ref() != Some(rule) {
                return Err(AnswerError::OtherRule);
            }
        }
        let (end, rule, words) = match answer {
            HoldAnswer::Once => (HoldEnd::Once, None, None),
            HoldAnswer::LikeThis { rule } => (HoldEnd::LikeThis, Some(rule.clone()), None),
            HoldAnswer::Deny { words } => (HoldEnd::Denied, None, words.clone()),
        };
        let actor = Actor::Person { id: person };
        let Some(open) = self.close_hold(id, end, actor, rule, words.clone(), now) else {
            return Err(AnswerError::Unrecorded);
        };
        let delegation = open.delegation;
        let mut remember = |what: Said| {
            let wanted_by = open.wanted_by.clone();
            self.holds.remember(Answer { wanted_by, what });
        };
        match (answer, open.shape) {
            (HoldAnswer::LikeThis { rule }, _) => remember(Said::LikeThis(rule.clone())),
            (HoldAnswer::Once, Some(shape)) if open.waiting.is_none() => {
                remember(Said::Once(shape));
            }
            (HoldAnswer::Deny { words }, Some(shape)) => {
                remember(Said::No(shape, words.clone()));
            }
            _ => {}
        }
        let Some(waiting) = open.waiting else {
            return Ok(());
        };
        if end == HoldEnd::Denied {
            let refusal = denied(&open.action, delegation, Some(id), words);
            self.refuse_paused(&waiting.params, &open.action, refusal, now);
        } else {
            self.decide(&waiting.params, Stage::Answered, now);
        }
        Ok(())
    }

    /// The window of what they wait for is over, or `None`: the session is.
    pub(super) fn deny_holds(&mut self, of: Option<DelegationId>, now: Now) {
        let end = match of {
            Some(_) => HoldEnd::WindowClosed,
            None => HoldEnd::SessionEnded,
        };
        let concerned = |open: &Open| of.is_none_or(|of| open.wanted_by.contains(&of));
        for id in self.holds.ids(concerned) {
            let Some(open) = self.close_hold(id, end, Actor::Broker, None, None, now) else {
                continue;
            };
            let (rule, delegation) = match of {
                Some(_) => (Rule::WindowClosed, Some(open.delegation)),
                None => (Rule::SessionEnded, None),
            };
            let mut refusal = Refusal::new(rule, open.action.summary());
            refusal.delegation = delegation;
            if let Some(waiting) = open.waiting {
                self.refuse_paused(&waiting.params, &open.action, refusal, now);
            }
        }
        self.holds
            .answers
            .retain(|answer| of.is_some_and(|of| !answer.wanted_by.contains(&of)));
    }

    /// A page gave a request up, or is gone: nobody needs to answer any more.
    pub(super) fn hold_given_up(&mut self, network: Option<&str>, frame: Option<&str>, now: Now) {
        let gone = |open: &Open| {
            open.waiting.as_ref().is_some_and(|waiting| {
                network.is_some_and(|network| waiting.network == network)
                    || frame.is_some() && waiting.frame.as_deref() == frame
            })
        };
        if self.holds.open.is_empty() {
            return;
        }
        for id in self.holds.ids(gone) {
            self.close_hold(id, HoldEnd::GivenUp, Actor::Broker, None, None, now);
        }
    }

    pub(super) fn holds_deadline(&self) -> Option<BootTime> {
        let open = self.holds.open.values();
        open.map(|open| match &open.waiting {
            Some(waiting) => waiting.until.min(open.deadline),
            None => open.deadline,
        })
        .min()
    }

    pub(super) fn holds_late(&mut self, now: Now) {
        for id in self.holds.ids(|open| now.boot >= open.deadline) {
            let open = self.close_hold(id, HoldEnd::Expired, Actor::Broker, None, None, now);
            if let Some(Open {
                action,
                delegation,
                waiting: Some(waiting),
                ..
            }) = open
            {
                let mut refusal = Refusal::new(Rule::HoldExpired, action.summary());
                refusal.delegation = Some(delegation);
                refusal.hold = Some(id);
                self.refuse_paused(&waiting.params, &action, refusal, now);
            }
        }
        let impatient = |open: &Open| {
            let waiting = open.waiting.as_ref();
            waiting.is_some_and(|waiting| now.boot >= waiting.until)
        };
        for id in self.holds.ids(impatient) {
            let Some(open) = self.holds.open.get_mut(&id) else {
                continue;
            };
            let (delegation, action) = (open.delegation, open.action.clone());
            if let Some(waiting) = open.waiting.take() {
                let mut refusal = Refusal::new(Rule::Held, action.summary());
                refusal.delegation = Some(delegation);
                refusal.hold = Some(id);
                self.refuse_paused(&waiting.params, &action, refusal, now);
                let waiting = false;
                self.out.push_back(Output::HoldWaits { hold: id, waiting });
            }
        }
    }

    /// Takes a hold off the list, on record; `None` where it is not there, or its
    /// end cannot be recorded, and then its request stays paused for good.
    fn close_hold(
        &mut self,
        id: HoldId,
        end: HoldEnd,
        actor: Actor,
        rule: Option<HoldRule>,
        words: Option<String>,
        now: Now,
    ) -> Option<Open> {
        let open = self.holds.open.remove(&id)?;
        self.out.push_back(Output::HoldEnded { hold: id, end });
        let event = Event::HoldEnded {
            hold: id,
            how: end,
            rule,
            words,
        };
        self.record(actor, event, now).ok().map(|_| open)
    }

    fn refuse_paused(&mut self, params: &str, action: &RequestAction, refusal: Refusal, now: Now) {
        // What was read once is read again; if not, it stays paused.
        if let Ok(paused) = serde_json::from_str::<Paused<'_>>(params) {
            self.deny(&paused, action, refusal, now);
        }
    }
}

impl Holds {
    fn ids(&self, which: impl Fn(&Open) -> bool) -> Vec<HoldId> {
        let open = self.open.iter().filter(|(_, open)| which(open));
        open.map(|(id, _)| *id).collect()
    }

    fn remember(&mut self, answer: Answer) {
        if self.answers.len() >= MOST_ANSWERS {
            self.answers.remove(0);
        }
        self.answers.push(answer);
    }

    /// What a person said before; what was let go once is let go no more.
    fn take_known(&mut self, held: &Held, action: &RequestAction, shape: Option<Shape>) -> Known {
        let mut answers = self.answers.iter();
        let found = answers.position(|answer| {
            answer.wanted_by == held.wanted_by
                && match &answer.what {
                    Said::Once(known) | Said::No(known, _) => Some(*known) == shape,
                    Said::LikeThis(rule) => rule.fits(action, held.class),
                }
        });
        let Some(found) = found else {
            return Known::Nothing;
        };
        match self.answers.get(found).map(|answer| &answer.what) {
            Some(Said::No(_, words)) => Known::Denied(words.clone()),
            Some(Said::Once(_)) => {
                self.answers.remove(found);
                Known::MayGo
            }
            Some(Said::LikeThis(_)) => Known::MayGo,
            None => Known::Nothing,
        }
    }
}

fn denied(
    action: &RequestAction,
    delegation: DelegationId,
    hold: Option<HoldId>,
    words: Option<String>,
) -> Refusal {
    let mut refusal = Refusal::new(Rule::HoldDenied, action.summary());
    refusal.delegation = Some(delegation);
    refusal.hold = hold;
    refusal.says = words.map(|words| format!("a person said no: “{words}”"));
    refusal
}

/// The body as far as a person can read it.
fn shown(body: &Body) -> Content {
    let cut = |text: &str| match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    };
    match body.content.clone() {
        Content::Text { text } => Content::Text { text: cut(&text) },
        Content::Json {
            text,
            names,
            graphql,
        } => Content::Json {
            text: cut(&text),
            names,
            graphql,
        },
        Content::Form { mut fields } => {
            for field in &mut fields {
                field.value = cut(&field.value);
            }
            Content::Form { fields }
        }
        other => other,
    }
}

fn micros(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
