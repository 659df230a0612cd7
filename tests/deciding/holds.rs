//! Requests that wait for a person: what each answer does, and what ends a wait
//! without one.

use serde_json::json;

use crate::{
    desk::{Desk, SID, waiting},
    support::broker::Broker,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_approved_goes_as_it_was_shown_and_others_like_it() {
    let broker = Broker::start("");
    let desk = Desk::open(&broker, waiting()).await;

    desk.fetch("one", "POST", "/save/7", "'note=first&state=open'")
        .await;
    let hold = desk.holds(1).await.remove(0);
    assert_eq!(desk.arrived("/save/7").len(), 0);
    assert_eq!(hold["class"], "write");
    assert_eq!(hold["destination"], "connect");
    assert_eq!(
        hold["body"]["fields"],
        json!([{ "name": "note", "value": "first" }, { "name": "state", "value": "open" }])
    );
    let other = json!({ "answer": "like-this", "rule": { "method": "POST", "origin": desk.origin,
        "path": "/*", "query": [], "body": "form", "fields": ["note"], "class": "write" } });
    let path = format!("/v1/holds/{}/answer", hold["id"].as_str().unwrap());
    let refused = desk
        .lender
        .operator
        .try_post(&path, &other)
        .await
        .unwrap_err();
    assert_eq!(
        refused["status"], 409,
        "a rule that was not shown: {refused}"
    );
    let answer = json!({ "answer": "like-this", "rule": hold["rule"] });
    desk.answer(&hold, answer).await;
    assert_eq!(desk.fetched("one").await["text"], "done");
    assert_eq!(
        &desk.arrived("/save/7")[0].body[..],
        b"note=first&state=open"
    );

    // What the rule fits goes without a question, what it does not waits.
    desk.fetch("two", "POST", "/save/8", "'note=second'").await;
    assert_eq!(desk.fetched("two").await["text"], "done");
    assert_eq!(desk.arrived("/save/8").len(), 1);
    for (name, method, path, body) in [
        ("field", "POST", "/save/8", "'note=a&owner=me'"),
        ("path", "POST", "/save/all", "'note=a'"),
        ("verb", "PUT", "/save/8", "'note=a'"),
        ("kind", "DELETE", "/save/8", "'note=a'"),
    ] {
        desk.fetch(name, method, path, body).await;
        let hold = desk.holds(1).await.remove(0);
        desk.answer(&hold, json!({ "answer": "deny" })).await;
        let refused = desk.fetched(name).await;
        assert_eq!(refused["status"], 403, "{name}");
        let problem: serde_json::Value =
            serde_json::from_str(refused["text"].as_str().unwrap()).unwrap();
        assert_eq!(problem["rule"], "hold-denied");
        assert_eq!(problem["hold"], hold["id"]);
        assert_eq!(problem["delegation"], json!(desk.delegation));
    }
    assert_eq!(desk.arrived("/save/8").len(), 1);
    assert_eq!(desk.arrived("/save/all").len(), 0);

    let ended = desk.told("hold-ended").await;
    let how: Vec<&str> = ended.iter().map(|e| e["how"].as_str().unwrap()).collect();
    assert_eq!(how, ["like-this", "denied", "denied", "denied", "denied"]);
    let opened = desk.told("hold-opened").await;
    assert_eq!(
        opened[0]["facts"]["body"]["fields"],
        json!(["note", "state"])
    );
    let text = desk
        .records()
        .await
        .into_iter()
        .map(|r| r.to_string())
        .collect::<String>();
    for value in ["first", "second", SID] {
        assert!(!text.contains(value), "`{value}` is on record");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_of_one_shape_are_answered_together() {
    let broker = Broker::start("");
    let desk = Desk::open(&broker, waiting()).await;
    for number in 1..=5 {
        let path = format!("/tickets/{number}");
        desk.fetch(&format!("n{number}"), "DELETE", &path, "null")
            .await;
    }
    desk.fetch("other", "POST", "/save", "'a=1'").await;
    let holds = desk.holds(6).await;
    let first = holds
        .iter()
        .find(|hold| hold["method"] == "DELETE")
        .unwrap();
    let id = first["id"].as_str().unwrap();
    let cli = broker.cli(&["hold", "approve", id, "--same-shape"]);
    let said = String::from_utf8(cli.stdout).unwrap();
    assert_eq!(
        said.lines()
            .filter(|line| line.starts_with("let go"))
            .count(),
        5,
        "{said}"
    );
    for number in 1..=5 {
        assert_eq!(desk.fetched(&format!("n{number}")).await["text"], "done");
        assert_eq!(desk.arrived(&format!("/tickets/{number}")).len(), 1);
    }
    assert_eq!(desk.holds(1).await[0]["method"], "POST");
    assert_eq!(desk.arrived("/save").len(), 0);
    // Once is once: the same again waits again.
    desk.fetch("again", "DELETE", "/tickets/1", "null").await;
    desk.holds(2).await;
    assert_eq!(desk.arrived("/tickets/1").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_said_no_is_not_asked_again() {
    let broker = Broker::start("");
    let desk = Desk::open(&broker, waiting()).await;
    desk.fetch("one", "POST", "/save", "'note=a'").await;
    let hold = desk.holds(1).await.remove(0);
    let words = "ask the team lead first";
    desk.answer(&hold, json!({ "answer": "deny", "words": words }))
        .await;
    for name in ["one", "two"] {
        if name == "two" {
            desk.fetch(name, "POST", "/save", "'note=a'").await;
        }
        let refused = desk.fetched(name).await;
        assert_eq!(refused["status"], 403);
        assert!(
            refused["text"].as_str().unwrap().contains(words),
            "{refused}"
        );
        desk.holds(0).await;
    }
    assert_eq!(desk.site.hits_on("/save").len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_answers_and_it_is_denied() {
    let broker = Broker::start("[hold]\npatience = \"300ms\"\ndeadline = \"2s\"\n");
    let desk = Desk::open(&broker, waiting()).await;
    desk.fetch("one", "POST", "/save", "'note=a'").await;
    let told = desk.fetched("one").await;
    assert_eq!(told["status"], 403);
    assert!(
        told["text"].as_str().unwrap().contains("\"held\""),
        "{told}"
    );
    let hold = desk.holds(1).await.remove(0);
    assert_eq!(hold["waiting"], false);
    // Sent again, it waits in the same hold; the deadline ends both.
    desk.fetch("two", "POST", "/save", "'note=a'").await;
    assert_eq!(desk.fetched("two").await["status"], 403);
    desk.holds(0).await;
    let path = format!("/v1/holds/{}/answer", hold["id"].as_str().unwrap());
    let once = json!({ "answer": "once" });
    let late = desk
        .lender
        .operator
        .try_post(&path, &once)
        .await
        .unwrap_err();
    assert_eq!(late["status"], 409, "{late}");
    assert_eq!(desk.site.hits_on("/save").len(), 0);
    assert_eq!(desk.told("hold-opened").await.len(), 1);
    assert_eq!(desk.told("hold-ended").await[0]["how"], "expired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_ends_with_its_page_its_window_and_its_session() {
    let broker = Broker::start("[hold]\nmax = 2\n");
    let desk = Desk::open(&broker, waiting()).await;
    // The page gives it up.
    desk.page
        .evaluate("(window.stop = new AbortController(), fetch('/save', { method: 'POST', body: 'a=1', signal: stop.signal }).catch(() => {}), 0)")
        .await;
    desk.holds(1).await;
    desk.page.evaluate("stop.abort()").await;
    desk.holds(0).await;
    // Its page is closed.
    let other = desk.cdp.open(&format!("{}/page", desk.origin)).await;
    other
        .evaluate("(fetch('/save', { method: 'POST', body: 'b=1' }).catch(() => {}), 0)")
        .await;
    desk.holds(1).await;
    other.close().await;
    desk.holds(0).await;
    // More than may wait is refused.
    desk.fetch("one", "POST", "/save", "'c=1'").await;
    desk.fetch("two", "POST", "/save", "'d=1'").await;
    desk.holds(2).await;
    desk.fetch("three", "POST", "/save", "'e=1'").await;
    let refused = desk.fetched("three").await;
    assert!(
        refused["text"].as_str().unwrap().contains("too-many-holds"),
        "{refused}"
    );
    // Its window ends, and with it the session.
    desk.lender.operator.revoke(&desk.delegation).await;
    desk.holds(0).await;
    let reason = desk.cdp.until_closed().await;
    assert!(reason.contains("revoked"), "{reason}");
    assert_eq!(desk.site.hits_on("/save").len(), 0);
    let ended = desk.told("hold-ended").await;
    let how: Vec<&str> = ended.iter().map(|e| e["how"].as_str().unwrap()).collect();
    assert_eq!(
        how,
        ["given-up", "given-up", "window-closed", "window-closed"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_when_the_broker_died_is_denied_on_record() {
    let broker = Broker::start("");
    let desk = Desk::open(&broker, waiting()).await;
    desk.fetch("one", "POST", "/save", "'note=a'").await;
    let hold = desk.holds(1).await.remove(0);
    // It is stored apart from the board that shows it.
    desk.fetch("two", "POST", "/save", "'note=b'").await;
    desk.holds(2).await;
    let folder = broker.crash();
    let broker = Broker::start_in(folder, "");
    let operator = broker.operator();
    let list = operator.get("/v1/holds").await;
    assert_eq!(list["holds"], json!([]));
    let traces = operator.get("/v1/traces").await;
    // The newest comes first.
    let mut all = traces["traces"].as_array().unwrap().iter();
    let own = all.find(|trace| trace["kind"] == "broker");
    let path = format!(
        "/v1/traces/{}/records",
        own.unwrap()["id"].as_str().unwrap()
    );
    let records = operator.get_text(&path).await;
    let denied = records
        .lines()
        .any(|line| line.contains("broker-stopped") && line.contains(hold["id"].as_str().unwrap()));
    assert!(denied, "{records}");
    assert_eq!(desk.site.hits_on("/save").len(), 0);
}
