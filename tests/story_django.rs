//! The main job with a real site: a person signs in to a Django admin and lends
//! the session; the agent works in it, never sees the cookie, gets nowhere
//! else, and is nobody again in the same page once the person takes it back.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::{Value, json};
use support::{
    api::{Agent, Api, Lend},
    broker::Broker,
    canary::Canary,
    chromium::PlainChromium,
    django::{self, Django, cookie_value},
    node::{self, Report, Script},
    site,
};

const WIRE_SESSION: Lend<'static> = Lend {
    name: "sessionid",
    delivery: "wire",
};
const JAR_TOKEN: Lend<'static> = Lend {
    name: "csrftoken",
    delivery: "jar",
};

async fn lending(broker: &Broker, state: &Value) -> (Api, Agent) {
    let operator = broker.operator();
    let imported = operator.import_storage_state(state).await;
    assert_eq!(imported["imported"].as_array().map(Vec::len), Some(2));
    let agent = operator.add_agent("ticket-clerk").await;
    (operator, agent)
}

fn assert_signed_in(report: &Report, step: &str) {
    let page = report.outcome(step);
    assert_eq!(page["status"], 200);
    assert_eq!(page["user"], django::USER);
    assert_eq!(page["tickets"], django::TICKETS);
    assert_eq!(page["loginForm"], false);
}

fn read_options(desk: &Django, elsewhere: &Canary) -> Value {
    json!({ "mode": "read", "origin": desk.origin, "elsewhere": elsewhere.origin() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_reads_as_the_lender_until_the_session_is_taken_back() {
    let desk = Django::start();
    let elsewhere = site::elsewhere().await;
    let state = desk.login().await;
    let broker = Broker::start("");
    let (operator, agent) = lending(&broker, &state).await;
    let reading = ["GET", "HEAD"];
    let lent = operator
        .delegate(&agent, &desk.origin, &[WIRE_SESSION], &reading)
        .await;
    // The same site without a cookie: what is left once the first is revoked.
    let bare = operator.delegate(&agent, &desk.origin, &[], &reading).await;
    let session = operator.start_session(&agent, &[&lent, &bare]).await;

    let options = read_options(&desk, &elsewhere);
    let mut script = Script::start("django_playwright.mjs", &session.cdp_url, &options);
    script.until("waiting for revoked").await;
    let revoked = broker.cli(&["delegation", "revoke", &lent]);
    assert!(revoked.status.success(), "{revoked:?}");
    script.signal("revoked").await;
    let report = script.finish().await;

    assert_signed_in(&report, "change list");
    assert_signed_in(&report, "change list again");
    let secret = cookie_value(&state, "sessionid");
    assert_eq!(report.steps_with(secret), Vec::<&str>::new());
    broker.assert_never_wrote(secret);

    assert_eq!(report.outcome("elsewhere: navigate")["status"], 403);
    assert!(!report.step("elsewhere: fetch").ok);
    assert_eq!(elsewhere.connections(), 0);

    let after = report.outcome("after revocation");
    assert_eq!(after["loginForm"], true);
    assert_eq!(after["user"], Value::Null);
    assert_eq!(after["tickets"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_saves_a_change_where_writing_is_lent() {
    let desk = Django::start();
    let state = desk.login().await;
    let broker = Broker::start("");
    let (operator, agent) = lending(&broker, &state).await;
    let delegation = operator
        .delegate(
            &agent,
            &desk.origin,
            &[WIRE_SESSION, JAR_TOKEN],
            &["GET", "HEAD", "POST"],
        )
        .await;
    let session = operator.start_session(&agent, &[&delegation]).await;
    let report = save(&session.cdp_url, &desk, "Badge reader replaced").await;

    assert_eq!(report.outcome("save")["status"], 302);
    assert_eq!(desk.summary(1), "Badge reader replaced");
    let secret = cookie_value(&state, "sessionid");
    assert_eq!(report.steps_with(secret), Vec::<&str>::new());
    broker.assert_never_wrote(secret);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_saves_nothing_where_only_reading_is_lent() {
    let desk = Django::start();
    let state = desk.login().await;
    let before = desk.summary(1);
    let broker = Broker::start("");
    let (operator, agent) = lending(&broker, &state).await;
    let delegation = operator
        .delegate(
            &agent,
            &desk.origin,
            &[WIRE_SESSION, JAR_TOKEN],
            &["GET", "HEAD"],
        )
        .await;
    let session = operator.start_session(&agent, &[&delegation]).await;
    let report = save(&session.cdp_url, &desk, "Badge reader replaced").await;

    assert_eq!(report.outcome("save")["status"], 403);
    assert_eq!(desk.summary(1), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_hallpass_the_same_scripts_read_stray_stay_and_save() {
    let desk = Django::start();
    let elsewhere = site::elsewhere().await;
    let state = desk.login().await;
    let browser = PlainChromium::start();
    let cookies = json!({ "cookies": state["cookies"] });
    node::run("seed.mjs", &browser.cdp_url, &cookies)
        .await
        .outcome("seed");

    let options = read_options(&desk, &elsewhere);
    let mut script = Script::start("django_playwright.mjs", &browser.cdp_url, &options);
    script.until("waiting for revoked").await;
    script.signal("revoked").await;
    let report = script.finish().await;
    assert_signed_in(&report, "change list");
    let secret = cookie_value(&state, "sessionid");
    let token = cookie_value(&state, "csrftoken");
    for step in report
        .steps
        .iter()
        .filter(|step| step.name.starts_with("cookie: "))
    {
        let shown = report.outcome(&step.name).to_string();
        assert!(
            shown.contains(secret) || shown.contains(token),
            "`{}` shows no cookie even here: {shown}",
            step.name
        );
    }
    assert_eq!(report.outcome("elsewhere: navigate")["status"], 200);
    assert_eq!(report.outcome("elsewhere: fetch"), "opaque");
    assert_signed_in(&report, "after revocation");

    let report = save(&browser.cdp_url, &desk, "Badge reader replaced").await;
    assert_eq!(report.outcome("save")["status"], 302);
    assert_eq!(desk.summary(1), "Badge reader replaced");
}

async fn save(cdp_url: &str, desk: &Django, summary: &str) -> Report {
    let options = json!({
        "mode": "write", "origin": desk.origin, "ticket": 1, "summary": summary,
    });
    node::run("django_playwright.mjs", cdp_url, &options).await
}
