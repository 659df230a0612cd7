//! A recorded session, decided again by another bundle.
//!
//! The windows, the agent and the requests are taken from the record; the time of
//! each decision is the time that it was made at. What was decided by a scope or
//! a window alone comes out the same.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;
use url::Url;

use super::{Authority, Decision, Policies, bundle::Bundle, decide_recorded};
use crate::{
    broker::lease::{Lease, Leases, LentCookie},
    model::{
        action::{Class, Destination, Refusal, RequestAction, Rule},
        body::{Body, Content, Field, Part},
        cookie::{CookieAttributes, SiteContext},
        delegation::{LiveWindow, Window},
        id::{AgentId, DelegationId},
        secret::Secret,
        time::{BootTime, Now, Timestamp},
    },
    trace::{
        chain::StoredRecord,
        record::{BodyFacts, CookieTrace, Event, Facts},
    },
};

/// How something was or would be decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "decided", rename_all = "lowercase")]
pub enum Outcome {
    /// Let go.
    Allow {
        /// By these policies.
        policies: Vec<String>,
    },
    /// Held for a person.
    Hold {
        /// By these policies; none where the delegation does.
        policies: Vec<String>,
        /// Why.
        says: String,
    },
    /// Refused.
    Deny {
        /// By this rule.
        rule: Rule,
        /// And these policies.
        policies: Vec<String>,
        /// Why.
        says: String,
    },
}

/// One decision, then and now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// Number of its record.
    pub seq: u64,
    /// When it was made.
    pub at: Timestamp,
    /// What it was about.
    pub what: String,
    /// What kind of act it was, where that is on record.
    pub class: Option<Class>,
    /// Bundle that decided.
    pub revision: Option<String>,
    /// How it was decided.
    pub was: Outcome,
    /// How the other bundle decides it.
    pub would_be: Outcome,
}

/// Everything of a session that was decided, and how another bundle decides it.
#[must_use]
pub fn replay<'a>(
    records: impl IntoIterator<Item = &'a StoredRecord>,
    bundle: Bundle,
) -> Vec<Decided> {
    let policies = Arc::new(Policies::new(bundle));
    let leases = Leases::default();
    let mut by_id: HashMap<DelegationId, Arc<Lease>> = HashMap::new();
    let mut agent: Option<AgentId> = None;
    let mut decided = Vec::new();
    for record in records {
        match &record.event {
            Event::SessionStarted { agent: whose, .. } => agent = Some(*whose),
            Event::WindowOpened { .. } => {
                if let Some(lease) = lease(&record.event) {
                    let lease = Arc::new(lease);
                    by_id.insert(lease.delegation, lease.clone());
                    leases.add(lease);
                }
            }
            Event::DelegationClosed { delegation, reason } => {
                if let Some(lease) = by_id.get(delegation) {
                    lease.close(*reason);
                }
            }
            event => {
                let Some((asked, was)) = asked(event) else {
                    continue;
                };
                let Some(agent) = agent else { continue };
                let authority = Authority {
                    agent,
                    policies: policies.clone(),
                };
                let now = now(record.at);
                let would_be = decide_recorded(
                    &asked.action,
                    &leases,
                    &authority,
                    asked.class,
                    asked.answered,
                    now,
                );
                if let (Outcome::Allow { .. }, Some(id)) = (&was, asked.delegation) {
                    if let Some(lease) = by_id.get(&id) {
                        let writes = asked.class.is_some_and(|class| class != Class::Read);
                        // Only counted; what was let go was let go.
                        let _ = lease.spend_request(writes);
                    }
                }
                decided.push(Decided {
                    seq: record.seq,
                    at: record.at,
                    what: asked.what.to_owned(),
                    class: asked.class,
                    revision: asked.revision.map(str::to_owned),
                    was,
                    would_be: would_be.into(),
                });
            }
        }
    }
    decided
}

struct Asked<'a> {
    what: &'a str,
    action: RequestAction,
    class: Option<Class>,
    answered: bool,
    delegation: Option<DelegationId>,
    revision: Option<&'a str>,
}

