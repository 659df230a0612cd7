//! A site that echoes a lent cookie in every way it can, and a client that asks
//! for it by every command it may send: the value is in nothing it receives.

use std::{collections::BTreeSet, time::Duration};

use data_encoding::{BASE64, BASE64URL, Encoding};
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use url::{Url, form_urlencoded::byte_serialize};

use crate::{
    stage::{self, Cookie, Lender},
    support::{
        canary::{self, Canary, Hit, Reply},
        cdp::{Cdp, Page},
        chromium::PlainChromium,
        tools,
    },
};

/// With what each encoding writes differently.
const SID: &str = "l3nt/v4lue+0f=the~d00r%2Fkey?";

/// Time for each command: some wait for what never comes.
const EACH: Duration = Duration::from_millis(300);

/// These lead away from the page, or stop it from answering.
const LATE: [&str; 12] = [
    "Debugger.pause",
    "Emulation.setScriptExecutionDisabled",
    "Emulation.setVirtualTimePolicy",
    "Network.clearBrowserCookies",
    "Page.navigate",
    "Page.navigateToHistoryEntry",
    "Page.reload",
    "Page.setDocumentContent",
    "Page.waitForDebugger",
    "Runtime.terminateExecution",
    "Storage.clearCookies",
    "Target.detachFromTarget",
];

/// These end it, in this order: the page, its context, the browser.
const ENDS: [&str; 5] = [
    "Page.close",
    "Target.closeTarget",
    "Target.disposeBrowserContext",
    "HeadlessExperimental.beginFrame",
    "Browser.close",
];

fn routes(hit: &Hit) -> Reply {
    let sid = hit.cookie("sid").unwrap_or("nobody-at-all");
    let literal = serde_json::to_string(sid).unwrap();
    let page = include_str!("echo.html")
        .replace("{literal}", &literal)
        .replace("{text}", sid);
    let reply = match hit.path.as_str() {
        "/" => canary::html(page),
        "/echo.txt" => canary::text(format!(
            "you sent {sid} and {}",
            BASE64.encode(sid.as_bytes())
        )),
        "/echo.json" => canary::typed(
            "application/json",
            json!({ "sent": sid, "nested": literal }).to_string(),
        ),
        "/worker.js" => canary::typed(
            "text/javascript",
            format!("postMessage({literal}); console.log({literal})"),
        ),
        "/sw.js" => canary::typed(
            "text/javascript",
            format!(
                "onmessage = (e) => e.source.postMessage({literal}); oninstall = () => skipWaiting(); onactivate = (e) => e.waitUntil(clients.claim())"
            ),
        ),
        "/download" => canary::attachment("echo.txt", format!("{sid}\n")),
        "/style.css" => canary::typed("text/css", format!("body::after {{ content: {literal} }}")),
        "/go" => canary::redirect(&format!(
            "/landed?{}",
            byte_serialize(sid.as_bytes()).collect::<String>()
        )),
        "/socket" => return canary::text(""),
        _ => canary::html(format!("<p>{sid}</p>")),
    };
    canary::with(reply, "x-echo", sid)
}

// === what is looked for ===

fn forms() -> BTreeSet<String> {
    let mut forms = BTreeSet::from([SID.to_owned(), SID.replace('/', "\\/")]);
    let form: String = byte_serialize(SID.as_bytes()).collect();
    forms.insert(form.to_ascii_lowercase());
    forms.insert(form);
    for encoding in [BASE64, BASE64URL] {
        forms.extend((0..3).map(|before| aligned(before, &encoding)));
    }
    forms
}

/// Its base64 where `before` other bytes stand before it, without the
/// characters that depend on its neighbours.
fn aligned(before: usize, encoding: &Encoding) -> String {
    let bytes = [&vec![0; before], SID.as_bytes()].concat();
    let text = encoding.encode(&bytes);
    text[(before * 8).div_ceil(6)..bytes.len() * 8 / 6].to_owned()
}

fn shows(text: &str, forms: &BTreeSet<String>) -> bool {
    forms.iter().any(|form| text.contains(form.as_str()))
}

// === what is asked ===

