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

#[path = "containment/dns.rs"]
mod dns;
#[path = "containment/far.rs"]
mod far;
#[path = "containment/names.rs"]
mod names;
#[path = "containment/open_proxy.rs"]
mod open_proxy;
#[path = "containment/rings.rs"]
mod rings;
#[path = "containment/rows.rs"]
mod rows;
#[path = "lending/stage.rs"]
#[allow(dead_code, reason = "a part of what another test binary stands on")]
mod stage;
#[path = "containment/table.rs"]
mod table;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use far::Far;
use futures_util::{StreamExt as _, stream};
use hyper::StatusCode;
use rings::{Ringed, Rings};
use rows::ROWS;
use serde_json::Value;
use stage::{Cookie, Lender};
use support::{
    api::Session,
    canary::{self, Canary, Hit, Reply},
    cdp::{Cdp, Page},
    tools,
};
use table::Table;

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
/// Rows of which there is nothing to tell: the browser tries only where it has no
/// proxy, or its datagrams end in the kernel.
const UNTOLD: &[&str] = &[
    "link-preconnect",
    "link-icon",
    // Under `--no-pings`, which the shell does not know.
    "ping",
    "speculation-prefetch",
    "speculation-prerender",
    "webrtc-stun",
    "webrtc-turn-udp",
    "webtransport",
];
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
    let host = format!("{name}.{}:{port}", far.below);
    how.replace("evil.localhost", &format!("evil.{}", far.below))
        .replace("{url}", &format!("http://{host}/"))
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

/// Zero counts only if the rows were tried: these begin at the site.
fn assert_tried(site: &Canary, far: &Far) {
    for row in ROWS.iter().filter(|row| row.3.contains("/to/")) {
        let own = format!("//{}.{}:", row.0, far.below);
        let tried = |hit: &Hit| hit.path.starts_with("/to/") && hit.query.contains(&own);
        assert!(site.hits().iter().any(tried), "{} was not tried", row.0);
    }
}

fn listed(rows: &BTreeSet<usize>) -> Vec<&'static str> {
    rows.iter().map(|row| ROWS[*row].0).collect()
}

/// Rows of whose refusal the session's trace does not tell, once it tells of all
/// that it will.
async fn untold(lender: &Lender, session: &Session, far: &Far) -> Vec<&'static str> {
    let path = format!("/v1/sessions/{}", session.id);
    let shown = lender.operator.get(&path).await;
    let path = format!("/v1/traces/{}/records", shown["trace"].as_str().unwrap());
    let until = Instant::now() + SETTLE;
    loop {
        let text = lender.operator.get_text(&path).await;
        let refusals: Vec<&str> = text.lines().filter(|line| line.contains("refus")).collect();
        let told = |row: usize| {
            let port = far.port(row);
            let mut signs = vec![format!(":{port}"), format!("\"port\":{port}")];
            let (.., who, how) = ROWS[row];
            if who == Who::Agent {
                let method = how.split(' ').next().unwrap().replace("browser:", "");
                signs.push(format!("\"method\":\"{method}\""));
            }
            refusals
                .iter()
                .any(|line| signs.iter().any(|sign| line.contains(sign.as_str())))
        };
        let untold: Vec<_> = (0..ROWS.len()).filter(|row| !told(*row)).collect();
        let rows: Vec<_> = untold.into_iter().map(|row| ROWS[row].0).collect();
        if rows.iter().all(|row| UNTOLD.contains(row)) || Instant::now() > until {
            return rows;
        }
    }
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
        let (session, cdp) = lender.start(&[&lent]).await;
        try_all(&cdp, &far, &site).await;
        let came = far.until(1, SETTLE).await;
        let untold = untold(&lender, &session, &far).await;
        let silent = untold.iter().all(|row| UNTOLD.contains(row));
        assert!(silent, "{}: not on record: {untold:?}", browser.display());
        assert_tried(&site, &far);
        assert!(
            came.is_empty(),
            "{}: {:?}",
            browser.display(),
            listed(&came)
        );
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
            listed(&silent)
        );
        assert!(came.len() >= ARRIVE, "not {:?}", listed(&silent));
    }
}

/// What each ring holds back by itself stays held back; see `rings.tsv`. To write
/// that anew: `HALLPASS_WRITE_RINGS=3 cargo test --test containment rings`, which
/// tries so many times, and takes minutes.
#[tokio::test]
async fn each_ring_alone_holds_back_what_the_table_says() {
    let again = std::env::var("HALLPASS_WRITE_RINGS").ok();
    let times = again.as_deref().map(|text| text.parse().unwrap());
    let mut table = Table::read();
    let mut arrived = Table::empty();
    for rings in Rings::ALL {
        // What arrives where there is none is the other test's.
        if rings == Rings::None && times.is_none() {
            continue;
        }
        for _ in 0..times.unwrap_or(1) {
            for browser in [tools::headless_shell(), tools::chromium()] {
                let far = Far::start(ROWS.len()).await;
                let site = Canary::start(route).await;
                let scope = stage::scope(&site, &["home.localhost"]);
                let ringed = Ringed::start(&browser, rings, &scope).await;
                try_all(&ringed.cdp, &far, &site).await;
                let came = far.until(ROWS.len(), SETTLE).await;
                ringed.end().await;
                println!("{} alone: {} arrive", rings.name(), came.len());
                arrived.add(rings, &came);
            }
        }
    }
    if times.is_some() {
        arrived.write();
        table = arrived;
    } else {
        assert_eq!(table.newly_arrived(&arrived), Vec::<String>::new());
        // A browser opens connections ahead of the requests that the interceptor
        // sees, when it likes: which of them come is not the same each time.
        let through = arrived.count(Rings::Interceptor);
        assert!(
            through < ROWS.len() / 2,
            "{through} through the interceptor"
        );
    }
    assert_eq!(table.count(Rings::EgressAndCell), 0);
    assert_eq!(Table::shown(), table.summary(), "README.md is out of date");
}
