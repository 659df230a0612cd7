//! The HTTP interface against a real broker on a real port.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod broker;
mod schema;

use std::collections::BTreeSet;

use broker::{Answered, Running, answered};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const SOME_AGENT: &str = "agt_aaaaaaaaaaaaaaaaaaaaaaaaaa";
const SOME_CREDENTIAL: &str = "crd_aaaaaaaaaaaaaaaaaaaaaaaaaa";
const SOME_DELEGATION: &str = "del_aaaaaaaaaaaaaaaaaaaaaaaaaa";
const SOME_SESSION: &str = "ses_aaaaaaaaaaaaaaaaaaaaaaaaaa";
const SOME_HOLD: &str = "hld_aaaaaaaaaaaaaaaaaaaaaaaaaa";
const SOME_LOCK: &str = "lck_aaaaaaaaaaaaaaaaaaaaaaaaaa";
const SOME_TRACE: &str = "trc_aaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Who may use which route: method, path, then what a stranger, an agent and
/// the operator are answered when there is nothing of that id.
const MATRIX: [(&str, &str, u16, u16, u16); 34] = [
    ("post", "/v1/agents", 401, 403, 422),
    ("get", "/v1/agents", 401, 403, 200),
    ("post", "/v1/agents/{id}/disable", 401, 403, 404),
    ("post", "/v1/credentials", 401, 403, 422),
    ("get", "/v1/credentials", 401, 403, 200),
    ("delete", "/v1/credentials/{id}", 401, 403, 404),
    ("post", "/v1/delegations", 401, 422, 422),
    ("get", "/v1/delegations", 401, 200, 200),
    ("get", "/v1/delegations/{id}", 401, 404, 404),
    ("post", "/v1/delegations/{id}/approve", 401, 403, 404),
    ("post", "/v1/delegations/{id}/deny", 401, 403, 404),
    ("post", "/v1/delegations/{id}/revoke", 401, 403, 404),
    ("post", "/v1/delegations/{id}/complete", 401, 404, 404),
    ("post", "/v1/sessions", 401, 404, 422),
    ("get", "/v1/sessions", 401, 200, 200),
    ("get", "/v1/sessions/{id}", 401, 404, 404),
    ("delete", "/v1/sessions/{id}", 401, 404, 404),
    ("post", "/v1/sessions/{id}/uploads", 401, 404, 404),
    ("get", "/v1/sessions/{id}/downloads", 401, 404, 404),
    ("get", "/v1/sessions/{id}/downloads/{guid}", 401, 404, 404),
    ("post", "/v1/sessions/{id}/delegations", 401, 404, 404),
    ("post", "/v1/sessions/{id}/watchers", 401, 404, 404),
    ("post", "/v1/sessions/{id}/explain", 401, 404, 404),
    ("get", "/v1/holds", 401, 200, 200),
    ("get", "/v1/holds/{id}", 401, 404, 404),
    ("post", "/v1/holds/{id}/answer", 401, 403, 404),
    ("post", "/v1/locks", 401, 403, 422),
    ("get", "/v1/locks", 401, 403, 200),
    ("post", "/v1/locks/{id}/lift", 401, 403, 404),
    ("get", "/v1/traces", 401, 403, 200),
    ("get", "/v1/traces/{id}/records", 401, 403, 404),
    ("get", "/v1/traces/{id}/verify", 401, 403, 404),
    ("get", "/healthz", 200, 200, 200),
    ("get", "/readyz", 200, 200, 200),
];
/// Public, and answers the document itself.
const DOCUMENT: (&str, &str) = ("get", "/v1/openapi.json");

fn some_path(template: &str) -> String {
    let id = match template.split('/').nth(2) {
        Some("agents") => SOME_AGENT,
        Some("credentials") => SOME_CREDENTIAL,
        Some("delegations") => SOME_DELEGATION,
        Some("sessions") => SOME_SESSION,
        Some("holds") => SOME_HOLD,
        Some("locks") => SOME_LOCK,
        _ => SOME_TRACE,
    };
    template
        .replace("{id}", id)
        .replace("{guid}", "8c1f6a7e-3b0d-4f7c-9a55-0d5b1f6f2c11")
}

/// A body that parses and is not acceptable, for routes that need one.
fn some_body(method: &str, template: &str) -> Option<Value> {
    match (method, template) {
        ("post", "/v1/agents" | "/v1/credentials" | "/v1/delegations") => Some(json!({})),
        ("post", "/v1/sessions/{id}/delegations") => Some(json!({ "delegation": SOME_DELEGATION })),
        ("post", "/v1/sessions/{id}/explain") => Some(json!({ "reason": "to close it" })),
        ("post", "/v1/holds/{id}/answer") => Some(json!({ "answer": "once" })),
        ("post", "/v1/locks") => Some(json!({ "reason": "nobody is named" })),
        ("post", "/v1/sessions") => Some(json!({ "delegations": [SOME_DELEGATION] })),
        _ => None,
    }
}

