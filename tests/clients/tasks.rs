//! A whole task in each client, unchanged, with a plain Chromium and with Hallpass:
//! step by step the outcome is the same, but where something was not lent.

use std::{path::PathBuf, process::Stdio};

use chromiumoxide::{
    Browser,
    cdp::browser_protocol::{dom::SetFileInputFilesParams, target::CreateBrowserContextParams},
};
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    SESSION_VALUE, Stage,
    support::{
        api::Session,
        broker::Broker,
        node::{self, Report, Step},
        site::VISITOR,
        tools,
    },
};

/// What is handed to forms.
const FILE: &str = "hello world";

/// Steps that differ: what is not lent is not reached.
const ELSEWHERE: [&str; 2] = ["elsewhere", "interception: astray"];

/// A folder to write to, with a file to hand in.
fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, FILE).unwrap();
    (folder, file)
}

/// The same in a session: a file that was handed in by the API.
async fn hand_in(broker: &Broker, session: &Session) -> String {
    let path = format!("/v1/sessions/{}/uploads?name=notes.txt", session.id);
    let answered = broker
        .operator()
        .bytes(Method::POST, &path, FILE.into())
        .await;
    let made: Value = serde_json::from_slice(&answered.1).unwrap();
    made["path"].as_str().unwrap().to_owned()
}

/// A client with its task, run at an endpoint.
enum Client {
    Node(&'static str),
    Python,
    Oxide,
}

impl Client {
    async fn run(&self, cdp_url: &str, options: &Value) -> Report {
        match self {
            Self::Node(script) => node::run(script, cdp_url, options).await,
            Self::Python => python(cdp_url, options).await,
            Self::Oxide => oxide(cdp_url, options).await,
        }
    }

    async fn both(&self) -> (Stage, Report, Report) {
        let stage = Stage::set().await;
        let (folder, file) = folder();
        let mut options = stage.options();
        options["folder"] = folder.path().display().to_string().into();
        options["file"] = file.display().to_string().into();
        let browser = Stage::plain_chromium().await;
        let plain = self.run(&browser.cdp_url, &options).await;
        drop(browser);
        stage.elsewhere.reset();

        let broker = Broker::start("");
        let session = stage.session_for(&broker, &["GET", "HEAD", "POST"]).await;
        options["file"] = hand_in(&broker, &session).await.into();
        let lent = self.run(&session.cdp_url, &options).await;
        broker.assert_never_wrote(SESSION_VALUE);
        assert_eq!(lent.steps_with(SESSION_VALUE), Vec::<&str>::new());
        (stage, plain, lent)
    }

