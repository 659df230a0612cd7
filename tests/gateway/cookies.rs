//! What a client reads of the session's cookies: all of them, and the values of
//! those alone that it may know.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    stage::{Cookie, Lender},
    support::{
        broker::Broker,
        canary::{self, Canary, Hit},
    },
};

const SID: &str = "s1d-h0n3st-4nsw3r";

fn routes(hit: &Hit) -> canary::Reply {
    match hit.path.as_str() {
        "/hidden" => canary::with(canary::text("set"), "set-cookie", "hidden=h1; HttpOnly"),
        "/plain" => canary::with(canary::text("set"), "set-cookie", "plain=p1"),
        _ => canary::html("<!doctype html><title>here</title>"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_are_told_whole_but_for_values_that_must_not_leave() {
    let site = Canary::start(routes).await;
    let broker = Broker::start("");
    let lender = Lender::new(&broker, &[Cookie::new("sid", SID, "127.0.0.1")]).await;
    let origin = site.origin();
    let scope = json!({ "origins": [origin], "methods": ["GET"] });
    let delegation = lender.lend(&origin, "jar", &["sid"], &scope).await;
    let (_session, client) = lender.start(&[&delegation]).await;
    let page = client.open(&format!("{origin}/")).await;
    page.until("document.title === 'here'").await;
    page.evaluate("Promise.all([fetch('/hidden'), fetch('/plain')]).then(() => 1)")
        .await;
    let own = json!({ "cookies": [{ "name": "own", "value": "o1", "url": origin }] });
    client.ask("Storage.setCookies", own).await;

    for (what, result) in [
        (
            "Storage.getCookies",
            client.ask("Storage.getCookies", json!({})).await,
        ),
        (
            "Network.getCookies",
            page.ask("Network.getCookies", json!({})).await,
        ),
        (
            "Network.getAllCookies",
            page.ask("Network.getAllCookies", json!({})).await,
        ),
    ] {
        let cookies: BTreeMap<&str, &Value> = result["cookies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cookie| (cookie["name"].as_str().unwrap(), cookie))
            .collect();
        let values: Vec<_> = cookies
            .iter()
            .map(|(name, cookie)| (*name, cookie["value"].as_str().unwrap()))
            .collect();
        let known = [("hidden", ""), ("own", "o1"), ("plain", "p1"), ("sid", "")];
        assert_eq!(values, known, "{what}");
        for (name, cookie) in cookies {
            // What clients look for in each, and no length that tells of a value.
            assert_eq!(cookie["domain"], "127.0.0.1", "{what}: {name}");
            assert_eq!(cookie["path"], "/", "{what}: {name}");
            assert!(cookie["expires"].is_number(), "{what}: {name}");
            for key in ["httpOnly", "secure", "session"] {
                assert!(cookie[key].is_boolean(), "{what}: {name} {key}");
            }
            let value = cookie["value"].as_str().unwrap();
            assert_eq!(cookie["size"], name.len() + value.len(), "{what}: {name}");
        }
    }
    assert!(!client.has_heard(SID));
}
