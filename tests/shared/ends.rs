//! The end of one session, however it comes, is not the end of the others; the
//! last takes the browser along.

use std::{fs, path::Path};

use serde_json::json;

use crate::{
    neighbours, stage,
    support::{
        broker::Broker,
        canary::{self, Canary, Hit, Reply},
        cdp::{Cdp, Page},
    },
};

fn routes(hit: &Hit) -> Reply {
    match hit.path.as_str() {
        "/ticks" => canary::typed("text/javascript", "setInterval(() => fetch('/tick'), 20)"),
        "/slow" => canary::endless("text/plain", "piece after piece "),
        _ => canary::html("<title>home</title>"),
    }
}

fn cells(broker: &Broker) -> usize {
    fs::read_dir(broker.data_dir.join("cells")).map_or(0, |cells| {
        let profiles = cells
            .flatten()
            .filter(|cell| cell.path().join("profile").exists());
        profiles.count()
    })
}

async fn lives(page: &Page, home: &str) {
    page.navigate(home).await;
    page.until("document.title == 'home'").await;
}

async fn one_after_the_other(browser: &Path) {
    let site = Canary::start(routes).await;
    let broker = stage::broker(browser);
    let (operator, [one, two]) = stage::two(&broker, &site, "wire").await;
    let home = format!("{}/", site.origin_as("a.localhost"));
    let page = one.cdp.open(&home).await;
    page.until("document.title == 'home'").await;
    page.evaluate("(new SharedWorker('/ticks'), fetch('/slow'), 1)")
        .await;
    for path in ["/tick", "/slow"] {
        site.until(|hits| hits.iter().any(|hit| hit.path == path))
            .await;
    }
    // One that never comes back goes, too. Not before: a worker starts by way of
    // its page's own thread.
    page.evaluate("(setTimeout(() => { for (;;); }), 1)").await;
    let other = two.cdp.open(&home).await;
    lives(&other, &home).await;

    // Its window is its session's last: with it the session ends.
    operator.revoke(&one.delegation).await;
    one.cdp.until_closed().await;
    operator.end_session(&one.session).await;
    site.reset();
    site.until_closed(|hit| hit.path == "/slow").await;
    lives(&other, &home).await;
    assert!(
        site.hits_on("/tick").is_empty(),
        "a worker outlived its session"
    );
    assert_eq!(stage::running(&broker).len(), 1);

    // A third takes a place in the same browser.
    let third = operator.start_session(&one.agent, &[]).await;
    assert_eq!(stage::running(&broker).len(), 1);
    operator.end_session(&third).await;
    lives(&other, &home).await;
    operator.end_session(&two.session).await;
    assert!(
        stage::running(&broker).is_empty(),
        "the last takes it along"
    );
    assert_eq!(cells(&broker), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_one_is_not_the_others() {
    for browser in stage::browsers() {
        one_after_the_other(&browser).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_browser_is_joined_by_another() {
    let broker = stage::sharing(&stage::browsers()[0], 2, 0);
    let operator = broker.operator();
    let agent = operator.add_agent("clerk").await;
    let one = operator.start_session(&agent, &[]).await;
    let first = stage::running(&broker);
    let two = operator.start_session(&agent, &[]).await;
    assert_eq!(stage::running(&broker).len(), 1);
    let three = operator.start_session(&agent, &[]).await;
    assert_eq!(stage::running(&broker).len(), 2);
    let mut clients = Vec::new();
    for session in [&one, &two, &three] {
        clients.push(Cdp::connect(&session.cdp_url).await);
    }
    // A browser that dies ends its own sessions and no others.
    first[0].kill();
    for ended in &clients[..2] {
        let why = ended.until_closed().await;
        assert!(why.contains("browser ended"), "{why}");
    }
    clients[2].ask("Browser.getVersion", json!({})).await;
    let next = operator.start_session(&agent, &[]).await;
    assert_eq!(stage::running(&broker).len(), 1, "in the one that is left");
    operator.end_session(&next).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_has_so_many_sessions_in_its_life() {
    let broker = stage::sharing(&stage::browsers()[0], 2, 0);
    let operator = broker.operator();
    let agent = operator.add_agent("clerk").await;
    let stays = operator.start_session(&agent, &[]).await;
    // Four times as many as it has at once, the one that stays among them.
    for _ in 1..8 {
        let session = operator.start_session(&agent, &[]).await;
        assert_eq!(stage::running(&broker).len(), 1);
        operator.end_session(&session).await;
    }
    let next = operator.start_session(&agent, &[]).await;
    assert_eq!(stage::running(&broker).len(), 2, "the first is used up");
    for session in [&stays, &next] {
        operator.end_session(session).await;
    }
    assert!(stage::running(&broker).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_is_kept_ready() {
    let broker = stage::sharing(&stage::browsers()[0], 8, 1);
    let operator = broker.operator();
    let agent = operator.add_agent("clerk").await;
    for _ in 0..3 {
        let session = operator.start_session(&agent, &[]).await;
        let page = Cdp::connect(&session.cdp_url)
            .await
            .open("about:blank")
            .await;
        assert_eq!(page.evaluate("20 + 22").await, json!(42));
        assert_eq!(stage::running(&broker).len(), 1);
        operator.end_session(&session).await;
    }
}

/// Longest time until a browser has worked through a flood.
const DRAINED: std::time::Duration = std::time::Duration::from_secs(90);

async fn survives(browser: &Path) {
    let site = Canary::start(routes).await;
    let broker = stage::broker(browser);
    let (operator, [one, two]) = stage::two(&broker, &site, "wire").await;
    let neighbour = two.cdp.open("about:blank").await;
    neighbours::attack(&one.cdp, std::slice::from_ref(&neighbour)).await;
    // One that says more than can be read: it is ended, or it can be read.
    let loud = one.cdp.open("about:blank").await;
    loud.ask("Runtime.enable", json!({})).await;
    let flood =
        "setInterval(() => { for (let i = 0; i < 200; i++) console.log('x'.repeat(1000)); }, 1)";
    loud.evaluate(&format!("({flood}, 1)")).await;
    // The browser works through what the flood left it; then all is as before.
    let asked = json!({ "expression": "20 + 22", "returnByValue": true });
    let session = Some(neighbour.session.as_str());
    let answer = neighbour.cdp.answer(session, "Runtime.evaluate", asked);
    let answer = tokio::time::timeout(DRAINED, answer).await.unwrap();
    assert_eq!(answer.unwrap().unwrap()["result"]["value"], 42);
    for _ in 0..20 {
        assert_eq!(neighbour.evaluate("20 + 22").await, json!(42));
    }
    operator.end_session(&one.session).await;
    assert_eq!(neighbour.evaluate("20 + 22").await, json!(42));
    operator.end_session(&two.session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_a_browser_does_not_end_the_neighbours_session() {
    for browser in stage::browsers() {
        survives(&browser).await;
    }
}
