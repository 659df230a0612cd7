//! Files in and out of a session, through the API and nothing else.

use std::path::Path;

use hyper::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    stage::{self, Cookie, Lender},
    support::{
        api::{Api, Session},
        broker::Broker,
        canary::{self, Canary, Hit, Reply},
        cdp::Page,
    },
};

const SID: &str = "s3ss10n-handed-0ver-by-file";
const PAGE: &str =
    "<title>files</title><input type=file multiple><a href=/report download>report</a>";

const READ: &str = "Promise.all([...document.querySelector('input').files].map(async (f) => [f.name, await f.text()]))";

fn routes(hit: &Hit) -> Reply {
    match hit.path.as_str() {
        "/" => canary::html(PAGE),
        // A site that puts what it was sent into the file and its name.
        "/report" => canary::attachment(
            &format!("report-{}.csv", hit.cookie("sid").unwrap_or("nobody")),
            format!("door,cookie\n7,{}\n", hit.header("cookie")),
        ),
        _ => canary::not_found(),
    }
}

async fn give(page: &Page, files: &[&str]) -> Result<Value, Value> {
    let document = page.ask("DOM.getDocument", json!({})).await;
    let asked = json!({ "nodeId": document["root"]["nodeId"], "selector": "input" });
    let input = page.ask("DOM.querySelector", asked).await;
    let params = json!({ "nodeId": input["nodeId"], "files": files });
    page.call("DOM.setFileInputFiles", params).await
}

fn below(session: &Session, rest: &str) -> String {
    format!("/v1/sessions/{}/{rest}", session.id)
}

async fn at_home(lender: &Lender, site: &Canary) -> (Session, Page) {
    let origin = site.origin();
    let scope = json!({ "origins": [origin], "methods": ["GET"] });
    let delegation = lender.lend(&origin, "wire", &["sid"], &scope).await;
    let (session, cdp) = lender.start(&[&delegation]).await;
    let page = cdp.open(&format!("{origin}/")).await;
    page.until("document.title == 'files'").await;
    (session, page)
}

