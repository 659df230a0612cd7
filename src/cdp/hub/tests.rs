//! The hub against a scripted browser: what reaches Chromium, what reaches a
//! client, what is put on record.

mod closing;
mod contexts;
mod fuzz;
mod holds;
mod limits;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use uuid::Uuid;

mod strangers;

use super::*;
use crate::{
    broker::lease::{Lease, LentCookie},
    model::{
        delegation::{CloseReason, Delivery, LiveWindow, Window},
        id::{AgentId, DelegationId, PersonId},
        scope::Scope,
        time::{BootTime, Timestamp},
    },
};

const SECRET: &str = "s3cr3t-s3ss10n-v4lu3";

#[derive(Clone, Default)]
struct Records(Arc<Mutex<(Vec<Event>, bool)>>);

impl Journal for Records {
    fn record(&mut self, draft: Draft) -> Result<u64, Unrecorded> {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if records.1 {
            return Err(Unrecorded);
        }
        records.0.push(draft.event);
        Ok(records.0.len() as u64)
    }

    fn digest(&self, _: &Secret) -> String {
        "digest".into()
    }
}

impl Records {
    fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().0.clone()
    }

    fn fail(&self) {
        self.0.lock().unwrap().1 = true;
    }
}

struct World {
    hub: Hub,
    records: Records,
    lease: Arc<Lease>,
    now: Now,
}

fn at(seconds: u64) -> Now {
    Now {
        wall: Timestamp(i64::try_from(seconds).unwrap() * 1_000_000),
        boot: BootTime(seconds * 1_000_000),
    }
}

fn lease(delivery: Delivery, scope: &str) -> Arc<Lease> {
    let scope: Scope = serde_json::from_str(scope).unwrap();
    let attributes = CookieAttributes {
        name: "sid".into(),
        domain: "app.test".into(),
        host_only: true,
        path: "/".into(),
        secure: true,
        http_only: true,
        same_site: None,
        partition_key: None,
        expires: None,
    };
    let cookie = LentCookie::new(
        CredentialId::from_uuid(Uuid::from_u128(4)),
        attributes,
        delivery,
        Secret::new(SECRET.into()),
    );
    let window = Window {
        start: at(0).wall,
        end: at(100).wall,
    };
    Arc::new(Lease::new(
        DelegationId::from_uuid(Uuid::from_u128(1)),
        PersonId::from_uuid(Uuid::from_u128(2)),
        PersonId::from_uuid(Uuid::from_u128(2)),
        scope,
        LiveWindow {
            window,
            opens: BootTime(0),
            closes: BootTime(Duration::from_secs(100).as_micros().try_into().unwrap()),
        },
        vec![Arc::new(cookie)],
    ))
}

impl World {
    /// A bound hub with one page `PAGE` and one client, number 1; what it may
    /// change goes.
    fn new(delivery: Delivery, methods: &str) -> Self {
        let scope =
            format!(r#"{{"origins":["https://app.test"],"methods":{methods},"writes":"allow"}}"#);
        Self::under(&scope, delivery)
    }

    /// The same under a scope.
    fn under(scope: &str, delivery: Delivery) -> Self {
        let mut world = Self::warm(scope, delivery);
        let records = world.records.clone();
        let leases = Arc::new(Leases::default());
        leases.add(world.lease.clone());
        world.hub.bind(
            Tenant {
                session: SessionId::from_uuid(Uuid::from_u128(5)),
                authority: Authority::shipped(AgentId::from_uuid(Uuid::from_u128(6))).unwrap(),
                leases,
                journal: Box::new(records),
                holds: HoldLimits {
                    patience: std::time::Duration::from_secs(20),
                    deadline: std::time::Duration::from_mins(5),
                    most: 4,
                },
                most: Most::default(),
            },
            world.now,
        );
        world.hub.client_opened(1, "test", world.now);
        world
    }

    /// The hub of a browser that is nobody's yet, with its page.
    fn warm(scope: &str, delivery: Delivery) -> Self {
        let hub = Hub::new(Setup {
            proxy: "http://127.0.0.1:9".into(),
            downloads: "DOWNLOADS".into(),
        });
        let (records, lease) = (Records::default(), lease(delivery, scope));
        let mut world = Self {
            hub,
            records,
            lease,
            now: at(1),
        };
        let asked = world.asked();
        assert_eq!(
            asked[0]["method"], "Fetch.enable",
            "the interceptor comes first"
        );
        let context = find(&asked, "Target.createBrowserContext");
        assert_eq!(context["params"]["proxyBypassList"], "<-loopback>");
        world.answer(context, json!({"browserContextId": "OWN"}));
        let asked = world.asked();
        let page = find(&asked, "Target.createTarget").clone();
        world.target("PAGE", "OWN", "about:blank");
        world.answer(&page, json!({"targetId": "PAGE"}));
        assert!(world.outputs().iter().any(|o| matches!(o, Output::Warm)));
        world
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.hub.poll_output()).collect()
    }

