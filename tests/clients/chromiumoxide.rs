//! chromiumoxide: the whole task.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, anyhow, ensure};
use chromiumoxide::{
    Browser, Page,
    cdp::browser_protocol::{
        browser::{
            DownloadProgressState, EventDownloadProgress, EventDownloadWillBegin,
            SetDownloadBehaviorBehavior, SetDownloadBehaviorParams,
        },
        dom::SetFileInputFilesParams,
        input::InsertTextParams,
        target::{CreateBrowserContextParams, CreateTargetParams, SetAutoAttachParams},
    },
    page::ScreenshotParams,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    compare::{Difference, FILE_STAYS, OUT_OF_SCOPE},
    stage::Stage,
    support::node::{Report, Step},
};

/// Longest time for one step.
const LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at a page; chromiumoxide itself waits for no element.
const PACE: Duration = Duration::from_millis(20);

struct Task<'a> {
    browser: &'a Browser,
    page: &'a Page,
    options: &'a Value,
    report: Report,
}

impl Task<'_> {
    async fn step(
        &mut self,
        name: &str,
        action: impl AsyncFnOnce(&Browser, &Page, &Value) -> anyhow::Result<Value>,
    ) {
        let acting = timeout(LIMIT, action(self.browser, self.page, self.options));
        let outcome = acting
            .await
            .unwrap_or_else(|_| Err(anyhow!("nothing came within {LIMIT:?}")));
        let (outcome, error) = match outcome {
            Ok(outcome) => (Some(outcome), String::new()),
            Err(error) => (None, format!("{error:#}")),
        };
        self.report.steps.push(Step {
            name: name.to_owned(),
            ok: outcome.is_some(),
            outcome: outcome.unwrap_or_default(),
            error,
        });
    }
}

async fn task(url: &str, options: &Value) -> Report {
    let (browser, mut handler) = Browser::connect(url).await.unwrap();
    let moving = tokio::spawn(async move { while handler.next().await.is_some() {} });
    let _moving = AbortOnDropHandle::new(moving);
    let page = browser.new_page("about:blank").await.unwrap();
    let mut task = Task {
        browser: &browser,
        page: &page,
        options,
        report: Report::default(),
    };
    pages(&mut task).await;
    files(&mut task).await;
    rest(&mut task).await;
    let report = task.report;
    drop(page);
    drop(browser);
    report
}

async fn pages(task: &mut Task<'_>) {
    task.step("log-in state", async |_, page, options| {
        page.goto(address(options, "site", "/")).await?;
        Ok(json!({ "title": page.get_title().await?, "who": text(page, "#who").await? }))
    })
    .await;
    task.step("navigate", async |_, page, _| {
        page.find_element("#second").await?.click().await?;
        let there = text(page, "h1").await?;
        // Later: an answer from a page that leaves may not come.
        page.evaluate("void setTimeout(() => history.back())")
            .await?;
        Ok(json!({ "there": there, "back": text(page, "#who").await? }))
    })
    .await;
    task.step("form", async |_, page, _| {
        page.find_element("#summary").await?.click().await?;
        page.execute(InsertTextParams::new("Door 7 ✓")).await?;
        page.evaluate("document.querySelector('#state').value = 'closed'")
            .await?;
        page.find_element("#send").await?.click().await?;
        Ok(text(page, "h1").await?.into())
    })
    .await;
    task.step("popup", async |browser, page, options| {
        page.goto(address(options, "site", "/")).await?;
        page.find_element("#popup").await?.click().await?;
        loop {
            for opened in browser.pages().await? {
                let at = opened.url().await?.unwrap_or_default();
                if at.ends_with("/popup") {
                    let heading = text(&opened, "h1").await?;
                    opened.close().await?;
                    return Ok(heading.into());
                }
            }
            sleep(PACE).await;
        }
    })
    .await;
    // It attaches to no frames of other sites: what they say, they say to the page.
    task.step("frame", async |_, page, _| {
        page.find_element("#add-frame").await?.click().await?;
        Ok(text(page, "#framed").await?.into())
    })
    .await;
}

