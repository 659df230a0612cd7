//! Leases to decide by.

use std::{sync::Arc, time::Duration};

use hallpass::{
    broker::lease::{Lease, Leases, LentCookie},
    clock::Clock,
    model::{
        cookie::CookieAttributes,
        delegation::{Delivery, LiveWindow, Window},
        id::{AgentId, CredentialId, DelegationId, PersonId},
        scope::Scope,
        secret::Secret,
    },
    policy::Authority,
};
use uuid::Uuid;

/// What the lent cookies hold.
pub const VALUE: &str = "0f6c1d9be4a24c3f9c1e7a55d0b3f8a2";

/// A lease on the origin for an hour from now, with one cookie.
pub fn lease(number: u128, origin: &str) -> Arc<Lease> {
    let now = Clock.now();
    let length = Duration::from_hours(1);
    let origin: hallpass::model::origin::OriginPattern = origin.parse().unwrap();
    let attributes = CookieAttributes {
        name: "sid".into(),
        domain: "app.test".into(),
        host_only: true,
        path: "/".into(),
        secure: true,
        http_only: true,
        same_site: None,
        partition_key: None,
        expires: None,
    };
    let cookie = LentCookie::new(
        CredentialId::from_uuid(Uuid::from_u128(number)),
        attributes,
        Delivery::Wire,
        Secret::new(VALUE.into()),
    );
    let person = PersonId::from_uuid(Uuid::from_u128(number));
    Arc::new(Lease::new(
        DelegationId::from_uuid(Uuid::from_u128(number)),
        person,
        person,
        Scope::reading(vec![origin]),
        LiveWindow {
            window: Window {
                start: now.wall,
                end: now.wall.saturating_add(length),
            },
            opens: now.boot,
            closes: now.boot.saturating_add(length),
        },
        vec![Arc::new(cookie)],
    ))
}

/// So many leases, of which the last alone is on the origin.
pub fn leases(count: u128, origin: &str) -> Arc<Leases> {
    let leases = Arc::new(Leases::default());
    for number in 1..count {
        leases.add(lease(number, &format!("https://other-{number}.test")));
    }
    leases.add(lease(count, origin));
    leases
}

/// An agent under the policies that ship.
pub fn authority() -> Authority {
    Authority::shipped(AgentId::from_uuid(Uuid::from_u128(6))).unwrap()
}
