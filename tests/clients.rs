//! Playwright and Puppeteer, unchanged, against Hallpass: what an agent does
//! works, what it may not have it does not get. Each script runs against a
//! plain Chromium too, which shows that its steps do what they say.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

mod support;

#[path = "clients/chromiumoxide.rs"]
mod chromiumoxide_task;
#[path = "clients/compare.rs"]
mod compare;
#[path = "clients/desk.rs"]
mod desk;
#[path = "clients/mcp.rs"]
mod mcp;
#[path = "clients/node.rs"]
mod node_tasks;
#[path = "clients/python.rs"]
mod python;
#[path = "clients/stage.rs"]
mod stage;

use serde_json::{Value, json};
use stage::{SESSION_VALUE, Stage, TAG_VALUE};
use support::{
    broker::Broker,
    node::{self, Report},
    site::{SESSION, VISITOR},
};

/// Steps in which a plain Chromium shows the values of cookies.
const PLAYWRIGHT_READS: &[&str] = &[
    "cookie: context.cookies",
    "cookie: storageState",
    "cookie: Network.getCookies",
    "cookie: Network.getAllCookies",
    "cookie: Storage.getCookies",
    "cookie: Storage.getCookies of the browser",
    "cookie: extra info",
    "cookie: request.allHeaders",
    "cookie: document.cookie",
    "cookie: cookieStore",
    "cookie: from the tool itself",
    "cookie: echoed into the page",
    "cookie: echoed body",
];
const PUPPETEER_READS: &[&str] = &[
    "cookie: page.cookies",
    "cookie: context.cookies",
    "cookie: Network.getCookies",
    "cookie: Network.getAllCookies",
    "cookie: Storage.getCookies",
    "cookie: Storage.getCookies of the browser",
    "cookie: extra info",
    "cookie: request.headers",
    "cookie: document.cookie",
    "cookie: echoed into the page",
    "cookie: echoed body",
];

/// What works the same with and without Hallpass between.
fn assert_work_done(report: &Report) {
    let home = json!({ "status": 200, "title": "Desk", "who": VISITOR });
    let frame = format!("framed for {VISITOR}");
    let popup = format!("popped up for {VISITOR}");
    let second = json!({ "text": format!("second page for {VISITOR}"), "closed": true });
    for (step, expected) in [
        ("navigate", home),
        ("click", json!("2")),
        ("type", json!("Door 7 ✓")),
        ("evaluate", json!(42)),
        ("frame", json!(frame)),
        ("popup", json!(popup)),
        ("console", json!({ "type": "warning", "text": "pressed" })),
        ("same-site fetch", json!(VISITOR)),
        ("new page", second),
        ("new context", json!({ "who": "nobody" })),
        ("back home", json!(VISITOR)),
        ("close page", json!({ "closed": true })),
        ("disconnect", Value::Null),
    ] {
        // Puppeteer and Playwright name the console's levels differently.
        let seen = report
            .outcome(step)
            .to_string()
            .replace("\"warn\"", "\"warning\"");
        assert_eq!(seen, expected.to_string(), "{step}");
    }
    let picture = report.outcome("screenshot");
    assert_eq!(picture["png"], true);
    assert!(picture["width"].as_u64() > Some(100) && picture["height"].as_u64() > Some(100));
    assert_eq!(report.outcome("pdf")["pdf"], true);
    assert_eq!(report.outcome("download")["name"], "report.csv");
    let requested = report.outcome("requests").to_string();
    for path in ["\"/\"", "\"/frame\"", "\"/whoami\""] {
        assert!(requested.contains(path), "{path} not in {requested}");
    }
}

/// Without anything between, every step does what its name says.
fn assert_unhindered(report: &Report, reads: &[&str], stage: &Stage) {
    assert_work_done(report);
    for read in reads {
        let shown = report.outcome(read).to_string();
        assert!(
            shown.contains(SESSION_VALUE) || shown.contains(TAG_VALUE),
            "`{read}` shows no cookie even here: {shown}"
        );
    }
    assert_eq!(report.outcome("elsewhere: navigate")["status"], 200);
    assert_eq!(report.outcome("elsewhere: fetch"), "opaque");
    assert!(!stage.elsewhere.hits_on("/fetched").is_empty());
}

