//! The calls of the HTTP API that the whole-flow tests make; nowhere else.

use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use url::Url;

/// The API, by whoever holds the token.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    base: Url,
    token: String,
}

/// A new agent.
#[derive(Debug, Clone)]
pub struct Agent {
    pub id: String,
    pub key: String,
}

/// A cookie to be lent.
#[derive(Debug, Clone, Copy)]
pub struct Lend<'a> {
    pub name: &'a str,
    pub delivery: &'a str,
}

/// A new session.
#[derive(Debug, Clone)]
pub struct Session {
    pub id: String,
    /// For a client that can send no header: with the token in the query.
    pub cdp_url: String,
    pub token: String,
}

impl Api {
    /// The API at `base`, as the token's holder.
    pub fn new(base: Url, token: &str) -> Self {
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_mins(1))
            .build()
            .unwrap();
        Self {
            client,
            base,
            token: token.to_owned(),
        }
    }

    /// Registers an agent.
    pub async fn add_agent(&self, name: &str) -> Agent {
        let made = self.post("/v1/agents", &json!({ "name": name })).await;
        Agent {
            id: text(&made, "/agent/id"),
            key: text(&made, "/key"),
        }
    }

    /// Imports what Playwright calls a storage state; answers the whole report.
    pub async fn import_storage_state(&self, state: &Value) -> Value {
        let path = "/v1/credentials?format=storage-state";
        let response = self
            .request(Method::POST, path)
            .header("content-type", "application/octet-stream")
            .body(state.to_string())
            .send()
            .await;
        Self::done(path, response).await
    }

    /// Asks for a delegation of ten minutes on one origin; answers its id.
    pub async fn ask(
        &self,
        agent: &Agent,
        origin: &str,
        lend: &[Lend<'_>],
        methods: &[&str],
    ) -> String {
        let cookies: Vec<Value> = lend
            .iter()
            .map(|cookie| {
                json!({ "name": cookie.name, "origin": origin, "delivery": cookie.delivery })
            })
            .collect();
        let asked = json!({
            "agent": agent.id,
            "purpose": "look after the tickets of the day",
            "cookies": cookies,
            "scope": { "origins": [origin], "methods": methods, "writes": "allow" },
            "window": { "duration": "10m" },
        });
        text(&self.post("/v1/delegations", &asked).await, "/id")
    }

    /// Agrees to a delegation as requested.
    pub async fn approve(&self, delegation: &str) {
        self.post(&format!("/v1/delegations/{delegation}/approve"), &json!({}))
            .await;
    }

    /// Asks for a delegation and agrees to it; answers its id.
    pub async fn delegate(
        &self,
        agent: &Agent,
        origin: &str,
        lend: &[Lend<'_>],
        methods: &[&str],
    ) -> String {
        let delegation = self.ask(agent, origin, lend, methods).await;
        self.approve(&delegation).await;
        delegation
    }

    /// Takes a delegation back.
    pub async fn revoke(&self, delegation: &str) {
        self.post(&format!("/v1/delegations/{delegation}/revoke"), &json!({}))
            .await;
    }

    /// Starts a session.
    pub async fn start_session(&self, agent: &Agent, delegations: &[&str]) -> Session {
        let asked = json!({ "agent": agent.id, "delegations": delegations });
        session_of(&self.post("/v1/sessions", &asked).await)
    }

    /// Starts a session if that can be now; else answers why not.
    pub async fn try_start_session(
        &self,
        agent: &Agent,
        delegations: &[&str],
    ) -> Result<Session, (StatusCode, String)> {
        let asked = json!({ "agent": agent.id, "delegations": delegations });
        let (status, text) = self.call(Method::POST, "/v1/sessions", &asked).await;
        if status.is_success() {
            Ok(session_of(&serde_json::from_str(&text).unwrap()))
        } else {
            Err((status, text))
        }
    }

    /// Ends a session.
    pub async fn end_session(&self, session: &Session) {
        let path = format!("/v1/sessions/{}", session.id);
        let response = self.request(Method::DELETE, &path).send().await;
        Self::done(&path, response).await;
    }

    /// A call that must succeed.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let response = self.request(Method::POST, path).json(body).send().await;
        Self::done(path, response).await
    }

    /// A call that must succeed.
    pub async fn get(&self, path: &str) -> Value {
        let response = self.request(Method::GET, path).send().await;
        Self::done(path, response).await
    }

    /// A call that may be refused; then its problem.
    pub async fn try_post(&self, path: &str, body: &Value) -> Result<Value, Value> {
        let (status, text) = self.call(Method::POST, path, body).await;
        let answer = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() {
            Ok(answer)
        } else {
            Err(answer)
        }
    }

    /// What a call that must succeed answers, as text.
    pub async fn get_text(&self, path: &str) -> String {
        let response = self.request(Method::GET, path).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {response:?}");
        response.text().await.unwrap()
    }

    /// Any call, with its status and its body as text.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> (StatusCode, String) {
        let response = self.request(method, path).json(body).send().await.unwrap();
        let status = response.status();
        (status, response.text().await.unwrap())
    }

    /// The same where the broker may go meanwhile; `None` if it did.
    pub async fn attempt(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Option<(StatusCode, String)> {
        let request = self.request(method, path).body(body);
        let request = request.header("content-type", "application/json");
        let response = request.send().await.ok()?;
        let status = response.status();
        Some((status, response.text().await.ok()?))
    }

    /// A call that sends bytes and answers bytes.
    pub async fn bytes(&self, method: Method, path: &str, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
        let response = self.request(method, path).body(body).send().await.unwrap();
        let status = response.status();
        (status, response.bytes().await.unwrap().to_vec())
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, self.base.join(path).unwrap())
            .bearer_auth(&self.token)
    }

    async fn done(path: &str, response: reqwest::Result<Response>) -> Value {
        let response = response.unwrap_or_else(|error| panic!("{path}: {error:?}"));
        let status = response.status();
        let body = response.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status}: {body}");
        if body.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error} in {body}"))
    }
}

fn session_of(made: &Value) -> Session {
    let token = text(made, "/token");
    let mut url: Url = text(made, "/cdp_url").parse().unwrap();
    if !url.query_pairs().any(|(name, _)| name == "token") {
        url.query_pairs_mut().append_pair("token", &token);
    }
    Session {
        id: text(made, "/session/id"),
        cdp_url: url.into(),
        token,
    }
}

fn text(from: &Value, pointer: &str) -> String {
    from.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no text at `{pointer}` in {from}"))
        .to_owned()
}
