//! Playwright for Python: the whole task, tracing included.

use serde_json::json;

use crate::{
    compare::{Difference, FILE_STAYS, NO_VALUES, OUT_OF_SCOPE},
    stage::{SESSION_VALUE, Stage, TAG_VALUE},
    support::node,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn playwright_for_python_does_the_whole_task() {
    let stage = Stage::desk().await;
    let task =
        async |url: &str, options: &_| node::run_python("task_playwright.py", url, options).await;
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
    assert_eq!(traced["requests"], json!(["200 /", "200 /second"]));
    assert_eq!(traced["pictures"], true);
    assert_eq!(
        compared.plain.outcome("tracing: cookies"),
        &json!([SESSION_VALUE, TAG_VALUE])
    );
}
