//! Every way in which a page reaches its own or another site: what arrives is
//! what the same browser would have sent with the cookies in its own jar.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::{
    site,
    stage::{self, Cookie, Lender},
    support::{
        canary::{Canary, Hit},
        cdp::Cdp,
    },
};

const LENT: &[Cookie] = &[
    Cookie::new("strict", "lent-strict-0d1c", "a.localhost").same_site("Strict"),
    Cookie::new("lax", "lent-lax-77ab", "a.localhost").same_site("Lax"),
    Cookie::new("none", "lent-none-5e02", "a.localhost")
        .same_site("None")
        .secure(),
    Cookie::new("unset", "lent-unset-c3f9", "a.localhost"),
    Cookie::new("wide", "lent-wide-91d0", ".a.localhost")
        .same_site("None")
        .secure(),
    Cookie {
        path: "/x/txt",
        ..Cookie::new("deep", "lent-deep-ba44", "a.localhost")
    },
];

type Seen = BTreeMap<String, BTreeSet<String>>;

fn seen(site: &Canary) -> Seen {
    let mut seen = Seen::new();
    for hit in site.hits() {
        seen.entry(key(&hit)).or_default().insert(cookies(&hit));
    }
    seen
}

fn key(hit: &Hit) -> String {
    let host = hit.header("host").split(':').next().unwrap_or_default();
    let mark = if hit.query.is_empty() { "" } else { "?" };
    let query = hit.query.rsplit('/').next().unwrap_or_default();
    format!("{} {host}{}{mark}{query}", hit.method, hit.path)
}

fn cookies(hit: &Hit) -> String {
    let mut names: Vec<&str> = hit.header("cookie").split("; ").collect();
    names.sort_unstable();
    names.join(" ")
}

/// The last of each chain of requests that a page starts.
const ENDS: &[(&str, &[&str])] = &[
    (
        "home",
        &[
            "GET a.localhost/x/txt/through-service",
            "GET a.localhost/x/png/through-service-img",
            "GET a.localhost/x/file/download",
            "GET a.localhost/x/png/popup-blank",
            "GET a.localhost/x/html/popup-noopener",
            "GET a.localhost/x/html/blank-opener",
            "GET a.localhost/x/js/nested-worker",
            "GET a.localhost/x/txt/shared-fetch",
            "GET a.localhost/x/txt/module-worker-fetch",
            "GET a.localhost/x/txt/worker-nested-sub.a.localhost-in-a.localhost",
            "GET a.localhost/x/txt/worker-nested-b.localhost-in-a.localhost",
            "POST a.localhost/x/html/form-post",
            "POST sub.a.localhost/x/txt/fetch-preflight",
            "GET b.localhost/x/txt/fetch-redirected-out",
        ],
    ),
    (
        "foreign",
        &[
            "GET a.localhost/x/file/download",
            "GET a.localhost/x/html/popup-redirected",
            "GET a.localhost/x/html/frame-redirected",
            "POST a.localhost/x/html/form-post",
            "POST a.localhost/x/html/form-post-top",
            "GET a.localhost/x/txt/worker-nested-a.localhost-in-a.localhost",
            "GET b.localhost/x/js/nested-worker",
        ],
    ),
];

/// What is fetched for the tab that is looked at, or later.
const UNSURE: &[&str] = &["/x/json/manifest", "/x/png/icon", "/x/html/navigated"];

/// Whether nothing in a request says that it takes no credentials along, though
/// it takes none.
fn asks_for_none(key: &str) -> bool {
    ["fetch-omit", "fetch-plain", "fetch-nocors", "anonymous"]
        .iter()
        .any(|mark| key.contains(mark))
}

/// A browser looks for new versions of a service worker's scripts when it likes.
fn looks_for_update(key: &str) -> bool {
    key.ends_with("/sw.js") || key.ends_with("/service-import")
}