/// The commands of the table that clients may send, with the parameters that
/// the browser names for them.
async fn commands(browser: &PlainChromium) -> Vec<(String, Vec<Value>)> {
    let mut url: Url = browser.cdp_url.parse().unwrap();
    url.set_scheme("http").unwrap();
    url.set_path("/json/protocol");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let protocol: Value = client.get(url).send().await.unwrap().json().await.unwrap();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut commands = Vec::new();
    for domain in list(&protocol["domains"]) {
        for command in list(&domain["commands"]) {
            let name = format!(
                "{}.{}",
                domain["domain"].as_str().unwrap(),
                command["name"].as_str().unwrap()
            );
            let row = hallpass::cdp::table::method(&name).unwrap();
            if row.verdict != hallpass::cdp::table::Verdict::Refuse {
                commands.push((name, list(&command["parameters"])));
            }
        }
    }
    // Switched on before it is asked, switched off after.
    commands.sort_by_key(|(name, _)| {
        let ends = ENDS.iter().position(|end| end == name);
        match (ends, name.split_once('.')) {
            (Some(place), _) => 4 + place,
            _ if LATE.contains(&name.as_str()) => 2,
            (_, Some((_, "enable"))) => 0,
            (_, Some((_, "disable"))) => 3,
            _ => 1,
        }
    });
    commands
}

/// Things of the page that arguments can name.
struct Known(Map<String, Value>);

impl Known {
    async fn of(page: &Page, origin: &str) -> Self {
        let document = page.ask("DOM.getDocument", json!({ "depth": -1 })).await;
        let object = page
            .ask(
                "Runtime.evaluate",
                json!({ "expression": "globalThis.echoes" }),
            )
            .await;
        let answer = |event: &Value| {
            event["method"] == "Network.responseReceived"
                && event["params"]["response"]["url"]
                    .as_str()
                    .unwrap()
                    .ends_with("/echo.txt")
        };
        let response = page.cdp.event(answer).await;
        let script = page
            .cdp
            .event(|event| event["method"] == "Debugger.scriptParsed")
            .await;
        let sheet = page
            .cdp
            .event(|event| event["method"] == "CSS.styleSheetAdded")
            .await;
        let tree = page.ask("Page.getFrameTree", json!({})).await;
        let frame = tree["frameTree"]["frame"]["id"].clone();
        let key = format!("{origin}/");
        let known = json!({
            "nodeId": document["root"]["nodeId"], "backendNodeId": document["root"]["backendNodeId"],
            "objectId": object["result"]["objectId"], "requestId": response["params"]["requestId"],
            "scriptId": script["params"]["scriptId"], "styleSheetId": sheet["params"]["header"]["styleSheetId"],
            "frameId": frame, "targetId": page.target, "url": format!("{origin}/echo.txt"), "origin": origin,
            "storageKey": key, "securityOrigin": origin, "selector": "body", "query": "l3nt", "name": "sid",
            "expression": "[document.body.innerText, document.title, location.href, echoes]",
            "functionDeclaration": "function () { return JSON.stringify(this) }", "returnByValue": true,
            "depth": -1, "includeCommandLineAPI": true, "computedStyles": ["content"], "flatten": true,
            "storageId": { "storageKey": key, "isLocalStorage": true }, "urls": [format!("{origin}/")],
            "permissions": ["geolocation"], "behavior": "deny", "generatePreview": true,
        });
        Self(known.as_object().unwrap().clone())
    }

    fn arguments(&self, parameters: &[Value]) -> Value {
        let mut arguments = Map::new();
        for parameter in parameters {
            let name = parameter["name"].as_str().unwrap();
            let made = match self.0.get(name) {
                Some(known) => known.clone(),
                None if parameter["optional"] == true => continue,
                None => match parameter["type"].as_str() {
                    Some("string") => parameter["enum"][0].as_str().unwrap_or("sid").into(),
                    Some("integer" | "number") => 1.into(),
                    Some("boolean") => true.into(),
                    Some("array") => json!([]),
                    _ => json!({}),
                },
            };
            arguments.insert(name.to_owned(), made);
        }
        arguments.into()
    }
}

