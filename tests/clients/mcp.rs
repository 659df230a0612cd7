//! Playwright MCP, as a model's host runs it: a process that speaks JSON-RPC
//! over its standard input and output, and is told where the browser is.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, anyhow, ensure};
use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};
use url::Url;

use crate::{
    compare::{Difference, FILE_STAYS, OUT_OF_SCOPE},
    stage::Stage,
    support::{
        node::{Report, Step},
        tools,
    },
};

/// Longest time for one answer.
const LIMIT: Duration = Duration::from_secs(30);

/// A running server.
struct Mcp {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    next: u64,
}

impl Mcp {
    /// Starts the server in `folder`, where its files go. A token in the URL is
    /// given by header, and the endpoint is then found by discovery.
    async fn start(url: &str, folder: &Path, further: &[&str]) -> anyhow::Result<Self> {
        let server = tools::npm_workspace().join("node_modules/@playwright/mcp/cli.js");
        let mut command = Command::new(tools::node());
        command
            .arg(server)
            .args(["--timeout-settle", "50"])
            .args(endpoint(url)?)
            .args(further);
        let mut child = command
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut mcp = Self {
            input: child.stdin.take().context("no standard input")?,
            lines: BufReader::new(child.stdout.take().context("no standard output")?).lines(),
            child,
            next: 0,
        };
        let hello = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": { "name": "hallpass-tests", "version": "1" },
        });
        mcp.ask("initialize", hello).await?;
        mcp.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await?;
        Ok(mcp)
    }

    /// Calls a tool; its content, or what it says went wrong.
    async fn call(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Vec<Value>> {
        let params = json!({ "name": tool, "arguments": arguments });
        let result = self.ask("tools/call", params).await?;
        ensure!(result["isError"] != true, "{}", text(&result["content"]));
        Ok(result["content"].as_array().cloned().unwrap_or_default())
    }

    /// The same, for its text.
    async fn told(&mut self, tool: &str, arguments: Value) -> anyhow::Result<String> {
        Ok(text(&self.call(tool, arguments).await?.into()))
    }

    /// The value of a function in the page.
    async fn evaluate(&mut self, function: &str) -> anyhow::Result<Value> {
        let said = self
            .told("browser_evaluate", json!({ "function": function }))
            .await?;
        result(&said)
    }

    async fn go(&mut self, url: &str) -> anyhow::Result<String> {
        self.told("browser_navigate", json!({ "url": url })).await
    }

    async fn click(&mut self, target: &str) -> anyhow::Result<String> {
        self.told("browser_click", json!({ "target": target }))
            .await
    }

    /// What the page says of a file.
    async fn content(&mut self) -> anyhow::Result<Value> {
        let wait = json!({ "text": "note.txt: " });
        self.told("browser_wait_for", wait).await?;
        self.evaluate("() => document.querySelector('#content').textContent")
            .await
    }

    async fn heading(&mut self) -> anyhow::Result<Value> {
        self.evaluate("() => document.querySelector('h1').textContent")
            .await
    }

    /// Ends the server in the way of its protocol.
    async fn finish(mut self) -> anyhow::Result<()> {
        drop(self.input);
        timeout(LIMIT, self.child.wait())
            .await
            .context("the server did not end with its input")??;
        Ok(())
    }

    async fn ask(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.next += 1;
        let id = self.next;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.say(&request).await?;
        timeout(LIMIT, async {
            while let Some(line) = self.lines.next_line().await? {
                let mut message: Value = serde_json::from_str(&line)?;
                if message["id"] == id {
                    ensure!(message["error"].is_null(), "{}", message["error"]);
                    return Ok(message["result"].take());
                }
            }
            Err(anyhow!("the server ended"))
        })
        .await
        .with_context(|| format!("no answer to {method} {params}"))?
    }

    async fn say(&mut self, message: &Value) -> anyhow::Result<()> {
        self.input
            .write_all(format!("{message}\n").as_bytes())
            .await?;
        Ok(())
    }
}