async fn document(broker: &Running) -> Value {
    let answer = broker.call("GET", DOCUMENT.1, None, None).await;
    assert_eq!(answer.status, 200);
    answer.json()
}

#[tokio::test]
async fn every_documented_route_has_a_row_and_every_row_a_route() {
    let broker = Running::start().await;
    let document = document(&broker).await;
    let mut documented = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            documented.insert((method.clone(), path.clone()));
        }
    }
    let routed: BTreeSet<_> = hallpass::http::routes()
        .iter()
        .map(|route| {
            let method = route.method.as_str().to_ascii_lowercase();
            (method, route.path.to_owned())
        })
        .collect();
    let rows: BTreeSet<_> = MATRIX
        .iter()
        .map(|(method, path, ..)| (*method, *path))
        .chain([DOCUMENT])
        .map(|(method, path)| (method.to_owned(), path.to_owned()))
        .collect();
    assert_eq!(documented, routed);
    assert_eq!(documented, rows);
    broker.stop().await;
}

#[tokio::test]
async fn who_may_use_which_route() {
    let broker = Running::start().await;
    let agent = broker.agent("worker").await;
    for (method, template, stranger, agents, operator) in MATRIX {
        let path = some_path(template);
        let body = some_body(method, template);
        let method = method.to_ascii_uppercase();
        let wrong = format!("{}x", broker.operator);
        for (who, token, expected) in [
            ("stranger", None, stranger),
            ("wrong token", Some(wrong.as_str()), stranger),
            ("agent", Some(agent.as_str()), agents),
            ("operator", Some(broker.operator.as_str()), operator),
        ] {
            let answer = broker.call(&method, &path, token, body.as_ref()).await;
            assert_eq!(
                answer.status, expected,
                "{who} {method} {template}: {}",
                answer.text
            );
            match expected {
                401 => {
                    answer.problem(401, "unauthenticated");
                    assert!(answer.headers.contains_key("www-authenticate"));
                }
                403 => drop(answer.problem(403, "forbidden")),
                404 => drop(answer.problem(404, "not-found")),
                _ => {}
            }
            assert_dressed(&answer);
        }
    }
    broker.stop().await;
}

fn assert_dressed(answer: &Answered) {
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        (
            "content-security-policy",
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        assert_eq!(answer.headers[name], value, "{name}");
    }
}