fn asked(event: &Event) -> Option<(Asked<'_>, Outcome)> {
    match event {
        Event::Request {
            what,
            destination,
            delegation,
            refusal,
            policy,
            class,
            facts,
            answered,
            policies,
            ..
        } => {
            let was = match refusal {
                None => Outcome::Allow {
                    policies: policies.clone(),
                },
                // A hold's own record tells of it; this is how it ended.
                Some(refusal) if is_of_a_hold(refusal) => return None,
                Some(refusal) => refusal.clone().into(),
            };
            let asked = Asked {
                what,
                action: action(what, *destination, facts)?,
                class: *class,
                answered: *answered,
                delegation: *delegation,
                revision: Some(policy),
            };
            Some((asked, was))
        }
        Event::HoldOpened {
            what,
            class,
            delegation,
            destination,
            policies,
            says,
            facts,
            ..
        } => {
            let was = Outcome::Hold {
                policies: policies.clone(),
                says: says.clone(),
            };
            let asked = Asked {
                what,
                action: action(what, *destination, facts)?,
                class: Some(*class),
                answered: false,
                delegation: Some(*delegation),
                revision: None,
            };
            Some((asked, was))
        }
        _ => None,
    }
}

const fn is_of_a_hold(refusal: &Refusal) -> bool {
    matches!(
        refusal.rule,
        Rule::Held | Rule::HoldDenied | Rule::HoldExpired | Rule::TooManyHolds
    )
}

fn action(what: &str, destination: Destination, facts: &Facts) -> Option<RequestAction> {
    let (method, url) = what.split_once(' ')?;
    Some(RequestAction {
        site: if facts.cross_site {
            SiteContext::CrossSite
        } else {
            SiteContext::SameSite
        },
        own_context: !facts.other_context,
        page: facts.page.as_deref().and_then(|page| page.parse().ok()),
        body: facts.body.as_ref().map(body).unwrap_or_default(),
        ..RequestAction::new(method, Url::parse(url).ok()?, destination)
    })
}

/// A body of the same kind, size and names. What was in it is not on record.
fn body(facts: &BodyFacts) -> Body {
    let names = || facts.fields.iter().cloned();
    let content = match facts.kind.as_str() {
        "form" => Content::Form {
            fields: names()
                .map(|name| Field {
                    name,
                    value: String::new(),
                })
                .collect(),
        },
        "json" => Content::Json {
            text: String::new(),
            names: names().collect(),
            graphql: facts.graphql,
        },
        "multipart" => Content::Multipart {
            parts: names()
                .map(|name| Part {
                    name,
                    file: None,
                    size: 0,
                    value: None,
                })
                .collect(),
        },
        "text" => Content::Text {
            text: String::new(),
        },
        "binary" => Content::Binary,
        "none" => Content::Empty,
        _ => Content::Unseen,
    };
    Body {
        size: facts.size,
        content,
    }
}

/// A lease as its record tells of it, with cookies that hold nothing.
fn lease(event: &Event) -> Option<Lease> {
    let Event::WindowOpened {
        delegation,
        lender,
        approver,
        from,
        until,
        scope,
        cookies,
    } = event
    else {
        return None;
    };
    let live = LiveWindow {
        window: Window {
            start: *from,
            end: *until,
        },
        opens: now(*from).boot,
        closes: now(*until).boot,
    };
    let cookies = cookies.iter().map(|cookie| Arc::new(empty(cookie)));
    Some(Lease::new(
        *delegation,
        *lender,
        *approver,
        scope.clone(),
        live,
        cookies.collect(),
    ))
}

fn empty(cookie: &CookieTrace) -> LentCookie {
    let attributes = CookieAttributes {
        name: cookie.name.clone(),
        domain: cookie.domain.clone(),
        host_only: true,
        path: "/".to_owned(),
        secure: false,
        http_only: true,
        same_site: None,
        partition_key: None,
        expires: None,
    };
    LentCookie::new(
        cookie.credential,
        attributes,
        cookie.delivery,
        Secret::new(String::new()),
    )
}

// The record has the wall clock alone; the other one goes along with it here.
fn now(at: Timestamp) -> Now {
    Now {
        wall: at,
        boot: BootTime(u64::try_from(at.0).unwrap_or_default()),
    }
}

impl Outcome {
    /// Whether two are of the same kind: the policies may differ.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Deny {
            rule: refusal.rule,
            says: refusal.reason().to_owned(),
            policies: refusal.policies,
        }
    }
}

impl From<Decision> for Outcome {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Allow(permit) => Self::Allow {
                policies: permit.policies().to_vec(),
            },
            Decision::Hold(held) => Self::Hold {
                policies: held.policies,
                says: held.says,
            },
            Decision::Deny(refusal) => refusal.into(),
        }
    }
}
