//! How windows end while the session goes on: budgets, locks, revocation; and what
//! becomes of what was shown and kept.

use serde_json::{Value, json};

use crate::{
    desk::{Desk, waiting},
    support::broker::Broker,
};

/// A second window, on the other host of the site, so that the session goes on.
async fn second(desk: &Desk) -> String {
    let origin = desk.site.origin_as("b.localhost");
    let scope = json!({ "origins": [origin] });
    let delegation = desk.lender.lend(&origin, "wire", &["sid"], &scope).await;
    let path = format!("/v1/sessions/{}/delegations", desk.session.id);
    let bound = json!({ "delegation": delegation });
    desk.lender.operator.post(&path, &bound).await;
    origin
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_and_storage_do_not_outlive_their_window() {
    let broker = Broker::start("");
    let desk = Desk::open(&broker, json!({ "methods": ["GET", "HEAD"] })).await;
    let other_origin = second(&desk).await;
    let other = desk.cdp.open(&format!("{other_origin}/page")).await;
    other.until("document.title === 'page'").await;
    let keep = "(async () => {
        localStorage.setItem('kept', 'yes');
        document.cookie = 'own=1; path=/';
        await caches.open('c').then((c) => c.put('/x', new Response('kept')));
        await navigator.serviceWorker.register('/worker.js');
        await navigator.serviceWorker.ready;
        return true;
    })()";
    for page in [&desk.page, &other] {
        assert_eq!(page.evaluate(keep).await, true);
    }
    desk.lender.operator.revoke(&desk.delegation).await;
    let event = desk
        .cdp
        .event(|event| event["method"] == "Hallpass.windowClosed")
        .await;
    assert_eq!(event["params"]["delegation"], json!(desk.delegation));
    assert_eq!(event["params"]["reason"], "revoked");
    desk.page
        .until("document.title === 'Stopped by Hallpass' && document.readyState === 'complete'")
        .await;
    let text = desk.page.evaluate("document.body.innerText").await;
    assert!(text.as_str().unwrap().contains("window-closed"), "{text}");
    // The other window's page is as it was.
    assert_eq!(other.evaluate("document.title").await, "page");
    assert_eq!(other.evaluate("localStorage.getItem('kept')").await, "yes");

    // What the first origin kept is gone: seen by a window that lends nothing.
    let scope = json!({ "origins": [desk.origin] });
    let bare = desk.lender.lend(&desk.origin, "wire", &[], &scope).await;
    let path = format!("/v1/sessions/{}/delegations", desk.session.id);
    desk.lender
        .operator
        .post(&path, &json!({ "delegation": bare }))
        .await;
    let again = desk.cdp.open(&format!("{}/page", desk.origin)).await;
    again.until("document.title === 'page'").await;
    let kept = "(async () => [localStorage.getItem('kept'), document.cookie,
        (await caches.keys()).length, (await navigator.serviceWorker.getRegistrations()).length])()";
    assert_eq!(again.evaluate(kept).await, json!([null, "", 0, 0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_used_up_closes_its_window() {
    let broker = Broker::start("");
    for (budget, path, fits, method) in [
        (json!({ "requests": 4 }), "/page", 3, "GET"),
        (json!({ "writes": 2 }), "/save", 2, "POST"),
        (json!({ "bytes": 800_000 }), "/big", 2, "GET"),
    ] {
        let scope = json!({ "methods": ["GET", "POST"], "writes": "allow", "budget": budget });
        let desk = Desk::open(&broker, scope).await;
        second(&desk).await;
        // The first page is one request, and its icon is not asked for headless.
        let mut done = 0;
        loop {
            let body = if method == "GET" {
                "undefined"
            } else {
                "'a=1'"
            };
            let name = format!("n{done}");
            let script = format!(
                "fetch('{path}', {{ method: '{method}', body: {body}, cache: 'no-store' }}).then(async (r) => r.ok && (await r.text()).length > 0, () => false)"
            );
            let went = desk.page.try_evaluate(&script).await;
            if went != Ok(Value::Bool(true)) {
                break;
            }
            done += 1;
            assert!(done <= fits, "{budget}: {name}");
        }
        assert_eq!(done, fits, "{budget}");
        let event = desk
            .cdp
            .event(|event| event["method"] == "Hallpass.windowClosed")
            .await;
        assert_eq!(event["params"]["reason"], "exhausted", "{budget}");
        desk.page
            .until("document.title === 'Stopped by Hallpass' && document.readyState === 'complete'")
            .await;
        let arrived = desk.arrived(path).len();
        // Of a connection that is cut for its bytes, the request had arrived.
        let cut = usize::from(budget.get("bytes").is_some());
        assert_eq!(arrived, fits + cut, "{budget}");
        while desk.state().await["reason"] != "exhausted" {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_closes_what_is_open_and_refuses_what_is_new() {
    let broker = Broker::start("");
    let desk = Desk::open(&broker, waiting()).await;
    let other_origin = second(&desk).await;
    desk.fetch("held", "POST", "/save", "'a=1'").await;
    desk.holds(1).await;

    // An origin: its window alone ends.
    let reason = "the desk is under attack";
    let cli = broker.cli(&[
        "lock",
        "set",
        "--origin",
        &desk.origin,
        "--reason",
        reason,
        "--json",
    ]);
    assert!(cli.status.success(), "{cli:?}");
    let lock: Value = serde_json::from_slice(&cli.stdout).unwrap();
    let path = format!("/v1/locks/{}/lift", lock["id"].as_str().unwrap());
    assert_eq!(desk.state().await["reason"], "locked");
    desk.holds(0).await;
    desk.page
        .until("document.title === 'Stopped by Hallpass' && document.readyState === 'complete'")
        .await;
    let other = desk.cdp.open(&format!("{other_origin}/page")).await;
    other.until("document.title === 'page'").await;
    let asked = json!({
        "agent": desk.lender.agent.id, "purpose": "again",
        "scope": { "origins": [desk.origin] },
    });
    let operator = &desk.lender.operator;
    let refused = operator
        .try_post("/v1/delegations", &asked)
        .await
        .unwrap_err();
    assert!(
        refused["detail"].as_str().unwrap().contains(reason),
        "{refused}"
    );
    operator.post(&path, &json!({})).await;
    operator.post("/v1/delegations", &asked).await;

    // An agent: everything of it ends, and it cannot begin anew.
    let before = desk.site.hits().len();
    let lock = json!({ "agent": desk.lender.agent.id, "reason": "it misbehaves" });
    let lock = operator.post("/v1/locks", &lock).await;
    let why = desk.cdp.until_closed().await;
    assert!(why.contains("locked"), "{why}");
    assert_eq!(desk.site.hits().len(), before);
    let again = json!({ "agent": desk.lender.agent.id, "delegations": [] });
    let refused = operator.try_post("/v1/sessions", &again).await.unwrap_err();
    assert_eq!(refused["status"], 409, "{refused}");
    // It outlives the broker.
    let folder = broker.finish();
    let broker = Broker::start_in(folder, "");
    let operator = broker.operator();
    let refused = operator.try_post("/v1/sessions", &again).await.unwrap_err();
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains("it misbehaves"),
        "{refused}"
    );
    let path = format!("/v1/locks/{}/lift", lock["id"].as_str().unwrap());
    operator.post(&path, &json!({})).await;
    operator.post("/v1/sessions", &again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_has_no_more_than_its_share() {
    let broker = Broker::start("[agent]\nsessions = 1\nwindows = 2\n");
    let desk = Desk::open(&broker, waiting()).await;
    let operator = &desk.lender.operator;
    let again = json!({ "agent": desk.lender.agent.id, "delegations": [] });
    let refused = operator.try_post("/v1/sessions", &again).await.unwrap_err();
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains("agent.sessions"),
        "{refused}"
    );
    second(&desk).await;
    let asked = json!({
        "agent": desk.lender.agent.id, "purpose": "a third",
        "scope": { "origins": [desk.origin] },
    });
    let made = operator.post("/v1/delegations", &asked).await;
    let path = format!("/v1/delegations/{}/approve", made["id"].as_str().unwrap());
    let refused = operator.try_post(&path, &json!({})).await.unwrap_err();
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains("agent.windows"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_count_whichever_window_opened_the_connection() {
    let broker = Broker::start("");
    let desk = Desk::open(&broker, waiting()).await;
    let origins = json!([desk.origin]);
    let lend = async |cookies: &[&str], scope: Value| {
        desk.lender
            .lend(&desk.origin, "wire", cookies, &scope)
            .await
    };
    let bare = lend(&[], json!({ "origins": origins })).await;
    let budget = json!({ "origins": origins, "budget": { "bytes": 500_000 } });
    let counted = lend(&["sid"], budget).await;
    let (_session, cdp) = desk.lender.start(&[&bare, &counted]).await;
    let page = cdp.open(&format!("{}/", desk.origin)).await;
    page.until("document.title === 'desk'").await;
    let load = "fetch('/big', { cache: 'no-store' }).then(async (r) => r.ok && (await r.text()).length, () => 0)";
    assert_eq!(page.evaluate(load).await, 300_000);
    page.try_evaluate(load).await.ok();
    let event = cdp
        .event(|event| event["method"] == "Hallpass.windowClosed")
        .await;
    assert_eq!(event["params"]["delegation"], json!(counted));
    assert_eq!(event["params"]["reason"], "exhausted");
}
