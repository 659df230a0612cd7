//! A broker with a site to work on, and the same browser without Hallpass.

use std::{future::Future, time::Duration};

use hallpass::browser::discover::{Browser, discover};
use serde_json::json;

use super::runtime;
use crate::support::{
    api::{Agent, Api, Lend, Session},
    broker::Broker,
    canary::{self, Canary, Hit, Reply},
    chromium::PlainChromium,
    process,
    site::SESSION,
    tools,
};

/// What the lent cookie holds.
const VALUE: &str = "s3ss10n-of-the-bench-7d20";

/// The browser that both sides use.
pub fn browser() -> Browser {
    tools::headless_shell();
    runtime().block_on(discover(None)).unwrap()
}

/// A broker, its operator and one agent.
#[derive(Debug)]
pub struct Hallpass {
    pub operator: Api,
    pub agent: Agent,
    pub broker: Broker,
}

impl Hallpass {
    pub async fn start(config: &str) -> Self {
        let broker = Broker::start(config);
        let operator = broker.operator();
        let state = json!({ "origins": [], "cookies": [{
            "name": SESSION, "value": VALUE, "domain": "127.0.0.1", "path": "/",
            "expires": -1, "httpOnly": true, "secure": false, "sameSite": "Lax",
        }]});
        operator.import_storage_state(&state).await;
        let agent = operator.add_agent("stopwatch").await;
        Self {
            operator,
            agent,
            broker,
        }
    }

    /// A window on the site; answers its id.
    pub async fn lend(&self, site: &Canary, with_cookie: bool) -> String {
        let cookie = [Lend {
            name: SESSION,
            delivery: "wire",
        }];
        let lent: &[Lend<'_>] = if with_cookie { &cookie } else { &[] };
        self.operator
            .delegate(&self.agent, &site.origin(), lent, &["GET", "HEAD"])
            .await
    }

    /// A session with one such window.
    pub async fn session(&self, site: &Canary, with_cookie: bool) -> Session {
        let delegation = self.lend(site, with_cookie).await;
        self.operator
            .start_session(&self.agent, &[&delegation])
            .await
    }

    /// Waits until so many browsers of the broker run.
    pub fn until_cells(&self, count: usize) {
        let is_there = || self.cells().len() >= count;
        assert!(
            process::until(Duration::from_mins(1), is_there),
            "no warm cell"
        );
        // Running is not warm; how far it is cannot be seen from here.
        std::thread::sleep(Duration::from_secs(2));
    }

    /// The main processes of its browsers.
    pub fn cells(&self) -> Vec<process::Known> {
        process::descendants(self.broker.pid())
            .into_iter()
            .filter(|known| {
                let command = known.command();
                command.contains("--remote-debugging-pipe") && !command.contains("--type=")
            })
            .collect()
    }
}

/// A plain browser, started off the asynchronous threads.
pub async fn plain(browser: &Browser) -> PlainChromium {
    let browser = browser.clone();
    tokio::task::spawn_blocking(move || PlainChromium::like_a_cell(&browser))
        .await
        .unwrap()
}

/// Runs to the end on a runtime of its own.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    runtime().block_on(work)
}

/// A site with a blank page, two heavy ones and a large file.
///
/// `/page?n=N&size=S&wait=W` has N sub-resources of S bytes, each of which its
/// load event waits for, and which the site answers after W milliseconds.
pub async fn site() -> Canary {
    let block = bytes::Bytes::from(vec![b' '; 1 << 16]);
    Canary::start(move |hit| answer(hit, &block)).await
}

fn answer(hit: &Hit, block: &bytes::Bytes) -> Reply {
    let number = |name: &str| {
        url::form_urlencoded::parse(hit.query.as_bytes())
            .find(|(key, _)| key == name)
            .and_then(|(_, value)| value.parse::<usize>().ok())
            .unwrap_or_default()
    };
    let reply = match hit.path.as_str() {
        "/" => canary::html("<!doctype html><title>Desk</title><link rel=icon href='data:,'>"),
        "/page" => canary::html(page(
            number("n"),
            number("size"),
            number("wait"),
            number("round"),
        )),
        "/part.js" => canary::typed("text/javascript", block.slice(..number("size"))),
        "/part.css" => canary::typed("text/css", block.slice(..number("size"))),
        "/part.svg" => {
            let mut image = br#"<svg xmlns="http://www.w3.org/2000/svg"/>"#.to_vec();
            image.resize(number("size").max(image.len()), b' ');
            canary::typed("image/svg+xml", image)
        }
        _ => canary::not_found(),
    };
    let reply = canary::with(reply, "cache-control", "no-store");
    match number("wait") as u64 {
        0 => reply,
        wait => canary::after(Duration::from_millis(wait), reply),
    }
}

fn page(parts: usize, size: usize, wait: usize, round: usize) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("<!doctype html><title>Parts</title><link rel=icon href='data:,'>");
    for part in 0..parts {
        let query = format!("?size={size}&wait={wait}&round={round}&part={part}");
        match part % 5 {
            0 => writeln!(text, "<link rel=stylesheet href='/part.css{query}'>"),
            1 | 2 => writeln!(text, "<script src='/part.js{query}'></script>"),
            _ => writeln!(text, "<img src='/part.svg{query}'>"),
        }
        .unwrap();
    }
    text
}
