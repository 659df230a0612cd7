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

    let mut options = read_options(&desk, &elsewhere);
    options["leaves"] = true.into();
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

/// What waits, as the command line tells it; waits until something does.
async fn held(broker: &Broker) -> Value {
    loop {
        let listed = broker.cli(&["hold", "list", "--json"]);
        assert!(listed.status.success(), "{listed:?}");
        let list: Value = serde_json::from_slice(&listed.stdout).unwrap();
        if let Some(hold) = list["holds"].as_array().and_then(|holds| holds.first()) {
            return hold.clone();
        }
        tokio::task::yield_now().await;
    }
}

fn answer(broker: &Broker, arguments: &[&str]) {
    let answered = broker.cli(arguments);
    assert!(answered.status.success(), "{answered:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_changes_waits_for_the_person() {
    let desk = Django::start();
    let state = desk.login().await;
    let before = desk.summary(1);
    let broker = Broker::start("[hold]\npatience = \"4s\"\n");
    let (operator, agent) = lending(&broker, &state).await;
    let cookies = [("sessionid", "wire"), ("csrftoken", "jar")].map(
        |(name, delivery)| json!({ "name": name, "origin": desk.origin, "delivery": delivery }),
    );
    let asked = json!({
        "agent": agent.id,
        "purpose": "close the ticket of the badge reader",
        "cookies": cookies,
        "scope": { "origins": [desk.origin], "methods": ["GET", "HEAD", "POST"] },
    });
    let made = operator.post("/v1/delegations", &asked).await;
    let delegation = made["id"].as_str().unwrap();
    operator.approve(delegation).await;
    let session = operator.start_session(&agent, &[delegation]).await;
    let options = json!({
        "origin": desk.origin, "ticket": 1, "summaries": ["Badge reader replaced", "Closed"],
    });
    let mut script = Script::start("django_held.mjs", &session.cdp_url, &options);

    // A save waits, with all that the person needs to see, and changes nothing.
    script.until("explain").await;
    let hold = held(&broker).await;
    assert_eq!(desk.summary(1), before);
    let id = hold["id"].as_str().unwrap();
    assert_eq!(hold["method"], "POST");
    assert_eq!(hold["class"], "write");
    assert_eq!(
        hold["url"],
        format!("{}/admin/tickets/ticket/1/change/", desk.origin)
    );
    assert_eq!(hold["page"], hold["url"]);
    assert_eq!(hold["cause"], "Input.dispatchMouseEvent");
    assert_eq!(
        hold["agent_says"],
        "the caller says that the reader works again"
    );
    let fields = hold["body"]["fields"].as_array().unwrap();
    let summary = json!({ "name": "summary", "value": "Badge reader replaced" });
    assert!(fields.contains(&summary), "{hold}");
    assert_eq!(hold["rule"]["path"], "/admin/tickets/ticket/{id}/change/");
    // What was lent stands in the form, too, and is not shown.
    let token = cookie_value(&state, "csrftoken");
    assert!(!hold.to_string().contains(token), "{hold}");
    let shown = broker.cli(&["hold", "show", id]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("Badge reader replaced"), "{shown}");
    answer(&broker, &["hold", "approve", id]);
    script.until("save").await;
    assert_eq!(desk.summary(1), "Badge reader replaced");

    // Answered after the page was told to try again: the same goes through then.
    let report = script.until("save that is answered late").await;
    let told = report.outcome("save that is answered late");
    assert_eq!(told["status"], 403, "{told}");
    let text = told["text"].as_str().unwrap();
    let hold = held(&broker).await;
    let id = hold["id"].as_str().unwrap();
    assert_eq!(hold["waiting"], false);
    for part in [
        id,
        "send the very same request again later",
        "GET /v1/holds/ID",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(desk.summary(1), "Badge reader replaced");
    answer(&broker, &["hold", "approve", id]);
    script.signal("approved").await;
    script.until("save once more").await;
    assert_eq!(desk.summary(1), "Closed");

    // What cannot be undone waits whatever the scope says; words come through.
    let hold = held(&broker).await;
    let id = hold["id"].as_str().unwrap();
    assert_eq!(hold["class"], "destructive");
    assert_eq!(hold["policies"], json!(["held-destruction"]));
    let words = "close tickets, never delete them";
    answer(&broker, &["hold", "deny", id, "--words", words]);
    let report = script.finish().await;
    let denied = report.outcome("delete");
    assert_eq!(denied["status"], 403);
    assert!(denied["text"].as_str().unwrap().contains(words), "{denied}");
    for step in ["log out", "change the password"] {
        let refused = report.outcome(step);
        assert_eq!(refused["status"], 403, "{step}");
        assert!(
            refused["text"].as_str().unwrap().contains("no-secrets"),
            "{step}"
        );
    }
    let again = report.outcome("change list again");
    assert_eq!(
        (&again["status"], &again["tickets"]),
        (&json!(200), &json!(django::TICKETS))
    );
    assert_eq!(report.outcome("save")["status"], 302);
    assert_eq!(report.outcome("save once more")["status"], 302);
    broker.assert_never_wrote(cookie_value(&state, "sessionid"));
}
