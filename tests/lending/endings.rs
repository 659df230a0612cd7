//! When a window is said to be closed it is: no request that carries what was
//! lent arrives at the site after the answer, whatever was under way.

use std::{path::Path, time::Duration};

use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    site,
    stage::{self, Cookie, Lender},
    support::{
        api::Session,
        broker::Broker,
        canary::{Canary, Hit},
        cdp::{Cdp, Page},
    },
};

/// Longest wait for a page to go on.
const LIMIT: Duration = Duration::from_secs(30);

/// Every window lends a pair of its own, so that one session sees many close.
struct Window {
    delegation: String,
    wire: Cookie,
    jar: Cookie,
}

struct Busy {
    site: Canary,
    lender: Lender,
    session: Session,
    page: Page,
    windows: Vec<Window>,
    cdp: Cdp,
}

impl Busy {
    async fn start(broker: &Broker, rounds: usize, window: &str) -> Self {
        let site = site::start().await;
        let a = site.origin_as("a.localhost");
        let scope = stage::scope(&site, &["a.localhost"]);
        let cookie = |name: String| {
            let value = format!("{name}-{}", Uuid::new_v4());
            Cookie::new(name.leak(), value.leak(), "a.localhost").same_site("Lax")
        };
        let pairs: Vec<(Cookie, Cookie)> = (0..rounds)
            .map(|n| (cookie(format!("wire{n}")), cookie(format!("jar{n}"))))
            .collect();
        let all: Vec<Cookie> = pairs.iter().flat_map(|(wire, jar)| [*wire, *jar]).collect();
        let lender = Lender::new(broker, &all).await;
        // Keeps the origin in scope when all else is over.
        let bare = lender.lend(&a, "wire", &[], &scope).await;
        let mut windows = Vec::new();
        for (wire, jar) in pairs {
            let ask = json!({
                "agent": lender.agent.id,
                "purpose": "keep the desk busy",
                "cookies": [
                    { "name": wire.name, "origin": a, "delivery": "wire" },
                    { "name": jar.name, "origin": a, "delivery": "jar" },
                ],
                "scope": scope,
                "window": { "duration": window },
            });
            let made = lender.operator.post("/v1/delegations", &ask).await;
            let delegation = made["id"].as_str().unwrap().to_owned();
            lender.operator.approve(&delegation).await;
            windows.push(Window {
                delegation,
                wire,
                jar,
            });
        }
        let bound: Vec<&str> = std::iter::once(&bare)
            .chain(windows.iter().map(|window| &window.delegation))
            .map(String::as_str)
            .collect();
        let (session, cdp) = lender.start(&bound).await;
        let page = cdp.open(&format!("{a}/page/loops")).await;
        Self {
            site,
            lender,
            session,
            page,
            windows,
            cdp,
        }
    }

    /// The next window to close, once everything is being done with it.
    async fn next(&mut self) -> Window {
        let window = self.windows.pop().unwrap();
        self.page.until("window.socket?.readyState === 1").await;
        self.site.reset();
        self.page
            .evaluate("document.getElementById('file').click(); window.socket.close()")
            .await;
        let wanted = [
            ("/x/slow/window", &window.wire, 2),
            ("/x/slow/worker", &window.wire, 2),
            ("/x/slow/service", &window.wire, 2),
            ("/x/socket/open", &window.jar, 1),
            ("/x/endless/file", &window.wire, 1),
        ];
        let missing = |hits: &[Hit]| {
            let carried = |path: &str, cookie: &Cookie| {
                hits.iter()
                    .filter(|hit| hit.path == path && hit.cookie(cookie.name) == Some(cookie.value))
                    .count()
            };
            wanted
                .iter()
                .filter(|(path, cookie, times)| carried(path, cookie) < *times)
                .map(|(path, ..)| *path)
                .collect::<Vec<_>>()
        };
        let came = self.site.try_until(|hits| missing(hits).is_empty()).await;
        assert!(
            came.is_some(),
            "never came with both cookies: {:?}; files: {:?}",
            missing(&self.site.hits()),
            self.site.hits_on("/x/endless/file")
        );
        self.page.until("window.socket?.readyState === 1").await;
        assert!(self.site.open().len() >= 2);
        window
    }