    async fn compare(&self, count: usize) -> (Report, Report) {
        let (stage, plain, lent) = self.both().await;
        assert!(plain.steps.len() >= count, "{plain:#?}");
        for step in &plain.steps {
            let expected = plain.outcome(&step.name);
            if !ELSEWHERE.contains(&step.name.as_str()) {
                assert_eq!(lent.outcome(&step.name), expected, "{}", step.name);
            }
        }
        assert_eq!(stage.elsewhere.hits().len(), 0);
        (plain, lent)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn playwright_for_node_does_a_whole_task() {
    let (plain, lent) = Client::Node("task_playwright.mjs").compare(16).await;
    assert_eq!(plain.outcome("elsewhere"), 200);
    assert_eq!(lent.outcome("elsewhere"), 403);
    assert_eq!(
        lent.outcome("tracing: stop"),
        &json!({ "zip": "PK", "whole": true })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puppeteer_does_a_whole_task() {
    let (plain, lent) = Client::Node("task_puppeteer.mjs").compare(20).await;
    assert_eq!(plain.outcome("elsewhere"), 200);
    assert_eq!(lent.outcome("elsewhere"), 403);
    assert!(
        plain
            .outcome("interception: astray")
            .to_string()
            .contains("elsewhere")
    );
    assert_eq!(lent.outcome("interception: astray"), "failed");
    assert_eq!(lent.outcome("interception: respond"), "made up");
    assert_eq!(lent.outcome("interception: rewrite"), VISITOR);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn playwright_for_python_does_a_whole_task() {
    let (plain, lent) = Client::Python.compare(13).await;
    assert_eq!(plain.outcome("elsewhere"), 200);
    assert_eq!(lent.outcome("elsewhere"), 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn playwrights_mcp_server_does_a_whole_task() {
    let (plain, lent) = Client::Node("task_mcp.mjs").compare(11).await;
    assert_eq!(plain.outcome("elsewhere"), &json!([true, false]));
    assert_eq!(lent.outcome("elsewhere"), &json!([false, true]));
    assert_eq!(lent.outcome("log-in state"), &json!([true, true]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromiumoxide_does_a_whole_task() {
    let (plain, lent) = Client::Oxide.compare(9).await;
    assert_eq!(plain.outcome("elsewhere"), "you are elsewhere");
    assert_eq!(lent.outcome("elsewhere"), "Hallpass stopped this page");
}

async fn python(cdp_url: &str, options: &Value) -> Report {
    let output = Command::new(tools::python())
        .arg("-B")
        .arg(tools::source("tests/clients/task_playwright.py"))
        .args([cdp_url, &options.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(std::time::Duration::from_mins(3), output);
    let output = output.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("\"finish\""),
        "it broke off:\n{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let steps = said.lines().map(|line| serde_json::from_str(line).unwrap());
    Report {
        steps: steps.collect(),
    }
}

async fn oxide(cdp_url: &str, options: &Value) -> Report {
    let site = options["site"].as_str().unwrap();
    let elsewhere = options["elsewhere"].as_str().unwrap();
    let (browser, mut handler) = Browser::connect(cdp_url).await.unwrap();
    let moving = tokio::spawn(async move { while handler.next().await.is_some() {} });
    let page = browser.new_page("about:blank").await.unwrap();
    let mut report = Report::default();
    let mut step = |name: &str, outcome: Value| {
        report.steps.push(Step {
            name: name.to_owned(),
            ok: true,
            outcome,
            error: String::new(),
        });
    };
    // A page that is on its way takes its scripts down with it; one that is not
    // yet there has no such element.
    let text = async |selector: &str| {
        let script = format!("document.querySelector('{selector}').innerText");
        loop {
            if let Ok(answered) = page.evaluate(script.as_str()).await {
                break answered.into_value::<Value>().unwrap();
            }
        }
    };
    let go = async |url: String| {
        page.goto(url).await.unwrap();
    };

    go(format!("{site}/")).await;
    step("log-in state", text("#who").await);
    go(format!("{site}/second")).await;
    step("navigate", text("h1").await);
    go(format!("{site}/form")).await;
    let note = page.find_element("input[name=note]").await.unwrap();
    note.click()
        .await
        .unwrap()
        .type_str("Door 7")
        .await
        .unwrap();
    let send = page.find_element("button").await.unwrap();
    send.click().await.unwrap();
    step("form", text("h1").await);
    go(format!("{site}/upload")).await;
    let input = page.find_element("input[type=file]").await.unwrap();
    let files = SetFileInputFilesParams {
        node_id: Some(input.node_id),
        ..SetFileInputFilesParams::new(vec![options["file"].as_str().unwrap().to_owned()])
    };
    page.execute(files).await.unwrap();
    page.find_element("button")
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    page.wait_for_navigation().await.unwrap();
    step("upload", text("h1").await);
    go(format!("{site}/worker")).await;
    let worker = "(async () => { await navigator.serviceWorker.ready; while (!navigator.serviceWorker.controller) await new Promise((r) => setTimeout(r, 10)); return (await fetch('/from-worker')).text(); })()";
    let answered = page.evaluate(worker).await.unwrap();
    step("service worker", answered.into_value().unwrap());
    let picture = page
        .screenshot(chromiumoxide::page::ScreenshotParams::default())
        .await
        .unwrap();
    step("screenshot", json!(picture.starts_with(b"\x89PNG")));
    let context = CreateBrowserContextParams::default();
    let context = browser.create_browser_context(context).await.unwrap();
    let target = chromiumoxide::cdp::browser_protocol::target::CreateTargetParams {
        browser_context_id: Some(context.clone()),
        ..chromiumoxide::cdp::browser_protocol::target::CreateTargetParams::new(format!("{site}/"))
    };
    let inside = browser.new_page(target).await.unwrap();
    inside.wait_for_navigation().await.unwrap();
    let who = inside
        .evaluate("document.querySelector('#who').innerText")
        .await
        .unwrap();
    step("another context", who.into_value().unwrap());
    browser.dispose_browser_context(context).await.unwrap();
    go(format!("{elsewhere}/page")).await;
    let seen = page
        .evaluate("(document.querySelector('h1') ?? document.body).innerText")
        .await
        .unwrap();
    step("elsewhere", seen.into_value().unwrap());
    page.close().await.unwrap();
    step("close", Value::Null);
    moving.abort();
    report
}
