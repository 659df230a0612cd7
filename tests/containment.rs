//! Nothing out of scope is ever contacted: ways out that a page and an agent
//! try, counted at the far side, in a plain browser and behind Hallpass.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

mod support;

#[path = "containment/far.rs"]
mod far;
#[path = "containment/rows.rs"]
mod rows;
#[path = "lending/stage.rs"]
#[allow(dead_code, reason = "a part of what another test binary stands on")]
mod stage;

use std::{collections::BTreeSet, time::Duration};

use far::Far;
use futures_util::{StreamExt as _, stream};
use hyper::StatusCode;
use rows::ROWS;
use serde_json::Value;
use stage::{Cookie, Lender};
use support::{
    canary::{self, Canary, Hit, Reply},
    cdp::{Cdp, Page},
    tools,
};

/// Who tries a way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A page that tries many.
    Shared,
    /// A page that goes away by it.
    Own,
    /// The agent: a CDP method and its parameters.
    Agent,
}

const LENT: &[Cookie] = &[Cookie::new("session", "lent-5ad1", "home.localhost")];
/// Pages open at once.
const ABREAST: usize = 6;
/// Longest time for contacts after the last row was tried; the time in which
/// none may come.
const SETTLE: Duration = Duration::from_secs(6);
/// Fewest rows that arrive where nothing holds them back.
const ARRIVE: usize = 100;

fn route(hit: &Hit) -> Reply {
    let to = &hit.query;
    let script = |text: String| canary::typed("text/javascript", text);
    match hit.path.as_str() {
        "/refresh" => canary::with(canary::html(""), "refresh", &format!("0;url={to}")),
        "/link" => {
            let link = format!("<{to}>; rel=preload; as=image");
            canary::with(canary::html("<p>x"), "link", &link)
        }
        "/csp" => {
            let policy = format!("img-src 'none'; report-uri {to}");
            let page = canary::html("<img src=/pixel>");
            canary::with(page, "content-security-policy", &policy)
        }
        "/sw.js" => script(format!(
            "fetch('{to}', {{ mode: 'no-cors' }}).catch(() => {{}})"
        )),
        "/swi.js" => script(format!("importScripts('{to}')")),
        path => match path.strip_prefix("/to/").and_then(|code| code.parse().ok()) {
            Some(code) => {
                let code = StatusCode::from_u16(code).unwrap();
                canary::status(code, canary::redirect(to))
            }
            None => canary::html("<!doctype html><title>home</title><body>"),
        },
    }
}

fn filled(row: usize, far: &Far, site: &Canary, target: &str) -> String {
    let (name, _, _, how) = ROWS[row];
    let port = far.port(row).to_string();
    let host = format!("{name}.localhost:{port}");
    how.replace("{url}", &format!("http://{host}/"))
        .replace("{host}", &host)
        .replace("{port}", &port)
        .replace("{site}", &format!("home.localhost:{}", site.address.port()))
        .replace("{target}", target)
}

/// Tries every row; a refusal is an answer like another.
async fn try_all(cdp: &Cdp, far: &Far, site: &Canary) {
    let home = format!("{}/home", site.origin_as("home.localhost"));
    let of = |who| (0..ROWS.len()).filter(move |row| ROWS[*row].2 == who);
    let shared = cdp.open("about:blank").await;
    go_home(&shared, &home).await;
    for row in of(Who::Shared) {
        let script = format!("(() => {{ {} }})()", filled(row, far, site, ""));
        shared.try_evaluate(&script).await.ok();
    }
    assert_eq!(shared.evaluate("document.title").await, "home");
    stream::iter(of(Who::Own).chain(of(Who::Agent)))
        .for_each_concurrent(ABREAST, |row| {
            let home = &home;
            async move {
                let page = cdp.open("about:blank").await;
                go_home(&page, home).await;
                let how = filled(row, far, site, &page.target);
                if ROWS[row].2 == Who::Own {
                    let script = format!("(() => {{ {how} }})()");
                    page.try_evaluate(&script).await.ok();
                    return;
                }
                let (method, params) = how.split_once(' ').unwrap();
                let params: Value = serde_json::from_str(params).unwrap();
                match method.strip_prefix("browser:") {
                    Some(method) => cdp.call(None, method, params).await.ok(),
                    None => page.call(method, params).await.ok(),
                };
            }
        })
        .await;
}

async fn go_home(page: &Page, home: &str) {
    page.navigate(home).await;
    page.until("document.title === 'home'").await;
}

fn names(rows: &BTreeSet<usize>) -> Vec<&'static str> {
    rows.iter().map(|row| ROWS[*row].0).collect()
}

#[tokio::test]
async fn no_way_out_reaches_the_far_side() {
    assert!(ROWS.len() >= 120);
    for browser in [tools::headless_shell(), tools::chromium()] {
        let far = Far::start(ROWS.len()).await;
        let site = Canary::start(route).await;
        let broker = stage::broker(&browser);
        let lender = Lender::new(&broker, LENT).await;
        let origin = site.origin_as("home.localhost");
        let scope = stage::scope(&site, &["home.localhost"]);
        let lent = lender.lend(&origin, "wire", &["session"], &scope).await;
        let (_session, cdp) = lender.start(&[&lent]).await;
        try_all(&cdp, &far, &site).await;
        let came = far.until(1, SETTLE).await;
        // Zero counts only if the rows were tried: these begin at the site.
        for row in ROWS.iter().filter(|row| row.3.contains("/to/")) {
            let own = format!("//{}.localhost:", row.0);
            let tried = |hit: &Hit| hit.path.starts_with("/to/") && hit.query.contains(&own);
            assert!(site.hits().iter().any(tried), "{} was not tried", row.0);
        }
        assert!(came.is_empty(), "{}: {:?}", browser.display(), names(&came));
    }
}

#[tokio::test]
async fn the_same_rows_arrive_where_nothing_holds_them_back() {
    for browser in [tools::headless_shell(), tools::chromium()] {
        let far = Far::start(ROWS.len()).await;
        let site = Canary::start(route).await;
        let (_plain, cdp) = stage::plain(&browser, &[]).await;
        try_all(&cdp, &far, &site).await;
        let came = far.until(ROWS.len(), SETTLE).await;
        let silent = (0..ROWS.len()).filter(|row| !came.contains(row)).collect();
        println!(
            "{}: {} of {} rows arrive; not {:?}",
            browser.display(),
            came.len(),
            ROWS.len(),
            names(&silent)
        );
        assert!(came.len() >= ARRIVE, "not {:?}", names(&silent));
    }
}
