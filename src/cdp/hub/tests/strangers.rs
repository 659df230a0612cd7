//! A client and a browser that say anything: neither ever sees what is not the
//! session's. Everything of others has FOREIGN in its id.

use proptest::prelude::*;

use super::*;

const SESSIONS: [Option<&str>; 5] = [
    None,
    Some("CLIENT"),
    Some("broker-PAGE"),
    Some("FOREIGN-SESSION"),
    Some("browser.1.7"),
];
const TARGETS: [&str; 5] = [
    "PAGE",
    "FOREIGN-PAGE",
    "tab.PAGE",
    "tab.FOREIGN-PAGE",
    "LATER",
];
const CONTEXTS: [&str; 3] = ["OWN", "FOREIGN-CONTEXT", ""];

/// Commands that name targets, sessions and contexts.
const COMMANDS: [&str; 24] = [
    "Browser.getWindowForTarget",
    "Browser.grantPermissions",
    "Browser.setDownloadBehavior",
    "Browser.setWindowBounds",
    "Network.getAllCookies",
    "Page.enable",
    "Runtime.evaluate",
    "Runtime.runIfWaitingForDebugger",
    "Storage.clearCookies",
    "Storage.getCookies",
    "Target.activateTarget",
    "Target.attachToBrowserTarget",
    "Target.attachToTarget",
    "Target.autoAttachRelated",
    "Target.closeTarget",
    "Target.createTarget",
    "Target.detachFromTarget",
    "Target.disposeBrowserContext",
    "Target.exposeDevToolsProtocol",
    "Target.getTargetInfo",
    "Target.getTargets",
    "Target.sendMessageToTarget",
    "Target.setAutoAttach",
    "Target.setDiscoverTargets",
];

const EVENTS: [&str; 9] = [
    "Inspector.targetCrashed",
    "Page.frameNavigated",
    "Target.attachedToTarget",
    "Target.detachedFromTarget",
    "Target.receivedMessageFromTarget",
    "Target.targetCrashed",
    "Target.targetCreated",
    "Target.targetDestroyed",
    "Target.targetInfoChanged",
];

#[derive(Debug, Clone)]
enum Said {
    Command(&'static str, usize, usize, usize),
    Event(&'static str, usize, usize, usize),
    Reply(u64),
}

fn said() -> impl Strategy<Value = Said> {
    let place = || (0..SESSIONS.len(), 0..TARGETS.len(), 0..CONTEXTS.len());
    prop_oneof![
        4 => (prop::sample::select(COMMANDS.to_vec()), place())
            .prop_map(|(method, (s, t, c))| Said::Command(method, s, t, c)),
        3 => (prop::sample::select(EVENTS.to_vec()), place())
            .prop_map(|(method, (s, t, c))| Said::Event(method, s, t, c)),
        1 => (0..40_u64).prop_map(Said::Reply),
    ]
}

fn command(method: &str, session: Option<&str>, target: &str, context: &str) -> Value {
    let mut command = json!({"id": 5, "method": method, "params": {
        "targetId": target, "flatten": true, "discover": true, "autoAttach": true, "url": "about:blank",
        "behavior": "allow", "permissions": ["geolocation"], "windowId": 7, "sessionId": session, "message": "{}"}});
    if !context.is_empty() {
        command["params"]["browserContextId"] = context.into();
    }
    if let Some(session) = session {
        command["sessionId"] = session.into();
    }
    command
}

fn event(method: &str, session: Option<&str>, target: &str, context: &str) -> Value {
    // A browser never mixes them: what is foreign is so in all its ids.
    let (target, context) = match (target.contains("FOREIGN"), context) {
        (true, _) | (_, "FOREIGN-CONTEXT") => ("FOREIGN-PAGE", "FOREIGN-CONTEXT"),
        _ => (target.trim_start_matches("tab."), "OWN"),
    };
    let new = if target == "FOREIGN-PAGE" {
        "FOREIGN-NEW"
    } else {
        "NEW"
    };
    let info = json!({"targetId": target, "type": "page", "title": target, "url": "about:blank", "attached": true, "browserContextId": context});
    let mut event = json!({"method": method, "params": {"targetInfo": info, "targetId": target, "sessionId": new, "waitingForDebugger": true, "message": new, "frame": {"id": target}}});
    // On the root session, or one that is not this client's.
    if let Some(session) = session.filter(|session| *session != "CLIENT") {
        event["sessionId"] = session.into();
    }
    event
}

/// What left for either side; `own` are the sessions the client was given.
fn check(world: &mut World, by: &Value) {
    let (told, asked) = world.split();
    for message in &told {
        let mut message = message.clone();
        // An error repeats the session id that the client itself gave.
        if message.get("error").is_some() {
            message["sessionId"] = Value::Null;
        }
        let text = message.to_string();
        assert!(
            !text.contains("FOREIGN") && !text.contains("broker-"),
            "{by} told {text}"
        );
    }
    for message in asked {
        let text = message.to_string();
        // On a session of a target a name in the arguments names nothing outside.
        let named = match message.get("sessionId") {
            Some(session) => session.to_string(),
            None => text.clone(),
        };
        let by_client = by.get("id").is_some() && by.get("method").is_some();
        // What is not the session's is let run by us, so that it does not hang.
        assert!(
            !by_client || !named.contains("FOREIGN"),
            "{by} asked {text}"
        );
        assert!(
            !by_client || message["sessionId"] != "broker-PAGE",
            "{by} asked {text}"
        );
    }
}

fn run(said: &[Said]) {
    let mut world = World::new(Delivery::Wire, "[]");
    world.attach();
    world.command(r#"{"id":1,"method":"Target.setDiscoverTargets","params":{"discover":true}}"#);
    for said in said {
        let now = world.now;
        let by = match *said {
            Said::Command(method, s, t, c) => {
                let command = command(method, SESSIONS[s], TARGETS[t], CONTEXTS[c]);
                world
                    .hub
                    .handle_client(1, command.to_string().as_bytes(), now);
                command
            }
            Said::Event(method, s, t, c) => {
                let event = event(method, SESSIONS[s], TARGETS[t], CONTEXTS[c]);
                world.browser(&event);
                event
            }
            Said::Reply(id) => {
                let reply = json!({"id": id, "result": {"sessionId": "NEW", "targetId": "LATER"}});
                world.browser(&reply);
                reply
            }
        };
        check(&mut world, &by);
    }
}

proptest! {
    #[test]
    fn a_client_and_the_others_never_see_each_other(said in prop::collection::vec(said(), 1..60)) {
        run(&said);
    }
}

/// Messages that once were of interest, each said by the client and by the
/// browser to a session that has all that they may name.
#[test]
fn the_corpus_is_read_without_harm() {
    let corpus = include_str!("corpus.txt");
    assert!(corpus.lines().count() > 30);
    for line in corpus.lines() {
        let mut world = World::new(Delivery::Wire, "[]");
        world.attach();
        let now = world.now;
        world.hub.handle_client(1, line.as_bytes(), now);
        let (told, asked) = world.split();
        // Answered once or passed on once; nothing in between.
        assert_eq!(told.len() + asked.len(), 1, "{line}: {told:?} {asked:?}");
        assert!(
            !json!([told, asked]).to_string().contains("FOREIGN"),
            "{line}"
        );
        world.hub.handle_browser(line.as_bytes(), now);
        let (told, _) = world.split();
        assert!(!json!(told).to_string().contains("FOREIGN"), "{line}");
    }
}
