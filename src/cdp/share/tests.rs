use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::model::time::Timestamp;

const PROXY: [&str; 2] = ["http://127.0.0.1:1001", "http://127.0.0.1:1002"];

/// A router and what it has said; the browser is played by the test.
struct Stage {
    router: Router,
    now: Now,
    places: [PlaceId; 2],
}

impl Stage {
    /// Two places with a context, `ctx-0` and `ctx-1`, and a page each, `page-0`
    /// and `page-1`, on the sessions `s-0` and `s-1`.
    fn new() -> Self {
        let mut router = Router::new();
        let armed = to_browser(&mut router);
        assert_eq!(armed[0]["method"], "Fetch.enable");
        let places = PROXY.map(|proxy| {
            router.join(PlaceSetup {
                proxy: proxy.to_owned(),
                downloads: format!("/d/{proxy}"),
            })
        });
        let mut stage = Self {
            router,
            now: Now {
                wall: Timestamp(0),
                boot: BootTime(1_000_000),
            },
            places,
        };
        for (n, proxy) in PROXY.iter().enumerate() {
            let made = stage.pass(n, "Target.createBrowserContext", context(proxy));
            stage.reply(&made, json!({"browserContextId": format!("ctx-{n}")}));
            stage.attached(n);
        }
        stage.drain();
        stage
    }

    fn attached(&mut self, n: usize) {
        self.event(
            None,
            "Target.attachedToTarget",
            json!({"sessionId": format!("s-{n}"), "waitingForDebugger": false,
                   "targetInfo": {"targetId": format!("page-{n}"), "type": "page", "browserContextId": format!("ctx-{n}")}}),
        );
    }

    fn say(&mut self, n: usize, session: Option<&str>, method: &str, params: Value) -> Vec<Output> {
        let message = envelope::command(7, method, Some(params), session);
        self.router.handle_place(self.places[n], &message);
        self.drain()
    }

    /// A command that must reach the browser; as it does.
    fn pass(&mut self, n: usize, method: &str, params: Value) -> Value {
        let out = self.say(n, None, method, params.clone());
        match out.as_slice() {
            [Output::Browser { message, from }] => {
                assert_eq!(*from, Some(self.places[n]));
                serde_json::from_slice(message).unwrap()
            }
            other => panic!("{method} {params}: {other:?}"),
        }
    }

    /// A command that must not.
    fn refuse(&mut self, n: usize, session: Option<&str>, method: &str, params: Value) {
        let out = self.say(n, session, method, params.clone());
        match out.as_slice() {
            [Output::Place { place, message }] => {
                assert_eq!(*place, self.places[n]);
                let told: Value = serde_json::from_slice(message).unwrap();
                assert!(told["error"].is_object(), "{method} {params}: {told}");
                assert_eq!(told["id"], 7);
            }
            other => panic!("{method} {params}: {other:?}"),
        }
    }

    fn reply(&mut self, command: &Value, result: Value) -> Vec<Output> {
        self.hear(json!({"id": command["id"], "result": result}))
    }

    fn event(&mut self, session: Option<&str>, method: &str, params: Value) -> Vec<Output> {
        let mut event = json!({"method": method, "params": params});
        if let Some(session) = session {
            event["sessionId"] = session.into();
        }
        self.hear(event)
    }

    fn hear(&mut self, message: Value) -> Vec<Output> {
        let bytes = Bytes::from(message.to_string());
        self.router.handle_browser(&bytes, self.now);
        self.drain()
    }

    fn paused(&mut self, pause: &str, frame: &str, network: &str) -> Vec<Output> {
        let params = json!({"requestId": pause, "frameId": frame, "networkId": network});
        self.event(None, "Fetch.requestPaused", params)
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.router.poll_output()).collect()
    }

    /// To whom that goes.
    fn whose(&self, out: &[Output]) -> Vec<usize> {
        out.iter()
            .filter_map(|output| match output {
                Output::Place { place, .. } => self.places.iter().position(|own| own == place),
                _ => None,
            })
            .collect()
    }
}

fn to_browser(router: &mut Router) -> Vec<Value> {
    std::iter::from_fn(|| router.poll_output())
        .filter_map(|output| match output {
            Output::Browser { message, .. } => serde_json::from_slice(&message).ok(),
            _ => None,
        })
        .collect()
}

