//! Delegations in words.

use std::fmt::Display;

use super::super::{context::Context, output::Table, time};
use crate::{
    model::{
        action::is_safe_method,
        delegation::{Delivery, State, Terms},
        scope::{Budget, Scope, Writes},
        time::Timestamp,
    },
    service::{DelegationInfo, Phase},
};

/// One, with everything that an approver should see.
pub(super) fn one(context: &Context, info: &DelegationInfo) {
    let delegation = &info.delegation;
    let (terms, word) = terms(info);
    let scope = &terms.scope;
    context.fields(&[
        ("delegation", delegation.id.to_string()),
        (
            "agent",
            format!("{} ({})", info.agent_name, delegation.agent),
        ),
        ("purpose", delegation.purpose.clone()),
        ("status", status(context, info)),
        ("window", window(context, terms)),
        (word, list(&scope.origins)),
        ("paths", list(&scope.paths)),
        ("methods", list(&scope.methods)),
        ("may load", list(&scope.load)),
        ("may connect", list(&scope.connect)),
        ("other hosts", unknown(scope)),
        ("addresses", list(&scope.addresses)),
        ("writes", writes(scope)),
        ("budget", budget(scope)),
        ("cookies", cookies(info)),
        ("next", next(info)),
    ]);
}

fn unknown(scope: &Scope) -> String {
    if scope.proposes() {
        "refused, and proposed to you".to_owned()
    } else {
        String::new()
    }
}

fn writes(scope: &Scope) -> String {
    let reads_only = scope
        .methods
        .iter()
        .all(|method| is_safe_method(method.as_str()));
    match scope.writes {
        _ if reads_only => String::new(),
        Writes::Hold => "each waits for a person".to_owned(),
        Writes::Allow => "go without being asked about, unless a policy holds them".to_owned(),
    }
}

fn budget(scope: &Scope) -> String {
    let Budget {
        requests,
        writes,
        bytes,
    } = scope.budget;
    let parts = [("requests", requests), ("writes", writes), ("bytes", bytes)];
    let parts: Vec<String> = parts
        .iter()
        .filter_map(|(what, most)| most.map(|most| format!("{most} {what}")))
        .collect();
    parts.join(", ")
}

/// All, a line each.
pub(super) fn all(context: &Context, delegations: &[DelegationInfo]) {
    let mut table = Table::new(["DELEGATION", "AGENT", "STATUS", "WHERE", "PURPOSE"]);
    for info in delegations {
        let scope: &Scope = &terms(info).0.scope;
        table.row([
            info.delegation.id.to_string(),
            info.agent_name.clone(),
            status(context, info),
            list(&scope.origins),
            info.delegation.purpose.clone(),
        ]);
    }
    context.list(
        &table,
        "no delegation; ask for one with `hallpass delegation request`",
    );
}

/// What was granted, or else requested; and which of the two it is.
const fn terms(info: &DelegationInfo) -> (&Terms, &'static str) {
    match &info.delegation.state {
        State::Approved { granted, .. }
        | State::Closed {
            granted: Some(granted),
            ..
        } => (granted, "granted"),
        State::Requested | State::Closed { granted: None, .. } => {
            (&info.delegation.requested, "asks for")
        }
    }
}

fn status(context: &Context, info: &DelegationInfo) -> String {
    let window = terms(info).0.window;
    match (info.phase, &info.delegation.state) {
        (_, State::Closed { reason, at, .. }) => format!(
            "closed: {}, {}",
            format!("{reason:?}").to_lowercase(),
            context.when(*at)
        ),
        (Phase::Requested, _) => "requested, waits for a person".to_owned(),
        (Phase::Pending, _) => format!("pending, begins {}", context.when(window.start)),
        (Phase::Open, _) => format!("open, ends {}", context.when(window.end)),
        (Phase::Closed, _) => "closed".to_owned(),
    }
}

fn window(context: &Context, terms: &Terms) -> String {
    let show = |at: Timestamp| time::clock(at, context.now(), &context.zone);
    let (start, end) = (terms.window.start, terms.window.end);
    format!(
        "{} to {} ({})",
        show(start),
        show(end),
        time::length(start.until(end))
    )
}

fn cookies(info: &DelegationInfo) -> String {
    let terms = terms(info).0;
    let lent = terms.credentials.iter().map(|lent| {
        let label = info
            .cookies
            .iter()
            .find(|label| label.credential == lent.credential);
        let name = label.map_or_else(
            || lent.credential.to_string(),
            |label| format!("{} of {}", label.name, label.domain),
        );
        format!("{name}{}", delivery(lent.delivery))
    });
    let wanted = info.wanted.iter().map(|named| {
        format!(
            "{} of {}{}",
            named.name,
            named.origin,
            delivery(named.delivery)
        )
    });
    lent.chain(wanted).collect::<Vec<_>>().join(", ")
}

const fn delivery(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Wire => "",
        Delivery::Jar => " (jar)",
    }
}

fn next(info: &DelegationInfo) -> String {
    let id = info.delegation.id;
    match info.phase {
        Phase::Requested => {
            format!("`hallpass delegation approve {id}`, or `deny`")
        }
        Phase::Pending | Phase::Open => format!(
            "`hallpass session start --agent {} --delegation {id}`; `hallpass delegation revoke {id}` takes it back",
            info.agent_name
        ),
        Phase::Closed => String::new(),
    }
}

fn list<T: Display>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
