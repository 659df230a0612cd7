//! The main job as a story in steps: a person lends a session, an agent uses
//! it, cannot take it, and loses it. Every call is the public API's; the
//! agent's part speaks CDP to its own endpoint like any client.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use chromiumoxide::{
    Browser, Page,
    cdp::browser_protocol::{network, storage},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::task::AbortHandle;
use url::Url;

use super::{
    desk::{Desk, SESSION_COOKIE},
    elsewhere::Elsewhere,
};
use crate::{cli::client::Client, model::secret::Secret};

/// Longest time for one step; a step that takes longer did not hold.
const PATIENCE: Duration = Duration::from_mins(1);

/// Longest time until a page that is there can be asked what it shows.
const SETTLES: Duration = Duration::from_secs(5);

/// Tells of steps as they happen.
pub trait Teller {
    /// A step begins.
    fn begin(&mut self, title: &str);
    /// It held; `evidence` says by what one can see that.
    fn held(&mut self, evidence: &[String]);
    /// It did not hold.
    fn failed(&mut self, why: &str);
}

/// The stage: a broker that runs, and two sites.
#[derive(Debug)]
pub struct Story {
    person: Client,
    base: Url,
    desk: Desk,
    elsewhere: Elsewhere,
    secret: Option<Secret>,
    agent: Option<Client>,
    lent: String,
    anonymous: String,
    session: String,
    trace: String,
    cdp: Option<Cdp>,
}

/// The agent's own client.
#[derive(Debug)]
struct Cdp {
    browser: Browser,
    page: Page,
    moving: AbortHandle,
}

impl Drop for Cdp {
    fn drop(&mut self) {
        self.moving.abort();
    }
}

impl Story {
    /// Sets the stage before a running broker.
    ///
    /// # Errors
    /// No loopback port is to be had, or the operator token cannot be read.
    pub async fn new(base: Url, token_file: &Path) -> Result<Self> {
        let token =
            std::fs::read_to_string(token_file).context("the operator token cannot be read")?;
        let person = client(&base, token.trim())?;
        Ok(Self {
            person,
            base,
            desk: Desk::start().await?,
            elsewhere: Elsewhere::start().await?,
            secret: None,
            agent: None,
            lent: String::new(),
            anonymous: String::new(),
            session: String::new(),
            trace: String::new(),
            cdp: None,
        })
    }

    /// Plays all steps; answers whether each held. After one that did not, the
    /// rest is not played.
    pub async fn play(&mut self, teller: &mut dyn Teller) -> bool {
        macro_rules! step {
            ($title:expr, $step:ident) => {
                teller.begin($title);
                let played = tokio::time::timeout(PATIENCE, self.$step())
                    .await
                    .unwrap_or_else(|_| Err(anyhow!("it took longer than {PATIENCE:?}")));
                match played {
                    Ok(evidence) => teller.held(&evidence),
                    Err(error) => {
                        teller.failed(&format!("{error:#}"));
                        return false;
                    }
                }
            };
        }
        step!(
            "A person signs in to the service desk and lends the session",
            lend
        );
        step!("The agent starts a browser session of its own", start);
        step!("It reads a ticket as the person", read_ticket);
        step!("It asks for its cookies and gets none", ask_for_cookies);
        step!(
            "It may not write: the delegation is for reading",
            try_to_write
        );
        step!(
            "A jump to another origin is stopped at the notice page",
            jump_elsewhere
        );
        step!(
            "The task is done, the window closes: the next request is logged out",
            close_window
        );
        step!("The trace names everyone and verifies", verify_trace);
        true
    }

    /// Where the desk is, to be explored.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    async fn lend(&mut self) -> Result<Vec<String>> {
        let signed_in = self
            .desk
            .login()
            .await
            .context("the desk's sign-in failed")?;
        let report: Value = self
            .person
            .post_file(
                "/v1/credentials?format=storage-state",
                signed_in.storage_state().as_bytes().to_vec(),
            )
            .await
            .map_err(said)?;
        let imported = report
            .get("imported")
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        ensure!(
            imported == 1,
            "one cookie should have been imported: {report}"
        );
        self.secret = Some(signed_in.value.clone());