/// With Hallpass between: the same work, no cookie, nothing elsewhere.
fn assert_lent(report: &Report, reads: &[&str], stage: &Stage) {
    assert_work_done(report);
    // An answer without the value, or a refusal; a client left waiting is neither.
    for read in reads {
        let error = &report.step(read).error;
        for late in ["nothing came within", "imeout", "timed out"] {
            assert!(!error.contains(late), "`{read}`: {error}");
        }
    }
    for value in [SESSION_VALUE, TAG_VALUE] {
        assert_eq!(report.steps_with(value), Vec::<&str>::new());
    }
    let signed_in = stage.site.hits_on("/");
    assert!(
        signed_in
            .iter()
            .any(|hit| hit.cookie(SESSION) == Some(SESSION_VALUE))
    );

    let refused = report.outcome("elsewhere: navigate");
    assert_eq!(refused["status"], 403);
    let notice = refused["text"].as_str().unwrap();
    assert!(notice.contains("origin-out-of-scope"), "{notice}");
    assert!(!notice.contains("you are elsewhere"));
    assert!(!report.step("elsewhere: fetch").ok);
    assert_eq!(stage.elsewhere.hits().len(), 0);
    assert_eq!(stage.elsewhere.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn playwright_unhindered() {
    let stage = Stage::set().await;
    let report = stage.on_plain_chromium("story_playwright.mjs").await;
    assert_unhindered(&report, PLAYWRIGHT_READS, &stage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puppeteer_unhindered() {
    let stage = Stage::set().await;
    let report = stage.on_plain_chromium("story_puppeteer.mjs").await;
    assert_unhindered(&report, PUPPETEER_READS, &stage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn playwright_works_and_gets_no_cookie() {
    let stage = Stage::set().await;
    let report = stage.on_hallpass("story_playwright.mjs").await;
    assert_lent(&report, PLAYWRIGHT_READS, &stage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puppeteer_works_and_gets_no_cookie() {
    let stage = Stage::set().await;
    let report = stage.on_hallpass("story_puppeteer.mjs").await;
    assert_lent(&report, PUPPETEER_READS, &stage);
}

const NODE_EXAMPLES: [&str; 2] = ["playwright.mjs", "puppeteer.mjs"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn examples_unhindered() {
    let stage = Stage::set().await;
    let browser = Stage::plain_chromium().await;
    let page = format!("{}/", stage.site.origin());
    for example in NODE_EXAMPLES {
        let (code, printed) = node::run_example(example, &browser.cdp_url, &page).await;
        assert_eq!(code, Some(0), "{example}: {printed}");
        assert!(
            printed.contains("title: Desk (200)"),
            "{example}: {printed}"
        );
        assert!(printed.contains("can read: 2"), "{example}: {printed}");
    }
    let printed = node::run_chromiumoxide_example(&browser.cdp_url, &page).await;
    assert!(printed.contains("title: Desk"), "{printed}");
    assert!(printed.contains("can read: 2"), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn examples_work_and_read_no_cookie() {
    let stage = Stage::set().await;
    let broker = Broker::start("");
    let page = format!("{}/", stage.site.origin());
    for example in NODE_EXAMPLES {
        let session = stage.session(&broker).await;
        let (code, printed) = node::run_example(example, &session.cdp_url, &page).await;
        assert_eq!(code, Some(0), "{example}: {printed}");
        assert!(
            printed.contains("title: Desk (200)"),
            "{example}: {printed}"
        );
        assert!(printed.contains("can read: 0"), "{example}: {printed}");
        assert!(printed.contains("elsewhere: 403"), "{example}: {printed}");
    }
    let session = stage.session(&broker).await;
    let printed = node::run_chromiumoxide_example(&session.cdp_url, &page).await;
    assert!(printed.contains("title: Desk"), "{printed}");
    assert!(printed.contains("can read: 0"), "{printed}");
}
