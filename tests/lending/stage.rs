//! One broker with one browser, what is lent, and the agent's connection.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    api::{Agent, Api, Session},
    broker::Broker,
    canary::Canary,
    cdp::Cdp,
    chromium::PlainChromium,
    tools,
};

/// Both browsers: the one without a window, and the whole one.
pub fn browsers() -> [PathBuf; 2] {
    [tools::headless_shell(), tools::chromium()]
}

/// A broker whose sessions run in `browser`.
pub fn broker(browser: &Path) -> Broker {
    let path = browser.display();
    Broker::start(&format!("[browser]\npath = \"{path}\"\n[cell]\nwarm = 1"))
}

/// A cookie of the person's.
#[derive(Debug, Clone, Copy)]
pub struct Cookie {
    pub name: &'static str,
    pub value: &'static str,
    /// With a leading dot: for the hosts below too.
    pub domain: &'static str,
    pub path: &'static str,
    pub secure: bool,
    pub http_only: bool,
    pub same_site: Option<&'static str>,
}

impl Cookie {
    /// An `HttpOnly` one for one host and all paths.
    pub const fn new(name: &'static str, value: &'static str, domain: &'static str) -> Self {
        Self {
            name,
            value,
            domain,
            path: "/",
            secure: false,
            http_only: true,
            same_site: None,
        }
    }

    pub const fn same_site(mut self, same_site: &'static str) -> Self {
        self.same_site = Some(same_site);
        self
    }

    pub const fn secure(mut self) -> Self {
        self.secure = true;
        self
    }

    /// As Playwright writes it; it leaves `sameSite` out where the site did.
    fn state(&self) -> Value {
        let mut state = json!({
            "name": self.name, "value": self.value, "domain": self.domain, "path": self.path,
            "expires": -1, "httpOnly": self.http_only, "secure": self.secure,
        });
        if let Some(same_site) = self.same_site {
            state["sameSite"] = same_site.into();
        }
        state
    }

    /// As `Storage.setCookies` takes it.
    fn param(&self) -> Value {
        let mut param = self.state();
        param["expires"] = Value::Null;
        let host = self.domain.trim_start_matches('.');
        let scheme = if self.secure { "https" } else { "http" };
        param["url"] = format!("{scheme}://{host}{}", self.path).into();
        let fields = param.as_object_mut().unwrap();
        fields.remove("expires");
        if !self.domain.starts_with('.') {
            fields.remove("domain");
        }
        param
    }
}

/// A plain browser that holds the cookies, as the person's own does.
pub async fn plain(browser: &Path, cookies: &[Cookie]) -> (PlainChromium, Cdp) {
    let plain =
        PlainChromium::start_as(browser, &["--site-per-process", "--disable-popup-blocking"]);
    let cdp = Cdp::connect(&plain.cdp_url).await;
    let cookies: Vec<Value> = cookies.iter().map(Cookie::param).collect();
    cdp.ask("Storage.setCookies", json!({ "cookies": cookies }))
        .await;
    (plain, cdp)
}

/// A person's cookies at a broker, and an agent that may be lent them.
pub struct Lender {
    pub operator: Api,
    pub agent: Agent,
}

impl Lender {
    pub async fn new(broker: &Broker, cookies: &[Cookie]) -> Self {
        let operator = broker.operator();
        let state: Vec<Value> = cookies.iter().map(Cookie::state).collect();
        let state = json!({ "cookies": state, "origins": [] });
        let imported = operator.import_storage_state(&state).await;
        let count = imported["imported"].as_array().map(Vec::len);
        assert_eq!(count, Some(cookies.len()), "{imported}");
        let agent = operator
            .add_agent(&format!("clerk-{}", Uuid::new_v4()))
            .await;
        Self { operator, agent }
    }

    /// A delegation of these cookies, agreed to.
    pub async fn lend(
        &self,
        origin: &str,
        delivery: &str,
        names: &[&str],
        scope: &Value,
    ) -> String {
        let cookies: Vec<Value> = names
            .iter()
            .map(|name| json!({ "name": name, "origin": origin, "delivery": delivery }))
            .collect();
        let asked = json!({
            "agent": self.agent.id,
            "purpose": "look after the tickets of the day",
            "cookies": cookies,
            "scope": scope,
            "window": { "duration": "10m" },
        });
        let made = self.operator.post("/v1/delegations", &asked).await;
        let id = made["id"].as_str().unwrap().to_owned();
        self.operator.approve(&id).await;
        id
    }

    pub async fn start(&self, delegations: &[&str]) -> (Session, Cdp) {
        let session = self.operator.start_session(&self.agent, delegations).await;
        let cdp = Cdp::connect(&session.cdp_url).await;
        (session, cdp)
    }
}

/// Scope: these origins of one server, reading and writing.
pub fn scope(site: &Canary, hosts: &[&str]) -> Value {
    let origins: Vec<String> = hosts.iter().map(|host| site.origin_as(host)).collect();
    json!({ "origins": origins, "methods": ["GET", "HEAD", "POST", "OPTIONS"], "writes": "allow" })
}