    fn asked(&mut self) -> Vec<Value> {
        self.outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Browser(message) => serde_json::from_slice(&message).ok(),
                _ => None,
            })
            .collect()
    }

    fn browser(&mut self, message: &Value) {
        let now = self.now;
        self.hub.handle_browser(message.to_string().as_bytes(), now);
    }

    fn answer(&mut self, command: &Value, result: Value) {
        self.browser(&json!({"id": command["id"], "result": result}));
    }

    fn target(&mut self, id: &str, context: &str, url: &str) {
        let info = json!({"targetId": id, "type": "page", "title": "", "url": url, "attached": true, "browserContextId": context});
        self.browser(&json!({"method": "Target.targetCreated", "params": {"targetInfo": info}}));
        self.browser(&json!({"method": "Target.attachedToTarget", "params": {"sessionId": format!("broker-{id}"), "targetInfo": info, "waitingForDebugger": false}}));
    }

    /// Sends a command of the client; answers what it was told and what
    /// Chromium was asked.
    fn command(&mut self, text: &str) -> (Vec<Value>, Vec<Value>) {
        let now = self.now;
        self.hub.handle_client(1, text.as_bytes(), now);
        self.split()
    }

    fn split(&mut self) -> (Vec<Value>, Vec<Value>) {
        let (mut told, mut asked) = (Vec::new(), Vec::new());
        for output in self.outputs() {
            match output {
                Output::Client { message, .. } => {
                    told.push(serde_json::from_slice(&message).unwrap());
                }
                Output::Browser(message) => asked.push(serde_json::from_slice(&message).unwrap()),
                _ => {}
            }
        }
        (told, asked)
    }

    /// The client's own session on `PAGE`.
    fn attach(&mut self) -> String {
        let (_, asked) = self.command(r#"{"id":1,"method":"Target.attachToTarget","params":{"targetId":"PAGE","flatten":true}}"#);
        let command = find(&asked, "Target.attachToTarget").clone();
        self.answer(&command, json!({"sessionId": "CLIENT"}));
        let (told, _) = self.split();
        assert_eq!(told[0]["method"], "Target.attachedToTarget");
        assert_eq!(told[1]["result"]["sessionId"], "CLIENT");
        "CLIENT".into()
    }

    /// A request of the page's own site is paused.
    fn pause(&mut self, url: &str, method: &str, kind: &str, frame: &str) {
        self.will_be_sent(url, true);
        self.pause_untold(url, method, kind, frame);
    }

    fn will_be_sent(&mut self, url: &str, same_site: bool) {
        self.browser(&json!({"method": "Network.requestWillBeSent", "sessionId": "broker-PAGE", "params": {"requestId": "N",
            "documentURL": "https://app.test/", "request": {"url": url, "isSameSite": same_site}}}));
    }

    fn pause_untold(&mut self, url: &str, method: &str, kind: &str, frame: &str) {
        self.browser(&json!({"method": "Fetch.requestPaused", "params": {"requestId": "R", "networkId": "N", "frameId": frame,
            "resourceType": kind, "request": {"url": url, "method": method, "headers": {"Accept": "*/*"}}}}));
    }
}

