//! How much one session may have at once, and what is said to who wants more.

use super::*;

fn world(most: Most) -> World {
    let mut world = World::new(Delivery::Wire, "[]");
    world.hub.tenant.as_mut().unwrap().most = most;
    world.attach();
    world
}

/// The words in which the one answer refuses.
fn refusal((told, asked): (Vec<Value>, Vec<Value>)) -> String {
    assert_eq!((told.len(), asked.len()), (1, 0), "{told:?} {asked:?}");
    let why = told[0]["error"]["message"].as_str();
    why.unwrap_or_else(|| panic!("{told:?}")).to_owned()
}

const CONTEXT: &str = r#"{"id":2,"method":"Target.createBrowserContext"}"#;
const PAGE: &str = r#"{"id":3,"method":"Target.createTarget","params":{"url":"about:blank"}}"#;
const EVALUATE: &str =
    r#"{"id":4,"method":"Runtime.evaluate","sessionId":"CLIENT","params":{"expression":"1"}}"#;

#[test]
fn contexts_are_counted_with_those_on_their_way() {
    let mut world = world(Most {
        contexts: 3,
        ..Most::default()
    });
    let (_, first) = world.command(CONTEXT);
    let (_, second) = world.command(CONTEXT);
    let why = refusal(world.command(CONTEXT));
    assert!(why.contains("at most 3 contexts"), "{why}");
    assert!(why.contains("`session.contexts`"), "{why}");
    assert!(why.contains("dispose of one"), "{why}");
    world.answer(&first[0], json!({"browserContextId": "SECOND"}));
    world.answer(&second[0], json!({"browserContextId": "THIRD"}));
    world.split();
    refusal(world.command(CONTEXT));
    let dispose = r#"{"id":5,"method":"Target.disposeBrowserContext","params":{"browserContextId":"SECOND"}}"#;
    world.command(dispose);
    let (_, asked) = world.command(CONTEXT);
    find(&asked, "Target.createBrowserContext");
}

#[test]
fn pages_are_counted_with_those_on_their_way() {
    let mut world = world(Most {
        pages: 3,
        ..Most::default()
    });
    let (_, asked) = world.command(PAGE);
    world.target("LATER", "OWN", "about:blank");
    world.answer(&asked[0], json!({"targetId": "LATER"}));
    world.split();
    let (_, asked) = world.command(PAGE);
    find(&asked, "Target.createTarget");
    let why = refusal(world.command(PAGE));
    assert!(why.contains("at most 3 pages"), "{why}");
    assert!(why.contains("`session.pages`"), "{why}");
    assert!(why.contains("close one"), "{why}");
}

#[test]
fn commands_are_counted_for_each_connection_until_they_are_answered() {
    let mut world = world(Most {
        commands: 2,
        ..Most::default()
    });
    let (_, first) = world.command(EVALUATE);
    world.command(EVALUATE);
    let why = refusal(world.command(EVALUATE));
    assert!(why.contains("Runtime.evaluate: 2 commands"), "{why}");
    assert!(why.contains("`session.commands`"), "{why}");
    assert!(why.contains("wait for replies"), "{why}");

    // Another connection has as many of its own.
    let now = world.now;
    world.hub.client_opened(2, "second", now);
    world
        .hub
        .handle_client(2, br#"{"id":1,"method":"Browser.getVersion"}"#, now);
    let (_, asked) = world.split();
    find(&asked, "Browser.getVersion");

    world.answer(&first[0], json!({"result": {}}));
    world.split();
    let (_, asked) = world.command(EVALUATE);
    find(&asked, "Runtime.evaluate");
    refusal(world.command(EVALUATE));
}

#[test]
fn commands_on_a_session_that_is_gone_are_not_waited_for() {
    let mut world = world(Most {
        commands: 2,
        ..Most::default()
    });
    world.command(EVALUATE);
    world.command(EVALUATE);
    world.browser(&json!({"method": "Target.detachedFromTarget",
        "params": {"sessionId": "CLIENT", "targetId": "PAGE"}}));
    world.split();
    for _ in 0..2 {
        let (_, asked) = world.command(r#"{"id":1,"method":"Browser.getVersion"}"#);
        find(&asked, "Browser.getVersion");
    }
    refusal(world.command(r#"{"id":1,"method":"Browser.getVersion"}"#));
}

#[test]
fn pages_that_pages_open_beyond_the_most_are_closed() {
    let mut world = world(Most {
        pages: 3,
        ..Most::default()
    });
    let popup = |world: &mut World, id: &str| {
        let info = json!({"targetId": id, "type": "page", "title": "", "url": "about:blank", "attached": false,
            "browserContextId": "OWN", "openerId": "PAGE"});
        world.browser(&json!({"method": "Target.targetCreated", "params": {"targetInfo": info}}));
        world.split().1
    };
    for (id, closed) in [("A", false), ("B", false), ("C", true)] {
        let asked = popup(&mut world, id);
        let close = asked
            .iter()
            .find(|sent| sent["method"] == "Target.closeTarget");
        let target = close.map(|sent| sent["params"]["targetId"].clone());
        assert_eq!(target, closed.then(|| json!(id)));
    }
}

#[test]
fn attachments_of_a_connection_are_counted() {
    let mut world = world(Most::default());
    let attach =
        r#"{"id":6,"method":"Target.attachToTarget","params":{"targetId":"PAGE","flatten":true}}"#;
    let mut refused = None;
    for number in 1..=4096 {
        let (told, asked) = world.command(attach);
        if asked.is_empty() {
            refused = Some((number, told));
            break;
        }
        let session = format!("CLIENT-{number}");
        world.answer(&asked[0], json!({"sessionId": session}));
        world.split();
    }
    // With the one that was there.
    let (number, told) = refused.unwrap();
    assert_eq!(number, 4096);
    let why = told[0]["error"]["message"].as_str().unwrap();
    assert!(why.contains("4096 times at most"), "{why}");
    let detach = r#"{"id":7,"method":"Target.detachFromTarget","params":{"sessionId":"CLIENT-1"}}"#;
    let (_, asked) = world.command(detach);
    let gone = json!({"sessionId": "CLIENT-1", "targetId": "PAGE"});
    world.browser(&json!({"method": "Target.detachedFromTarget", "params": gone}));
    world.answer(&asked[0], json!({}));
    world.split();
    let (_, asked) = world.command(attach);
    find(&asked, "Target.attachToTarget");
}
