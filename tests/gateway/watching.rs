//! A second connection that may only look: it sees the pages and what they tell,
//! and can neither act nor hold anything up.

use serde_json::json;
use url::Url;

use crate::{
    stage::{Cookie, Lender},
    support::{
        broker::Broker,
        canary::{self, Canary, Hit},
        cdp::Cdp,
    },
};

const SID: &str = "s1d-t0-l00k-at-31";

fn routes(hit: &Hit) -> canary::Reply {
    match hit.path.as_str() {
        "/" => canary::html("<!doctype html><title>seen</title><p id=p>one"),
        _ => canary::text("done"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_sees_and_does_nothing() {
    let site = Canary::start(routes).await;
    let broker = Broker::start("[session]\ngrace = \"1s\"\n");
    let lender = Lender::new(&broker, &[Cookie::new("sid", SID, "127.0.0.1")]).await;
    let origin = site.origin();
    let scope = json!({ "origins": [origin], "methods": ["GET"] });
    let delegation = lender.lend(&origin, "wire", &["sid"], &scope).await;
    let (session, acting) = lender.start(&[&delegation]).await;
    let page = acting.open(&format!("{origin}/")).await;
    page.until("document.title === 'seen'").await;

    let path = format!("/v1/sessions/{}/watchers", session.id);
    let shared = broker
        .agent(&lender.agent.key)
        .post(&path, &json!({}))
        .await;
    let mut url: Url = shared["cdp_url"].as_str().unwrap().parse().unwrap();
    url.query_pairs_mut()
        .append_pair("token", shared["token"].as_str().unwrap());
    let watching = Cdp::connect(url.as_str()).await;
    let wait = json!({ "autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true });
    watching.ask("Target.setAutoAttach", wait).await;
    let seen = watching.attach(&page.target).await;
    let html = seen.ask("DOM.getDocument", json!({ "depth": -1 })).await;
    assert!(html.to_string().contains("one"), "{html}");
    seen.ask("Page.captureScreenshot", json!({})).await;
    seen.ask("Network.enable", json!({})).await;

    // What it says is refused where it is more than looking, on record.
    for (method, params) in [
        (
            "Runtime.evaluate",
            json!({ "expression": "document.title = 'changed'" }),
        ),
        (
            "Page.navigate",
            json!({ "url": format!("{origin}/strayed") }),
        ),
        ("Page.reload", json!({})),
        ("Fetch.enable", json!({})),
        ("Input.insertText", json!({ "text": "x" })),
        ("Debugger.enable", json!({})),
        ("Network.clearBrowserCookies", json!({})),
        ("Hallpass.explain", json!({ "reason": "x" })),
    ] {
        let refused = seen.call(method, params).await.unwrap_err();
        let why = refused["message"].as_str().unwrap();
        assert!(why.contains("watch-only"), "{method}: {why}");
    }
    let close = json!({ "targetId": page.target });
    for (method, params) in [
        ("Target.closeTarget", close),
        ("Target.createTarget", json!({ "url": "about:blank" })),
        ("Browser.close", json!({})),
        ("Storage.getCookies", json!({})),
    ] {
        let refused = watching.call(None, method, params).await.unwrap_err();
        let why = refused["message"].as_str().unwrap();
        assert!(why.contains("watch-only"), "{method}: {why}");
    }
    assert_eq!(page.evaluate("document.title").await, "seen");
    // It is told of what happens, and a page that it was given to hold runs.
    page.evaluate("fetch('/x')").await;
    watching
        .event(|event| event["method"] == "Network.responseReceived")
        .await;
    let second = acting.open(&format!("{origin}/")).await;
    second.until("document.title === 'seen'").await;
    assert!(!watching.has_heard(SID));

    // Alone, it does not keep the session, and its token opens no other door.
    let other = lender.operator.start_session(&lender.agent, &[]).await;
    let mut elsewhere: Url = other.cdp_url.parse().unwrap();
    let token = format!("token={}", shared["token"].as_str().unwrap());
    elsewhere.set_query(Some(&token));
    assert!(
        tokio_tungstenite::connect_async(elsewhere.as_str())
            .await
            .is_err()
    );
    acting.leave().await;
    let why = watching.until_closed().await;
    assert!(why.contains("grace"), "{why}");
}
