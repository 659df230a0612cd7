//! Sessions that lose what they stand on.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    stage::{self, Stage},
    support::{broker::Broker, process},
    volume::Volume,
};

const COLD: &str = "[cell]\nwarm = 0\n";

#[tokio::test]
async fn a_browser_that_is_killed_ends_its_session_and_no_other() {
    let broker = Broker::start(COLD);
    let stage = Stage::new(&broker).await;
    let (lost, cdp, _page, lent) = stage.work().await;
    let [browser] = &stage::browsers(&broker)[..] else {
        panic!("not one browser");
    };
    let browser = browser.clone();
    let (stays, other, page, _) = stage.work().await;
    browser.kill();
    let told = cdp.until_closed().await;
    assert!(told.contains("browser"), "{told}");
    let reason = stage.until_ended(&lost).await;
    assert!(reason.contains("browser ended"), "{reason}");
    let is_removed = || stage::profiles(&broker.data_dir).len() == 1;
    assert!(
        process::until(stage::LIMIT, is_removed),
        "its profile is left"
    );
    let records = stage.records(&lost).await;
    let end = records.last().unwrap();
    assert_eq!(end["event"]["type"], "session-ended", "{end}");

    // The person's consent is as it was; the agent starts over with it.
    let shown = stage.operator.get(&format!("/v1/delegations/{lent}")).await;
    assert_eq!(shown["phase"], "open");
    assert_eq!(page.evaluate("document.title").await, "desk");
    other.ask("Browser.getVersion", json!({})).await;
    let again = stage.operator.start_session(&stage.agent, &[&lent]).await;
    for session in [again, stays] {
        stage.operator.end_session(&session).await;
    }
    stage::verified(&broker);
}

#[tokio::test]
async fn a_warm_browser_that_hangs_is_passed_over() {
    let broker = Broker::start("[cell]\nwarm = 1\n");
    let stage = Stage::new(&broker).await;
    let is_warm = || {
        let below = process::descendants(broker.pid());
        below
            .iter()
            .any(|one| one.command().contains("--type=renderer"))
    };
    assert!(process::until(stage::LIMIT, is_warm), "none is kept warm");
    let hung = stage::browsers(&broker).remove(0);
    kill(Pid::from_raw(hung.pid), Signal::SIGSTOP).unwrap();
    let lent = stage.lend().await;
    let lent = [lent.as_str()];
    // Nobody waits behind who was given it.
    let (one, other) = tokio::join!(
        stage.operator.start_session(&stage.agent, &lent),
        stage.operator.start_session(&stage.agent, &lent)
    );
    let is_gone = || !hung.is_running();
    assert!(process::until(stage::LIMIT, is_gone), "it is kept");
    for session in [one, other] {
        stage.operator.end_session(&session).await;
    }
}

