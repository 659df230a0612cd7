//! Several clients of one session, and clients of several.

use serde_json::json;

use crate::{stage, support::cdp::Cdp};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_one_session_share_its_pages_and_nothing_else() {
    let broker = stage::broker(&crate::support::tools::headless_shell());
    let operator = broker.operator();
    let agent = operator.add_agent("clerk").await;
    let session = operator.start_session(&agent, &[]).await;
    let other = operator.start_session(&agent, &[]).await;
    let first = Cdp::connect(&session.cdp_url).await;
    let second = Cdp::connect(&session.cdp_url).await;
    let stranger = Cdp::connect(&other.cdp_url).await;

    // The second finds the first one's page, and speaks to it on its own.
    let page = first.open("about:blank").await;
    page.evaluate("document.title = 'shared'").await;
    let same = second.attach(&page.target).await;
    assert_ne!(same.session, page.session);
    assert_eq!(same.evaluate("document.title").await, "shared");

    // Neither may use the other's CDP session, nor end it.
    let evaluate = json!({ "expression": "1" });
    let denied = second
        .call(Some(&page.session), "Runtime.evaluate", evaluate.clone())
        .await;
    assert_eq!(denied.unwrap_err()["code"], -32001);
    let detach = json!({ "sessionId": page.session });
    assert!(
        second
            .call(None, "Target.detachFromTarget", detach)
            .await
            .is_err()
    );
    assert_eq!(page.evaluate("1 + 1").await, 2);

    // Another session knows nothing of any of it.
    let targets = stranger.ask("Target.getTargets", json!({})).await;
    assert!(!targets.to_string().contains(&page.target), "{targets}");
    for (method, params) in [
        (
            "Target.attachToTarget",
            json!({ "targetId": page.target, "flatten": true }),
        ),
        ("Target.getTargetInfo", json!({ "targetId": page.target })),
        ("Target.closeTarget", json!({ "targetId": page.target })),
        ("Target.activateTarget", json!({ "targetId": page.target })),
        (
            "Browser.getWindowForTarget",
            json!({ "targetId": page.target }),
        ),
    ] {
        assert!(
            stranger.call(None, method, params).await.is_err(),
            "{method}"
        );
    }
    assert!(
        stranger
            .call(Some(&page.session), "Runtime.evaluate", evaluate)
            .await
            .is_err()
    );
    assert!(!stranger.has_heard(&page.target));

    // One that leaves takes its contexts along, and nothing of the other's.
    let dispose = json!({ "disposeOnDetach": true });
    let context = second.ask("Target.createBrowserContext", dispose).await;
    let context = context["browserContextId"].as_str().unwrap().to_owned();
    let inside = json!({ "url": "about:blank", "browserContextId": context });
    let inside = second.ask("Target.createTarget", inside).await;
    let inside = inside["targetId"].as_str().unwrap().to_owned();
    first
        .ask("Target.setDiscoverTargets", json!({ "discover": true }))
        .await;
    drop((second, same));
    first
        .event(|event| {
            event["method"] == "Target.targetDestroyed" && event["params"]["targetId"] == *inside
        })
        .await;
    assert_eq!(page.evaluate("document.title").await, "shared");
}