    /// What came with the window's credentials after `before` hits.
    async fn late(&self, window: &Window, before: usize) -> Vec<String> {
        // The page goes on: what was held back somewhere comes before this.
        let mark = Uuid::new_v4();
        let path = format!("/x/txt/{mark}");
        // With the last window that lends here, the page is sent anew.
        let mark = format!("fetch('{path}').then(() => 0, () => 0)");
        timeout(LIMIT, async {
            while self.site.hits_on(&path).is_empty() {
                self.page.try_evaluate(&mark).await.ok();
            }
        })
        .await
        .unwrap_or_else(|_| panic!("the page reached nothing within {LIMIT:?}"));
        window.late(&self.site.hits()[before..])
    }
}

impl Window {
    fn is_carried(&self, hit: &Hit) -> bool {
        let header = hit.header("cookie");
        header.contains(self.wire.value) || header.contains(self.jar.value)
    }

    /// Which of these carried what it lent, and came too late. What lay at the
    /// site when its connection was cut had come in time: the site looked late.
    fn late(&self, hits: &[Hit]) -> Vec<String> {
        let late = |hit: &&Hit| self.is_carried(hit) && !hit.lay;
        hits.iter().filter(late).map(Hit::line).collect()
    }
}

async fn revoke_while_busy(browser: &Path, rounds: usize) {
    let broker = stage::broker(browser);
    let mut busy = Busy::start(&broker, rounds, "10m").await;
    let mut late = Vec::new();
    for round in 0..rounds {
        let window = busy.next().await;
        let delegation = &window.delegation;
        if round % 2 == 0 {
            busy.lender.operator.revoke(delegation).await;
        } else {
            let path = format!("/v1/delegations/{delegation}/complete");
            broker
                .agent(&busy.lender.agent.key)
                .post(&path, &json!({}))
                .await;
        }
        let before = busy.site.hits().len();
        busy.site.until_closed(|hit| window.is_carried(hit)).await;
        let more = busy.late(&window, before).await;
        late.extend(more.into_iter().map(|hit| format!("round {round}: {hit}")));
    }
    assert_eq!(late, Vec::<String>::new());
    busy.lender.operator.end_session(&busy.session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_lent_arrives_after_the_shells_window_closed() {
    revoke_while_busy(&stage::browsers()[0], 25).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_lent_arrives_after_the_whole_browsers_window_closed() {
    revoke_while_busy(&stage::browsers()[1], 25).await;
}

/// Everything of the only window: its cookies, and nothing else in scope.
async fn lock_while_busy(browser: &Path, rounds: usize) {
    let broker = stage::broker(browser);
    for round in 0..rounds {
        let mut busy = Busy::start(&broker, 1, "10m").await;
        let window = busy.next().await;
        let lock = if round % 2 == 0 {
            json!({ "agent": busy.lender.agent.id, "reason": "it misbehaves" })
        } else {
            json!({ "origin": busy.site.origin_as("a.localhost"), "reason": "it is attacked" })
        };
        busy.lender.operator.post("/v1/locks", &lock).await;
        let before = busy.site.hits().len();
        busy.site.until_closed(|hit| window.is_carried(hit)).await;
        let late = window.late(&busy.site.hits()[before..]);
        assert_eq!(late, Vec::<String>::new(), "round {round}");
        busy.cdp.until_closed().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_lent_arrives_after_a_lock() {
    lock_while_busy(&stage::browsers()[0], 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_lent_arrives_after_a_window_ran_out() {
    let broker = stage::broker(&stage::browsers()[0]);
    for round in 0..3 {
        let mut busy = Busy::start(&broker, 1, "7s").await;
        let window = busy.next().await;
        let path = format!("/v1/delegations/{}", window.delegation);
        // Stored once nothing lent is under way any more.
        while busy.lender.operator.get(&path).await["state"]["status"] != "closed" {
            tokio::task::yield_now().await;
        }
        let before = busy.site.hits().len();
        let late = busy.late(&window, before).await;
        assert_eq!(late, Vec::<String>::new(), "round {round}");
        busy.lender.operator.end_session(&busy.session).await;
    }
}
