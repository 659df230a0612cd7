//! Sessions that end as they should.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    stage::{self, Stage, VALUE},
    support::{broker::Broker, cdp::Cdp, process},
};

const COLD: &str = "[cell]\nwarm = 0\n";

fn nothing_is_left(broker: &Broker) {
    let gone =
        || stage::browsers(broker).is_empty() && stage::profiles(&broker.data_dir).is_empty();
    assert!(
        process::until(stage::LIMIT, gone),
        "left: {:?}",
        stage::profiles(&broker.data_dir)
    );
}

fn closed<'a>(records: &'a [Value], delegation: &str) -> Vec<&'a Value> {
    let is_end = |record: &&Value| {
        record["event"]["type"] == "delegation-closed"
            && record["event"]["delegation"] == delegation
    };
    records.iter().filter(is_end).collect()
}

#[tokio::test]
async fn a_session_ends_once_its_agent_has_been_away_for_the_grace() {
    let broker = Broker::start(&format!("{COLD}[session]\ngrace = \"1s\""));
    let stage = Stage::new(&broker).await;
    let (session, cdp, _, lent) = stage.work().await;
    cdp.leave().await;
    let away = Instant::now();
    let reason = stage.until_ended(&session).await;
    assert!(away.elapsed() >= Duration::from_secs(1), "too early");
    assert!(reason.contains("grace"), "{reason}");
    nothing_is_left(&broker);
    // What was lent is the person's to end: another session may use it.
    let path = format!("/v1/delegations/{lent}");
    assert_eq!(stage.operator.get(&path).await["phase"], "open");
}

#[tokio::test]
async fn an_agent_that_comes_back_within_the_grace_finds_all_as_it_was() {
    let grace = Duration::from_secs(2);
    let broker = Broker::start(&format!("{COLD}[session]\ngrace = \"2s\""));
    let stage = Stage::new(&broker).await;
    let (session, cdp, page, _) = stage.work().await;
    page.evaluate("window.kept = 7").await;
    let target = page.target.clone();
    drop(page);
    for _ in 0..3 {
        let left = Instant::now();
        let cdp = Cdp::connect(&session.cdp_url).await;
        let page = cdp.attach(&target).await;
        // Long enough here for the grace to have run out meanwhile.
        while left.elapsed() < grace / 2 {
            assert_eq!(page.evaluate("window.kept").await, 7);
        }
        cdp.leave().await;
    }
    assert_eq!(stage.session(&session).await["status"], "running");
    cdp.leave().await;
    stage.until_ended(&session).await;
}

#[tokio::test]
async fn the_last_window_takes_the_session_with_it() {
    let broker = Broker::start(COLD);
    let stage = Stage::new(&broker).await;
    for (ending, actor) in [("revoke", "person"), ("complete", "agent")] {
        let (first, second) = (stage.lend().await, stage.lend().await);
        let (session, cdp, _page) = stage.work_with(&[&first, &second]).await;

        let agent = broker.agent(&stage.agent.key);
        let api = if actor == "agent" {
            &agent
        } else {
            &stage.operator
        };
        let end = |id: &str| format!("/v1/delegations/{id}/{ending}");
        api.post(&end(&first), &json!({})).await;
        assert_eq!(stage.session(&session).await["status"], "running");
        api.post(&end(&second), &json!({})).await;
        let told = cdp.until_closed().await;
        assert!(told.contains("last window"), "{told}");
        let reason = stage.until_ended(&session).await;
        assert!(reason.contains("last window"), "{reason}");
        nothing_is_left(&broker);

        let records = stage.records(&session).await;
        for id in [&first, &second] {
            let [end] = closed(&records, id)[..] else {
                panic!("{id}: {records:#?}");
            };
            assert_eq!(end["actor"]["kind"], actor, "{end}");
            let expected = if ending == "revoke" {
                "revoked"
            } else {
                "completed"
            };
            assert_eq!(end["event"]["reason"], expected, "{end}");
        }
    }
}

#[tokio::test]
async fn a_window_that_runs_out_is_closed_by_the_broker_and_on_record() {
    let broker = Broker::start(COLD);
    let stage = Stage::new(&broker).await;
    let asked = json!({
        "agent": stage.agent.id,
        "purpose": "one look",
        "cookies": [{ "name": "sid", "origin": stage.site.origin(), "delivery": "wire" }],
        "scope": { "origins": [stage.site.origin()] },
        "window": { "duration": "3s" },
    });
    let made = stage.operator.post("/v1/delegations", &asked).await;
    let id = made["id"].as_str().unwrap().to_owned();
    let kept = stage.lend().await;
    stage.operator.approve(&id).await;
    let (session, cdp, page) = stage.work_with(&[&id, &kept]).await;
    // The other window goes on, and with it the session.
    let begun = Instant::now();
    loop {
        page.navigate(&stage.site.origin()).await;
        let shown = stage.operator.get(&format!("/v1/delegations/{id}")).await;
        if shown["phase"] == "closed" {
            break;
        }
        assert!(begun.elapsed() < stage::LIMIT, "{shown}");
    }
    let hits = stage.site.hits();
    assert_eq!(hits[hits.len() - 1].cookie("sid"), Some(VALUE));
    let path = format!("/v1/delegations/{kept}/revoke");
    stage.operator.post(&path, &json!({})).await;
    cdp.until_closed().await;
    stage.until_ended(&session).await;
    let records = stage.records(&session).await;
    let [end] = closed(&records, &id)[..] else {
        panic!("{records:#?}");
    };
    assert_eq!(end["actor"]["kind"], "broker", "{end}");
    assert_eq!(end["event"]["reason"], "expired", "{end}");
}

#[tokio::test]
async fn a_broker_that_is_asked_to_stop_tells_its_clients_and_ends_whole() {
    let mut broker = Broker::start(COLD);
    let stage = Stage::new(&broker).await;
    let (_session, cdp, _page, _lent) = stage.work().await;
    broker.terminate();
    let told = cdp.until_closed().await;
    assert!(told.contains("stop"), "{told}");
    let data = broker.data_dir.clone();
    // Fails if it does not end by itself, or leaves a process behind.
    let folder = broker.finish();
    assert_eq!(stage::profiles(&data), Vec::<String>::new());
    let broker = Broker::start_in(folder, COLD);
    stage::verified(&broker);
}
