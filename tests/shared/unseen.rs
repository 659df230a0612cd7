//! For a session the others of its browser do not exist: not their targets and
//! contexts, not what they keep, and not the places that only they may reach.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    stage::{self, Tenant, refused},
    support::{
        canary::{self, Canary, Hit, Reply},
        cdp::Page,
    },
};

fn routes(hit: &Hit) -> Reply {
    match hit.path.as_str() {
        "/report" => canary::attachment("report.csv", "of the neighbour"),
        "/" => canary::html("<title>home</title><a href=/report download>report</a>"),
        _ => canary::text("here"),
    }
}

/// Neither by its targets, nor by its contexts, on whichever session.
async fn names_are_refused(one: &Tenant, page: &Page, victim: &Page, contexts: &[String]) {
    for place in [None, Some(page.session.as_str())] {
        for target in [victim.target.clone(), format!("tab.{}", victim.target)] {
            for method in [
                "Target.attachToTarget",
                "Target.closeTarget",
                "Target.activateTarget",
                "Target.getTargetInfo",
                "Browser.getWindowForTarget",
            ] {
                let params = json!({ "targetId": target, "flatten": true });
                refused(&one.cdp, place, method, params).await;
            }
        }
        for context in contexts {
            let named = |mut params: Value| {
                params["browserContextId"] = context.as_str().into();
                params
            };
            for (method, params) in [
                ("Target.createTarget", json!({ "url": "about:blank" })),
                ("Target.disposeBrowserContext", json!({})),
                ("Storage.getCookies", json!({})),
                ("Storage.setCookies", json!({ "cookies": [] })),
                ("Storage.clearCookies", json!({})),
                ("Browser.cancelDownload", json!({ "guid": "x" })),
                ("Browser.setDownloadBehavior", json!({ "behavior": "deny" })),
                (
                    "Browser.grantPermissions",
                    json!({ "permissions": ["geolocation"] }),
                ),
                ("Browser.resetPermissions", json!({})),
            ] {
                refused(&one.cdp, place, method, named(params)).await;
            }
        }
    }
    // Its CDP sessions are nobody else's.
    for method in ["Runtime.evaluate", "Page.close", "Network.getCookies"] {
        let params = json!({ "expression": "document.cookie" });
        refused(&one.cdp, Some(&victim.session), method, params).await;
    }
    let params = json!({ "sessionId": victim.session });
    refused(&one.cdp, None, "Target.detachFromTarget", params).await;
}

/// One does not reach what only the other's scope allows.
async fn scope_is_its_own(site: &Canary, page: &Page, victim: &Page) {
    let there = format!("{}/only", site.origin_as("c.localhost"));
    let fetch =
        format!("fetch('{there}', {{ mode: 'no-cors' }}).then(() => 'came', () => 'refused')");
    let socket = there.replace("http", "ws");
    let open = format!(
        "new Promise((done) => {{ const s = new WebSocket('{socket}'); s.onopen = () => done('came'); s.onerror = () => done('refused'); }})"
    );
    assert_eq!(page.evaluate(&fetch).await, "refused");
    assert_eq!(page.evaluate(&open).await, "refused");
    assert!(site.hits_on("/only").is_empty());
    assert_eq!(victim.evaluate(&fetch).await, "came");
    assert_eq!(site.hits_on("/only").len(), 1);
}

async fn unseen(browser: &Path) {
    let site = Canary::start(routes).await;
    let broker = stage::broker(browser);
    let (operator, [one, two]) = stage::two(&broker, &site, "jar").await;
    let home = format!("{}/", site.origin_as("a.localhost"));
    let victim = two.cdp.open(&home).await;
    victim.until("document.title == 'home'").await;
    victim
        .evaluate("(localStorage.mine = 'kept-by-two', document.cookie = 'plain=set-by-two', 1)")
        .await;
    let made = two.cdp.ask("Target.createBrowserContext", json!({})).await;
    let infos = two.cdp.ask("Target.getTargets", json!({})).await;
    let contexts = [
        made["browserContextId"].as_str().unwrap().to_owned(),
        infos["targetInfos"][0]["browserContextId"]
            .as_str()
            .unwrap()
            .to_owned(),
    ];

    // What it discovers and lists is its own.
    one.cdp
        .ask("Target.setDiscoverTargets", json!({ "discover": true }))
        .await;
    let auto = json!({ "autoAttach": true, "waitForDebuggerOnStart": false, "flatten": true });
    one.cdp.ask("Target.setAutoAttach", auto).await;
    let page = one.cdp.open(&home).await;
    page.until("document.title == 'home'").await;

    names_are_refused(&one, &page, &victim, &contexts).await;
    // What is asked without a name is about its own.
    let cookies = one
        .cdp
        .ask("Storage.getCookies", json!({}))
        .await
        .to_string();
    assert!(!cookies.contains("two"), "{cookies}");
    one.cdp
        .call(None, "Storage.clearCookies", json!({}))
        .await
        .ok();
    page.call("Network.clearBrowserCache", json!({})).await.ok();
    page.evaluate("(localStorage.clear(), 1)").await;
    assert_eq!(page.evaluate("document.cookie").await, "");
    // A download of one is no download of the other.
    victim
        .evaluate("(document.querySelector('a').click(), 1)")
        .await;
    let list = format!("/v1/sessions/{}/downloads", two.session.id);
    loop {
        let told = operator.get(&list).await.to_string();
        if told.contains("completed") {
            break;
        }
        assert!(!told.contains("canceled"), "{told}");
        tokio::task::yield_now().await;
    }
    let other = format!("/v1/sessions/{}/downloads", one.session.id);
    let told = operator.get(&other).await.to_string();
    assert!(!told.contains("report"), "{told}");
    // The neighbour has what it had, and the other has heard nothing of it.
    let kept = "localStorage.mine + document.cookie";
    assert_eq!(victim.evaluate(kept).await, "kept-by-twoplain=set-by-two");
    for name in contexts.iter().chain([&victim.target, &victim.session]) {
        // Its own words come back in what refuses them.
        let told = one
            .cdp
            .events()
            .iter()
            .any(|event| event.to_string().contains(name.as_str()));
        assert!(!told, "{name}");
    }
    assert!(!one.cdp.has_heard("of the neighbour") && !one.cdp.has_heard("by-two"));

    scope_is_its_own(&site, &page, &victim).await;
    for tenant in [&one, &two] {
        operator.end_session(&tenant.session).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_the_shell_do_not_exist_for_each_other() {
    unseen(&stage::browsers()[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_the_whole_browser_do_not_exist_for_each_other() {
    unseen(&stage::browsers()[1]).await;
}
