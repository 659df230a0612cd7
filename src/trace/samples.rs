//! Records of every kind, for tests.

use std::sync::Arc;

use uuid::Uuid;

use super::{Actor, BodyFacts, CookieTrace, Draft, Event, Facts};
use crate::model::{
    action::{Class, Destination, Refusal, Rule},
    body::Operation,
    delegation::{CloseReason, Delivery, LentCredential, Terms, Window},
    hold::{HoldEnd, HoldRule},
    id::{AgentId, CredentialId, DelegationId, HoldId, PersonId, SessionId},
    scope::Scope,
    time::Timestamp,
};

pub(crate) fn delegation() -> DelegationId {
    DelegationId::from_uuid(Uuid::from_u128(3))
}

pub(crate) fn person() -> PersonId {
    PersonId::from_uuid(Uuid::from_u128(4))
}

pub(crate) fn agent() -> AgentId {
    AgentId::from_uuid(Uuid::from_u128(5))
}

pub(crate) fn cookie(name: &str) -> CookieTrace {
    CookieTrace {
        credential: CredentialId::from_uuid(Uuid::from_u128(6)),
        name: name.into(),
        domain: "a.test".into(),
        delivery: Delivery::Wire,
        digest: "d".repeat(64),
    }
}

pub(crate) fn terms(paths: &[String]) -> Terms {
    let mut scope = Scope::reading(vec!["https://a.test".parse().unwrap()]);
    scope.paths = paths.iter().map(|path| path.parse().unwrap()).collect();
    Terms {
        scope,
        window: Window {
            start: Timestamp(0),
            end: Timestamp(1),
        },
        credentials: vec![LentCredential {
            credential: CredentialId::from_uuid(Uuid::from_u128(6)),
            delivery: Delivery::Jar,
        }],
    }
}

pub(crate) fn navigation(n: u32) -> Draft {
    Draft {
        at: Timestamp(i64::from(n)),
        actor: Actor::Page,
        event: Event::Navigation {
            target: "T".into(),
            url: format!("https://a.test/{n}"),
        },
    }
}

pub(crate) fn end() -> Draft {
    Draft {
        at: Timestamp(9),
        actor: Actor::Broker,
        event: Event::SessionEnded {
            reason: "completed".into(),
        },
    }
}

/// One of each kind; `text` and `count` wherever a text or a count goes.
pub(crate) fn all(text: &str, count: u64) -> Vec<Event> {
    let text = Arc::<str>::from(text);
    let t = || text.to_string();
    let refusal = || Refusal {
        rule: Rule::NavigationOutOfScope,
        delegation: Some(delegation()),
        closed: Some(CloseReason::Exhausted),
        what: t(),
        hold: Some(HoldId::from_uuid(Uuid::from_u128(9))),
        policies: vec![t(); 40],
        says: Some(t()),
    };
    let cookie = || CookieTrace {
        name: t(),
        domain: t(),
        digest: t(),
        ..cookie("")
    };
    let facts = || {
        let body = BodyFacts {
            kind: t(),
            size: count,
            fields: vec![t(); 40],
            graphql: Some(Operation::Mutation),
        };
        Box::new(Facts {
            cross_site: true,
            other_context: true,
            page: Some(t()),
            body: Some(body),
        })
    };
    vec![
        Event::Broker {
            what: t(),
            version: t(),
        },
        Event::Registry {
            what: t(),
            id: t(),
            detail: t(),
        },
        Event::CallRefused {
            route: t(),
            reason: t(),
        },
        Event::DelegationRequested {
            delegation: delegation(),
            agent: agent(),
            lender: person(),
            purpose: t(),
            requested: terms(&["/x/*".into()]),
        },
        Event::DelegationApproved {
            delegation: delegation(),
            approver: person(),
            granted: terms(&["/x/*".into(), "/y".into()]),
        },
        Event::DelegationClosed {
            delegation: delegation(),
            reason: CloseReason::Revoked,
        },
        Event::SessionStarted {
            session: SessionId::from_uuid(Uuid::from_u128(8)),
            agent: agent(),
            delegations: vec![delegation(); 3],
            browser: t(),
        },
        Event::WindowOpened {
            delegation: delegation(),
            lender: person(),
            approver: person(),
            from: Timestamp(0),
            until: Timestamp(1_000_000),
            scope: terms(&["/x/*".into()]).scope,
            cookies: vec![cookie(), cookie()],
        },
        Event::SessionEnded { reason: t() },
        Event::Client {
            what: t(),
            connection: count,
            detail: t(),
        },
        Event::Command {
            connection: count,
            method: t(),
            target: Some(t()),
            verdict: t(),
            detail: t(),
        },
        Event::Request {
            request: t(),
            what: t(),
            destination: Destination::Connect,
            delegation: Some(delegation()),
            refusal: None,
            policy: t(),
            class: Some(Class::Write),
            facts: facts(),
            answered: true,
            policies: vec![t(); 40],
        },
        Event::Request {
            request: t(),
            what: t(),
            destination: Destination::Page,
            delegation: None,
            refusal: Some(refusal()),
            policy: t(),
            class: None,
            facts: Box::default(),
            answered: false,
            policies: Vec::new(),
        },
        Event::SecondSystem {
            origin: "https://b.test".parse().unwrap(),
            what: t(),
            page: Some(t()),
            cause: Some(t()),
        },
        Event::HoldOpened {
            hold: HoldId::from_uuid(Uuid::from_u128(9)),
            request: t(),
            what: t(),
            class: Class::Destructive,
            delegation: delegation(),
            policies: vec![t(); 40],
            says: t(),
            destination: Destination::Page,
            facts: facts(),
            page: Some(t()),
            cause: Some(t()),
            agent_says: Some(t()),
            until: Timestamp(i64::MAX / 4096),
        },
        Event::HoldEnded {
            hold: HoldId::from_uuid(Uuid::from_u128(9)),
            how: HoldEnd::LikeThis,
            rule: Some(HoldRule {
                method: t(),
                origin: "https://b.test".parse().unwrap(),
                path: t(),
                query: (0..40).map(|n| format!("{n}{text}")).collect(),
                body: t(),
                fields: (0..40).map(|n| format!("{n}{text}")).collect(),
                class: Class::Write,
            }),
            words: Some(t()),
        },
        Event::Injection {
            request: t(),
            cookies: vec![cookie()],
        },
        Event::Rotation {
            cookie: cookie(),
            what: t(),
        },
        Event::Navigation {
            target: t(),
            url: t(),
        },
        Event::Outcome {
            request: t(),
            status: Some(u16::MAX),
            error: Some(t()),
        },
        Event::Connection {
            host: t(),
            port: u16::MAX,
            address: Some(t()),
            delegation: Some(delegation()),
            refusal: Some(refusal()),
        },
        Event::ConnectionEnded {
            host: t(),
            port: u16::MAX,
            sent: count,
            received: count,
            how: t(),
        },
        Event::Redaction { method: t(), count },
    ]
}