/// Cookies that arrive though the browser's own jar would not have sent them.
fn is_excused(key: &str, cookie: &str) -> bool {
    // The whole browser of some distributions blocks third parties' cookies, a
    // setting of the person's and not a rule of the web.
    let for_others = cookie.starts_with("none=") || cookie.starts_with("wide=");
    for_others || asks_for_none(key) || looks_for_update(key)
}

/// Cookies that do not arrive though the browser's own jar would have sent them:
/// where who asks is not told for certain, another site is taken to ask.
fn is_missed(key: &str, cookie: &str) -> bool {
    // Workers of frames, and of no URL of their own.
    let worker = key.contains("/worker-") || key.contains("blob-worker");
    // `SameSite` left out counts as `Lax` from the start, not after two minutes.
    let two_minutes = key.contains("form-post-top") && cookie.starts_with("unset=");
    worker || two_minutes || looks_for_update(key)
}

fn difference<'a>(one: &'a str, other: &'a str) -> impl Iterator<Item = &'a str> {
    one.split(' ')
        .filter(move |cookie| !cookie.is_empty() && !other.split(' ').any(|o| o == *cookie))
}

async fn play(site: &Canary, cdp: &Cdp, host: &str, page: &str, more: &Seen) -> Seen {
    site.reset();
    let at = format!("{}/page/{page}", site.origin_as(host));
    let ends = ENDS.iter().find(|(name, _)| *name == page).unwrap().1;
    let page = cdp.open(&at).await;
    let missing = |hits: &[Hit]| {
        let came: BTreeSet<String> = hits.iter().map(key).collect();
        let expected = ends.iter().copied().chain(more.keys().map(String::as_str));
        expected
            .filter(|key| !came.contains(*key) && !looks_for_update(key))
            .filter(|key| !UNSURE.iter().any(|end| key.ends_with(end)))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let came = site.try_until(|hits| missing(hits).is_empty()).await;
    assert!(came.is_some(), "never came: {:#?}", missing(&site.hits()));
    let there = site.origin_as("a.localhost");
    page.evaluate(&format!("location.href = '{there}/x/html/navigated'"))
        .await;
    site.until(|hits| hits.iter().any(|hit| hit.path == "/x/html/navigated"))
        .await;
    let seen = seen(site);
    cdp.close_pages().await;
    seen
}

async fn compare(browser: &Path) {
    let site = site::start().await;
    let (_plain, control) = stage::plain(browser, LENT).await;
    let broker = stage::broker(browser);
    let lender = Lender::new(&broker, LENT).await;
    let a = site.origin_as("a.localhost");
    let names: Vec<&str> = LENT.iter().map(|cookie| cookie.name).collect();
    let scope = stage::scope(&site, &["a.localhost", "sub.a.localhost"]);
    let lent = lender.lend(&a, "wire", &names, &scope).await;
    let bare = lender
        .lend(&a, "wire", &[], &stage::scope(&site, &["b.localhost"]))
        .await;
    let (session, cdp) = lender.start(&[&lent, &bare]).await;
    let mut wrong = Vec::new();
    for (host, page) in [("a.localhost", "home"), ("b.localhost", "foreign")] {
        let want = play(&site, &control, host, page, &Seen::new()).await;
        let got = play(&site, &cdp, host, page, &want).await;
        for (key, want) in &want {
            let Some(got) = got.get(key) else {
                continue;
            };
            for got in got {
                let fits = want
                    .iter()
                    .any(|want| difference(got, want).all(|cookie| is_excused(key, cookie)));
                if !fits {
                    wrong.push(format!("{page}: {key} took `{got}` along, not {want:?}"));
                }
            }
            for want in want {
                let fits = got
                    .iter()
                    .any(|got| difference(want, got).all(|cookie| is_missed(key, cookie)));
                if !fits {
                    wrong.push(format!("{page}: {key} took {got:?} along, not `{want}`"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    lender.operator.end_session(&session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_shell_would_have_sent_is_what_is_sent() {
    compare(&stage::browsers()[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_whole_browser_would_have_sent_is_what_is_sent() {
    compare(&stage::browsers()[1]).await;
}