fn endpoint(url: &str) -> anyhow::Result<Vec<String>> {
    let mut url = Url::parse(url)?;
    let token = url
        .query_pairs()
        .find_map(|(name, value)| (name == "token").then(|| value.into_owned()));
    let Some(token) = token else {
        return Ok(vec!["--cdp-endpoint".into(), url.into()]);
    };
    url.set_query(None);
    let at = url.as_str().replacen("ws", "http", 1);
    let at = at.strip_suffix("/cdp").context("no CDP address")?;
    Ok(vec![
        "--cdp-endpoint".into(),
        at.into(),
        "--cdp-header".into(),
        format!("Authorization: Bearer {token}"),
    ])
}

fn text(content: &Value) -> String {
    let parts = content.as_array().into_iter().flatten();
    parts.filter_map(|part| part["text"].as_str()).collect()
}

/// What a tool's report gives as its result.
fn result(said: &str) -> anyhow::Result<Value> {
    let (_, rest) = said.split_once("### Result\n").context(said.to_owned())?;
    let value = rest.split("\n###").next().unwrap_or_default();
    serde_json::from_str(value.trim()).with_context(|| said.to_owned())
}

struct Task<'a> {
    mcp: Mcp,
    url: &'a str,
    options: &'a Value,
    report: Report,
}

impl Task<'_> {
    async fn step(
        &mut self,
        name: &str,
        action: impl AsyncFnOnce(&mut Mcp, &str) -> anyhow::Result<Value>,
    ) {
        let site = self.options["site"].as_str().unwrap();
        let acting = timeout(LIMIT, action(&mut self.mcp, site));
        let outcome = acting
            .await
            .unwrap_or_else(|_| Err(anyhow!("nothing came within {LIMIT:?}")));
        self.report.steps.push(step(name, outcome));
    }
}

fn step(name: &str, outcome: anyhow::Result<Value>) -> Step {
    let (outcome, error) = match outcome {
        Ok(outcome) => (Some(outcome), String::new()),
        Err(error) => (None, format!("{error:#}")),
    };
    Step {
        name: name.to_owned(),
        ok: outcome.is_some(),
        outcome: outcome.unwrap_or_default(),
        error,
    }
}

async fn task(url: &str, options: &Value) -> Report {
    let folder = Path::new(options["folder"].as_str().unwrap());
    let mut task = Task {
        mcp: Mcp::start(url, folder, &[]).await.unwrap(),
        url,
        options,
        report: Report::default(),
    };
    pages(&mut task).await;
    files(&mut task).await;
    rest(&mut task).await;
    let mut report = task.report;
    let ended = task.mcp.finish().await;
    report
        .steps
        .push(step("disconnect", ended.map(|()| Value::Null)));
    report
}

async fn pages(task: &mut Task<'_>) {
    task.step("log-in state", async |mcp, site| {
        mcp.go(&format!("{site}/")).await?;
        // What a model is shown.
        let seen = mcp.told("browser_snapshot", json!({})).await?;
        ensure!(seen.contains("Dispatcher"), "no such snapshot: {seen}");
        let look =
            "() => ({ title: document.title, who: document.querySelector('#who').textContent })";
        mcp.evaluate(look).await
    })
    .await;
    task.step("navigate", async |mcp, _| {
        mcp.click("#second").await?;
        let there = mcp.heading().await?;
        mcp.told("browser_navigate_back", json!({})).await?;
        let back = mcp
            .evaluate("() => document.querySelector('#who').textContent")
            .await?;
        Ok(json!({ "there": there, "back": back }))
    })
    .await;
    task.step("form", async |mcp, _| {
        let fields = json!({ "fields": [
            { "name": "Summary", "target": "#summary", "type": "textbox", "value": "Door 7 ✓" },
            { "name": "State", "target": "#state", "type": "combobox", "value": "closed" },
        ] });
        mcp.told("browser_fill_form", fields).await?;
        mcp.click("#send").await?;
        mcp.heading().await
    })
    .await;
    task.step("popup", async |mcp, site| {
        mcp.go(&format!("{site}/")).await?;
        mcp.click("#popup").await?;
        let second = json!({ "action": "select", "index": 1 });
        mcp.told("browser_tabs", second).await?;
        let heading = mcp.heading().await?;
        mcp.told("browser_tabs", json!({ "action": "close" }))
            .await?;
        Ok(heading)
    })
    .await;
    task.step("frame", async |mcp, _| {
        mcp.click("#add-frame").await?;
        let wait = json!({ "text": "framed for" });
        mcp.told("browser_wait_for", wait).await?;
        let seen = mcp.told("browser_snapshot", json!({})).await?;
        let heading = seen.split("heading \"").nth(1).context(seen.clone())?;
        Ok(heading.split('"').next().into())
    })
    .await;
}

