//! What is known to end or stall a whole browser does not when a client of ours
//! says it: the session's other pages, like a neighbour's, work on.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    stage,
    support::cdp::{Cdp, Page},
};

/// Of `Page.navigate` and `Target.createTarget`.
const ADDRESSES: [&str; 14] = [
    "chrome://settings",
    "chrome://flags",
    "chrome://history",
    "chrome://password-manager",
    "chrome://crash",
    "chrome://browser-crash",
    "chrome://quit",
    "chrome://restart",
    "chrome://hang",
    "chrome://inducebrowsercrashforrealz",
    "about:crash",
    "devtools://devtools/bundled/inspector.html",
    "view-source:chrome://settings",
    "javascript:location='chrome://crash'",
];

fn commands() -> Vec<(&'static str, Value)> {
    vec![
        ("Browser.crash", json!({})),
        ("Browser.crashGpuProcess", json!({})),
        (
            "Browser.executeBrowserCommand",
            json!({ "commandId": "openTabSearch" }),
        ),
        (
            "Emulation.setDisplayFeaturesOverride",
            json!({ "features": [] }),
        ),
        (
            "Memory.simulatePressureNotification",
            json!({ "level": "critical" }),
        ),
        ("Page.crash", json!({})),
        (
            "Storage.deleteStorageBucket",
            json!({ "bucket": { "storageKey": "https://a.test/", "name": "b" } }),
        ),
        ("Storage.runBounceTrackingMitigations", json!({})),
        ("Target.setRemoteLocations", json!({ "locations": [] })),
        ("Tethering.bind", json!({ "port": 1 })),
        ("Tracing.start", json!({})),
        ("SystemInfo.getInfo", json!({})),
    ]
}

/// Longest time that a neighbour's page may take to answer meanwhile.
const DELAY: Duration = Duration::from_secs(5);

async fn works_on(neighbours: &[Page], after: &str) {
    for neighbour in neighbours {
        let asked = Instant::now();
        let sum = neighbour.try_evaluate("20 + 22").await;
        assert_eq!(sum, Ok(json!(42)), "after {after}");
        let took = asked.elapsed();
        assert!(took < DELAY, "{took:?} after {after}");
    }
}

/// Does its worst, while a page of its own and these, of others, work on.
pub async fn attack(cdp: &Cdp, others: &[Page]) {
    let mut neighbours = others.to_vec();
    neighbours.push(cdp.open("about:blank").await);
    let neighbour = neighbours.as_slice();
    let page = cdp.open("about:blank").await;
    for address in ADDRESSES {
        let to = json!({ "url": address });
        assert!(
            page.call("Page.navigate", to.clone()).await.is_err(),
            "{address}"
        );
        assert!(
            cdp.call(None, "Target.createTarget", to).await.is_err(),
            "{address}"
        );
        // The page itself may ask as well; Chromium says no.
        let asked = format!("{{ location = {address:?}; open({address:?}); 1 }}");
        page.try_evaluate(&asked).await.ok();
        works_on(neighbour, address).await;
    }
    for (method, params) in commands() {
        for place in [None, Some(page.session.as_str())] {
            let refused = cdp.call(place, method, params.clone()).await;
            assert!(refused.is_err(), "{method}: {refused:?}");
            works_on(neighbour, method).await;
        }
    }
    // A window of a page that is just being closed.
    for closing in 0..5 {
        let page = cdp.open("about:blank").await;
        let target = json!({ "targetId": page.target });
        let close = match closing % 2 {
            0 => ("Target.closeTarget", None),
            _ => ("Page.close", Some(page.session.as_str())),
        };
        tokio::join!(
            cdp.answer(close.1, close.0, target.clone()),
            cdp.answer(None, "Browser.getWindowForTarget", target.clone()),
            cdp.answer(Some(&page.session), "Browser.getWindowForTarget", json!({})),
        );
        cdp.answer(None, "Browser.getWindowForTarget", target).await;
        works_on(neighbour, "a window of a closed page").await;
    }
    // One that never comes back does not hold the others up.
    let busy = cdp.open("about:blank").await;
    let (forever, params) = ("Runtime.evaluate", json!({ "expression": "for (;;);" }));
    let stuck = cdp.answer(Some(&busy.session), forever, params);
    let others = async {
        for _ in 0..20 {
            works_on(neighbour, "an endless loop").await;
        }
    };
    tokio::select! {
        answer = stuck => panic!("an endless loop ended: {answer:?}"),
        () = others => {}
    }
}

async fn survives(browser: &Path) {
    let broker = stage::broker(browser);
    let operator = broker.operator();
    let agent = operator.add_agent("clerk").await;
    let session = operator.start_session(&agent, &[]).await;
    attack(&Cdp::connect(&session.cdp_url).await, &[]).await;
    operator.end_session(&session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_a_browser_is_refused_and_the_others_work_on() {
    for browser in stage::browsers() {
        survives(&browser).await;
    }
}