#[tokio::test]
async fn a_session_that_ended_by_itself_makes_room_for_another() {
    let broker = Broker::start(&format!("{COLD}[session]\nmax = 1\n"));
    let stage = Stage::new(&broker).await;
    for _ in 0..2 {
        let session = stage.operator.start_session(&stage.agent, &[]).await;
        stage::browsers(&broker)[0].kill();
        stage.until_ended(&session).await;
    }
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_any_more_is_not_left_half_done() {
    let broker = Broker::start(&format!("{COLD}[session]\ngrace = \"1s\"\n"));
    let stage = Stage::new(&broker).await;
    let agent = broker.agent(&stage.agent.key);
    for patience in [5, 10, 20, 40, 80, 160, 320] {
        let start = agent.attempt(Method::POST, "/v1/sessions", b"{}".to_vec());
        let patience = Duration::from_millis(patience);
        tokio::time::timeout(patience, start).await.ok();
    }
    let begun = Instant::now();
    loop {
        let listed = stage.operator.get("/v1/sessions").await;
        let sessions = listed["sessions"].as_array().unwrap();
        if sessions.iter().all(|session| session["status"] == "ended") {
            break;
        }
        assert!(begun.elapsed() < stage::LIMIT, "still there: {listed}");
    }
    let gone =
        || stage::browsers(&broker).is_empty() && stage::profiles(&broker.data_dir).is_empty();
    let left = || stage::profiles(&broker.data_dir);
    assert!(process::until(stage::LIMIT, gone), "left: {:?}", left());
}

#[tokio::test]
async fn a_broker_that_is_killed_leaves_nothing_and_starts_clean() {
    let broker = Broker::start(COLD);
    let stage = Stage::new(&broker).await;
    let (session, cdp, page, lent) = stage.work().await;
    for _ in 0..5 {
        page.navigate(&stage.site.origin()).await;
    }
    let folder = broker.crash();
    cdp.until_closed().await;
    let before = stage.site.hits().len();
    let broker = Broker::start_in(folder, COLD);
    let stage = Stage {
        operator: broker.operator(),
        ..stage
    };
    assert_eq!(stage::profiles(&broker.data_dir), Vec::<String>::new());
    assert_eq!(stage::browsers(&broker), []);
    let shown = stage.session(&session).await;
    assert_eq!(shown["status"], "ended", "{shown}");
    // What it had acknowledged is there and whole.
    let records = stage.records(&session).await;
    assert!(records.len() > 10, "{records:#?}");
    stage::verified(&broker);
    let shown = stage.operator.get(&format!("/v1/delegations/{lent}")).await;
    assert_eq!(shown["phase"], "open", "{shown}");
    assert_eq!(stage.site.hits().len(), before);
    let session = stage.operator.start_session(&stage.agent, &[&lent]).await;
    stage.operator.end_session(&session).await;
}

#[tokio::test]
async fn a_session_whose_records_find_no_room_ends_before_it_does_more() {
    let folder = Broker::folder();
    let volume = Volume::mount(&folder.path().join("data/traces"), 2 << 20);
    let broker = Broker::start_in(folder, COLD);
    let stage = Stage::new(&broker).await;
    let (session, cdp, page, lent) = stage.work().await;
    volume.fill();
    // Each step is on record or does not happen; the room is used up by steps.
    let mut steps = 0;
    let step = || {
        let params = json!({ "expression": "1" });
        cdp.answer(Some(&page.session), "Runtime.evaluate", params)
    };
    while let Some(Ok(_)) = step().await {
        steps += 1;
        assert!(steps < 10_000, "it goes on without a record");
    }
    let told = cdp.until_closed().await;
    assert!(told.contains("record"), "{told}");
    let reached = stage.site.hits().len();
    let path = format!("/v1/sessions/{}", session.id);
    let shown = process::until(stage::LIMIT, || stage::browsers(&broker).is_empty());
    assert!(shown, "its browser goes on");
    // Nothing new begins either, and the answer says why.
    let asked = json!({ "agent": stage.agent.id, "delegations": [lent] });
    let (status, text) = stage
        .operator
        .call(Method::POST, "/v1/sessions", &asked)
        .await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("record"), "{text}");
    assert_eq!(stage.site.hits().len(), reached);
    // What was written is whole.
    volume.make_room();
    let output = broker.cli(&["trace", "verify"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    // With room again, a new start is all it takes.
    let folder = broker.finish();
    let broker = Broker::start_in(folder, COLD);
    let shown = broker.operator().get(&path).await;
    assert_eq!(shown["status"], "ended", "{shown}");
    let session = broker
        .operator()
        .start_session(&stage.agent, &[&lent])
        .await;
    broker.operator().end_session(&session).await;
    stage::verified(&broker);
    volume.unmount_after(broker);
}

#[test]
fn a_data_folder_that_cannot_be_written_to_is_named() {
    let folder = Broker::folder();
    let data = folder.path().join("data");
    let volume = Volume::mount(&data, 8 << 20);
    // It was in use before.
    let broker = Broker::start_in(folder, COLD);
    let folder = broker.finish();
    volume.read_only();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_hallpass"))
        .args(["serve", "--data-dir"])
        .arg(&data)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&data.display().to_string()), "{text}");
    assert!(text.to_lowercase().contains("read-only"), "{text}");
    volume.unmount();
    drop(folder);
}

#[tokio::test]
async fn a_browser_that_dies_while_it_starts_is_named() {
    let folder = Broker::folder();
    let browser = folder.path().join("chromium-headless-shell");
    // Says what it is, and no more.
    let script =
        "#!/bin/sh\ncase \"$*\" in *--version*) echo 'Chromium 156.0.0.0'; exit 0;; esac\nexit 3\n";
    fs::write(&browser, script).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
    let path = browser.display();
    let config = format!("[browser]\npath = \"{path}\"\nkind = \"headless-shell\"\n{COLD}");
    let broker = Broker::start_in(folder, &config);
    let stage = Stage::new(&broker).await;
    let asked = json!({ "agent": stage.agent.id });
    let (status, text) = stage
        .operator
        .call(Method::POST, "/v1/sessions", &asked)
        .await;
    assert_eq!(status, 503, "{text}");
    let problem: Value = serde_json::from_str(&text).unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("hallpass doctor"), "{detail}");
    assert_eq!(stage::profiles(&broker.data_dir), Vec::<String>::new());
    let listed = stage.operator.get("/v1/sessions").await;
    let sessions = listed["sessions"].as_array().unwrap();
    assert!(
        sessions.iter().all(|session| session["status"] == "ended"),
        "{listed}"
    );
}
