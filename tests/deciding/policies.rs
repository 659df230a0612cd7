//! Policies of the operator's own: in running sessions at once, refused where they
//! are not valid, and asked about what an agent does besides requests.

use std::fs;

use serde_json::{Value, json};

use crate::{
    desk::{Desk, waiting},
    support::broker::Broker,
};

const MORE: &str = r#"
@id("no-people")
@says("the people's pages are not for agents")
forbid (principal, action in Hallpass::Action::"read", resource)
when { resource.path like "/people/*" };
"#;

fn shipped(broker: &Broker) -> String {
    let printed = broker.cli(&["policy", "check", "--print-default"]);
    String::from_utf8(printed.stdout).unwrap()
}

fn broker_with(more: &str) -> (Broker, std::path::PathBuf, String) {
    let plain = Broker::start("");
    let shipped = shipped(&plain);
    let folder = plain.finish();
    let file = folder.path().join("policies.cedar");
    fs::write(&file, format!("{shipped}{more}")).unwrap();
    let config = format!("[policy]\nbundle = \"{}\"\n", file.display());
    (Broker::start_in(folder, &config), file, shipped)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_bundle_decides_in_running_sessions_and_a_broken_one_does_not() {
    let (broker, file, shipped) = broker_with("");
    let desk = Desk::open(&broker, waiting()).await;
    let get =
        |path: &str| format!("fetch('{path}', {{ cache: 'no-store' }}).then((r) => r.status)");
    assert_eq!(desk.page.evaluate(&get("/people/7")).await, 200);

    fs::write(&file, format!("{shipped}{MORE}")).unwrap();
    while desk.page.evaluate(&get("/people/7")).await != 403 {
        tokio::task::yield_now().await;
    }
    let text = "fetch('/people/7').then((r) => r.json())";
    let problem = desk.page.evaluate(text).await;
    assert_eq!(problem["policies"], json!(["no-people"]));
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("not for agents"),
        "{problem}"
    );
    assert_eq!(desk.page.evaluate(&get("/page")).await, 200);

    // What is not valid is refused with its place, and the old one stays.
    let faulty = format!(
        "{shipped}{MORE}\n@id(\"x\") permit (principal, action, resource) when {{ context.nothing }};\n"
    );
    fs::write(&file, &faulty).unwrap();
    let line = faulty.lines().count();
    let told = format!("line {line}, column ");
    while !broker.log.lock().unwrap().contains(&told) {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.page.evaluate(&get("/people/7")).await, 403);
    let verdict = broker.cli(&["policy", "check", &file.display().to_string()]);
    assert_eq!(verdict.status.code(), Some(1));
    let said = String::from_utf8(verdict.stderr).unwrap();
    assert!(
        said.contains(&format!("{}:{line}:", file.display())),
        "{said}"
    );
    assert!(said.contains("nothing"), "{said}");

    // Both are on record, and a broker does not start with a faulty one.
    let traces = desk.lender.operator.get("/v1/traces").await;
    let mut records = String::new();
    for trace in traces["traces"].as_array().unwrap() {
        let path = format!("/v1/traces/{}/records", trace["id"].as_str().unwrap());
        let text = desk.lender.operator.get_text(&path).await;
        // An earlier broker in the same folder has one too.
        if trace["kind"] == "broker" && text.contains("policies-refused") {
            records = text;
        }
    }
    assert_eq!(records.matches("policies-loaded").count(), 2, "{records}");
    assert_eq!(records.matches("policies-refused").count(), 1, "{records}");
    let doctor = broker.cli(&["serve"]);
    assert_ne!(doctor.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_session_is_decided_again_by_another_bundle() {
    let (broker, file, shipped) = broker_with("");
    let desk = Desk::open(&broker, waiting()).await;
    let get =
        |path: &str| format!("fetch('{path}', {{ cache: 'no-store' }}).then((r) => r.status)");
    assert_eq!(desk.page.evaluate(&get("/people/7?q=1")).await, 200);
    assert_eq!(desk.page.evaluate(&get("/login")).await, 403);
    desk.fetch("save", "POST", "/save", "'note=a'").await;
    let hold = desk.holds(1).await.remove(0);
    desk.answer(&hold, json!({ "answer": "once" })).await;
    assert_eq!(desk.fetched("save").await["status"], 200);
    desk.fetch("delete", "DELETE", "/tickets/7", "null").await;
    let hold = desk.holds(1).await.remove(0);
    desk.answer(&hold, json!({ "answer": "deny" })).await;
    desk.fetched("delete").await;

    let path = format!("/v1/sessions/{}", desk.session.id);
    let trace = desk.lender.operator.get(&path).await["trace"]
        .as_str()
        .unwrap()
        .to_owned();
    let replay = |arguments: &[&str]| -> Value {
        let all = [&["policy", "replay", &trace, "--json"], arguments].concat();
        let replayed = broker.cli(&all);
        assert!(replayed.status.success(), "{replayed:?}");
        serde_json::from_slice(&replayed.stdout).unwrap()
    };
    // By the same bundle everything comes out the same.
    let same = replay(&[]);
    assert_eq!(same["otherwise"], 0, "{same:#}");
    assert!(same["decisions"].as_u64().unwrap() >= 6, "{same:#}");

    let other = file.with_file_name("other.cedar");
    let relaxed = shipped.replace("action == Hallpass::Action::\"secrets\", resource)\nwhen { context.lent };", "action == Hallpass::Action::\"secrets\", resource)\nwhen { context.lent && context.hour > 23 };");
    assert_ne!(relaxed, shipped);
    fs::write(&other, format!("{relaxed}{MORE}")).unwrap();
    let other = replay(&["--bundle", &other.display().to_string()]);
    let listed: Vec<(String, String)> = other["listed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|decided| {
            let what = decided["what"]
                .as_str()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap()
                .to_owned();
            let how = |key: &str| decided[key]["decided"].as_str().unwrap().to_owned();
            (what, format!("{} {}", how("was"), how("would_be")))
        })
        .collect();
    // The permit for secrets asks for nothing lent, so it stays refused; by another rule.
    assert_eq!(
        listed,
        [("7?q=…".to_owned(), "allow deny".to_owned())],
        "{other:#}"
    );

    let seq = other["listed"][0]["seq"].to_string();
    let explained = broker.cli(&["policy", "explain", "request", &trace, &seq]);
    let said = String::from_utf8(explained.stdout).unwrap();
    for part in ["/people/7", "let go by reading", "the same bundle"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_does_in_a_page_is_asked_about() {
    let (broker, ..) = broker_with(
        r#"
@id("no-script-on-people")
@says("no script of an agent's runs on the people's pages")
forbid (principal, action == Hallpass::Action::"script", resource)
when { resource.path like "/page/people*" };

@id("no-downloads")
@says("files stay at the desk")
forbid (principal, action == Hallpass::Action::"download", resource)
when { context.lent };

@id("no-tunnels-at-night")
forbid (principal, action == Hallpass::Action::"tunnel", resource)
when { resource.port == 1 };
"#,
    );
    let desk = Desk::open(&broker, waiting()).await;
    assert_eq!(desk.page.evaluate("1 + 1").await, 2);
    desk.page
        .navigate(&format!("{}/page/people", desk.origin))
        .await;
    let refused = loop {
        // Until the browser has said that the page is there.
        match desk.page.try_evaluate("1 + 1").await {
            Err(error)
                if error["message"]
                    .as_str()
                    .is_some_and(|m| m.contains("Hallpass")) =>
            {
                break error;
            }
            _ => tokio::task::yield_now().await,
        }
    };
    let message = refused["message"].as_str().unwrap();
    for part in [
        "no script of an agent's runs",
        "rule `policy` of `no-script-on-people`",
    ] {
        assert!(message.contains(part), "{message}");
    }
    desk.page.navigate(&format!("{}/page", desk.origin)).await;
    desk.page.until("document.title === 'page'").await;

    let behave = json!({ "behavior": "allow", "eventsEnabled": true, "downloadPath": "/tmp" });
    desk.cdp.ask("Browser.setDownloadBehavior", behave).await;
    desk.page
        .evaluate("(() => { const a = document.createElement('a'); a.href = '/report.csv'; a.download = ''; a.click(); })()")
        .await;
    desk.cdp
        .event(|event| {
            event["method"] == "Browser.downloadProgress" && event["params"]["state"] == "canceled"
        })
        .await;
    let is_refused = |event: &Value| {
        event["verdict"] == "refuse"
            && event["detail"]
                .as_str()
                .unwrap()
                .contains("files stay at the desk")
    };
    assert!(desk.told("command").await.iter().any(is_refused));
}
