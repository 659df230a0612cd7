//! A site, what is lent of it, and a session that works there.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    api::{Agent, Api, Lend, Session},
    broker::Broker,
    canary::{self, Canary},
    cdp::{Cdp, Page},
    process,
};

pub const VALUE: &str = "l1fecycle-0f-a-session-93ae";

/// Longest time for anything that happens by itself.
pub const LIMIT: Duration = Duration::from_secs(20);

pub struct Stage {
    pub site: Canary,
    pub operator: Api,
    pub agent: Agent,
}

impl Stage {
    pub async fn new(broker: &Broker) -> Self {
        let site = Canary::start(|_| {
            canary::html("<!doctype html><title>desk</title><link rel=icon href='data:,'>")
        })
        .await;
        let operator = broker.operator();
        let state = json!({ "origins": [], "cookies": [{
            "name": "sid", "value": VALUE, "domain": "127.0.0.1", "path": "/",
            "expires": -1, "httpOnly": true, "secure": false, "sameSite": "Lax",
        }]});
        operator.import_storage_state(&state).await;
        let agent = operator.add_agent("clerk").await;
        Self {
            site,
            operator,
            agent,
        }
    }

    /// A window on the site.
    pub async fn lend(&self) -> String {
        let lent = [Lend {
            name: "sid",
            delivery: "wire",
        }];
        let origin = self.site.origin();
        self.operator
            .delegate(&self.agent, &origin, &lent, &["GET", "HEAD"])
            .await
    }

    /// A session with a new window, and its page on the site as the person.
    pub async fn work(&self) -> (Session, Cdp, Page, String) {
        let lent = self.lend().await;
        let (session, cdp, page) = self.work_with(&[&lent]).await;
        (session, cdp, page, lent)
    }

    /// The same with these windows.
    pub async fn work_with(&self, lent: &[&str]) -> (Session, Cdp, Page) {
        let session = self.operator.start_session(&self.agent, lent).await;
        let cdp = Cdp::connect(&session.cdp_url).await;
        let page = cdp.open("about:blank").await;
        self.site.reset();
        page.navigate(&self.site.origin()).await;
        let hits = self.site.until(|hits| !hits.is_empty()).await;
        assert_eq!(hits[0].cookie("sid"), Some(VALUE));
        (session, cdp, page)
    }

    pub async fn session(&self, session: &Session) -> Value {
        self.operator
            .get(&format!("/v1/sessions/{}", session.id))
            .await
    }

    /// Waits until the session has ended; answers why.
    pub async fn until_ended(&self, session: &Session) -> String {
        let begun = std::time::Instant::now();
        loop {
            let shown = self.session(session).await;
            if shown["status"] == "ended" {
                return shown["reason"].as_str().unwrap().to_owned();
            }
            assert!(begun.elapsed() < LIMIT, "still there: {shown}");
        }
    }

    /// The session's records, each once its trace is whole.
    pub async fn records(&self, session: &Session) -> Vec<Value> {
        let trace = self.session(session).await["trace"].clone();
        let path = format!("/v1/traces/{}/records", trace.as_str().unwrap());
        let (status, text) = self
            .operator
            .call(reqwest::Method::GET, &path, &json!({}))
            .await;
        assert!(status.is_success(), "{text}");
        let records = text.lines().map(serde_json::from_str);
        records.collect::<Result<_, _>>().unwrap()
    }
}

/// What became of a trace.
pub fn verified(broker: &Broker) -> Value {
    let output = broker.cli(&["--json", "trace", "verify"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Names of the profiles' folders in a data folder.
pub fn profiles(data: &Path) -> Vec<String> {
    let entries = fs::read_dir(data.join("cells")).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The main processes of a broker's browsers.
pub fn browsers(broker: &Broker) -> Vec<process::Known> {
    let below = process::descendants(broker.pid()).into_iter();
    below
        .filter(|known| {
            let command = known.command();
            command.contains("--remote-debugging-pipe") && !command.contains("--type=")
        })
        .collect()
}