async fn ask_all(
    cdp: &Cdp,
    origin: &str,
    commands: &[(String, Vec<Value>)],
    is_lent: bool,
) -> usize {
    let mut answered = 0;

    let auto = json!({ "autoAttach": true, "waitForDebuggerOnStart": false, "flatten": true });
    cdp.ask("Target.setDiscoverTargets", json!({ "discover": true }))
        .await;
    let page = cdp.open("about:blank").await;
    page.ask("Target.setAutoAttach", auto).await;
    for domain in [
        "Page",
        "DOM",
        "CSS",
        "Network",
        "Runtime",
        "Debugger",
        "Log",
        "Console",
        "DOMStorage",
        "Audits",
        "Storage",
    ] {
        page.call(&format!("{domain}.enable"), json!({})).await.ok();
    }
    page.ask("Runtime.addBinding", json!({ "name": "told" }))
        .await;
    let downloads = json!({ "behavior": "deny", "eventsEnabled": true });
    cdp.call(None, "Browser.setDownloadBehavior", downloads)
        .await
        .ok();
    page.navigate(&format!("{origin}/")).await;
    page.until("globalThis.ready").await;
    cdp.event(|event| event["method"] == "Page.javascriptDialogOpening")
        .await;
    page.ask("Page.handleJavaScriptDialog", json!({ "accept": true }))
        .await;
    let known = Known::of(&page, origin).await;
    page.evaluate("document.querySelector('#echo').setAttribute('data-late', echoes.value)")
        .await;
    // By itself and awaited: its chunks are many.
    page.ask("HeapProfiler.takeHeapSnapshot", json!({})).await;
    for (name, parameters) in commands {
        let arguments = known.arguments(parameters);
        let mut places = vec![Some(page.session.as_str())];
        // Sent to a plain browser itself, some of these crash it.
        places.extend(is_lent.then_some(None));
        for place in places {
            match timeout(EACH, cdp.answer(place, name, arguments.clone())).await {
                Ok(Some(_)) => answered += 1,
                Ok(None) => assert!(ENDS.contains(&name.as_str()), "{name} ends the browser"),
                Err(_) => {}
            }
        }
    }
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lent_value_is_in_nothing_that_a_client_receives() {
    let site = Canary::start(routes).await;
    let origin = site.origin();
    let plain = PlainChromium::start();
    let commands = commands(&plain).await;
    assert!(commands.len() > 400, "{}", commands.len());
    let forms = forms();

    // Where nothing is between, it is in nearly everything.
    let cdp = Cdp::connect(&plain.cdp_url).await;
    let cookie = json!({ "name": "sid", "value": SID, "url": origin, "httpOnly": true });
    cdp.ask("Storage.setCookies", json!({ "cookies": [cookie] }))
        .await;
    let answered = ask_all(&cdp, &origin, &commands, false).await;
    assert!(answered * 10 > commands.len() * 9, "{answered} answers");
    let found: BTreeSet<String> = cdp
        .events()
        .iter()
        .filter(|event| shows(&event.to_string(), &forms))
        .map(|event| event["method"].as_str().unwrap().to_owned())
        .collect();
    for event in [
        "Console.messageAdded",
        "DOM.attributeModified",
        "DOMStorage.domStorageItemAdded",
        "HeapProfiler.addHeapSnapshotChunk",
        "Network.requestWillBeSent",
        "Network.requestWillBeSentExtraInfo",
        "Network.responseReceived",
        "Network.webSocketFrameReceived",
        "Page.frameNavigated",
        "Page.javascriptDialogOpening",
        "Runtime.bindingCalled",
        "Runtime.consoleAPICalled",
        "Runtime.exceptionThrown",
        "Target.targetInfoChanged",
    ] {
        assert!(
            found.contains(event),
            "{event} does not show it: {found:#?}"
        );
    }

    let broker = stage::broker(&tools::headless_shell());
    let lender = Lender::new(&broker, &[Cookie::new("sid", SID, "127.0.0.1")]).await;
    let scope = json!({ "origins": [origin], "methods": ["GET"], "connect": [origin] });
    let delegation = lender.lend(&origin, "wire", &["sid"], &scope).await;
    site.reset();
    let (session, cdp) = lender.start(&[&delegation]).await;
    let answered = ask_all(&cdp, &origin, &commands, true).await;
    assert!(answered * 10 > commands.len() * 9, "{answered} answers");
    assert!(
        site.hits_on("/echo.txt")
            .iter()
            .any(|hit| hit.cookie("sid") == Some(SID))
    );
    let heard = cdp.heard();
    assert!(heard.len() > 100_000, "{} bytes only", heard.len());
    for form in &forms {
        if let Some(at) = heard.find(form.as_str()) {
            let from = heard[..at].rfind("{\"").unwrap_or(0);
            let around: String = heard[from..].chars().take(300).collect();
            panic!("`{form}` left in {around}");
        }
    }
    lender.operator.end_session(&session).await;
}
