//! Held requests under a clock that is set: what each end of a wait does.

use super::*;
use crate::model::{
    hold::{Hold, HoldAnswer, HoldEnd},
    id::HoldId,
};

/// A world in which what changes something waits.
fn world() -> World {
    let mut world = World::under(
        r#"{"origins":["https://app.test"],"methods":["GET","POST","DELETE"]}"#,
        Delivery::Wire,
    );
    world.outputs();
    world
}

/// Pauses a `POST` of that body under that number; what the hub puts out.
fn post(world: &mut World, number: &str, body: &str) -> Vec<Output> {
    let url = "https://app.test/save";
    let network = format!("N{number}");
    world.browser(&json!({"method": "Network.requestWillBeSent", "sessionId": "broker-PAGE", "params": {"requestId": network,
        "documentURL": "https://app.test/", "request": {"url": url, "isSameSite": true}}}));
    let bytes = data_encoding::BASE64.encode(body.as_bytes());
    world.browser(&json!({"method": "Fetch.requestPaused", "params": {"requestId": number, "networkId": network, "frameId": "PAGE",
        "resourceType": "XHR", "request": {"url": url, "method": "POST", "hasPostData": true,
        "headers": {"Content-Type": "application/x-www-form-urlencoded"}, "postDataEntries": [{"bytes": bytes}]}}}));
    world.outputs()
}

fn held(outputs: &[Output]) -> Option<&Hold> {
    outputs.iter().find_map(|output| match output {
        Output::Held(hold) => Some(&**hold),
        _ => None,
    })
}

fn ends(outputs: &[Output]) -> Vec<(HoldId, HoldEnd)> {
    let ended = outputs.iter().filter_map(|output| match output {
        Output::HoldEnded { hold, end } => Some((*hold, *end)),
        _ => None,
    });
    ended.collect()
}

/// What the browser was told to do with the paused request.
fn told(outputs: &[Output], number: &str) -> Option<String> {
    outputs.iter().find_map(|output| match output {
        Output::Browser(message) => {
            let command: Value = serde_json::from_slice(message).unwrap();
            (command["params"]["requestId"] == number)
                .then(|| command["method"].as_str().unwrap().to_owned())
        }
        _ => None,
    })
}

fn wait(world: &mut World, seconds: u64) -> Vec<Output> {
    world.now = at(world.now.boot.0 / 1_000_000 + seconds);
    let now = world.now;
    world.hub.handle_timeout(now);
    world.outputs()
}

fn answer(world: &mut World, hold: HoldId, answer: HoldAnswer) -> Vec<Output> {
    let (person, now) = (PersonId::from_uuid(Uuid::from_u128(2)), world.now);
    world.hub.answer_hold(hold, &answer, person, now).unwrap();
    world.outputs()
}

#[test]
fn an_approved_request_goes_once_its_record_is_durable() {
    let mut world = world();
    let outputs = post(&mut world, "1", "note=a");
    let id = held(&outputs).unwrap().id;
    assert_eq!(told(&outputs, "1"), None);
    let outputs = answer(&mut world, id, HoldAnswer::Once);
    assert_eq!(ends(&outputs), [(id, HoldEnd::Once)]);
    assert_eq!(told(&outputs, "1"), None, "before it is on record");
    let now = world.now;
    world.hub.handle_durable("1", true, now);
    let outputs = world.outputs();
    assert_eq!(
        told(&outputs, "1").as_deref(),
        Some("Fetch.continueRequest")
    );
    // The same again is another question.
    assert!(held(&post(&mut world, "2", "note=a")).is_some());
    // An answer that comes twice finds nothing.
    let person = PersonId::from_uuid(Uuid::from_u128(2));
    let twice = world.hub.answer_hold(id, &HoldAnswer::Once, person, now);
    assert_eq!(twice, Err(AnswerError::Over));
}

#[test]
fn a_window_that_closed_meanwhile_lets_nothing_go() {
    let mut world = world();
    let outputs = post(&mut world, "1", "note=a");
    let id = held(&outputs).unwrap().id;
    world.lease.close(CloseReason::Revoked);
    let outputs = answer(&mut world, id, HoldAnswer::Once);
    assert_eq!(told(&outputs, "1").as_deref(), Some("Fetch.failRequest"));
    // Also where it closes between the answer and the record.
    let mut world = self::world();
    let id = held(&post(&mut world, "1", "note=a")).unwrap().id;
    answer(&mut world, id, HoldAnswer::Once);
    world.lease.close(CloseReason::Revoked);
    let now = world.now;
    world.hub.handle_durable("1", true, now);
    let outputs = world.outputs();
    assert_eq!(told(&outputs, "1").as_deref(), Some("Fetch.failRequest"));
}

