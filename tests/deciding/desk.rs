//! A desk that writes down what arrives, lent to an agent.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::{
    stage::{Cookie, Lender},
    support::{
        api::Session,
        broker::Broker,
        canary::{self, Canary, Hit, Reply},
        cdp::{Cdp, Page},
    },
};

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

pub const SID: &str = "s1d-0f-the-d3sk-77aa";

/// One origin of the site, one agent, one session with a page on it.
pub struct Desk {
    pub site: Canary,
    pub origin: String,
    pub lender: Lender,
    pub session: Session,
    pub cdp: Cdp,
    pub page: Page,
    pub delegation: String,
}

impl Desk {
    /// Lends the cookie of `a.localhost` with this scope, its origin put in.
    pub async fn open(broker: &Broker, mut scope: Value) -> Self {
        let site = Canary::start(routes).await;
        let origin = site.origin_as("a.localhost");
        let cookies = [
            Cookie::new("sid", SID, "a.localhost"),
            Cookie::new("sid", SID, "b.localhost"),
        ];
        let lender = Lender::new(broker, &cookies).await;
        scope["origins"] = json!([origin]);
        let delegation = lender.lend(&origin, "wire", &["sid"], &scope).await;
        let (session, cdp) = lender.start(&[&delegation]).await;
        let page = cdp.open(&format!("{origin}/")).await;
        page.until("document.title === 'desk'").await;
        Self {
            site,
            origin,
            lender,
            session,
            cdp,
            page,
            delegation,
        }
    }

    /// Begins a `fetch` in the page, under a name; see [`Desk::fetched`].
    pub async fn fetch(&self, name: &str, method: &str, path: &str, body: &str) {
        let kind = "application/x-www-form-urlencoded";
        let script = format!(
            "(window.done ??= {{}}, fetch('{path}', {{ method: '{method}', headers: {{ 'Content-Type': '{kind}' }}, body: {body} }})
                .then(async (r) => done['{name}'] = {{ status: r.status, text: await r.text() }},
                      (e) => done['{name}'] = {{ error: String(e) }}), 0)"
        );
        self.page.evaluate(&script).await;
    }

    /// What came of it.
    pub async fn fetched(&self, name: &str) -> Value {
        self.page.until(&format!("window.done?.['{name}']")).await;
        self.page.evaluate(&format!("done['{name}']")).await
    }

    /// So many that wait for the person, the oldest first.
    pub async fn holds(&self, count: usize) -> Vec<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let list = self.lender.operator.get("/v1/holds").await;
            let holds = list["holds"].as_array().unwrap().clone();
            if holds.len() == count {
                return holds;
            }
            assert!(Instant::now() < until, "not {count}: {holds:#?}");
            tokio::task::yield_now().await;
        }
    }

    /// Requests that arrived at a path with the cookie.
    pub fn arrived(&self, path: &str) -> Vec<Hit> {
        let mut hits = self.site.hits_on(path);
        hits.retain(|hit| hit.cookie("sid") == Some(SID));
        hits
    }

    pub async fn answer(&self, hold: &Value, answer: Value) -> Value {
        let path = format!("/v1/holds/{}/answer", hold["id"].as_str().unwrap());
        self.lender.operator.post(&path, &answer).await
    }

    /// How the delegation stands.
    pub async fn state(&self) -> Value {
        let path = format!("/v1/delegations/{}", self.delegation);
        self.lender.operator.get(&path).await["state"].clone()
    }

    /// Records of the session's trace.
    pub async fn records(&self) -> Vec<Value> {
        let path = format!("/v1/sessions/{}", self.session.id);
        let session = self.lender.operator.get(&path).await;
        let trace = session["trace"].as_str().unwrap();
        let path = format!("/v1/traces/{trace}/records");
        let text = self.lender.operator.get_text(&path).await;
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Events of one type in the trace.
    pub async fn told(&self, kind: &str) -> Vec<Value> {
        let records = self.records().await.into_iter();
        let events = records.map(|record| record["event"].clone());
        events.filter(|event| event["type"] == kind).collect()
    }
}

fn routes(hit: &Hit) -> Reply {
    match hit.path.as_str() {
        "/" => canary::html(
            "<!doctype html><title>desk</title><form method=post action=/save><input name=note value=x></form>",
        ),
        "/worker.js" => canary::typed("text/javascript", "onfetch = () => {}"),
        "/report.csv" => canary::attachment("report.csv", "a,b\n1,2\n"),
        "/big" => canary::text("x".repeat(300_000)),
        "/favicon.ico" => canary::status(StatusCode::NOT_FOUND, canary::not_found()),
        path if path.starts_with("/page") => canary::html("<!doctype html><title>page</title>"),
        _ => canary::text("done"),
    }
}

/// Everything may be done, and what changes something waits.
pub fn waiting() -> Value {
    json!({ "methods": ["GET", "HEAD", "POST", "PUT", "DELETE"] })
}