async fn files(task: &mut Task<'_>) {
    let upload = task.options["upload"].clone();
    task.step("upload", async |mcp, _| {
        let drop = json!({ "target": "#drop", "paths": [&upload] });
        mcp.told("browser_drop", drop).await?;
        mcp.content().await
    })
    .await;
    task.step("upload: by path", async |mcp, site| {
        mcp.go(&format!("{site}/")).await?;
        mcp.click("#file").await?;
        let paths = json!({ "paths": [upload] });
        mcp.told("browser_file_upload", paths).await?;
        mcp.content().await
    })
    .await;
    // Of a browser that is not its own, its tools tell no downloads.
    let folder = task.options["folder"].clone();
    task.step("download", async |mcp, site| {
        mcp.go(&format!("{site}/")).await?;
        let code = format!(
            "async (page) => {{
                const whole = await page.context().browser().newBrowserCDPSession();
                const begun = new Promise((done) => whole.on('Browser.downloadWillBegin', done));
                const ended = new Promise((done) => whole.on('Browser.downloadProgress', ({{ state }}) => {{
                    if (state !== 'inProgress') done(state);
                }}));
                const behavior = {{ behavior: 'allow', downloadPath: {folder}, eventsEnabled: true }};
                await whole.send('Browser.setDownloadBehavior', behavior);
                await page.click('#download');
                const state = await ended;
                if (state !== 'completed') throw new Error(state);
                return (await begun).suggestedFilename;
            }}"
        );
        let code = json!({ "code": code });
        result(&mcp.told("browser_run_code_unsafe", code).await?)
    })
    .await;
    let folder = folder.as_str().unwrap().to_owned();
    task.step("download: content", async |_, _| {
        Ok(std::fs::read_to_string(Path::new(&folder).join("report.csv"))?.into())
    })
    .await;
}

async fn rest(task: &mut Task<'_>) {
    task.step("screenshot", async |mcp, _| {
        let size = json!({ "width": 800, "height": 600 });
        mcp.told("browser_resize", size).await?;
        let shot = mcp
            .call(
                "browser_take_screenshot",
                json!({ "type": "png", "scale": "css" }),
            )
            .await?;
        let image = shot.iter().find(|part| part["type"] == "image");
        let image = image.context("no image")?["data"]
            .as_str()
            .context("no data")?;
        let png = BASE64.decode(image.as_bytes())?;
        ensure!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "no PNG");
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        Ok(json!({ "png": true, "width": number(16), "height": number(20) }))
    })
    .await;
    let (url, options) = (task.url, task.options);
    task.step("two contexts", async |mcp, site| {
        let folder = Path::new(options["folder"].as_str().unwrap());
        let mut fresh = Mcp::start(url, folder, &["--isolated"]).await?;
        fresh.go(&format!("{site}/")).await?;
        let inside = fresh
            .evaluate("() => document.querySelector('#who').textContent")
            .await?;
        let own = fresh
            .evaluate("() => { document.cookie = 'mine=1'; return document.cookie; }")
            .await?;
        fresh.finish().await?;
        let other = mcp.evaluate("() => document.cookie").await?;
        let shared = other.as_str().context("no text")?.contains("mine");
        Ok(json!({ "inside": inside, "own": own, "shared": shared }))
    })
    .await;
    task.step("service worker", async |mcp, site| {
        mcp.go(&format!("{site}/")).await?;
        mcp.click("#register").await?;
        mcp.told("browser_wait_for", json!({ "text": "worker of" }))
            .await?;
        let answer = mcp
            .evaluate("() => document.querySelector('#worker').textContent")
            .await?;
        mcp.go(&format!("{site}/made-by-worker")).await?;
        Ok(json!({ "answer": answer, "page": mcp.heading().await? }))
    })
    .await;
    let elsewhere = format!("{}/page", task.options["elsewhere"].as_str().unwrap());
    task.step("elsewhere", async |mcp, _| {
        mcp.go(&elsewhere).await?;
        mcp.evaluate("() => performance.getEntriesByType('navigation')[0].responseStatus")
            .await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn playwright_mcp_does_the_whole_task() {
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