fn methods(out: &[Output]) -> Vec<String> {
    out.iter()
        .filter_map(|output| match output {
            Output::Browser { message, .. } => {
                let command: Value = serde_json::from_slice(message).unwrap();
                Some(command["method"].as_str().unwrap().to_owned())
            }
            _ => None,
        })
        .collect()
}

fn context(proxy: &str) -> Value {
    json!({"disposeOnDetach": true, "proxyServer": proxy, "proxyBypassList": "<-loopback>"})
}

#[test]
fn answers_come_back_under_the_numbers_of_who_asked() {
    let mut stage = Stage::new();
    let one = stage.pass(0, "Browser.getVersion", json!({}));
    let two = stage.pass(1, "Browser.getVersion", json!({}));
    assert_ne!(one["id"], two["id"]);
    let out = stage.reply(&two, json!({"product": "x"}));
    assert_eq!(stage.whose(&out), [1]);
    let Output::Place { message, .. } = &out[0] else {
        panic!("{out:?}")
    };
    let told: Value = serde_json::from_slice(message).unwrap();
    assert_eq!(told, json!({"id": 7, "result": {"product": "x"}}));
    // Once, and nobody's for a number that nobody has.
    assert!(stage.reply(&two, json!({})).is_empty());
    assert!(stage.hear(json!({"id": 99_999, "result": {}})).is_empty());
}

#[test]
fn what_arms_the_browser_is_done_once() {
    let mut stage = Stage::new();
    for method in [
        "Fetch.enable",
        "Target.setDiscoverTargets",
        "Target.setAutoAttach",
    ] {
        let out = stage.say(0, None, method, json!({}));
        assert_eq!((stage.whose(&out), methods(&out)), (vec![0], vec![]));
    }
    stage.refuse(0, None, "Fetch.disable", json!({}));
    let armed = json!({"id": 2, "error": {"code": -1, "message": "no"}});
    assert!(matches!(stage.hear(armed).as_slice(), [Output::Fail(_)]));
}

#[test]
fn a_place_speaks_of_its_own_things_only() {
    let mut stage = Stage::new();
    for (method, key) in [
        ("Target.createTarget", "browserContextId"),
        ("Target.disposeBrowserContext", "browserContextId"),
        ("Storage.getCookies", "browserContextId"),
        ("Storage.setCookies", "browserContextId"),
        ("Storage.clearCookies", "browserContextId"),
        ("Browser.cancelDownload", "browserContextId"),
        ("Browser.setPermission", "browserContextId"),
        ("Browser.grantPermissions", "browserContextId"),
        ("Browser.resetPermissions", "browserContextId"),
        ("Target.attachToTarget", "targetId"),
        ("Target.closeTarget", "targetId"),
        ("Target.activateTarget", "targetId"),
        ("Target.detachFromTarget", "sessionId"),
    ] {
        let named = |name: &str| json!({key: name});
        let [own, other] = match key {
            "browserContextId" => ["ctx-0", "ctx-1"],
            "targetId" => ["page-0", "page-1"],
            _ => ["s-0", "s-1"],
        };
        stage.refuse(0, None, method, named(other));
        stage.refuse(0, None, method, json!({}));
        stage.refuse(0, Some("s-1"), method, named(own));
        stage.pass(0, method, named(own));
    }
    for method in [
        "Browser.close",
        "Browser.crash",
        "Tracing.start",
        "SystemInfo.getInfo",
        "Target.getTargets",
        "Target.exposeDevToolsProtocol",
        "Browser.getWindowForTarget",
    ] {
        stage.refuse(0, None, method, json!({"targetId": "page-0"}));
        stage.refuse(0, Some("s-0"), method, json!({"targetId": "page-0"}));
    }
    stage.refuse(0, Some("s-1"), "Runtime.evaluate", json!({}));
    stage.refuse(0, Some("s-0"), "Storage.getCookies", json!({}));
    let own = stage.say(0, Some("s-0"), "Runtime.evaluate", json!({}));
    assert_eq!(methods(&own), ["Runtime.evaluate"]);
}