#[test]
fn the_page_is_told_to_try_again_before_the_deadline_denies() {
    let mut world = world();
    let id = held(&post(&mut world, "1", "note=a")).unwrap().id;
    assert_eq!(told(&wait(&mut world, 19), "1"), None);
    let outputs = wait(&mut world, 1);
    assert_eq!(told(&outputs, "1").as_deref(), Some("Fetch.fulfillRequest"));
    assert_eq!(ends(&outputs), []);
    // Sent again, it waits in the same hold; approved, it goes.
    let outputs = post(&mut world, "2", "note=a");
    assert!(held(&outputs).is_none());
    assert_eq!(told(&wait(&mut world, 10), "2"), None);
    let outputs = wait(&mut world, 10);
    assert_eq!(told(&outputs, "2").as_deref(), Some("Fetch.fulfillRequest"));
    answer(&mut world, id, HoldAnswer::Once);
    let outputs = post(&mut world, "3", "note=a");
    assert!(held(&outputs).is_none(), "it was approved");
    assert!(outputs.iter().any(|o| matches!(o, Output::Durable { .. })));
    // Once is once, and another body is another request.
    assert!(held(&post(&mut world, "4", "note=a")).is_some());
    assert!(held(&post(&mut world, "5", "note=b")).is_some());
}

#[test]
fn what_waits_is_bounded_by_count_and_by_bytes() {
    let mut world = world();
    for number in 0..4 {
        let outputs = post(&mut world, &number.to_string(), &format!("n={number}"));
        assert!(held(&outputs).is_some());
    }
    let outputs = post(&mut world, "5", "n=5");
    assert_eq!(told(&outputs, "5").as_deref(), Some("Fetch.fulfillRequest"));
    let mut world = self::world();
    let large = format!("n={}", "x".repeat(13 << 20));
    let outputs = post(&mut world, "1", &large);
    assert_eq!(told(&outputs, "1").as_deref(), Some("Fetch.fulfillRequest"));
    let refused = world.records.all().iter().any(|event| {
        matches!(event, Event::Request { refusal: Some(refusal), .. }
            if refusal.rule == crate::model::action::Rule::TooManyHolds)
    });
    assert!(refused);
}

#[test]
fn a_person_is_shown_what_it_carries_without_what_is_lent() {
    let mut world = world();
    let now = world.now;
    let explain = r#"{"id":5,"method":"Hallpass.explain","params":{"reason":"it is done"}}"#;
    world.hub.handle_client(1, explain.as_bytes(), now);
    let outputs = post(&mut world, "1", &format!("note=a&token={SECRET}"));
    let hold = held(&outputs).unwrap();
    let text = serde_json::to_string(hold).unwrap();
    assert!(
        text.contains("\"note\"") && !text.contains(SECRET),
        "{text}"
    );
    assert_eq!(hold.agent_says.as_deref(), Some("it is done"));
    // Words are for one hold.
    let outputs = post(&mut world, "2", "note=b");
    assert_eq!(held(&outputs).unwrap().agent_says, None);
    assert!(!format!("{:?}", world.records.all()).contains(SECRET));
}

#[test]
fn an_answer_off_the_record_lets_nothing_go() {
    let mut world = world();
    let id = held(&post(&mut world, "1", "note=a")).unwrap().id;
    world.records.fail();
    let (person, now) = (PersonId::from_uuid(Uuid::from_u128(2)), world.now);
    let answered = world.hub.answer_hold(id, &HoldAnswer::Once, person, now);
    assert_eq!(answered, Err(AnswerError::Unrecorded));
    let outputs = world.outputs();
    assert_ne!(
        told(&outputs, "1").as_deref(),
        Some("Fetch.continueRequest")
    );
    assert!(outputs.iter().any(|o| matches!(o, Output::End { .. })));
}

#[test]
fn a_denial_holds_for_the_rest_of_the_window_and_no_longer() {
    let mut world = world();
    let id = held(&post(&mut world, "1", "note=a")).unwrap().id;
    let words = Some("not today".to_owned());
    let outputs = answer(&mut world, id, HoldAnswer::Deny { words });
    assert_eq!(told(&outputs, "1").as_deref(), Some("Fetch.fulfillRequest"));
    let outputs = post(&mut world, "2", "note=a");
    assert!(held(&outputs).is_none());
    assert_eq!(told(&outputs, "2").as_deref(), Some("Fetch.fulfillRequest"));
    let delegation = world.lease.delegation;
    let now = world.now;
    world.hub.drain(delegation, 7, now);
    let (_, asked) = world.split();
    world.answer(find(&asked, "Browser.getVersion"), json!({}));
    world.outputs();
    assert!(held(&post(&mut world, "3", "note=a")).is_some());
}
