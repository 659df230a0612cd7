//! The decision about a request: the scopes of the session's leases, then the
//! policies; and the built-in rules for connections.

use std::{net::IpAddr, sync::Arc};

use super::{
    Authority, Decision, Held, Permit,
    address::is_public,
    bundle::{Bundle, Ruling},
    question::{Act, Place, Question},
};
use crate::{
    broker::lease::{Lease, Leases},
    model::{
        action::{Class, ConnectAction, Destination, Refusal, RequestAction, Rule},
        origin::{Origin, OriginPattern, Scheme},
        scope::{Scope, Writes},
        time::Now,
    },
};

/// Why a scope alone makes a request wait.
pub const WRITES_WAIT: &str =
    "it changes something, and the delegation lets changes go only after a person's answer";

/// Why what would wait for two persons is refused.
pub const MANY_LENDERS: &str =
    "it would need the answers of several persons; use a session that one person lends to";

/// Decides a paused request.
///
/// A request is covered when one open lease covers origin, path and method
/// together, or lists the origin for that kind of sub-resource (then nothing
/// is lent). The cookies of every lease that covers it may go along. Otherwise
/// the refusal names the lease that came nearest.
///
/// Then the policies are asked about it under each lease that covers it, and must
/// permit it under every one: the cookies of all of them may lie in the browser.
/// Where one of them, or a lease that lends, wants a person's answer, it waits;
/// `answered` says that a person has let this very request go.
#[must_use]
pub fn decide_request(
    action: &RequestAction,
    leases: &Leases,
    authority: &Authority,
    answered: bool,
    now: Now,
) -> Decision {
    decide_recorded(action, leases, authority, None, answered, now)
}

/// The same where it is on record what kind of act it was: parts of the request
/// that told so may be on record no more. Rules for single sites still decide.
#[must_use]
pub fn decide_recorded(
    action: &RequestAction,
    leases: &Leases,
    authority: &Authority,
    class: Option<Class>,
    answered: bool,
    now: Now,
) -> Decision {
    let Some(origin) = Origin::of(&action.url) else {
        return Decision::Deny(Refusal::new(Rule::SchemeRefused, action.summary()));
    };
    let mut nearest = Refusal::new(Rule::OriginOutOfScope, action.summary());
    let mut rank = 0;
    let mut covering: Vec<(Arc<Lease>, bool)> = Vec::new();
    leases.each(|lease| {
        let (near, rule) = match nearness(action, &origin, &lease.scope) {
            Nearness::Covered { own } if lease.is_open(now) => {
                covering.push((lease.clone(), own));
                return;
            }
            Nearness::Covered { .. } => (4, Rule::WindowClosed),
            Nearness::Short(near, rule) => (near, rule),
            Nearness::Elsewhere => return,
        };
        let closed = lease.closed(now);
        let (near, rule) = match closed {
            Some(_) => (near.max(1), Rule::WindowClosed),
            None => (near + 4, rule),
        };
        if near > rank {
            rank = near;
            nearest.rule = rule;
            nearest.delegation = Some(lease.delegation);
            nearest.closed = closed;
        }
    });
    let Some((first, _)) = covering.first() else {
        return Decision::Deny(nearest);
    };
    let bundle = authority.policies.bundle();
    let classes = bundle.classes();
    let mut permit = Permit::nothing(first, &bundle);
    permit.class = match (classes.of_site(action), class) {
        (Some(class), _) | (None, Some(class)) => class,
        (None, None) => classes.classify(action),
    };
    ask_each(
        action,
        &covering,
        authority,
        (&bundle, permit),
        answered,
        now,
    )
}

fn ask_each(
    action: &RequestAction,
    covering: &[(Arc<Lease>, bool)],
    authority: &Authority,
    (bundle, mut permit): (&Bundle, Permit),
    answered: bool,
    now: Now,
) -> Decision {
    let class = permit.class;
    let mut held: Option<Held> = None;
    for (lease, own) in covering {
        let lends = *own && action.own_context && !lease.cookies.is_empty();
        let terms = (&**lease, lends, !own);
        let question = Question::request(authority.agent, action, class, terms, now);
        let (policies, says) = match bundle.ask(&question) {
            Ruling::Permit(policies) => {
                permit.policies.extend(policies);
                let waits = lends
                    && matches!(class, Class::Write | Class::Destructive)
                    && lease.scope.writes == Writes::Hold;
                (Vec::new(), waits.then(|| WRITES_WAIT.to_owned()))
            }
            Ruling::Hold { policies, says } => (policies, Some(says)),
            Ruling::Forbid { policies, says } => {
                let what = action.summary();
                let refusal = Refusal::by_policy(what, lease.delegation, policies, says);
                return Decision::Deny(refusal);
            }
        };
        if lends {
            permit.lending.push(lease.clone());
        }
        if let Some(says) = says {
            let held = held.get_or_insert_with(|| Held {
                delegation: lease.delegation,
                wanted_by: Vec::new(),
                lender: lease.lender,
                class,
                policies: Vec::new(),
                says,
            });
            // Nobody answers for what another person lends.
            if held.lender != lease.lender {
                let what = action.summary();
                let says = MANY_LENDERS.to_owned();
                let refusal = Refusal::by_policy(what, lease.delegation, policies, says);
                return Decision::Deny(refusal);
            }
            held.wanted_by.push(lease.delegation);
            held.policies.extend(policies);
        }
    }
    permit.policies.sort_unstable();
    permit.policies.dedup();
    match held {
        Some(held) if !answered => Decision::Hold(held),
        held => {
            permit
                .policies
                .extend(held.into_iter().flat_map(|held| held.policies));
            Decision::Allow(permit)
        }
    }
}

