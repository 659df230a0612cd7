//! The stage of the other suites, with sessions that share a browser.

use std::path::Path;

use serde_json::json;

use crate::support::{
    api::{Agent, Api, Session},
    broker::Broker,
    canary::Canary,
    cdp::Cdp,
    process::{self, Known},
};
pub use crate::whole::{Cookie, Lender, browsers, plain, scope};

/// A broker whose sessions share `browser`.
pub fn broker(browser: &Path) -> Broker {
    sharing(browser, 8, 0)
}

/// The same: so many at once, so many kept ready.
pub fn sharing(browser: &Path, share: u32, warm: u32) -> Broker {
    let path = browser.display();
    Broker::start(&format!(
        "[browser]\npath = \"{path}\"\n[cell]\nisolation = \"shared\"\nshare = {share}\nwarm = {warm}"
    ))
}

/// The first process of each browser that runs.
pub fn running(broker: &Broker) -> Vec<Known> {
    let mut found = Vec::new();
    for known in process::descendants(broker.pid()) {
        let command = known.command();
        if command.contains("--remote-debugging-pipe") && !command.contains("--type=") {
            found.push(known);
        }
    }
    found
}

/// A session that is lent one cookie of its own at the site.
pub struct Tenant {
    pub session: Session,
    pub cdp: Cdp,
    pub delegation: String,
    pub agent: Agent,
}

/// Two of them, whose cookies are `sid-one` and `sid-two`; in one browser.
pub async fn two(broker: &Broker, site: &Canary, delivery: &str) -> (Api, [Tenant; 2]) {
    let lent = [
        Cookie::new("sid-one", "value-one-7f31", "a.localhost"),
        Cookie::new("sid-two", "value-two-99d2", "a.localhost"),
    ];
    let lender = Lender::new(broker, &lent).await;
    let origin = site.origin_as("a.localhost");
    let mut tenants = Vec::new();
    for cookie in lent {
        let hosts = ["a.localhost", "b.localhost"];
        let scope = match cookie.name {
            "sid-one" => scope(site, &hosts),
            // What only its neighbour may reach is not for it.
            _ => scope(site, &["a.localhost", "b.localhost", "c.localhost"]),
        };
        let delegation = lender.lend(&origin, delivery, &[cookie.name], &scope).await;
        let (session, cdp) = lender.start(&[&delegation]).await;
        tenants.push(Tenant {
            session,
            cdp,
            delegation,
            agent: Agent {
                id: lender.agent.id.clone(),
                key: lender.agent.key.clone(),
            },
        });
    }
    assert_eq!(running(broker).len(), 1, "two sessions in one browser");
    let two = tenants.pop().unwrap();
    let one = tenants.pop().unwrap();
    (lender.operator, [one, two])
}

/// An attachment and what was called on it, for refusals.
pub async fn refused(cdp: &Cdp, session: Option<&str>, method: &str, params: serde_json::Value) {
    let answer = cdp.call(session, method, params.clone()).await;
    assert!(answer.is_err(), "{method} {params}: {}", json!(answer.ok()));
}