#[tokio::test]
async fn a_token_in_the_query_or_of_another_scheme_is_no_token() {
    let broker = Running::start().await;
    let query = format!("/v1/agents?token={0}&access_token={0}", broker.operator);
    broker
        .call("GET", &query, None, None)
        .await
        .problem(401, "unauthenticated");
    for value in [
        format!("Basic {}", broker.operator),
        broker.operator.clone(),
        "Bearer".to_owned(),
    ] {
        let request = broker
            .request("GET", "/v1/agents")
            .header("authorization", value);
        answered(request).await.problem(401, "unauthenticated");
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_disabled_agents_key_opens_nothing() {
    let broker = Running::start().await;
    let key = broker.agent("worker").await;
    let disabled = broker
        .operate("POST", "/v1/agents/worker/disable", None)
        .await;
    assert_eq!(disabled.status, 200, "{}", disabled.text);
    broker
        .call("GET", "/v1/delegations", Some(&key), None)
        .await
        .problem(401, "unauthenticated");
    broker.stop().await;
}

#[tokio::test]
async fn web_pages_are_refused_on_every_route() {
    let broker = Running::start_with(|config| {
        config.allowed_origins = vec!["chrome-extension://abcdefgh".to_owned()];
    })
    .await;
    for (method, template, ..) in MATRIX
        .map(|row| (row.0, row.1))
        .into_iter()
        .chain([DOCUMENT])
        .map(|(m, t)| (m, t, ()))
    {
        for origin in ["http://localhost", "null", "https://evil.test"] {
            let request = broker
                .request(&method.to_ascii_uppercase(), &some_path(template))
                .bearer_auth(&broker.operator)
                .header("origin", origin);
            let answer = answered(request).await;
            answer.problem(403, "origin-refused");
            assert_dressed(&answer);
        }
    }
    let allowed = broker
        .request("GET", "/v1/agents")
        .bearer_auth(&broker.operator)
        .header("origin", "chrome-extension://abcdefgh");
    assert_eq!(answered(allowed).await.status, 200);
    broker.stop().await;
}

#[tokio::test]
async fn a_foreign_host_is_refused_on_every_route() {
    let broker = Running::start_with(|config| {
        config.public_url = Some("https://broker.example.com/".parse().unwrap());
    })
    .await;
    for (method, template, ..) in MATRIX {
        let request = broker
            .request(&method.to_ascii_uppercase(), &some_path(template))
            .bearer_auth(&broker.operator)
            .header("host", "rebound.evil.test");
        answered(request).await.problem(403, "host-refused");
    }
    for host in ["broker.example.com", "localhost:1", "[::1]"] {
        let request = broker
            .request("GET", "/v1/agents")
            .bearer_auth(&broker.operator)
            .header("host", host);
        assert_eq!(answered(request).await.status, 200, "{host}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_request_without_a_host_or_with_another_in_its_target_is_refused() {
    let broker = Running::start().await;
    let address = broker.base.trim_start_matches("http://").to_owned();
    for (request, expected) in [
        ("GET /healthz HTTP/1.0\r\n\r\n".to_owned(), "/problems/host-missing"),
        (
            "GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(),
            "/problems/host-missing",
        ),
        (
            "GET http://evil.test/healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(),
            "/problems/host-refused",
        ),
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(expected), "{request}\n{answer}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let broker = Running::start().await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/agents/",
        "/v2/agents",
        "/v1/openapi.json/x",
    ] {
        let answer = broker.operate("GET", path, None).await;
        answer.problem(404, "route-unknown");
        assert_dressed(&answer);
    }
    for (method, path) in [
        ("PUT", "/v1/agents"),
        ("PATCH", "/v1/delegations"),
        ("DELETE", "/healthz"),
        ("OPTIONS", "/v1/sessions"),
    ] {
        let answer = broker.operate(method, path, None).await;
        answer.problem(405, "method-not-allowed");
        assert!(answer.headers.contains_key("allow"), "{method} {path}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn malformed_bodies_say_where() {
    let broker = Running::start().await;
    let post = |path: &str, media: &'static str, body: &str| {
        let request = broker
            .request("POST", path)
            .bearer_auth(&broker.operator)
            .header("content-type", media)
            .body(body.to_owned());
        answered(request)
    };
    let json = "application/json";
    let problem = post("/v1/agents", json, "{\n  \"name\": }")
        .await
        .problem(400, "malformed");
    assert_eq!(
        (&problem["line"], &problem["column"]),
        (&json!(2), &json!(11))
    );
    for body in ["", "{", "{\"name\"", "\u{0}", "{\"name\":\"a\"} x"] {
        post("/v1/agents", json, body)
            .await
            .problem(400, "malformed");
    }
    for body in [
        r#"{"name":"a","name":"b"}"#,
        r#"{"name":"a","key":"mine"}"#,
        r#"{"name":7}"#,
        r#"["a"]"#,
        "7",
        "{}",
    ] {
        let problem = post("/v1/agents", json, body).await.problem(422, "invalid");
        assert!(problem["line"].is_u64(), "{problem}");
    }
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
    ] {
        post("/v1/agents", media, r#"{"name":"a"}"#)
            .await
            .problem(415, "media-type");
    }
    post(
        "/v1/agents",
        json,
        &format!("{{\"name\":\"{}\"}}", "a".repeat(300_000)),
    )
    .await
    .problem(413, "body-too-large");
    post(
        "/v1/credentials",
        "application/octet-stream",
        &"#".repeat(4 * 1024 * 1024 + 1),
    )
    .await
    .problem(413, "body-too-large");
    for path in [
        "/v1/delegations?status=sideways",
        "/v1/delegations?stat=open",
        "/v1/delegations/del_x",
    ] {
        broker
            .operate("GET", path, None)
            .await
            .problem(400, "malformed");
    }
    broker.stop().await;
}

#[tokio::test]
async fn an_agent_does_not_know_of_anothers_delegation() {
    let broker = Running::start().await;
    let (one, other) = (broker.agent("one").await, broker.agent("other").await);
    let asked = json!({ "purpose": "read", "scope": { "origins": ["https://app.example.com"] } });
    let made = broker
        .call("POST", "/v1/delegations", Some(&one), Some(&asked))
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = made.headers["location"].to_str().unwrap();
    assert_eq!(broker.call("GET", path, Some(&one), None).await.status, 200);
    broker
        .call("GET", path, Some(&other), None)
        .await
        .problem(404, "not-found");
    broker
        .call("POST", &format!("{path}/complete"), Some(&other), None)
        .await
        .problem(404, "not-found");
    let listed = broker
        .call("GET", "/v1/delegations", Some(&other), None)
        .await;
    assert_eq!(listed.json(), json!({ "delegations": [] }));
    broker.stop().await;
}

#[tokio::test]
async fn a_window_over_the_cap_or_backwards_is_refused() {
    let broker = Running::start().await;
    broker.agent("worker").await;
    for window in [
        json!({ "duration": "3d" }),
        json!({ "start": "2030-01-01T10:00:00Z", "end": "2030-01-01T09:00:00Z" }),
        json!({ "start": "2020-01-01T10:00:00Z", "end": "2020-01-01T10:05:00Z" }),
    ] {
        let asked = json!({
            "agent": "worker", "purpose": "read", "window": window,
            "scope": { "origins": ["https://app.example.com"] },
        });
        let answer = broker
            .operate("POST", "/v1/delegations", Some(&asked))
            .await;
        assert!(answer.status.is_client_error(), "{}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    let listed = broker.operate("GET", "/v1/delegations", None).await;
    assert_eq!(listed.json(), json!({ "delegations": [] }));
    broker.stop().await;
}

const COOKIES: &str = "# Netscape HTTP Cookie File\n\
    app.example.com\tFALSE\t/\tTRUE\t4102444800\tsid\ttop-secret-value\n\
    .co.uk\tTRUE\t/\tTRUE\t4102444800\twide\tother-secret-value\n";

#[tokio::test]
async fn the_whole_life_of_a_delegation_answers_as_documented() {
    let broker = Running::start().await;
    let document = document(&broker).await;
    let check = |schema: &str, answer: &Answered| {
        assert!(answer.status.is_success(), "{schema}: {}", answer.text);
        let value = answer.json();
        schema::check(&document, schema, &value);
        assert!(!answer.text.contains("secret-value"), "{}", answer.text);
        value
    };
    let added = broker
        .operate("POST", "/v1/agents", Some(&json!({ "name": "worker" })))
        .await;
    check("AddedAgent", &added);
    check(
        "AgentList",
        &broker.operate("GET", "/v1/agents", None).await,
    );

    let import = broker
        .request("POST", "/v1/credentials?format=auto")
        .bearer_auth(&broker.operator)
        .body(COOKIES);
    let report = check("ImportReport", &answered(import).await);
    assert_eq!(report["imported"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(report["refused"][0]["name"], "wide", "{report}");
    check(
        "CredentialList",
        &broker.operate("GET", "/v1/credentials", None).await,
    );

    let asked = json!({
        "agent": "worker", "purpose": "read the tickets", "window": { "duration": "15m" },
        "cookies": [{ "name": "sid", "origin": "https://app.example.com" }],
        "scope": { "origins": ["https://app.example.com"], "paths": ["/tickets/*"] },
    });
    let made = broker
        .operate("POST", "/v1/delegations", Some(&asked))
        .await;
    let id = check("Delegation", &made)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/delegations/{id}");
    check("Delegation", &broker.operate("GET", &path, None).await);
    let approved = broker
        .operate("POST", &format!("{path}/approve"), None)
        .await;
    assert_eq!(check("Delegation", &approved)["phase"], "open");
    broker
        .operate("POST", &format!("{path}/approve"), None)
        .await
        .problem(409, "conflict");
    let open = broker
        .operate("GET", "/v1/delegations?status=open&agent=worker", None)
        .await;
    assert_eq!(check("DelegationList", &open)["delegations"][0]["id"], *id);
    let closed = broker
        .operate("GET", "/v1/delegations?status=closed", None)
        .await;
    assert_eq!(closed.json(), json!({ "delegations": [] }));

    check(
        "SessionList",
        &broker.operate("GET", "/v1/sessions", None).await,
    );
    let revoked = broker
        .operate("POST", &format!("{path}/revoke"), None)
        .await;
    assert_eq!(check("Delegation", &revoked)["state"]["reason"], "revoked");

    let credential = report["imported"][0]["id"].as_str().unwrap();
    let removed = broker
        .operate("DELETE", &format!("/v1/credentials/{credential}"), None)
        .await;
    assert_eq!((removed.status.as_u16(), removed.text.as_str()), (204, ""));

    let traces = broker.operate("GET", "/v1/traces", None).await;
    let traces = check("TraceList", &traces);
    let trace = traces["traces"][0]["id"].as_str().unwrap();
    let records = broker
        .operate("GET", &format!("/v1/traces/{trace}/records"), None)
        .await;
    assert_eq!(records.headers["content-type"], "application/x-ndjson");
    let lines: Vec<Value> = records
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        lines
            .iter()
            .any(|line| line["event"]["type"] == "delegation-approved"),
        "{}",
        records.text
    );
    assert!(!records.text.contains("secret-value"));
    let verdict = broker
        .operate("GET", &format!("/v1/traces/{trace}/verify"), None)
        .await;
    assert_eq!(check("TraceVerdict", &verdict)["intact"], true);
    broker.stop().await;
}

#[tokio::test]
async fn refused_calls_are_on_record() {
    let broker = Running::start().await;
    let agent = broker.agent("worker").await;
    broker.call("GET", "/v1/traces", Some(&agent), None).await;
    broker
        .call("GET", "/v1/credentials", Some("nobody"), None)
        .await;
    let traces = broker.operate("GET", "/v1/traces", None).await.json();
    let trace = traces["traces"][0]["id"].as_str().unwrap();
    let records = broker
        .operate("GET", &format!("/v1/traces/{trace}/records"), None)
        .await
        .text;
    for route in ["GET /v1/traces", "GET /v1/credentials"] {
        let refused = records.lines().any(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            record["event"]["type"] == "call-refused" && record["event"]["route"] == route
        });
        assert!(refused, "{route}: {records}");
    }
    assert!(!records.contains("nobody"), "{records}");
    broker.stop().await;
}

#[tokio::test]
async fn problems_are_as_documented() {
    let broker = Running::start().await;
    let document = document(&broker).await;
    for (method, path, token) in [
        ("GET", "/v1/agents", None),
        ("GET", "/nowhere", None),
        ("PUT", "/v1/agents", Some(&broker.operator)),
        ("POST", "/v1/agents", Some(&broker.operator)),
        ("GET", "/v1/delegations/del_x", Some(&broker.operator)),
    ] {
        let answer = broker
            .call(method, path, token.map(String::as_str), None)
            .await;
        schema::check(&document, "Problem", &answer.json());
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_session_is_its_agents_and_its_token_opens_no_route() {
    let broker = Running::start().await;
    let document = document(&broker).await;
    let (one, other) = (broker.agent("one").await, broker.agent("other").await);
    let started = broker
        .call("POST", "/v1/sessions", Some(&one), Some(&json!({})))
        .await;
    assert_eq!(started.status, 201, "{}", started.text);
    let told = started.json();
    schema::check(&document, "StartedSession", &told);
    let path = started.headers["location"].to_str().unwrap();
    let token = told["token"].as_str().unwrap();
    assert!(!told["cdp_url"].as_str().unwrap().contains(token), "{told}");
    for route in ["/v1/sessions", path, "/v1/delegations", "/v1/agents"] {
        broker
            .call("GET", route, Some(token), None)
            .await
            .problem(401, "unauthenticated");
    }
    for method in ["GET", "DELETE"] {
        broker
            .call(method, path, Some(&other), None)
            .await
            .problem(404, "not-found");
    }
    let shown = broker.call("GET", path, Some(&one), None).await;
    schema::check(&document, "Session", &shown.json());
    let listed = broker.call("GET", "/v1/sessions", Some(&one), None).await;
    schema::check(&document, "SessionList", &listed.json());
    let ended = broker.call("DELETE", path, Some(&one), None).await;
    schema::check(&document, "Session", &ended.json());
    assert_eq!(ended.json()["status"], "ended");
    broker.stop().await;
}

#[tokio::test]
async fn a_session_begins_with_the_name_of_who_asked_for_it() {
    let broker = Running::start().await;
    let (key, operator) = (broker.agent("one").await, broker.operator.clone());
    let agents = broker
        .call("GET", "/v1/agents", Some(&operator), None)
        .await;
    let agent = agents.json()["agents"][0]["id"].clone();
    for (token, kind) in [(&key, "agent"), (&operator, "person")] {
        let asked = json!({ "agent": agent });
        let started = broker
            .call("POST", "/v1/sessions", Some(token), Some(&asked))
            .await;
        assert_eq!(started.status, 201, "{}", started.text);
        let path = started.headers["location"].to_str().unwrap();
        broker.call("DELETE", path, Some(token), None).await;
        let trace = started.json()["session"]["trace"]
            .as_str()
            .unwrap()
            .to_owned();
        let path = format!("/v1/traces/{trace}/records");
        let records = broker.call("GET", &path, Some(&operator), None).await;
        let first: Value = serde_json::from_str(records.text.lines().next().unwrap()).unwrap();
        assert_eq!(first["actor"]["kind"], kind, "{first}");
    }
    broker.stop().await;
}