#[test]
fn contexts_and_downloads_go_the_places_own_way() {
    let mut stage = Stage::new();
    let create = "Target.createBrowserContext";
    stage.refuse(0, None, create, context(PROXY[1]));
    stage.refuse(0, None, create, json!({"disposeOnDetach": true}));
    let mut more = context(PROXY[0]);
    more["originsWithUniversalNetworkAccess"] = json!(["https://a.test"]);
    stage.refuse(0, None, create, more);
    stage.pass(0, create, context(PROXY[0]));
    let behavior = |path: &str, told: bool| {
        json!({"behavior": "allowAndName", "browserContextId": "ctx-0",
               "downloadPath": path, "eventsEnabled": told})
    };
    let set = "Browser.setDownloadBehavior";
    stage.refuse(0, None, set, behavior("/etc", true));
    let own = format!("/d/{}", PROXY[0]);
    stage.refuse(0, None, set, behavior(&own, false));
    stage.pass(0, set, behavior(&own, true));
}

#[test]
fn events_go_to_whose_they_are() {
    let mut stage = Stage::new();
    let log = stage.event(Some("s-1"), "Runtime.consoleAPICalled", json!({}));
    assert_eq!(stage.whose(&log), [1]);
    assert!(
        stage
            .event(Some("s-9"), "Page.frameNavigated", json!({}))
            .is_empty()
    );
    let info = json!({"targetInfo": {"targetId": "page-0", "browserContextId": "ctx-0"}});
    let changed = stage.event(None, "Target.targetInfoChanged", info);
    assert_eq!(stage.whose(&changed), [0]);
    // A worker below a page is of who has the page; not one of another context.
    let below = |context: &str| {
        json!({"sessionId": format!("w-{context}"),
               "targetInfo": {"targetId": format!("work-{context}"), "browserContextId": context}})
    };
    let own = stage.event(Some("s-1"), "Target.attachedToTarget", below("ctx-1"));
    assert_eq!(stage.whose(&own), [1]);
    assert!(
        stage
            .event(Some("s-1"), "Target.attachedToTarget", below("ctx-0"))
            .is_empty()
    );
    let work = stage.event(Some("w-ctx-1"), "Runtime.consoleAPICalled", json!({}));
    assert_eq!(stage.whose(&work), [1]);
    assert!(
        stage
            .event(Some("w-ctx-0"), "Runtime.consoleAPICalled", json!({}))
            .is_empty()
    );
    // What is of nobody runs, is let go of, and is told to nobody.
    let nobodys = json!({"sessionId": "n", "waitingForDebugger": true,
                         "targetInfo": {"targetId": "n", "browserContextId": "default"}});
    let out = stage.event(None, "Target.attachedToTarget", nobodys);
    assert_eq!(
        methods(&out),
        ["Runtime.runIfWaitingForDebugger", "Target.detachFromTarget"]
    );
    assert!(stage.whose(&out).is_empty());
    let gone = stage.event(
        None,
        "Target.targetDestroyed",
        json!({"targetId": "page-1"}),
    );
    assert_eq!(stage.whose(&gone), [1]);
    stage.refuse(
        1,
        None,
        "Target.attachToTarget",
        json!({"targetId": "page-1"}),
    );
}

#[test]
fn a_request_goes_to_who_is_known_to_make_it() {
    let mut stage = Stage::new();
    let out = stage.paused("p1", "page-1", "n1");
    assert_eq!(stage.whose(&out), [1]);
    // Only who has it may let it go, and once.
    let go = json!({"requestId": "p1"});
    stage.refuse(0, None, "Fetch.continueRequest", go.clone());
    stage.pass(1, "Fetch.continueRequest", go.clone());
    stage.refuse(1, None, "Fetch.continueRequest", go);

    // A frame within a page is told of before, or after.
    let sent = json!({"requestId": "n2", "frameId": "frame-0"});
    stage.event(Some("s-0"), "Network.requestWillBeSent", sent);
    let out = stage.paused("p2", "frame-0", "n2");
    assert_eq!(stage.whose(&out), [0]);
    assert!(stage.paused("p3", "frame-1", "n3").is_empty());
    let sent = json!({"requestId": "n3", "frameId": "frame-1"});
    let out = stage.event(Some("s-1"), "Network.requestWillBeSent", sent);
    assert_eq!(stage.whose(&out), [1, 1]);
    assert_eq!(stage.router.deadline(), None);
}

