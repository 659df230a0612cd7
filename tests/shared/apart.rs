//! Two sessions load the same site at the same time, in every way that a page can:
//! each request takes the cookie along that was lent to its own session.

use std::{collections::BTreeMap, path::Path};

use crate::{
    stage,
    support::canary::{self, Canary, Hit, Reply},
};

/// Ways that lead to a request; `TAG` becomes the session's.
const PAGE: &str = r#"<!doctype html>
<title>home</title>
<link rel=icon href="data:,">
<link rel=preload as=image href=/TAG/preload>
<link rel=stylesheet href=/TAG/css/style>
<img src=/TAG/img>
<iframe src=/TAG/html/frame></iframe>
<iframe srcdoc="<img src=/TAG/srcdoc-img>"></iframe>
<iframe src=http://b.localhost:PORT/TAG/html/cross></iframe>
<script>
fetch('/TAG/fetch');
navigator.sendBeacon('/TAG/beacon', 'x');
new EventSource('/TAG/events');
new Worker('/TAG/js/worker');
new Worker('/TAG/js/module', { type: 'module' });
new Worker(URL.createObjectURL(new Blob([`fetch('http://a.localhost:PORT/TAG/blob')`])));
new SharedWorker('/TAG/js/shared');
fetch('/TAG/keepalive', { keepalive: true });
fetch('/TAG/go', { credentials: 'include' });
open('/TAG/html/popup');
open('/TAG/html/popup-alone', '', 'noopener');
navigator.serviceWorker.register('/TAG/service')
  .then((at) => new Promise((done) => {
    const worker = at.installing || at.waiting || at.active;
    const look = () => { if (worker.state === 'activated') done(); };
    worker.onstatechange = look;
    look();
  }))
  .then(() => {
    const frame = document.createElement('iframe');
    frame.src = '/TAG/html/served';
    document.body.append(frame);
  });
</script>"#;

/// What is to arrive of each session, beside what leads there.
const ENDS: &[&str] = &[
    "preload",
    "css/style",
    "img",
    "html/frame",
    "frame-img",
    "srcdoc-img",
    "fetch",
    "beacon",
    "events",
    "js/worker",
    "worker-fetch",
    "js/module",
    "module-fetch",
    "shared-fetch",
    "keepalive",
    "gone",
    "html/popup",
    "popup-img",
    "html/popup-alone",
    "popup-alone-img",
    "service-fetch",
    "served-img",
    "html/cross",
    "cross-img",
];

/// Of these a browser may send no cookie, whosever it is.
const BARE: &[&str] = &[
    // Another site is above, or may be.
    "html/cross",
    "cross-img",
    "blob",
    // Scripts of workers are looked at again when the browser likes.
    "service",
    "js/shared",
];

fn routes(hit: &Hit) -> Reply {
    let port = hit.header("host").rsplit(':').next().unwrap_or_default();
    let (tag, rest) = hit
        .path
        .trim_start_matches('/')
        .split_once('/')
        .unwrap_or_default();
    let text = |text: &str| text.replace("TAG", tag).replace("PORT", port);
    let script = |body: &str| canary::typed("text/javascript", text(body));
    match rest {
        "home" => canary::html(text(PAGE)),
        "go" => canary::redirect(&format!("/{tag}/gone")),
        "js/worker" => script("fetch('/TAG/worker-fetch')"),
        "js/module" => script("fetch('/TAG/module-fetch')"),
        "js/shared" => script("fetch('/TAG/shared-fetch')"),
        "service" => script(
            "oninstall = () => skipWaiting(); onactivate = (e) => e.waitUntil(clients.claim()); onfetch = (e) => e.respondWith(fetch(e.request)); fetch('/TAG/service-fetch')",
        ),
        "css/style" => canary::typed("text/css", ""),
        "events" => canary::typed("text/event-stream", "data: 1\n\n"),
        _ => match rest.strip_prefix("html/") {
            Some(name) => canary::html(text(&format!(
                "<title>page</title><link rel=icon href='data:,'><img src=http://a.localhost:PORT/TAG/{name}-img>"
            ))),
            None => canary::text("here"),
        },
    }
}