        let made: Value = self
            .person
            .post("/v1/agents", &json!({"name": "demo-agent"}))
            .await
            .map_err(said)?;
        let agent = client(&self.base, &text(&made, "/key")?)?;
        let name = text(&made, "/agent/id")?;
        self.lent = self
            .ask(&agent, &name, "read ticket 4711 and sum it up", true, "2m")
            .await?;
        self.anonymous = self
            .ask(
                &agent,
                &name,
                "see what the desk shows to anybody",
                false,
                "10m",
            )
            .await?;
        for delegation in [&self.lent, &self.anonymous] {
            let _: Value = self
                .person
                .post(&format!("/v1/delegations/{delegation}/approve"), &json!({}))
                .await
                .map_err(said)?;
        }
        self.agent = Some(agent);
        Ok(vec![
            format!(
                "{SESSION_COOKIE} (HttpOnly) is sealed in the vault; nothing printed its value"
            ),
            format!(
                "{} lends it to {name}: reading, {}, two minutes",
                self.lent, self.desk.origin
            ),
            format!(
                "{} lends no cookie: what anybody may see, ten minutes",
                self.anonymous
            ),
        ])
    }

    async fn ask(
        &self,
        agent: &Client,
        name: &str,
        purpose: &str,
        lend: bool,
        duration: &str,
    ) -> Result<String> {
        let origin = &self.desk.origin;
        let cookies = if lend {
            json!([{"name": SESSION_COOKIE, "origin": origin}])
        } else {
            json!([])
        };
        let asked = json!({
            "agent": name,
            "purpose": purpose,
            "cookies": cookies,
            "scope": {"origins": [origin]},
            "window": {"duration": duration},
        });
        let made: Value = agent.post("/v1/delegations", &asked).await.map_err(said)?;
        text(&made, "/id")
    }

    async fn start(&mut self) -> Result<Vec<String>> {
        let agent = self.agent.as_ref().context("no agent")?;
        let asked = json!({"delegations": [self.lent, self.anonymous]});
        let begun = std::time::Instant::now();
        let made: Value = agent.post("/v1/sessions", &asked).await.map_err(said)?;
        let took = begun.elapsed();
        self.session = text(&made, "/session/id")?;
        self.trace = text(&made, "/session/trace")?;
        let mut url: Url = text(&made, "/cdp_url")?.parse()?;
        if url.query().is_none() {
            url.query_pairs_mut()
                .append_pair("token", &text(&made, "/token")?);
        }
        let (browser, mut handler) = Browser::connect(url.as_str()).await?;
        let moving =
            tokio::spawn(async move { while handler.next().await.is_some() {} }).abort_handle();
        let page = browser.new_page("about:blank").await?;
        let product = browser.version().await?.product;
        self.cdp = Some(Cdp {
            browser,
            page,
            moving,
        });
        Ok(vec![format!(
            "{}: {product} as a user of its own, ready after {} ms; connected by CDP",
            self.session,
            took.as_millis()
        )])
    }

    async fn read_ticket(&mut self) -> Result<Vec<String>> {
        let shown = self
            .visit(&format!("{}/tickets/4711", self.desk.origin))
            .await?;
        ensure!(shown.contains("4711"), "the ticket is not shown: {shown}");
        let page = &self.cdp()?.page;
        let title = page.get_title().await?.unwrap_or_default();
        let me: String = page
            .evaluate("fetch('/whoami').then(answer => answer.text())")
            .await?
            .into_value()?;
        ensure!(
            me.contains(super::desk::USERNAME),
            "the desk does not know the person: {me}"
        );
        Ok(vec![format!("“{title}”; the desk says {}", me.trim())])
    }

    async fn ask_for_cookies(&mut self) -> Result<Vec<String>> {
        let secret = self.secret.clone().context("no secret")?;
        let Cdp { browser, page, .. } = self.cdp()?;
        let of_page = page
            .execute(network::GetCookiesParams::default())
            .await?
            .result
            .cookies;
        let of_browser = browser
            .execute(storage::GetCookiesParams::default())
            .await?
            .result
            .cookies;
        let of_script: String = page.evaluate("document.cookie").await?.into_value()?;
        let all = format!("{of_page:?} {of_browser:?} {of_script}");
        ensure!(!all.contains(secret.expose()), "the value was handed out");
        ensure!(
            !all.contains(SESSION_COOKIE),
            "the cookie is in the browser's jar"
        );
        Ok(vec![format!(
            "Network.getCookies: {}, Storage.getCookies: {}, document.cookie: {of_script:?}",
            of_page.len(),
            of_browser.len()
        )])
    }

    async fn try_to_write(&mut self) -> Result<Vec<String>> {
        let before = self.desk.tickets();
        let answer: String = self
            .cdp()?
            .page
            .evaluate(
                "fetch('/tickets/4711', {method: 'POST', body: new URLSearchParams({state: 'done'})})\
                 .then(async answer => `${answer.status} ${(await answer.json()).rule}`, error => error.message)",
            )
            .await?
            .into_value()?;
        ensure!(
            answer == "403 method-out-of-scope",
            "it was not refused: {answer}"
        );
        ensure!(self.desk.tickets() == before, "the ticket changed");
        Ok(vec![format!(
            "POST /tickets/4711: {answer}, and how to ask; the ticket is as it was"
        )])
    }

    async fn jump_elsewhere(&mut self) -> Result<Vec<String>> {
        let origin = self.elsewhere.origin.clone();
        let shown = self.visit(&format!("{origin}/")).await?;
        ensure!(
            shown.contains("origin-out-of-scope"),
            "no notice page: {shown}"
        );
        let hits = self.elsewhere.hits();
        ensure!(hits == 0, "the other origin was contacted {hits} times");
        Ok(vec![format!(
            "{origin} counted 0 requests; the page says which rule, and how to ask"
        )])
    }

    async fn close_window(&mut self) -> Result<Vec<String>> {
        let tickets = format!("{}/tickets", self.desk.origin);
        let before = self.visit(&tickets).await?;
        let agent = self.agent.as_ref().context("no agent")?;
        let path = format!("/v1/delegations/{}/complete", self.lent);
        let _: Value = agent.post(&path, &json!({})).await.map_err(said)?;
        let after = self.visit(&tickets).await?;
        let at = self.cdp()?.page.url().await?.unwrap_or_default();
        ensure!(
            before != after && at.contains("/login"),
            "still signed in at {at}"
        );
        Ok(vec![format!(
            "same page, same browser: the list of tickets before, {} after",
            at.trim_start_matches(self.desk.origin.as_str())
        )])
    }

    async fn verify_trace(&mut self) -> Result<Vec<String>> {
        self.cdp = None;
        let _: Value = self
            .person
            .delete(&format!("/v1/sessions/{}", self.session))
            .await
            .map_err(said)?;
        let verified: Value = self
            .person
            .get(&format!("/v1/traces/{}/verify", self.trace))
            .await
            .map_err(said)?;
        let records = verified
            .get("records")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        ensure!(records > 10, "the trace is too short: {verified}");
        Ok(vec![format!(
            "{}: {records} records, hash-chained and sealed; `hallpass trace show {}` tells them",
            self.trace, self.trace
        )])
    }

    fn cdp(&self) -> Result<&Cdp> {
        self.cdp.as_ref().context("no client is connected")
    }

    async fn visit(&self, url: &str) -> Result<String> {
        let page = &self.cdp()?.page;
        let until = Instant::now() + SETTLES;
        // A page that a closing window leads away aborts what it was told meanwhile.
        while let Err(error) = page.goto(url).await {
            if Instant::now() > until || !error.to_string().contains("ERR_ABORTED") {
                return Err(error.into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let text = "document.body.innerText";
        loop {
            match page.evaluate(text).await {
                Ok(shown) => return Ok(shown.into_value()?),
                Err(error) if Instant::now() > until => return Err(error.into()),
                // The client takes a page for loaded a moment before it has heard of
                // its script context.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

fn client(base: &Url, token: &str) -> Result<Client> {
    Client::new(base.clone(), Secret::new(token.to_owned())).map_err(said)
}

fn said(failure: crate::cli::failure::Failure) -> anyhow::Error {
    anyhow!("{failure}")
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    match value.pointer(pointer).and_then(Value::as_str) {
        Some(text) => Ok(text.to_owned()),
        None => bail!("no `{pointer}` in the answer"),
    }
}
