//! The pure core alone: what one message, one request, one record costs.

use std::{
    fmt::Write as _,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use hallpass::{
    broker::injection::inject,
    cdp::{
        envelope,
        hub::{HoldLimits, Hub, Journal, Most, Output, Setup, Tenant, Unrecorded},
        scan::Scanner,
        table,
    },
    clock::Clock,
    model::{
        action::{Destination, RequestAction},
        id::{AgentId, SessionId, TraceId},
        secret::Secret,
        time::Now,
    },
    policy::{
        Authority, Decision, Policies,
        bundle::{Bundle, DEFAULT},
        classify::Classes,
        decide_request,
    },
    trace::{
        chain::{Chain, LineHash},
        record::{Actor, Draft, Event},
        segment::{Header, Salt, Sealer},
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Group, Scale, lease,
    table::{Samples, Unit},
};

const ORIGIN: &str = "https://app.test";
const ONLY: &[&str] = &["hallpass"];

const PARSE_COMMAND: &str = "envelope: parse a command";
const PARSE_EVENT: &str = "envelope: parse an event of 1 KiB";
const TABLE: &str = "method table: look a command up";
const DECIDE: &str = "decide_request";
const POLICIES: &str = "decide_request, each timed";
const INJECT: &str = "inject one cookie";
const SCAN_SMALL: &str = "secret scan of 1 KiB";
const SCAN_LARGE: &str = "secret scan of 1 MiB";
const RECORD: &str = "trace: record to line";
const SEAL: &str = "trace: seal a line";
const HUB_COMMAND: &str = "hub: evaluate and its reply";
const HUB_CHECKED: &str = "hub: Page.navigate and its reply";
const HUB_EVENT: &str = "hub: event of 1 KiB to the client";
const HUB_PAUSED: &str = "hub: paused request, lent cookie";

pub const GROUP: Group = Group {
    name: "core",
    rows: &[
        (PARSE_COMMAND, ONLY),
        (PARSE_EVENT, ONLY),
        (TABLE, ONLY),
        (DECIDE, &["1 lease", "10 leases"]),
        (POLICIES, &["as shipped", "50 policies", "500 policies"]),
        (INJECT, ONLY),
        (SCAN_SMALL, ONLY),
        (SCAN_LARGE, ONLY),
        (RECORD, ONLY),
        (SEAL, ONLY),
        (HUB_COMMAND, ONLY),
        (HUB_CHECKED, ONLY),
        (HUB_EVENT, ONLY),
        (HUB_PAUSED, ONLY),
    ],
    run,
};

/// Samples of one operation, each the mean of so many in a row that the clock
/// can tell.
fn measure(
    scale: Scale,
    what: &'static str,
    variant: &'static str,
    mut once: impl FnMut(),
) -> Samples {
    let (rounds, least) = scale.of(
        (3, Duration::from_micros(10)),
        (100, Duration::from_millis(2)),
    );
    let mut batch = 1_u32;
    loop {
        let begun = Instant::now();
        (0..batch).for_each(|_| once());
        if begun.elapsed() >= least {
            break;
        }
        batch *= 2;
    }
    let mut samples = Samples::new(what, variant, Unit::Nanoseconds);
    for _ in 0..rounds {
        let begun = Instant::now();
        (0..batch).for_each(|_| once());
        samples.time(begun.elapsed() / batch);
    }
    samples
}

fn run(scale: Scale) -> Vec<Samples> {
    let only = |what, once: &mut dyn FnMut()| measure(scale, what, ONLY[0], once);
    let mut all = Vec::new();

    let command = r#"{"id":7,"method":"Runtime.evaluate","params":{"expression":"1+1","returnByValue":true},"sessionId":"0123456789ABCDEF0123456789ABCDEF"}"#;
    all.push(only(PARSE_COMMAND, &mut || {
        black_box(serde_json::from_str::<envelope::Command<'_>>(black_box(command)).unwrap());
    }));
    let event = console_event("CLIENT");
    all.push(only(PARSE_EVENT, &mut || {
        black_box(serde_json::from_slice::<envelope::Message<'_>>(black_box(&event)).unwrap());
    }));
    all.push(only(TABLE, &mut || {
        black_box(table::method(black_box("Runtime.evaluate")));
    }));

    let url = "https://app.test/tickets/7?view=all".parse().unwrap();
    let action = RequestAction::new("GET", url, Destination::Page);
    let authority = lease::authority();
    for (variant, count) in [("1 lease", 1), ("10 leases", 10)] {
        let leases = lease::leases(count, ORIGIN);
        let now = Clock.now();
        all.push(measure(scale, DECIDE, variant, || {
            let decision = decide_request(black_box(&action), &leases, &authority, false, now);
            assert!(matches!(black_box(decision), Decision::Allow(_)));
        }));
    }
    all.extend(policies(scale, &action));
    let leases = lease::leases(1, ORIGIN);
    let now = Clock.now();
    let Decision::Allow(permit) = decide_request(&action, &leases, &authority, false, now) else {
        panic!("the lease covers its origin");
    };
    all.push(only(INJECT, &mut || {
        black_box(inject(&permit, black_box(&action), Some("theme=dark"), now).unwrap());
    }));

    let secret = Secret::new(lease::VALUE.to_owned());
    let scanner = Scanner::new(std::iter::once(&secret)).unwrap();
    let prose =
        br#"{"type":"string","value":"The quick brown fox jumps over the lazy dog 0123456789"},"#;
    for (what, size) in [(SCAN_SMALL, 1 << 10), (SCAN_LARGE, 1 << 20)] {
        let mut message: Vec<u8> = prose.iter().copied().cycle().take(size).collect();
        all.push(only(what, &mut || {
            assert_eq!(scanner.blank(black_box(&mut message)), 0);
        }));
    }
    all.extend(trace(scale));
    all.extend(hub(scale));
    all
}

/// Single decisions, so that the slowest are seen: the bundle that ships, filled up
/// with policies that look at what is asked and leave it alone.
fn policies(scale: Scale, action: &RequestAction) -> Vec<Samples> {
    let rounds = scale.of(10, 20_000);
    let shipped = 7;
    let sizes = [
        ("as shipped", 0_usize),
        ("50 policies", 50),
        ("500 policies", 500),
    ];
    sizes
        .into_iter()
        .map(|(variant, size)| {
            let mut text = DEFAULT.to_owned();
            for number in 0..size.saturating_sub(shipped) {
                let _ = writeln!(
                    text,
                    "@id(\"more-{number}\") forbid (principal, action, resource) when {{ context.method == \"TRACE\" && resource.path like \"/area-{number}/*\" }};"
                );
            }
            let bundle = Bundle::read(&text, Classes::default()).unwrap();
            let authority = Authority {
                policies: Arc::new(Policies::new(bundle)),
                ..lease::authority()
            };
            let leases = lease::leases(1, ORIGIN);
            let now = Clock.now();
            let mut samples = Samples::new(POLICIES, variant, Unit::Nanoseconds);
            for _ in 0..rounds {
                let begun = Instant::now();
                let decision = decide_request(black_box(action), &leases, &authority, false, now);
                samples.time(begun.elapsed());
                assert!(matches!(black_box(decision), Decision::Allow(_)));
            }
            samples
        })
        .collect()
}

fn draft(now: Now) -> Draft {
    Draft {
        at: now.wall,
        actor: Actor::Agent {
            id: AgentId::from_uuid(Uuid::from_u128(6)),
        },
        event: Event::Command {
            connection: 1,
            method: "Runtime.evaluate".into(),
            target: Some("0123456789ABCDEF0123456789ABCDEF".into()),
            verdict: "redact".into(),
            detail: "expression of 3 bytes".into(),
        },
    }
}

fn trace(scale: Scale) -> [Samples; 2] {
    let now = Clock.now();
    let id = TraceId::from_uuid(Uuid::from_u128(1));
    let mut chain = Chain::new(id);
    let record = measure(scale, RECORD, ONLY[0], || {
        black_box(chain.append(draft(now).fit().unwrap()).unwrap());
    });
    let header = Header {
        trace: id,
        segment: 1,
        first_seq: 1,
        prev: LineHash::genesis(id),
        wrapped: vec![0; 60],
    };
    let salt = Salt::new([7; 32].into());
    let (sealer, _) = Sealer::begin(&header, &[7; 32], &salt, [7; 12]).unwrap();
    let line = chain.append(draft(now).fit().unwrap()).unwrap();
    let mut out = Vec::new();
    let seal = measure(scale, SEAL, ONLY[0], || {
        out.clear();
        sealer.frame(black_box(&line), [7; 12], &mut out).unwrap();
    });
    [record, seal]
}

/// Takes every record and forgets it.
struct Unread(u64);

impl Journal for Unread {
    fn record(&mut self, draft: Draft) -> Result<u64, Unrecorded> {
        black_box(draft.fit().map_err(|_| Unrecorded)?);
        self.0 += 1;
        Ok(self.0)
    }

    fn digest(&self, _: &Secret) -> String {
        "d".repeat(64)
    }
}

/// A virtual browser with one page and one client that is attached to it.
struct Stage {
    hub: Hub,
    now: Now,
}

impl Stage {
    fn set() -> Self {
        let now = Clock.now();
        let hub = Hub::new(Setup {
            proxy: "http://127.0.0.1:9".into(),
            downloads: "downloads".into(),
        });
        let mut stage = Self { hub, now };
        let asked = stage.asked();
        stage.answer(
            &asked,
            "Target.createBrowserContext",
            &json!({"browserContextId": "OWN"}),
        );
        let info = json!({"targetId": "PAGE", "type": "page", "title": "", "url": "https://app.test/",
            "attached": true, "browserContextId": "OWN"});
        stage.told(&json!({"method": "Target.targetCreated", "params": {"targetInfo": info}}));
        stage.told(&json!({"method": "Target.attachedToTarget", "params":
            {"sessionId": "BROKER", "targetInfo": info, "waitingForDebugger": false}}));
        stage.hub.bind(
            Tenant {
                session: SessionId::from_uuid(Uuid::from_u128(5)),
                authority: lease::authority(),
                leases: lease::leases(1, ORIGIN),
                journal: Box::new(Unread(0)),
                holds: HoldLimits {
                    patience: Duration::from_secs(20),
                    deadline: Duration::from_mins(5),
                    most: 4,
                },
                most: Most::default(),
            },
            now,
        );
        stage.now = Clock.now();
        assert!(stage.hub.client_opened(1, "bench", stage.now));
        stage.asked();
        let attach = r#"{"id":1,"method":"Target.attachToTarget","params":{"targetId":"PAGE","flatten":true}}"#;
        stage.hub.handle_client(1, attach.as_bytes(), stage.now);
        let asked = stage.asked();
        stage.answer(
            &asked,
            "Target.attachToTarget",
            &json!({"sessionId": "CLIENT"}),
        );
        stage.asked();
        stage
    }

    fn asked(&mut self) -> Vec<Value> {
        let outputs = std::iter::from_fn(|| self.hub.poll_output());
        outputs
            .filter_map(|output| match output {
                Output::Browser(message) => serde_json::from_slice(&message).ok(),
                _ => None,
            })
            .collect()
    }

    fn told(&mut self, message: &Value) {
        let text = message.to_string();
        self.hub.handle_browser(text.as_bytes(), self.now);
    }

    fn answer(&mut self, asked: &[Value], method: &str, result: &Value) {
        let command = asked
            .iter()
            .find(|asked| asked["method"] == method)
            .unwrap();
        self.told(&json!({"id": command["id"], "result": result}));
    }

    /// A command of the client, and Chromium's reply to what becomes of it.
    fn round_trip(&mut self, command: &[u8], result: &str) {
        self.hub.handle_client(1, command, self.now);
        let Some(Output::Browser(message)) = self.hub.poll_output() else {
            panic!("the command went nowhere");
        };
        // Its number comes first.
        let number = message
            .get(6..)
            .unwrap()
            .split(|byte| *byte == b',')
            .next()
            .unwrap();
        let number = std::str::from_utf8(number).unwrap();
        let reply = format!(r#"{{"id":{number},"result":{result},"sessionId":"CLIENT"}}"#);
        self.hub.handle_browser(reply.as_bytes(), self.now);
        assert!(matches!(
            black_box(self.hub.poll_output()),
            Some(Output::Client { .. })
        ));
    }
}

fn hub(scale: Scale) -> [Samples; 4] {
    let mut stage = Stage::set();
    let evaluate = br#"{"id":7,"method":"Runtime.evaluate","params":{"expression":"1+1","returnByValue":true},"sessionId":"CLIENT"}"#;
    let result = r#"{"result":{"type":"number","value":2,"description":"2"}}"#;
    let command = measure(scale, HUB_COMMAND, ONLY[0], || {
        stage.round_trip(evaluate, result);
    });
    let navigate = br#"{"id":8,"method":"Page.navigate","params":{"url":"https://app.test/tickets/7"},"sessionId":"CLIENT"}"#;
    let result = r#"{"frameId":"PAGE","loaderId":"L"}"#;
    let checked = measure(scale, HUB_CHECKED, ONLY[0], || {
        stage.round_trip(navigate, result);
    });
    let event = console_event("CLIENT");
    let to_client = measure(scale, HUB_EVENT, ONLY[0], || {
        stage.hub.handle_browser(&event, stage.now);
        assert!(matches!(
            black_box(stage.hub.poll_output()),
            Some(Output::Client { .. })
        ));
    });
    let url = "https://app.test/parts/7.js?v=3";
    let sent = json!({"method": "Network.requestWillBeSent", "sessionId": "BROKER", "params": {"requestId": "N",
        "documentURL": "https://app.test/", "request": {"url": url, "isSameSite": true}}});
    let sent = sent.to_string();
    let paused = json!({"method": "Fetch.requestPaused", "params": {"requestId": "R", "networkId": "N",
        "frameId": "PAGE", "resourceType": "Script", "request": {"url": url, "method": "GET",
        "headers": {"Accept": "*/*", "Referer": "https://app.test/", "User-Agent": "bench", "sec-ch-ua": "bench"}}}});
    let paused = paused.to_string();
    let over = json!({"method": "Network.loadingFinished", "sessionId": "BROKER", "params": {"requestId": "N"}});
    let over = over.to_string();
    let request = measure(scale, HUB_PAUSED, ONLY[0], || {
        stage.hub.handle_browser(sent.as_bytes(), stage.now);
        stage.hub.handle_browser(paused.as_bytes(), stage.now);
        let Some(Output::Browser(message)) = stage.hub.poll_output() else {
            panic!("the request went nowhere");
        };
        assert!(memchr::memmem::find(&message, b"Fetch.continueRequest").is_some());
        stage.hub.handle_browser(over.as_bytes(), stage.now);
        // Chromium's reply to the continuation.
        let number = message
            .get(6..)
            .unwrap()
            .split(|byte| *byte == b',')
            .next()
            .unwrap();
        let number = std::str::from_utf8(number).unwrap();
        let reply = format!(r#"{{"id":{number},"result":{{}}}}"#);
        stage.hub.handle_browser(reply.as_bytes(), stage.now);
    });
    [command, checked, to_client, request]
}

fn console_event(session: &str) -> Vec<u8> {
    let text = "x".repeat(900);
    json!({"method": "Runtime.consoleAPICalled", "params": {"type": "log",
        "args": [{"type": "string", "value": text}], "executionContextId": 1,
        "timestamp": 1_700_000_000_000.5_f64}, "sessionId": session})
    .to_string()
    .into_bytes()
}