async fn each_takes_its_own_along(browser: &Path) {
    let site = Canary::start(routes).await;
    let broker = stage::broker(browser);
    let (operator, tenants) = stage::two(&broker, &site, "wire").await;
    let mut pages = Vec::new();
    for (tenant, tag) in tenants.iter().zip(["one", "two"]) {
        let home = format!("{}/{tag}/home", site.origin_as("a.localhost"));
        let params = serde_json::json!({ "url": home });
        pages.push(tenant.cdp.ask("Target.createTarget", params));
    }
    futures_util::future::join_all(pages).await;
    let missing = |hits: &[Hit]| {
        let all = ["one", "two"]
            .iter()
            .flat_map(|tag| ENDS.iter().map(move |end| format!("/{tag}/{end}")));
        all.filter(|path| !hits.iter().any(|hit| hit.path == *path))
            .collect::<Vec<_>>()
    };
    let came = site.try_until(|hits| missing(hits).is_empty()).await;
    let hits = came.unwrap_or_else(|| panic!("never came: {:#?}", missing(&site.hits())));
    let mut counts = BTreeMap::new();
    for hit in &hits {
        let (tag, rest) = hit.path.trim_start_matches('/').split_once('/').unwrap();
        let own = format!("sid-{tag}=value-{tag}-");
        let cookie = hit.header("cookie");
        let bare = cookie.is_empty() && BARE.contains(&rest);
        assert!(
            cookie.starts_with(&own) || bare,
            "{}: {cookie:?}",
            hit.line()
        );
        assert!(!cookie.contains(';'), "{}: {cookie:?}", hit.line());
        *counts.entry(tag.to_owned()).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 2, "{counts:?}");
    for tenant in &tenants {
        operator.end_session(&tenant.session).await;
    }
}

/// A handshake is not paused: what goes along is in the session's own jar.
async fn sockets_take_their_own_along(browser: &Path) {
    let site = Canary::start(routes).await;
    let broker = stage::broker(browser);
    let (operator, tenants) = stage::two(&broker, &site, "jar").await;
    for (tenant, tag) in tenants.iter().zip(["one", "two"]) {
        let page = tenant
            .cdp
            .open(&format!(
                "{}/{tag}/html/socket",
                site.origin_as("a.localhost")
            ))
            .await;
        page.until("document.title == 'page'").await;
        let address = site.origin_as("a.localhost").replace("http", "ws");
        let open = format!(
            "new Promise((done, fail) => {{ const s = new WebSocket('{address}/{tag}/ws'); s.onopen = () => done('open'); s.onerror = () => fail('no socket'); }})"
        );
        assert_eq!(page.evaluate(&open).await, "open");
        let hits = site.hits_on(&format!("/{tag}/ws"));
        let cookie = hits[0].header("cookie");
        assert!(
            cookie.starts_with(&format!("sid-{tag}=value-{tag}-")),
            "{cookie}"
        );
        assert!(!cookie.contains(';'), "{cookie}");
    }
    // Closing one's window cuts its socket and leaves the other's.
    let [one, two] = &tenants;
    operator.revoke(&one.delegation).await;
    site.until_closed(|hit| hit.path == "/one/ws").await;
    assert!(site.open().iter().any(|hit| hit.path == "/two/ws"));
    operator.end_session(&two.session).await;
    site.until_closed(|hit| hit.path == "/two/ws").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_session_of_the_shell_takes_its_own_cookie_along() {
    each_takes_its_own_along(&stage::browsers()[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_session_of_the_whole_browser_takes_its_own_cookie_along() {
    each_takes_its_own_along(&stage::browsers()[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_socket_takes_its_own_cookie_along() {
    for browser in stage::browsers() {
        sockets_take_their_own_along(&browser).await;
    }
}
