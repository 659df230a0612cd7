//! A window's end while its session works: from the call to the answer, and what
//! arrives with the credential after that. The first is measured; the second must
//! be nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Group, Scale,
    cdp::Cdp,
    table::{Samples, Unit},
    world::{self, Hallpass},
};
use crate::support::{
    api::Session,
    canary::{self, Canary},
};

const WHAT: &str = "revocation to its answer";
const VARIANTS: &[&str] = &["1 idle session", "1 busy session", "all sessions busy"];

pub const GROUP: Group = Group {
    name: "revoke",
    rows: &[(WHAT, VARIANTS)],
    run,
};

/// When each cookie was last seen.
type Seen = Arc<Mutex<HashMap<String, Instant>>>;

struct Worker {
    /// What it is lent, one window each.
    windows: Vec<(String, String)>,
    session: Session,
    page: Cdp,
}

fn run(scale: Scale) -> Vec<Samples> {
    let (sessions, windows) = scale.of((2, 4), (50, 22));
    world::browser();
    world::run(async {
        let seen = Seen::default();
        let site = site(&seen).await;
        let config = format!(
            "[cell]\nwarm = 0\n[session]\nmax = {sessions}\n[agent]\nsessions = {sessions}\nwindows = 100000\nrequests_per_hour = 0\n"
        );
        let broker = Hallpass::start(&config).await;
        let mut workers = Vec::new();
        for number in 0..sessions {
            workers.push(Worker::start(&broker, &site, number, windows).await);
        }
        let mut samples = Samples::each(WHAT, VARIANTS, Unit::Milliseconds);
        let mut ended = Vec::new();
        for _ in 0..windows / 2 - 1 {
            ended.push(workers[0].revoke(&broker, &seen, &mut samples[0]).await);
        }
        workers[0].work().await;
        for _ in 0..windows / 2 {
            workers[0].until_carried(&seen).await;
            ended.push(workers[0].revoke(&broker, &seen, &mut samples[1]).await);
        }
        for worker in &mut workers[1..] {
            worker.work().await;
        }
        for _ in 1..windows {
            for worker in &mut workers[1..] {
                worker.until_carried(&seen).await;
                ended.push(worker.revoke(&broker, &seen, &mut samples[2]).await);
            }
        }
        // What is under way in the browsers comes before this.
        for worker in &mut workers {
            worker.page.evaluate("fetch('/last')").await;
        }
        let seen = seen.lock().unwrap().clone();
        let late: Vec<_> = ended
            .iter()
            .filter(|(value, answered)| seen.get(value).is_some_and(|last| last > answered))
            .collect();
        assert!(late.is_empty(), "arrived after the answer: {late:?}");
        for worker in &workers {
            broker.operator.end_session(&worker.session).await;
        }
        samples
    })
}

/// Every request is answered after a moment, and its cookies are noted.
async fn site(seen: &Seen) -> Canary {
    let seen = seen.clone();
    Canary::start(move |hit| {
        let now = Instant::now();
        let mut seen = seen.lock().unwrap();
        for pair in hit.header("cookie").split("; ") {
            let value = pair.split_once('=').map_or("", |(_, value)| value);
            seen.insert(value.to_owned(), now);
        }
        match hit.path.as_str() {
            "/" => {
                canary::html("<!doctype html><title>busy</title><link rel=icon href='data:,'>busy")
            }
            _ => canary::after(Duration::from_millis(10), canary::text("")),
        }
    })
    .await
}

impl Worker {
    async fn start(broker: &Hallpass, site: &Canary, number: usize, windows: usize) -> Self {
        let (origin, operator) = (site.origin(), &broker.operator);
        let cookies: Vec<(String, String)> = (0..windows)
            .map(|window| {
                let name = format!("lent_{number}_{window}");
                let value = format!("v4lue-0f-session-{number}-and-window-{window}");
                (name, value)
            })
            .collect();
        let state: Vec<Value> = cookies
            .iter()
            .map(|(name, value)| {
                json!({ "name": name, "value": value, "domain": "127.0.0.1", "path": "/",
                        "expires": -1, "httpOnly": true, "secure": false, "sameSite": "Lax" })
            })
            .collect();
        let state = json!({ "origins": [], "cookies": state });
        operator.import_storage_state(&state).await;
        // Keeps the site in scope throughout.
        let mut bound = vec![broker.lend(site, false).await];
        let mut lent = Vec::new();
        for (name, value) in cookies {
            let asked = json!({
                "agent": broker.agent.id,
                "purpose": "keep the desk busy",
                "cookies": [{ "name": name, "origin": origin, "delivery": "wire" }],
                "scope": { "origins": [origin] },
                "window": { "duration": "1h" },
            });
            let made = operator.post("/v1/delegations", &asked).await;
            let id = made["id"].as_str().unwrap().to_owned();
            operator.approve(&id).await;
            bound.push(id.clone());
            lent.push((id, value));
        }
        let bound: Vec<&str> = bound.iter().map(String::as_str).collect();
        let session = operator.start_session(&broker.agent, &bound).await;
        let mut page = Cdp::first_page(&session.cdp_url).await;
        page.load(&format!("{origin}/")).await;
        Self {
            windows: lent,
            session,
            page,
        }
    }

    /// Sets off requests without a pause.
    async fn work(&mut self) {
        let work = "void (async () => { for (;;) { await fetch('/work').catch(() => 0); } })()";
        self.page.evaluate(work).await;
    }

    /// Waits until the next window's cookie has been carried.
    async fn until_carried(&self, seen: &Seen) {
        let (_, value) = self.windows.last().unwrap();
        let begun = Instant::now();
        while !seen.lock().unwrap().contains_key(value) {
            assert!(begun.elapsed() < Duration::from_mins(1), "it never came");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends the next window; answers what it lent, and when the answer came.
    async fn revoke(
        &mut self,
        broker: &Hallpass,
        seen: &Seen,
        samples: &mut Samples,
    ) -> (String, Instant) {
        let (id, value) = self.windows.pop().unwrap();
        assert!(seen.lock().unwrap().contains_key(&value), "never lent");
        let begun = Instant::now();
        broker.operator.revoke(&id).await;
        let answered = Instant::now();
        samples.time(answered - begun);
        (value, answered)
    }
}
