//! A window closes: what its jar still lends until it is empty, and what is under
//! way by then.

use super::*;

const PAGE: &str = "https://app.test/list";

/// Lent by the jar, and another window to the same site, which lends nothing.
fn world() -> World {
    let mut world = World::new(Delivery::Jar, r#"["GET"]"#);
    let bare = Lease::new(
        DelegationId::from_uuid(Uuid::from_u128(9)),
        world.lease.lender,
        world.lease.approver,
        world.lease.scope.clone(),
        world.lease.live,
        Vec::new(),
    );
    let tenant = world.hub.tenant.as_ref().unwrap();
    tenant.leases.add(Arc::new(bare));
    world.outputs();
    world
}

fn drain(world: &mut World) {
    let (delegation, now) = (world.lease.delegation, world.now);
    world.hub.drain(delegation, 1, now);
}

struct Seen {
    asked: Vec<Value>,
    drained: bool,
}

impl Seen {
    fn named(&self, method: &str) -> Vec<Value> {
        let named = self.asked.iter().filter(|sent| sent["method"] == method);
        named.cloned().collect()
    }
}

fn seen(world: &mut World) -> Seen {
    let (mut asked, mut drained) = (Vec::new(), false);
    for output in world.outputs() {
        match output {
            Output::Browser(message) => asked.push(serde_json::from_slice(&message).unwrap()),
            Output::Drained { whole, .. } => drained |= whole,
            _ => {}
        }
    }
    Seen { asked, drained }
}

/// Answers each command that empties the jar; with the rounds that it took, what came
/// of the last answer.
fn empty(world: &mut World) -> (u32, Seen) {
    let mut rounds = 0;
    let mut last = seen(world);
    loop {
        let round = last.named("Storage.setCookies");
        if round.is_empty() {
            return (rounds, last);
        }
        rounds += 1;
        for (left, command) in round.iter().enumerate().rev() {
            assert_eq!(command["params"]["cookies"][0]["expires"], 1);
            assert!(!last.drained, "the jar is not empty yet");
            world.answer(command, json!({}));
            last = seen(world);
            assert!(left == 0 || last.asked.is_empty(), "one round at a time");
        }
    }
}

#[test]
fn a_jar_is_emptied_round_after_round() {
    let mut world = world();
    world.lease.close(CloseReason::Revoked);
    drain(&mut world);
    let (rounds, last) = empty(&mut world);
    assert_eq!(rounds, 8);
    assert!(last.drained);
}

#[test]
fn a_jar_that_cannot_be_emptied_is_told_late_and_not_whole() {
    let mut world = world();
    world.lease.close(CloseReason::Revoked);
    drain(&mut world);
    let now = at(5);
    assert!(world.hub.deadline().is_some_and(|due| due <= now.boot));
    world.hub.handle_timeout(now);
    let told: Vec<bool> = world
        .outputs()
        .iter()
        .filter_map(|output| match output {
            Output::Drained { whole, .. } => Some(*whole),
            _ => None,
        })
        .collect();
    assert_eq!(told, [false]);
}

/// Chromium would add from the jar what is taken out of the request's own header.
#[test]
fn a_request_is_kept_back_from_the_close_until_the_jar_is_empty() {
    let mut world = world();
    world.lease.close(CloseReason::Revoked);
    world.pause(PAGE, "GET", "XHR", "PAGE");
    assert!(seen(&mut world).asked.is_empty(), "it went with the jar's");
    drain(&mut world);
    let (_, last) = empty(&mut world);
    assert!(last.drained);
    assert_eq!(last.named("Fetch.continueRequest").len(), 1);
    world.pause(PAGE, "GET", "XHR", "PAGE");
    assert_eq!(seen(&mut world).named("Fetch.continueRequest").len(), 1);
}

#[test]
fn a_socket_opened_between_close_and_drain_is_waited_for() {
    let mut world = world();
    let socket = |method: &str| {
        json!({"method": method, "sessionId": "broker-PAGE",
               "params": {"requestId": "WS", "url": "wss://app.test/socket"}})
    };
    world.lease.close(CloseReason::Revoked);
    world.browser(&socket("Network.webSocketCreated"));
    drain(&mut world);
    let (_, last) = empty(&mut world);
    assert!(!last.drained, "its handshake took the jar's along");
    world.browser(&socket("Network.webSocketClosed"));
    assert!(seen(&mut world).drained);
}