async fn uploads_and_downloads(browser: &Path) {
    let site = Canary::start(routes).await;
    let broker = stage::broker(browser);
    let lender = Lender::new(&broker, &[Cookie::new("sid", SID, "127.0.0.1")]).await;
    let (session, page) = at_home(&lender, &site).await;
    let agent = broker.agent(&lender.agent.key);

    // In: by the session's agent, under a name that is no path.
    let path = below(&session, "uploads?name=..%2F..%2Fn%C3%B6te.txt");
    let (status, answer) = agent.bytes(Method::POST, &path, b"hello".to_vec()).await;
    assert_eq!(status, StatusCode::CREATED);
    let upload: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(
        (&upload["name"], &upload["bytes"]),
        (&json!("nöte.txt"), &json!(5))
    );
    let handed = upload["path"].as_str().unwrap();
    give(&page, &[handed]).await.unwrap();
    assert_eq!(page.evaluate(READ).await, json!([["nöte.txt", "hello"]]));

    by_the_clients_path(&agent, &session, &page).await;
    give(&page, &[handed]).await.unwrap();

    // Nothing else of this machine, nor by the place where it really is.
    let on_disk = find(&broker.data_dir, "nöte.txt").unwrap();
    for other in [
        "/etc/hosts",
        on_disk.to_str().unwrap(),
        "/hallpass/uploads/../x",
        "",
    ] {
        let refused = give(&page, &[handed, other]).await.unwrap_err();
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("/uploads"), "{other}: {message}");
    }
    assert_eq!(page.evaluate(READ).await, json!([["nöte.txt", "hello"]]));
    let (_, elsewhere) = at_home(&lender, &site).await;
    assert!(
        give(&elsewhere, &[handed]).await.is_err(),
        "another session's file"
    );

    // Out: listed and fetched, without what was lent.
    let asked = json!({ "behavior": "allow", "downloadPath": "/", "eventsEnabled": true });
    page.cdp.ask("Browser.setDownloadBehavior", asked).await;
    page.evaluate("document.querySelector('a').click()").await;
    let done = |event: &Value| {
        event["method"] == "Browser.downloadProgress" && event["params"]["state"] == "completed"
    };
    let done = page.cdp.event(done).await;
    assert!(done["params"].get("filePath").is_none(), "{done}");
    assert_eq!(site.hits_on("/report")[0].cookie("sid"), Some(SID));
    let list = agent.get(&below(&session, "downloads")).await;
    let file = &list["downloads"][0];
    assert_eq!(
        (&file["guid"], &file["state"]),
        (&done["params"]["guid"], &json!("completed"))
    );
    let name = file["name"].as_str().unwrap();
    assert!(
        name.starts_with("report-*") && !list.to_string().contains(SID),
        "{list}"
    );
    let path = below(
        &session,
        &format!("downloads/{}", file["guid"].as_str().unwrap()),
    );
    let (status, bytes) = agent.bytes(Method::GET, &path, Vec::new()).await;
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(status, StatusCode::OK, "{text}");
    assert_eq!(
        text,
        format!("door,cookie\n7,sid={}\n", "*".repeat(SID.len()))
    );

    // Nobody else's, and nothing that is not there.
    let other = lender.operator.add_agent("somebody-else").await;
    let other = broker.agent(&other.key);
    for (method, path) in [
        (Method::POST, below(&session, "uploads?name=a")),
        (Method::GET, below(&session, "downloads")),
        (Method::GET, path),
    ] {
        let (status, _) = other.bytes(method, &path, b"x".to_vec()).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
    for guid in [
        "00000000-0000-0000-0000-000000000000",
        "..%2F..%2Fcell.json",
    ] {
        let path = below(&session, &format!("downloads/{guid}"));
        let (status, _) = agent.bytes(Method::GET, &path, Vec::new()).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{guid}");
    }
    let trace = trace(&lender, &session).await;
    assert!(
        trace.contains("nöte.txt, 5 bytes") && !trace.contains(SID),
        "{trace}"
    );

    // With the session go its files.
    lender.operator.end_session(&session).await;
    let path = below(&session, "uploads?name=a");
    let (status, _) = agent.bytes(Method::POST, &path, b"x".to_vec()).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(find(&broker.data_dir, "nöte.txt"), None);
    assert!(!page.cdp.has_heard(SID));
}

/// A client that looks for a file on its own disk first calls it by its place
/// there; nothing is read from that place here.
async fn by_the_clients_path(agent: &Api, session: &Session, page: &Page) {
    for (path, expected) in [
        ("%2Fetc%2Fhostname", StatusCode::CREATED),
        ("etc%2Fhostname", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let path = below(session, &format!("uploads?path={path}"));
        let (status, _) = agent.bytes(Method::POST, &path, b"own".to_vec()).await;
        assert_eq!(status, expected, "{path}");
    }
    give(page, &["/etc/hostname"]).await.unwrap();
    assert_eq!(page.evaluate(READ).await, json!([["hostname", "own"]]));
}

async fn trace(lender: &Lender, session: &Session) -> String {
    let shown = lender
        .operator
        .get(&format!("/v1/sessions/{}", session.id))
        .await;
    let path = format!("/v1/traces/{}/records", shown["trace"].as_str().unwrap());
    let (_, bytes) = lender.operator.bytes(Method::GET, &path, Vec::new()).await;
    String::from_utf8(bytes).unwrap()
}

fn find(folder: &Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if entry.file_name() == name {
            Some(path)
        } else if is_folder {
            find(&path, name)
        } else {
            None
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_go_in_and_out_through_the_api() {
    for browser in stage::browsers() {
        uploads_and_downloads(&browser).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_too_large_is_refused() {
    let broker = Broker::start("");
    let operator = broker.operator();
    let agent = operator.add_agent("clerk").await;
    let session = operator.start_session(&agent, &[]).await;
    let path = below(&session, "uploads?name=a");
    let (status, _) = broker
        .agent(&agent.key)
        .bytes(Method::POST, &path, vec![0; (64 << 20) + 1])
        .await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}