/// Decides what an agent does in a page besides requests: the policies are asked
/// under each open lease that covers the page. Where none does, nothing lent is at
/// stake and nobody is asked.
///
/// # Errors
/// Why it is refused.
pub fn decide_act(
    act: Act,
    page: &url::Url,
    leases: &Leases,
    authority: &Authority,
    now: Now,
) -> Result<(), Refusal> {
    let bundle = authority.policies.bundle();
    if bundle.always_permits(authority.agent, act) {
        return Ok(());
    }
    let Some(origin) = Origin::of(page) else {
        return Ok(());
    };
    let refused = leases.find(|lease| {
        if !lease.is_open(now) || !lease.scope.covers_origin(&origin) {
            return None;
        }
        let question = Question {
            place: Place::Url(page),
            lease: Some(lease),
            lent: !lease.cookies.is_empty(),
            same_site: true,
            page: Some(&origin),
            now,
            ..Question::any(authority.agent, act)
        };
        match bundle.ask(&question) {
            Ruling::Permit(_) => None,
            // Nobody can be asked about a command: only a request waits.
            Ruling::Hold { policies, says } | Ruling::Forbid { policies, says } => {
                let what = format!("{} on {origin}", act.as_str());
                Some(Refusal::by_policy(what, lease.delegation, policies, says))
            }
        }
    });
    refused.map_or(Ok(()), Err)
}

/// Decides a connection before its name is resolved.
///
/// # Errors
/// Why it is refused.
pub fn decide_connect(
    action: &ConnectAction,
    leases: &Leases,
    authority: &Authority,
    now: Now,
) -> Result<Permit, Refusal> {
    let what = format!("a connection to {}:{}", action.host, action.port);
    decide_endpoint(what, action, leases, authority, now, |scope| {
        scope.covers_endpoint(&action.host, action.port)
    })
}

/// Decides a connection whose scheme is known: one that asks for a page in
/// clear text, or one whose first bytes were seen.
///
/// # Errors
/// Why it is refused.
pub fn decide_connect_as(
    scheme: Scheme,
    action: &ConnectAction,
    leases: &Leases,
    authority: &Authority,
    now: Now,
) -> Result<Permit, Refusal> {
    let ConnectAction { host, port } = action;
    let what = format!("a connection to {}://{host}:{port}", scheme.as_str());
    decide_endpoint(what, action, leases, authority, now, |scope| {
        scope.covers_endpoint_as(scheme, host, *port)
    })
}

fn decide_endpoint(
    what: String,
    action: &ConnectAction,
    leases: &Leases,
    authority: &Authority,
    now: Now,
    covers: impl Fn(&Scope) -> bool,
) -> Result<Permit, Refusal> {
    let mut nearest = Refusal::new(Rule::OriginOutOfScope, what.clone());
    let host = action.host.to_string();
    let bundle = authority.policies.bundle();
    let mut permit = None;
    let refused = leases.find(|lease| {
        if !covers(&lease.scope) {
            return None;
        }
        if !lease.is_open(now) {
            nearest.rule = Rule::WindowClosed;
            nearest.delegation = Some(lease.delegation);
            nearest.closed = lease.closed(now);
            return None;
        }
        let question = Question {
            place: Place::Endpoint(&host, action.port),
            lease: Some(lease),
            lent: !lease.cookies.is_empty(),
            now,
            ..Question::any(authority.agent, Act::Tunnel)
        };
        match bundle.ask(&question) {
            Ruling::Permit(policies) => {
                let permit = permit.get_or_insert_with(|| Permit::nothing(lease, &bundle));
                permit.policies.extend(policies);
                None
            }
            Ruling::Hold { policies, says } | Ruling::Forbid { policies, says } => {
                let what = what.clone();
                Some(Refusal::by_policy(what, lease.delegation, policies, says))
            }
        }
    });
    match (refused, permit) {
        (Some(refusal), _) => Err(refusal),
        (None, Some(permit)) => Ok(permit),
        (None, None) => Err(nearest),
    }
}

/// Decides the address that a name resolved to: public ones may be used,
/// private and special ones only where an open lease names them.
#[must_use]
pub fn decide_address(action: &ConnectAction, address: IpAddr, leases: &Leases, now: Now) -> bool {
    is_public(address)
        || leases
            .find(|lease| {
                (lease.is_open(now)
                    && lease.scope.covers_endpoint(&action.host, action.port)
                    && lease
                        .scope
                        .names_address(&action.host, action.port, address))
                .then_some(())
            })
            .is_some()
}

enum Nearness {
    Covered { own: bool },
    Short(u8, Rule),
    Elsewhere,
}

fn nearness(action: &RequestAction, origin: &Origin, scope: &Scope) -> Nearness {
    if scope.covers_origin(origin) {
        return if !scope.covers_path(&action.url) {
            Nearness::Short(1, Rule::PathOutOfScope)
        } else if scope.covers_method(&action.method) {
            Nearness::Covered { own: true }
        } else {
            Nearness::Short(2, Rule::MethodOutOfScope)
        };
    }
    let lists = |patterns: &[OriginPattern]| patterns.iter().any(|p| p.covers(origin));
    let listed = match action.destination {
        Destination::Page | Destination::Frame => false,
        Destination::Load => lists(&scope.load),
        Destination::Connect => lists(&scope.connect),
    };
    if listed {
        if scope.covers_method(&action.method) {
            Nearness::Covered { own: false }
        } else {
            Nearness::Short(2, Rule::MethodOutOfScope)
        }
    } else if lists(&scope.load) || lists(&scope.connect) {
        Nearness::Short(1, Rule::NavigationOutOfScope)
    } else {
        Nearness::Elsewhere
    }
}