#[test]
fn a_request_of_nobody_or_of_two_is_refused() {
    let mut stage = Stage::new();
    assert!(stage.paused("p1", "frame-x", "n1").is_empty());
    let due = stage.router.deadline().unwrap();
    assert_eq!(stage.now.boot.until(due), Duration::from_millis(500));
    stage.router.handle_timeout(stage.now);
    assert!(stage.drain().is_empty(), "not yet");
    stage.now.boot = due;
    stage.router.handle_timeout(stage.now);
    assert_eq!(methods(&stage.drain()), ["Fetch.failRequest"]);

    // A renderer that claims the neighbour's requests has none of them.
    for session in ["s-0", "s-1"] {
        let sent = json!({"requestId": "n2", "frameId": "frame-y"});
        stage.event(Some(session), "Network.requestWillBeSent", sent);
    }
    assert!(stage.paused("p2", "frame-y", "n2").is_empty());
    // What the browser itself says of a frame counts before all claims.
    let sent = json!({"requestId": "n3", "frameId": "page-1"});
    stage.event(Some("s-0"), "Network.requestWillBeSent", sent);
    let out = stage.paused("p3", "page-1", "n3");
    assert_eq!(stage.whose(&out), [1]);
}

#[test]
fn who_leaves_leaves_nothing() {
    let mut stage = Stage::new();
    let late = stage.pass(0, "Target.createBrowserContext", context(PROXY[0]));
    stage.router.leave(stage.places[0], stage.now);
    let out = stage.drain();
    assert_eq!(methods(&out), ["Target.disposeBrowserContext"]);
    let Output::Browser { message, .. } = &out[0] else {
        panic!("{out:?}")
    };
    let dispose: Value = serde_json::from_slice(message).unwrap();
    // It is told nothing more, and asks for nothing more.
    assert!(
        stage
            .event(Some("s-0"), "Runtime.consoleAPICalled", json!({}))
            .is_empty()
    );
    assert!(
        stage
            .say(0, None, "Browser.getVersion", json!({}))
            .is_empty()
    );
    assert!(
        stage.reply(&dispose, json!({})).is_empty(),
        "one is under way"
    );
    let out = stage.reply(&late, json!({"browserContextId": "late"}));
    assert_eq!(methods(&out), ["Target.disposeBrowserContext"]);
    let Output::Browser { message, .. } = &out[0] else {
        panic!("{out:?}")
    };
    let dispose: Value = serde_json::from_slice(message).unwrap();
    let left = stage.hear(json!({"id": dispose["id"], "error": {"message": "no such"}}));
    assert_eq!(left, [Output::Left(stage.places[0])]);
    assert_eq!(stage.router.places(), 1);
    let log = stage.event(Some("s-1"), "Runtime.consoleAPICalled", json!({}));
    assert_eq!(stage.whose(&log), [1]);
}

#[test]
fn a_browser_that_lets_nothing_go_is_ended() {
    let mut stage = Stage::new();
    stage.router.leave(stage.places[1], stage.now);
    stage.drain();
    stage.now.boot = stage.router.deadline().unwrap();
    stage.router.handle_timeout(stage.now);
    assert!(matches!(stage.drain().as_slice(), [Output::Fail(_)]));
}

#[test]
fn who_fills_the_line_is_ended_and_nobody_for_a_slow_machine() {
    let mut stage = Stage::new();
    let log = json!({"text": "x".repeat(1 << 20)});
    let say = |stage: &mut Stage, n: usize| {
        let session = format!("s-{n}");
        stage.event(Some(&session), "Runtime.consoleAPICalled", log.clone())
    };
    let ended = |stage: &mut Stage| {
        stage.now.boot = stage.router.deadline().unwrap();
        stage.router.handle_timeout(stage.now);
        stage.drain().into_iter().find_map(|output| match output {
            Output::End { place, .. } => Some(place),
            _ => None,
        })
    };
    let out = say(&mut stage, 0);
    assert_eq!(methods(&out), ["Browser.getVersion"], "asked after so much");
    say(&mut stage, 1);
    assert_eq!(ended(&mut stage), None, "slow, and nobody's doing");
    for _ in 0..4 {
        say(&mut stage, 1);
    }
    assert_eq!(
        ended(&mut stage),
        None,
        "not so much that it would be its doing"
    );
    for _ in 0..4 {
        say(&mut stage, 1);
    }
    assert_eq!(ended(&mut stage), Some(stage.places[1]));
    // Once it answers, nothing is late.
    let Some(Output::Browser { message, .. }) = out.first() else {
        panic!("{out:?}")
    };
    let asked: Value = serde_json::from_slice(message).unwrap();
    stage.reply(&asked, json!({}));
    assert_eq!(stage.router.deadline(), None);
}
