//! What a client makes besides its first context, what it rewrites, and the browser
//! as a target.

use super::*;

#[test]
fn a_rewritten_request_keeps_its_cause_within_its_site_alone() {
    let url = "https://app.test/second";
    for (before, rewrites, lends) in [
        ("https://app.test/first", true, true),
        ("https://other.test/first", true, false),
        // Nobody rewrote it: a redirect, of which the browser will speak.
        ("https://app.test/first", false, false),
    ] {
        let mut world = World::new(Delivery::Wire, r#"["GET"]"#);
        let session = world.attach();
        world.will_be_sent(before, true);
        world.browser(&json!({"method": "Fetch.requestPaused", "sessionId": session, "params": {"requestId": "C", "networkId": "N",
            "frameId": "PAGE", "resourceType": "XHR", "request": {"url": before, "method": "GET", "headers": {}}}}));
        let mut params = json!({"requestId": "C"});
        if rewrites {
            params["url"] = format!("{url}#part").into();
        }
        let go = json!({"id": 2, "sessionId": session, "method": "Fetch.continueRequest", "params": params});
        world.command(&go.to_string());
        world.pause_untold(url, "GET", "XHR", "PAGE");
        let (_, asked) = world.split();
        assert_eq!(
            asked.iter().any(|sent| sent.to_string().contains(SECRET)),
            lends,
            "{before}"
        );
        assert_eq!(asked.is_empty(), !rewrites, "{asked:?}");
    }
}

#[test]
fn nothing_is_lent_to_contexts_that_the_agent_made() {
    let mut world = World::new(Delivery::Wire, r#"["GET"]"#);
    let (_, asked) =
        world.command(r#"{"id":1,"method":"Target.createBrowserContext","params":{}}"#);
    let command = find(&asked, "Target.createBrowserContext").clone();
    world.answer(&command, json!({"browserContextId": "MADE"}));
    world.target("OTHER", "MADE", "https://app.test/");
    world.outputs();
    let pause = |world: &mut World, session: &str, frame: &str, kind: &str| {
        world.browser(&json!({"method": "Network.requestWillBeSent", "sessionId": session, "params": {"requestId": "N",
            "documentURL": "https://app.test/", "request": {"url": "https://app.test/x", "isSameSite": true}}}));
        world.browser(&json!({"method": "Fetch.requestPaused", "params": {"requestId": "R", "networkId": "N", "frameId": frame,
            "resourceType": kind, "request": {"url": "https://app.test/x", "method": "GET", "headers": {"Cookie": "sid=its-own"}}}}));
        let asked = world.split().1;
        find(&asked, "Fetch.continueRequest").clone()
    };
    for (session, frame, kind, lends) in [
        ("broker-PAGE", "PAGE", "Document", true),
        ("broker-PAGE", "some frame", "XHR", true),
        ("broker-OTHER", "OTHER", "Document", false),
        ("broker-OTHER", "some frame", "XHR", false),
        // Nobody knows whose.
        ("broker-GONE", "some frame", "XHR", false),
    ] {
        let go = pause(&mut world, session, frame, kind);
        let what = format!("{session} {kind}: {go}");
        assert_eq!(go.to_string().contains(SECRET), lends, "{what}");
        // Its own cookie of that name is its own.
        assert_eq!(go["params"].get("headers").is_none(), !lends, "{what}");
    }

    // Nor does what a site sets there become what is lent.
    let set = |session: &str| {
        json!({"method": "Network.responseReceivedExtraInfo", "sessionId": session, "params": {"requestId": "N",
            "headers": {"Set-Cookie": "sid=another-login; Secure; Path=/"}}})
    };
    world.hub.hops.clear();
    pause(&mut world, "broker-OTHER", "OTHER", "Document");
    world.browser(&set("broker-OTHER"));
    let rotated = |output: &Output| matches!(output, Output::Rotated { .. });
    assert!(!world.outputs().iter().any(rotated));
    pause(&mut world, "broker-PAGE", "PAGE", "Document");
    world.browser(&set("broker-PAGE"));
    assert!(world.outputs().iter().any(rotated));
}

#[test]
fn the_browser_itself_is_a_target_of_its_own() {
    let mut world = World::new(Delivery::Wire, r#"["GET"]"#);
    let (told, _) = world.command(
        r#"{"id":1,"method":"Target.setDiscoverTargets","params":{"discover":true,"filter":[{}]}}"#,
    );
    let info = &told[0]["params"]["targetInfo"];
    assert_eq!(
        (&info["type"], &info["attached"]),
        (&json!("browser"), &json!(true))
    );
    let id = info["targetId"].clone();
    let attach = json!({"id": 2, "method": "Target.attachToTarget", "params": {"targetId": id, "flatten": true}});
    let (told, asked) = world.command(&attach.to_string());
    assert!(asked.is_empty(), "the real browser is nobody's: {asked:?}");
    let session = told[1]["result"]["sessionId"].as_str().unwrap().to_owned();
    assert_eq!(told[0]["params"]["sessionId"], *session);
    let downloads = json!({"id": 3, "sessionId": session, "method": "Browser.setDownloadBehavior",
        "params": {"behavior": "allow", "downloadPath": "/", "eventsEnabled": true}});
    world.command(&downloads.to_string());
    world.browser(&json!({"method": "Browser.downloadWillBegin", "params": {"guid": "G", "url": "https://app.test/f", "suggestedFilename": "f"}}));
    let (told, _) = world.split();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["sessionId"], *session);
    let detach =
        json!({"id": 4, "method": "Target.detachFromTarget", "params": {"sessionId": session}});
    let (told, _) = world.command(&detach.to_string());
    assert_eq!(told[1]["method"], "Target.detachedFromTarget");
    world.browser(&json!({"method": "Browser.downloadProgress", "params": {"guid": "G", "state": "completed"}}));
    assert!(world.split().0.is_empty());
}

#[test]
fn cookies_of_a_made_context_are_the_clients_own() {
    let mut world = World::new(Delivery::Jar, r#"["GET"]"#);
    let (_, asked) =
        world.command(r#"{"id":1,"method":"Target.createBrowserContext","params":{}}"#);
    let command = find(&asked, "Target.createBrowserContext").clone();
    world.answer(&command, json!({"browserContextId": "MADE"}));
    world.target("OTHER", "MADE", "https://app.test/");
    let mine = world.attach();
    let (_, asked) = world.command(
        r#"{"id":2,"method":"Target.attachToTarget","params":{"targetId":"OTHER","flatten":true}}"#,
    );
    let command = find(&asked, "Target.attachToTarget").clone();
    world.answer(&command, json!({"sessionId": "ON-OTHER"}));
    world.split();
    let mut values = |command: Value| {
        let (told, asked) = world.command(&command.to_string());
        assert!(!asked.is_empty(), "{told:?}");
        let jar = json!({"cookies": [
            {"name": "sid", "value": "its-own", "httpOnly": false},
            {"name": "kept", "value": "from-script", "httpOnly": true},
            {"name": "copy", "value": SECRET, "httpOnly": false},
        ]});
        world.answer(&asked[0], jar);
        let (told, _) = world.split();
        let cookies = told[0]["result"]["cookies"].as_array().unwrap().clone();
        cookies
            .into_iter()
            .map(|cookie| cookie["value"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for (command, sid) in [
        (
            json!({"id": 3, "method": "Storage.getCookies", "params": {"browserContextId": "MADE"}}),
            "its-own",
        ),
        (
            json!({"id": 4, "method": "Storage.getCookies", "params": {}}),
            "",
        ),
        (
            json!({"id": 5, "method": "Network.getCookies", "sessionId": "ON-OTHER"}),
            "its-own",
        ),
        (
            json!({"id": 6, "method": "Network.getCookies", "sessionId": mine}),
            "",
        ),
    ] {
        let values = values(command.clone());
        assert_eq!(values[..2], [sid, ""], "{command}");
        assert_ne!(values[2], SECRET, "{command}");
    }
}

/// What Chromium says of where a page was sent, each time; what that leads to.
#[test]
fn a_page_that_does_not_leave_is_sent_once_more_and_then_closed() {
    let aborted = || json!({"frameId": "PAGE", "errorText": "net::ERR_ABORTED"});
    let went = || json!({"frameId": "PAGE", "loaderId": "L"});
    for (answers, closed) in [
        (vec![went()], false),
        (vec![aborted(), went()], false),
        (vec![aborted(), aborted()], true),
    ] {
        let mut world = World::new(Delivery::Wire, r#"["GET"]"#);
        world.target("PAGE", "OWN", "https://app.test/list#part");
        let (delegation, now) = (world.lease.delegation, world.now);
        let origin = "https://app.test".parse().unwrap();
        world.hub.endings.note(delegation, origin);
        world.split();
        world.lease.close(CloseReason::Revoked);
        world.hub.drain(delegation, 1, now);
        let (_, asked) = world.split();
        world.answer(find(&asked, "Browser.getVersion"), json!({}));
        for answer in answers {
            assert!(world.hub.is_leaving());
            let (_, asked) = world.split();
            let sent = find(&asked, "Page.navigate").clone();
            assert_eq!(sent["params"]["url"], "https://app.test/list");
            world.answer(&sent, answer);
        }
        let (_, asked) = world.split();
        let close = asked
            .iter()
            .find(|sent| sent["method"] == "Target.closeTarget");
        let target = close.map(|sent| sent["params"]["targetId"].clone());
        assert_eq!(target, closed.then(|| json!("PAGE")));
        assert!(!world.hub.is_leaving());
    }
}
