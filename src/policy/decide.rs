//! The built-in rules: scope and window.

use std::net::IpAddr;

use super::{Decision, Permit, address::is_public};
use crate::{
    broker::lease::Leases,
    model::{
        action::{ConnectAction, Destination, Refusal, RequestAction, Rule},
        origin::{Origin, OriginPattern, Scheme},
        scope::Scope,
        time::Now,
    },
};

/// Decides a paused request.
///
/// A request is allowed when one open lease covers origin, path and method
/// together, or lists the origin for that kind of sub-resource (then nothing
/// is lent). The cookies of every lease that covers it may go along. Otherwise
/// the refusal names the lease that came nearest.
#[must_use]
pub fn decide_request(action: &RequestAction, leases: &Leases, now: Now) -> Decision {
    let Some(origin) = Origin::of(&action.url) else {
        return Decision::Deny(Refusal::new(Rule::SchemeRefused, action.summary()));
    };
    let mut nearest = Refusal::new(Rule::OriginOutOfScope, action.summary());
    let mut rank = 0;
    let mut permit: Option<Permit> = None;
    leases.each(|lease| {
        let (near, rule) = match nearness(action, &origin, &lease.scope) {
            Nearness::Covered { lends } if lease.is_open(now) => {
                let permit = permit.get_or_insert_with(|| Permit {
                    delegation: lease.delegation,
                    lending: Vec::new(),
                });
                if lends && !lease.cookies.is_empty() {
                    permit.lending.push(lease.clone());
                }
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
    permit.map_or(Decision::Deny(nearest), Decision::Allow)
}

/// Decides a connection before its name is resolved.
#[must_use]
pub fn decide_connect(action: &ConnectAction, leases: &Leases, now: Now) -> Decision {
    let what = format!("a connection to {}:{}", action.host, action.port);
    decide_endpoint(what, leases, now, |scope| {
        scope.covers_endpoint(&action.host, action.port)
    })
}

/// Decides a connection whose scheme is known: one that asks for a page in
/// clear text, or one whose first bytes were seen.
#[must_use]
pub fn decide_connect_as(
    scheme: Scheme,
    action: &ConnectAction,
    leases: &Leases,
    now: Now,
) -> Decision {
    let ConnectAction { host, port } = action;
    let what = format!("a connection to {}://{host}:{port}", scheme.as_str());
    decide_endpoint(what, leases, now, |scope| {
        scope.covers_endpoint_as(scheme, host, *port)
    })
}

fn decide_endpoint(
    what: String,
    leases: &Leases,
    now: Now,
    covers: impl Fn(&Scope) -> bool,
) -> Decision {
    let mut nearest = Refusal::new(Rule::OriginOutOfScope, what);
    let allowed = leases.find(|lease| {
        if !covers(&lease.scope) {
            return None;
        }
        if lease.is_open(now) {
            return Some(Permit {
                delegation: lease.delegation,
                lending: Vec::new(),
            });
        }
        nearest.rule = Rule::WindowClosed;
        nearest.delegation = Some(lease.delegation);
        nearest.closed = lease.closed(now);
        None
    });
    allowed.map_or(Decision::Deny(nearest), Decision::Allow)
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
    Covered { lends: bool },
    Short(u8, Rule),
    Elsewhere,
}

fn nearness(action: &RequestAction, origin: &Origin, scope: &Scope) -> Nearness {
    if scope.covers_origin(origin) {
        return if !scope.covers_path(&action.url) {
            Nearness::Short(1, Rule::PathOutOfScope)
        } else if scope.covers_method(&action.method) {
            Nearness::Covered { lends: true }
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
            Nearness::Covered { lends: false }
        } else {
            Nearness::Short(2, Rule::MethodOutOfScope)
        }
    } else if lists(&scope.load) || lists(&scope.connect) {
        Nearness::Short(1, Rule::NavigationOutOfScope)
    } else {
        Nearness::Elsewhere
    }
}
