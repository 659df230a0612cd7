//! An agent that knows nothing but what refusals say asks for what it lacks, gets
//! it approved, and finishes.

use serde_json::{Value, json};

use crate::{desk::Desk, support::broker::Broker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_finds_its_way_by_the_refusals_alone() {
    let broker = Broker::start("");
    let desk = Desk::open(
        &broker,
        json!({ "methods": ["GET"], "paths": ["/", "/page/*"] }),
    )
    .await;
    let agent = broker.agent(&desk.lender.agent.key);
    let operator = &desk.lender.operator;
    let elsewhere = desk.site.origin_as("b.localhost");

    // What it wants, and what it may not yet.
    for (url, rule) in [
        (format!("{}/tickets/7", desk.origin), "path-out-of-scope"),
        (format!("{elsewhere}/page"), "origin-out-of-scope"),
    ] {
        desk.page.navigate(&url).await;
        desk.page.until("document.querySelector('#ask')").await;
        let read = |id: &str| format!("document.querySelector('#{id}').innerText");
        assert_eq!(desk.page.evaluate(&read("rule")).await, rule);
        let advice = desk.page.evaluate(&read("advice")).await;
        assert!(
            advice.as_str().unwrap().contains("POST /v1/delegations"),
            "{advice}"
        );
        // The notice holds the body of that call.
        let ask: Value =
            serde_json::from_str(desk.page.evaluate(&read("ask")).await.as_str().unwrap()).unwrap();
        let made = agent.post("/v1/delegations", &ask).await;
        let id = made["id"].as_str().unwrap();
        assert_eq!(made["phase"], "requested");
        operator.approve(id).await;
        let path = format!("/v1/sessions/{}/delegations", desk.session.id);
        agent.post(&path, &json!({ "delegation": id })).await;
        desk.page.navigate(&url).await;
        desk.page.until("!document.querySelector('#ask')").await;
    }
    // With what was lent before, where it had been lent.
    assert_eq!(desk.arrived("/tickets/7").len(), 1);

    // A script that may not change anything is told how to ask, too.
    desk.page.navigate(&format!("{}/page/", desk.origin)).await;
    desk.page.until("document.title === 'page'").await;
    desk.fetch("save", "POST", "/page/save", "'note=a'").await;
    let refused = desk.fetched("save").await;
    let problem: Value = serde_json::from_str(refused["text"].as_str().unwrap()).unwrap();
    assert_eq!(problem["rule"], "method-out-of-scope");
    let made = agent.post("/v1/delegations", &problem["ask"]).await;
    let id = made["id"].as_str().unwrap();
    operator.approve(id).await;
    let path = format!("/v1/sessions/{}/delegations", desk.session.id);
    agent.post(&path, &json!({ "delegation": id })).await;
    let path = format!("/v1/sessions/{}/explain", desk.session.id);
    agent
        .post(&path, &json!({ "reason": "the ticket is done" }))
        .await;
    desk.fetch("again", "POST", "/page/save", "'note=a'").await;
    let hold = desk.holds(1).await.remove(0);
    assert_eq!(hold["agent_says"], "the ticket is done");
    let seen = agent
        .get(&format!("/v1/holds/{}", hold["id"].as_str().unwrap()))
        .await;
    assert_eq!(seen["id"], hold["id"]);
    desk.answer(&hold, json!({ "answer": "once" })).await;
    assert_eq!(desk.fetched("again").await["status"], 200);
    assert_eq!(desk.arrived("/page/save").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_rewrites_is_decided_as_rewritten_and_is_its_own_doing() {
    let broker = Broker::start("");
    let desk = Desk::open(&broker, json!({ "methods": ["GET"] })).await;
    let elsewhere = desk.site.origin_as("b.localhost");
    desk.page.ask("Fetch.enable", json!({})).await;
    for (from, to) in [
        ("/one", format!("{}/two", desk.origin)),
        ("/three", format!("{elsewhere}/four")),
    ] {
        desk.page
            .evaluate(&format!("(window.got = 'nothing', fetch('{from}').then((r) => got = r.status, () => got = 'failed'), 0)"))
            .await;
        let paused = desk
            .cdp
            .event(|event| {
                event["method"] == "Fetch.requestPaused"
                    && event["params"]["request"]["url"]
                        .as_str()
                        .unwrap()
                        .ends_with(from)
            })
            .await;
        let go = json!({ "requestId": paused["params"]["requestId"], "url": to });
        desk.page.ask("Fetch.continueRequest", go).await;
        desk.page.until("got !== 'nothing'").await;
    }
    assert_eq!(desk.page.evaluate("got").await, "failed");
    // The cookie goes where the request goes, and nothing else does.
    assert_eq!(desk.arrived("/two").len(), 1);
    for path in ["/one", "/three", "/four"] {
        assert_eq!(desk.site.hits_on(path).len(), 0, "{path}");
    }
    for path in ["/two", "/four"] {
        let records = desk.records().await;
        let record = records
            .iter()
            .find(|record| {
                record["event"]["type"] == "request"
                    && record["event"]["what"].as_str().unwrap().ends_with(path)
            })
            .unwrap();
        assert_eq!(record["actor"]["kind"], "agent", "{record}");
    }
    let untouched =
        desk.records().await.into_iter().find(|record| {
            record["event"]["type"] == "request" && record["actor"]["kind"] == "page"
        });
    assert!(untouched.is_some());
}

/// The one request that waits for a person, once it is bound to the desk's session.
async fn proposed(desk: &Desk) -> Value {
    let operator = &desk.lender.operator;
    let path = format!("/v1/sessions/{}", desk.session.id);
    loop {
        let list = operator.get("/v1/delegations?status=requested").await;
        let list = list["delegations"].as_array().unwrap().clone();
        assert!(list.len() < 2, "{list:#?}");
        let session = operator.get(&path).await;
        let bound = session["delegations"].as_array().unwrap().clone();
        if let Some(asked) = list.into_iter().find(|asked| bound.contains(&asked["id"])) {
            return asked;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_system_becomes_a_question_to_a_person() {
    let broker = Broker::start("");
    let desk = Desk::open(&broker, json!({ "methods": ["GET"] })).await;
    let operator = &desk.lender.operator;
    let elsewhere = desk.site.origin_as("b.localhost");
    // By a link of the page's, twice; and by a frame, which asks nobody.
    let frame = desk.site.origin_as("c.localhost");
    desk.page
        .evaluate(&format!("(() => {{ const f = document.createElement('iframe'); f.src = '{frame}/page'; document.body.append(f); return new Promise((r) => f.onload = () => r(1)); }})()"))
        .await;
    for _ in 0..2 {
        desk.page.navigate(&format!("{}/", desk.origin)).await;
        desk.page.until("document.title === 'desk'").await;
        desk.page
            .evaluate(&format!(
                "(setTimeout(() => location.href = '{elsewhere}/page?secret=1'), 0)"
            ))
            .await;
        desk.page
            .until("document.title === 'Stopped by Hallpass'")
            .await;
    }
    let asked = proposed(&desk).await;
    assert_eq!(asked["requested"]["scope"]["origins"], json!([elsewhere]));
    assert_eq!(asked["requested"]["credentials"], json!([]));
    let purpose = asked["purpose"].as_str().unwrap();
    for part in [&desk.origin, &elsewhere, &desk.session.id] {
        assert!(purpose.contains(part.as_str()), "{purpose}");
    }
    assert!(!purpose.contains("secret=1"), "{purpose}");
    let told = desk.told("second-system").await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["origin"], json!(elsewhere));
    assert_eq!(told[0]["page"], json!(format!("{}/", desk.origin)));
    assert_eq!(told[0]["cause"], "Runtime.evaluate");
    assert_eq!(desk.site.hits_on("/page").len(), 0);

    // Granted, it is open in the session, and nothing is lent to it.
    operator.approve(asked["id"].as_str().unwrap()).await;
    desk.page.navigate(&format!("{elsewhere}/page")).await;
    desk.page.until("document.title === 'page'").await;
    assert_eq!(desk.arrived("/page").len(), 0);
    assert_eq!(desk.site.hits_on("/page").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_pages_need_is_proposed_and_not_let_through() {
    let broker = Broker::start("");
    let methods = json!(["GET"]);
    let desk = Desk::open(&broker, json!({ "methods": methods, "unknown": "propose" })).await;
    let silent = Desk::open(&broker, json!({ "methods": methods })).await;
    let host = |name: &str| desk.site.origin_as(name);
    let [cdn, fonts, api, push] = [
        "cdn.localhost",
        "fonts.localhost",
        "api.localhost",
        "push.localhost",
    ]
    .map(host);
    let need = format!(
        "Promise.allSettled([
            ...['{cdn}/a', '{cdn}/b', '{fonts}/c'].map((url) => new Promise((done) => {{
                const script = document.createElement('script');
                script.onload = script.onerror = done;
                script.src = url;
                document.head.append(script);
            }})),
            fetch('{api}/d', {{ mode: 'no-cors' }}),
            new Promise((done) => {{ new WebSocket('{}/e').onerror = done; }}),
        ]).then(() => 1)",
        push.replace("http", "ws")
    );
    for page in [&silent.page, &desk.page] {
        page.evaluate(&need).await;
    }
    let operator = &desk.lender.operator;
    let asked = proposed(&desk).await;
    let scope = &asked["requested"]["scope"];
    assert_eq!(scope["load"], json!([cdn, fonts]), "{asked}");
    assert_eq!(scope["connect"], json!([api, push]), "{asked}");
    assert_eq!(scope["origins"], json!([]));
    assert_eq!(asked["requested"]["credentials"], json!([]));
    let purpose = asked["purpose"].as_str().unwrap();
    for part in [&desk.origin, &cdn, &api, &desk.session.id] {
        assert!(purpose.contains(part.as_str()), "{purpose}");
    }
    for path in ["/a", "/b", "/c", "/d", "/e"] {
        assert_eq!(desk.site.hits_on(path).len(), 0, "{path}");
    }

    // A person takes a part of it; the rest stays refused, and nobody is asked again.
    let path = format!("/v1/delegations/{}/approve", asked["id"].as_str().unwrap());
    let mut granted = scope.clone();
    granted["load"] = json!([cdn]);
    granted["connect"] = json!([]);
    operator.post(&path, &json!({ "scope": granted })).await;
    desk.page.evaluate(&need).await;
    for (path, times) in [("/a", 1), ("/b", 1), ("/c", 0), ("/d", 0), ("/e", 0)] {
        let hits = desk.site.hits_on(path);
        assert_eq!(hits.len(), times, "{path}");
        assert!(hits.iter().all(|hit| hit.cookie("sid").is_none()));
    }
    let waiting = "/v1/delegations?status=requested";
    let rest = operator.get(waiting).await;
    assert_eq!(rest["delegations"], json!([]), "of neither desk");
}