async fn files(task: &mut Task<'_>) {
    task.step("upload", async |_, page, options| {
        let input = page.find_element("#file").await?;
        let files = vec![options["upload"].as_str().unwrap().to_owned()];
        let mut give = SetFileInputFilesParams::new(files);
        give.backend_node_id = Some(input.backend_node_id);
        page.execute(give).await?;
        Ok(text(page, "#content").await?.into())
    })
    .await;
    task.step("download", async |browser, page, options| {
        let mut begun = browser.event_listener::<EventDownloadWillBegin>().await?;
        let mut told = browser.event_listener::<EventDownloadProgress>().await?;
        let mut behavior = SetDownloadBehaviorParams::new(SetDownloadBehaviorBehavior::Allow);
        behavior.download_path = options["folder"].as_str().map(str::to_owned);
        behavior.events_enabled = Some(true);
        browser.execute(behavior).await?;
        page.find_element("#download").await?.click().await?;
        let begun = begun.next().await.context("no download began")?;
        loop {
            match told.next().await.context("it did not end")?.state {
                DownloadProgressState::Completed => break,
                DownloadProgressState::InProgress => {}
                DownloadProgressState::Canceled => return Err(anyhow!("it was cancelled")),
            }
        }
        Ok(begun.suggested_filename.clone().into())
    })
    .await;
    task.step("download: content", async |_, _, options| {
        let file = Path::new(options["folder"].as_str().unwrap()).join("report.csv");
        Ok(std::fs::read_to_string(file)?.into())
    })
    .await;
}

async fn rest(task: &mut Task<'_>) {
    task.step("screenshot", async |_, page, _| {
        let png = page.screenshot(ScreenshotParams::default()).await?;
        ensure!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "no PNG");
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        Ok(json!({ "png": true, "width": number(16), "height": number(20) }))
    })
    .await;
    task.step("two contexts", async |browser, page, options| {
        let made = CreateBrowserContextParams::default();
        let context = browser.create_browser_context(made).await?;
        let mut open = CreateTargetParams::new(address(options, "site", "/"));
        open.browser_context_id = Some(context.clone());
        let inside = browser.new_page(open).await?;
        let who = text(&inside, "#who").await?;
        let own = cookies(&inside, "(document.cookie = 'mine=1', document.cookie)").await?;
        let other = cookies(page, "document.cookie").await?;
        browser.dispose_browser_context(context).await?;
        Ok(json!({ "inside": who, "own": own, "shared": other.contains("mine") }))
    })
    .await;
    task.step("service worker", async |_, page, options| {
        page.goto(address(options, "site", "/")).await?;
        // It leaves workers that wait for it, at times before they run.
        let mut attach = SetAutoAttachParams::new(true, false);
        attach.flatten = Some(true);
        page.execute(attach).await?;
        page.find_element("#register").await?.click().await?;
        let answer = text(page, "#worker").await?;
        page.goto(address(options, "site", "/made-by-worker"))
            .await?;
        Ok(json!({ "answer": answer, "page": text(page, "h1").await? }))
    })
    .await;
    task.step("elsewhere", async |_, page, options| {
        page.goto(address(options, "elsewhere", "/page")).await?;
        let status = "performance.getEntriesByType('navigation')[0].responseStatus";
        Ok(page.evaluate(status).await?.into_value()?)
    })
    .await;
    task.step("disconnect", async |_, page, _| {
        page.clone().close().await?;
        Ok(Value::Null)
    })
    .await;
}

fn address(options: &Value, place: &str, path: &str) -> String {
    format!("{}{path}", options[place].as_str().unwrap())
}

/// What an element says, once it is there and says something.
async fn text(page: &Page, selector: &str) -> anyhow::Result<String> {
    let look = format!("document.querySelector('{selector}')?.textContent ?? ''");
    loop {
        // A page that is on its way takes what looks at it down with it.
        let said = page.evaluate(look.as_str()).await;
        match said.ok().and_then(|said| said.into_value::<String>().ok()) {
            Some(said) if !said.is_empty() => return Ok(said),
            _ => sleep(PACE).await,
        }
    }
}

async fn cookies(page: &Page, expression: &str) -> anyhow::Result<String> {
    Ok(page.evaluate(expression).await?.into_value()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromiumoxide_does_the_whole_task() {
    let stage = Stage::desk().await;
    let compared = stage.compare(task).await;
    compared.assert_task_done();
    compared.assert_same(&[
        Difference {
            step: "download: content",
            says: "No such file",
            why: FILE_STAYS,
        },
        Difference {
            step: "elsewhere",
            says: "403",
            why: OUT_OF_SCOPE,
        },
    ]);
}
