//! Playwright and Puppeteer for Node: the whole task, with Playwright's tracing
//! and Puppeteer's request interception.

use serde_json::json;

use crate::{
    compare::{Difference, FILE_STAYS, NO_VALUES, OUT_OF_SCOPE},
    stage::{SESSION_VALUE, Stage, TAG_VALUE},
    support::node,
};

const IN_SCOPE_ONLY: &str = "a rewritten request is decided again, as rewritten";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn playwright_does_the_whole_task() {
    let stage = Stage::desk().await;
    let task = async |url: &str, options: &_| node::run("task_playwright.mjs", url, options).await;
    let compared = stage.compare(task).await;
    compared.assert_task_done();
    compared.assert_same(&[
        Difference {
            step: "download: content",
            says: "ENOENT",
            why: FILE_STAYS,
        },
        Difference {
            step: "tracing: cookies",
            says: "[]",
            why: NO_VALUES,
        },
        Difference {
            step: "elsewhere",
            says: "403",
            why: OUT_OF_SCOPE,
        },
    ]);
    let traced = compared.plain.outcome("tracing");
    assert_eq!(traced["calls"], json!(["goto", "click", "textContent"]));
    assert_eq!(traced["requests"], json!(["200 /", "200 /second"]));
    assert_eq!(traced["pictures"], true);
    assert_eq!(traced["snapshots"], true);
    assert_eq!(
        compared.plain.outcome("tracing: cookies"),
        &json!([SESSION_VALUE, TAG_VALUE])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puppeteer_does_the_whole_task() {
    let stage = Stage::desk().await;
    let task = async |url: &str, options: &_| node::run("task_puppeteer.mjs", url, options).await;
    let compared = stage.compare(task).await;
    compared.assert_task_done();
    compared.assert_same(&[
        Difference {
            step: "download: content",
            says: "ENOENT",
            why: FILE_STAYS,
        },
        Difference {
            step: "interception: rewritten elsewhere",
            says: "Failed to fetch",
            why: IN_SCOPE_ONLY,
        },
        Difference {
            step: "interception: navigation rewritten elsewhere",
            says: "403",
            why: IN_SCOPE_ONLY,
        },
        Difference {
            step: "interception: method out of scope",
            says: "method-out-of-scope",
            why: IN_SCOPE_ONLY,
        },
        Difference {
            step: "elsewhere",
            says: "403",
            why: OUT_OF_SCOPE,
        },
    ]);
    for (step, status, text) in [
        ("navigation", 200, "second page for Dispatcher"),
        ("continued", 200, "Dispatcher"),
        ("rewritten", 200, "GET with a header by Dispatcher"),
        ("method rewritten", 200, "POST with a header by Dispatcher"),
        ("answered", 201, "made up"),
    ] {
        assert_eq!(
            compared.hallpass.outcome(&format!("interception: {step}")),
            &json!({ "status": status, "text": text }),
            "{step}"
        );
    }
    let aborted = compared.hallpass.outcome("interception: aborted");
    assert_eq!(aborted, "Failed to fetch");
    let deleted: Vec<_> = stage.site.hits();
    assert!(deleted.iter().all(|hit| hit.method != "DELETE"));
}