fn find<'a>(messages: &'a [Value], method: &str) -> &'a Value {
    messages
        .iter()
        .find(|message| message["method"] == method)
        .unwrap_or_else(|| panic!("no {method} in {messages:?}"))
}

#[test]
fn what_is_kept_for_a_session_ends_with_its_page() {
    for method in ["Target.targetCrashed", "Target.targetDestroyed"] {
        let mut world = World::warm(r#"{"origins":["https://app.test"]}"#, Delivery::Wire);
        let params = json!({"targetId": "PAGE", "status": "crashed", "errorCode": 9});
        world.browser(&json!({"method": method, "params": params}));
        let outputs = world.outputs();
        assert!(
            outputs.iter().any(|o| matches!(o, Output::End { .. })),
            "{outputs:?}"
        );
        let mut world = World::new(Delivery::Wire, r#"["GET"]"#);
        let params = json!({"targetId": "PAGE", "status": "crashed", "errorCode": 9});
        world.browser(&json!({"method": method, "params": params}));
        let outputs = world.outputs();
        assert!(!outputs.iter().any(|o| matches!(o, Output::End { .. })));
    }
}

#[test]
fn a_request_is_decided_each_time_it_is_paused() {
    let mut world = World::new(Delivery::Wire, r#"["GET"]"#);
    world.outputs();
    world.pause("https://app.test/x", "GET", "Document", "PAGE");
    let (_, asked) = world.split();
    let go = find(&asked, "Fetch.continueRequest");
    let headers = go["params"]["headers"].as_array().unwrap();
    assert!(
        headers.contains(&json!({"name": "Cookie", "value": format!("sid={SECRET}")})),
        "{go}"
    );
    assert!(headers.contains(&json!({"name": "Accept", "value": "*/*"})));

    world.pause("https://evil.test/x", "GET", "Document", "PAGE");
    let (_, asked) = world.split();
    assert_eq!(
        find(&asked, "Fetch.fulfillRequest")["params"]["responseCode"],
        403
    );

    world.pause("https://evil.test/x", "GET", "Image", "PAGE");
    let (_, asked) = world.split();
    assert_eq!(
        find(&asked, "Fetch.failRequest")["params"]["errorReason"],
        "BlockedByClient"
    );

    world.lease.close(CloseReason::Revoked);
    world.pause("https://app.test/x", "GET", "XHR", "PAGE");
    let (_, asked) = world.split();
    find(&asked, "Fetch.failRequest");
    let refusals = world
        .records
        .all()
        .iter()
        .filter(|e| {
            matches!(
                e,
                Event::Request {
                    refusal: Some(_),
                    ..
                }
            )
        })
        .count();
    assert_eq!(refusals, 3);
    let text = format!("{:?}", world.records.all());
    assert!(!text.contains(SECRET));
}

#[test]
fn a_write_waits_for_its_record_and_is_decided_again() {
    let mut world = World::new(Delivery::Wire, r#"["GET","POST"]"#);
    for closed_meanwhile in [false, true] {
        world.outputs();
        world.pause("https://app.test/x", "POST", "XHR", "PAGE");
        let outputs = world.outputs();
        assert!(outputs.iter().any(|o| matches!(o, Output::Durable { .. })));
        assert!(
            !outputs.iter().any(|o| matches!(o, Output::Browser(_))),
            "released before it was durable"
        );
        if closed_meanwhile {
            world.lease.close(CloseReason::Revoked);
        }
        let now = world.now;
        world.hub.handle_durable("R", true, now);
        let (_, asked) = world.split();
        find(
            &asked,
            if closed_meanwhile {
                "Fetch.failRequest"
            } else {
                "Fetch.continueRequest"
            },
        );
    }
}

#[test]
fn what_cannot_be_recorded_does_not_happen() {
    let mut world = World::new(Delivery::Wire, r#"["GET"]"#);
    let session = world.attach();
    world.records.fail();
    world.pause("https://app.test/x", "GET", "XHR", "PAGE");
    let outputs = world.outputs();
    assert!(outputs.iter().any(|o| matches!(o, Output::End { .. })));
    let texts: Vec<String> = outputs
        .iter()
        .filter_map(|o| match o {
            Output::Browser(message) => Some(String::from_utf8_lossy(message).into_owned()),
            _ => None,
        })
        .collect();
    assert!(
        texts.iter().all(|text| !text.contains("continueRequest")),
        "{texts:?}"
    );
    let (_, asked) = world.command(&format!(
        r#"{{"id":2,"method":"Page.enable","sessionId":"{session}"}}"#
    ));
    assert!(asked.is_empty());
}

#[test]
fn what_is_not_the_sessions_does_not_exist() {
    let mut world = World::new(Delivery::Wire, r#"["GET"]"#);
    world.target("FOREIGN", "OTHER", "https://victim.test/");
    world.outputs();
    for command in [
        r#"{"id":1,"method":"Target.getTargets"}"#,
        r#"{"id":1,"method":"Target.setDiscoverTargets","params":{"discover":true}}"#,
        r#"{"id":1,"method":"Target.getTargetInfo","params":{"targetId":"FOREIGN"}}"#,
        r#"{"id":1,"method":"Target.attachToTarget","params":{"targetId":"FOREIGN","flatten":true}}"#,
        r#"{"id":1,"method":"Target.closeTarget","params":{"targetId":"FOREIGN"}}"#,
        r#"{"id":1,"method":"Target.createTarget","params":{"url":"about:blank","browserContextId":"OTHER"}}"#,
        r#"{"id":1,"method":"Target.disposeBrowserContext","params":{"browserContextId":"OTHER"}}"#,
        r#"{"id":1,"method":"Target.disposeBrowserContext","params":{"browserContextId":"OWN"}}"#,
        r#"{"id":1,"method":"Storage.getCookies","params":{"browserContextId":"OTHER"}}"#,
        r#"{"id":1,"method":"Page.enable","sessionId":"broker-PAGE"}"#,
        r#"{"id":1,"method":"Page.enable","sessionId":"broker-FOREIGN"}"#,
        r#"{"id":1,"method":"Fetch.disable"}"#,
        r#"{"id":1,"method":"Fetch.enable"}"#,
        r#"{"id":1,"method":"Network.enable"}"#,
        r#"{"id":1,"method":"Target.setRemoteLocations","params":{"locations":[]}}"#,
        r#"{"id":1,"method":"Target.exposeDevToolsProtocol","params":{"targetId":"PAGE"}}"#,
        r#"{"id":1,"method":"Browser.crash"}"#,
        r#"{"id":1,"method":"Nothing.known"}"#,
        r#"{"id":1,"method":"Page.navigate","method":"Browser.getVersion"}"#,
        r#"{"id":1,"method":"Target.createTarget","params":{"url":"file:///etc/passwd"}}"#,
    ] {
        let (told, asked) = world.command(command);
        assert!(asked.is_empty(), "{command} went through: {asked:?}");
        assert!(!told.is_empty(), "{command} got no answer");
        let text = format!("{told:?}");
        assert!(!text.contains("victim.test"), "{command}: {text}");
    }
}

#[test]
fn live_secrets_are_blanked_on_their_way_out() {
    let mut world = World::new(Delivery::Wire, r#"["GET"]"#);
    let session = world.attach();
    let (_, asked) = world.command(&format!(r#"{{"id":7,"method":"Runtime.evaluate","params":{{"expression":"1"}},"sessionId":"{session}"}}"#));
    let command = find(&asked, "Runtime.evaluate").clone();
    world.answer(
        &command,
        json!({"result": {"value": format!("it is {SECRET}!")}}),
    );
    let (told, _) = world.split();
    assert_eq!(told[0]["id"], 7);
    assert!(!told[0].to_string().contains(SECRET));
    assert!(
        world
            .records
            .all()
            .iter()
            .any(|e| matches!(e, Event::Redaction { count: 1, .. }))
    );
}

#[test]
fn a_clients_commands_go_under_numbers_of_ours() {
    let mut world = World::new(Delivery::Wire, r#"["GET"]"#);
    let session = world.attach();
    world.hub.client_opened(2, "another", world.now);
    let now = world.now;
    let text = format!(r#"{{"id":9,"method":"Page.enable","sessionId":"{session}"}}"#);
    world.hub.handle_client(2, text.as_bytes(), now);
    let (told, asked) = world.split();
    assert!(asked.is_empty(), "another client's session was used");
    assert_eq!(told[0]["error"]["code"], -32001);
    let (_, asked) = world.command(&text);
    assert_ne!(asked[0]["id"], 9);
}

#[test]
fn a_created_page_is_attached_before_its_creation_is_answered() {
    let mut world = World::new(Delivery::Wire, r#"["GET"]"#);
    let (_, asked) = world.command(r#"{"id":1,"method":"Target.setAutoAttach","params":{"autoAttach":true,"waitForDebuggerOnStart":true,"flatten":true}}"#);
    let attach = find(&asked, "Target.attachToTarget").clone();
    assert_eq!(attach["params"]["targetId"], "PAGE");
    world.answer(&attach, json!({"sessionId": "S1"}));
    let (told, _) = world.split();
    assert_eq!(told[0]["method"], "Target.attachedToTarget");
    assert_eq!(told[1]["id"], 1);

    let (_, asked) =
        world.command(r#"{"id":2,"method":"Target.createTarget","params":{"url":"about:blank"}}"#);
    let create = find(&asked, "Target.createTarget").clone();
    assert_eq!(create["params"]["browserContextId"], "OWN");
    let info = json!({"targetId": "NEW", "type": "page", "title": "", "url": "", "attached": true, "browserContextId": "OWN"});
    world.browser(&json!({"method": "Target.attachedToTarget", "params": {"sessionId": "B2", "targetInfo": info, "waitingForDebugger": true}}));
    world.answer(&create, json!({"targetId": "NEW"}));
    let (told, asked) = world.split();
    assert!(told.is_empty(), "{told:?}");
    assert!(
        !asked
            .iter()
            .any(|m| m["method"] == "Runtime.runIfWaitingForDebugger"),
        "it ran before the client set it up"
    );
    let attach = find(&asked, "Target.attachToTarget").clone();
    world.answer(&attach, json!({"sessionId": "S2"}));
    let (told, _) = world.split();
    assert_eq!(told[0]["params"]["waitingForDebugger"], true);
    assert_eq!(told[1], json!({"id": 2, "result": {"targetId": "NEW"}}));
    let (_, asked) =
        world.command(r#"{"id":3,"method":"Runtime.runIfWaitingForDebugger","sessionId":"S2"}"#);
    let run: Vec<_> = asked
        .iter()
        .filter(|m| m["method"] == "Runtime.runIfWaitingForDebugger")
        .map(|m| m["sessionId"].clone())
        .collect();
    assert_eq!(run, [json!("B2"), json!("S2")]);
}

#[test]
fn jar_cookies_are_put_in_and_taken_out() {
    let mut world = World::new(Delivery::Jar, r#"["GET"]"#);
    let (_, asked) = world.split();
    let set = find(&asked, "Storage.setCookies");
    assert_eq!(set["params"]["browserContextId"], "OWN");
    assert_eq!(set["params"]["cookies"][0]["expires"], 100);
    let now = world.now;
    world.hub.drain(world.lease.delegation, 1, now);
    let (_, asked) = world.split();
    assert_eq!(
        find(&asked, "Storage.setCookies")["params"]["cookies"][0]["expires"],
        1
    );
}

#[test]
fn a_request_waits_for_word_of_who_caused_it() {
    let url = "https://app.test/x";
    for (same_site, lends) in [(Some(true), true), (Some(false), false), (None, false)] {
        let mut world = World::new(Delivery::Wire, r#"["GET"]"#);
        world.outputs();
        world.pause_untold(url, "GET", "XHR", "PAGE");
        assert!(
            world.outputs().is_empty(),
            "it went before its cause was known"
        );
        if let Some(same_site) = same_site {
            world.will_be_sent(url, same_site);
        } else {
            let now = at(3);
            assert!(
                world
                    .hub
                    .deadline()
                    .is_some_and(|deadline| deadline <= now.boot)
            );
            world.hub.handle_timeout(now);
        }
        let (_, asked) = world.split();
        let text = find(&asked, "Fetch.continueRequest").to_string();
        assert_eq!(text.contains(SECRET), lends, "{same_site:?}");
    }
}

#[test]
fn a_redirect_is_not_taken_for_what_caused_the_hop_before() {
    let mut world = World::new(Delivery::Wire, r#"["GET"]"#);
    world.outputs();
    world.will_be_sent("https://app.test/first", true);
    world.pause_untold("https://app.test/second", "GET", "XHR", "PAGE");
    assert!(world.outputs().is_empty());
    world.will_be_sent("https://app.test/second", false);
    let (_, asked) = world.split();
    assert!(
        !find(&asked, "Fetch.continueRequest")
            .to_string()
            .contains(SECRET)
    );
}

#[test]
fn passwords_are_given_to_sites_that_ask_never_to_proxies() {
    let mut world = World::new(Delivery::Wire, "[]");
    let session = world.attach();
    let answer = |world: &mut World| {
        let command = json!({"id": 9, "sessionId": session, "method": "Fetch.continueWithAuth",
            "params": {"requestId": "R", "authChallengeResponse": {"response": "ProvideCredentials", "username": "u", "password": "p"}}});
        let (told, asked) = world.command(&command.to_string());
        (told.len(), asked.len())
    };
    let ask = |world: &mut World, source: &str| {
        world.browser(&json!({"method": "Fetch.authRequired", "sessionId": session, "params": {
            "requestId": "R", "request": {"headers": {}}, "authChallenge": {"source": source, "origin": "https://app.test"}}}));
        assert_eq!(world.split().0.len(), 1, "the client is told");
    };
    assert_eq!(answer(&mut world), (1, 0), "nobody asked");
    ask(&mut world, "Server");
    assert_eq!(answer(&mut world), (0, 1));
    ask(&mut world, "Proxy");
    assert_eq!(answer(&mut world), (1, 0), "a proxy asked");
}

#[test]
fn contexts_and_pages_are_counted_with_those_under_way() {
    let mut world = World::new(Delivery::Wire, "[]");
    for (method, most, word) in [
        ("Target.createBrowserContext", 63, "64 contexts"),
        ("Target.createTarget", 255, "256 pages"),
    ] {
        let command = json!({"id": 1, "method": method, "params": {"url": "about:blank"}});
        for number in 0..most {
            let (told, asked) = world.command(&command.to_string());
            assert_eq!((told.len(), asked.len()), (0, 1), "{method} {number}");
        }
        let (told, asked) = world.command(&command.to_string());
        assert!(asked.is_empty(), "{method}");
        assert!(
            told[0]["error"]["message"].as_str().unwrap().contains(word),
            "{told:?}"
        );
    }
}
