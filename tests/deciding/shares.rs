//! What one agent may use, over all its sessions and delegations.

use serde_json::{Value, json};

use crate::{
    desk::Desk,
    support::{
        broker::Broker,
        cdp::{Cdp, Page},
    },
};

fn waiting() -> Value {
    json!({ "methods": ["GET", "HEAD", "POST"], "writes": "hold" })
}

/// A further session of the desk's agent, with a window of its own.
async fn another(desk: &Desk) -> (Cdp, Page) {
    let mut scope = waiting();
    scope["origins"] = json!([desk.origin]);
    let lent = desk
        .lender
        .lend(&desk.origin, "wire", &["sid"], &scope)
        .await;
    let (_session, cdp) = desk.lender.start(&[&lent]).await;
    let page = cdp.open("about:blank").await;
    (cdp, page)
}

/// Sends requests until one is refused; how many came through, and the refusal.
const ASK_ON: &str = "(async () => {
    for (let n = 0; n < 100; n += 1) {
        const reply = await fetch(`/read?${n}`);
        if (!reply.ok) return { n, status: reply.status, problem: await reply.json() };
    }
})()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_within_an_hour_are_limited_over_all_sessions() {
    let broker = Broker::start("[agent]\nrequests_per_hour = 30\n");
    let desk = Desk::open(&broker, waiting()).await;
    let stopped = desk.page.evaluate(ASK_ON).await;
    assert_eq!(stopped["status"], 403, "{stopped}");
    let told = stopped["problem"]["detail"].as_str().unwrap();
    assert!(told.contains("`agent-limit`"), "{told}");
    assert!(told.contains("agent.requests_per_hour"), "{told}");
    // Opening the desk took some.
    assert!(stopped["n"].as_u64().unwrap() < 30, "{stopped}");
    let arrived = desk.site.hits().len();
    assert!((25..=30).contains(&arrived), "{arrived} arrived");

    // A window and a session more are no further share; the window stays open.
    let (_cdp, page) = another(&desk).await;
    page.navigate(&format!("{}/", desk.origin)).await;
    page.until("document.readyState === 'complete'").await;
    let notice = page.evaluate("document.body.innerText").await;
    assert!(notice.as_str().unwrap().contains("agent-limit"), "{notice}");
    assert_eq!(desk.site.hits().len(), arrived);
    assert_eq!(desk.state().await["status"], "approved");

    // Another agent has its own.
    let neighbour = Desk::open(&broker, waiting()).await;
    assert!(!neighbour.arrived("/").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_within_an_hour_are_limited_over_all_sessions() {
    let broker = Broker::start("[agent]\nbytes_per_hour = 500_000\n");
    let desk = Desk::open(&broker, waiting()).await;
    let load = "fetch('/big', { cache: 'no-store' }).then(async (r) => r.ok ? (await r.text()).length : r.text()).catch(() => 'cut')";
    assert_eq!(desk.page.evaluate(load).await, 300_000);
    let is_refused = |told: &Value| told.as_str().unwrap().contains("agent-limit");
    // Cut on its way. Where nothing of the answer had passed by then, the browser
    // asks once more on a fresh connection, and is refused as all that follows.
    let over = desk.page.evaluate(load).await;
    assert!(over == "cut" || is_refused(&over), "{over}");
    let refused = desk.page.evaluate(load).await;
    assert!(is_refused(&refused), "{refused}");
    assert_eq!(desk.arrived("/big").len(), 2);
    let arrived = desk.site.hits().len();
    let (_cdp, page) = another(&desk).await;
    page.navigate(&format!("{}/", desk.origin)).await;
    assert_eq!(desk.site.hits().len(), arrived);
    assert_eq!(desk.state().await["status"], "approved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_people_is_limited_over_all_sessions() {
    let broker = Broker::start("[agent]\nholds = 1\n");
    let desk = Desk::open(&broker, waiting()).await;
    let (_cdp, page) = another(&desk).await;
    page.navigate(&format!("{}/", desk.origin)).await;
    desk.fetch("first", "POST", "/save", "'note=1'").await;
    let hold = desk.holds(1).await.remove(0);

    let write = "fetch('/save', { method: 'POST', body: 'note=2' }).then((r) => r.text())";
    let refused = page.evaluate(write).await;
    assert!(
        refused.as_str().unwrap().contains("too-many-holds"),
        "{refused}"
    );
    desk.answer(&hold, json!({ "answer": "deny" })).await;
    desk.holds(0).await;

    // Its place is free again.
    let go = format!("({write}, 0)");
    page.evaluate(&go).await;
    desk.holds(1).await;
    assert!(desk.arrived("/save").is_empty());
}
