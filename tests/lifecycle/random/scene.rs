//! A round's agent, its sessions and their pages on the site.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use reqwest::Method;
use serde_json::{Value, json};

use super::{draw::Round, work::Work, world::World};
use crate::{
    stage,
    support::{
        api::{Agent, Api, Session},
        cdp::{Cdp, Page},
        process::{self, Known},
    },
};

/// A session, and where it runs.
#[derive(Debug, Clone)]
pub struct Placed {
    pub session: Session,
    pub trace: String,
    /// The folder of its browser.
    pub cell: PathBuf,
    /// That browser's processes.
    pub family: HashSet<Known>,
}

#[derive(Debug, Clone)]
pub struct Scene {
    pub operator: Api,
    pub by_agent: Api,
    pub agent: Agent,
    /// Where the round's own part of the site begins.
    pub base: String,
    /// The same as a path.
    pub path: String,
    pub jar: bool,
    pub lent: String,
    pub placed: Vec<Placed>,
    pub pages: Vec<Page>,
    broker: u32,
}

impl Scene {
    /// One session at work, or two where it takes two.
    pub async fn set(world: &World, round: &Round) -> Self {
        let operator = world.broker().operator();
        let agent = operator
            .add_agent(&format!("clerk-{}", world.agents()))
            .await;
        let path = format!("/r{}", round.number);
        let mut scene = Self {
            by_agent: world.broker().agent(&agent.key),
            operator,
            agent,
            base: format!("{}{path}", world.site.origin()),
            path,
            jar: round.jar,
            lent: String::new(),
            placed: Vec::new(),
            pages: Vec::new(),
            broker: world.broker().pid(),
        };
        let made = scene.operator.post("/v1/delegations", &scene.ask()).await;
        scene.lent = made["id"].as_str().unwrap().to_owned();
        scene.operator.approve(&scene.lent).await;
        let sessions = if round.work == Work::Together { 2 } else { 1 };
        for _ in 0..sessions {
            let session = scene
                .operator
                .start_session(&scene.agent, &[&scene.lent])
                .await;
            let page = scene.open(&session).await;
            page.ask("Network.enable", json!({})).await;
            let placed = scene.place(session, &world.broker().data_dir).await;
            scene.placed.push(placed);
            scene.pages.push(page);
        }
        scene
    }

    /// The request for a window on the site.
    pub fn ask(&self) -> Value {
        let origin = self.base.trim_end_matches(&self.path);
        let delivery = if self.jar { "jar" } else { "wire" };
        json!({
            "agent": self.agent.id,
            "purpose": "look after the tickets of the day",
            "cookies": [{ "name": "sid", "origin": origin, "delivery": delivery }],
            "scope": {
                "origins": [origin],
                "methods": ["GET", "HEAD", "POST", "DELETE"],
                "writes": "allow",
            },
            "window": { "duration": "10m" },
        })
    }

    /// A new connection, with a page of its own that does something.
    pub async fn open(&self, session: &Session) -> Page {
        let cdp = Cdp::connect(&session.cdp_url).await;
        let page = cdp.open(&format!("{}/page", self.base)).await;
        page.until("document.title === 'desk'").await;
        page
    }

    /// A new session. One that was to have a browser that has just been killed says
    /// to try again, and so this does.
    pub async fn start_over(&self) -> Session {
        let begun = Instant::now();
        loop {
            let lent = [self.lent.as_str()];
            match self.operator.try_start_session(&self.agent, &lent).await {
                Ok(session) => return session,
                Err((status, text)) => {
                    assert!(status == 503 && begun.elapsed() < stage::LIMIT, "{text}");
                }
            }
        }
    }

    /// Lets go of the agent's connections without a word.
    pub fn cut(&mut self) {
        self.pages.clear();
    }

    /// Talks to the broker that runs now.
    pub fn now(&mut self, world: &World) {
        self.operator = world.broker().operator();
        self.by_agent = world.broker().agent(&self.agent.key);
        self.broker = world.broker().pid();
    }

    pub async fn session(&self, id: &str) -> Value {
        self.operator.get(&format!("/v1/sessions/{id}")).await
    }

    /// How the window stands.
    pub async fn phase(&self, delegation: &str) -> Value {
        let path = format!("/v1/delegations/{delegation}");
        self.operator.get(&path).await["phase"].clone()
    }

    /// A command to the first page.
    pub async fn command(&self, method: &str, params: Value) -> Option<Value> {
        let page = &self.pages[0];
        let answer = page.cdp.answer(Some(&page.session), method, params);
        answer.await?.ok()
    }

    /// Evaluates a promise; none if it fails.
    pub async fn evaluate(&self, page: &Page, expression: &str) -> Option<()> {
        let params = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
            "userGesture": true,
        });
        let answer = page
            .cdp
            .answer(Some(&page.session), "Runtime.evaluate", params);
        let done = answer.await?.ok()?;
        done.get("exceptionDetails").is_none().then_some(())
    }

    /// The first processes of the broker's browsers, one that is just being
    /// started included.
    pub fn browsers(&self) -> Vec<Known> {
        let mut found: Vec<Known> = process::children(self.broker).into_iter().collect();
        found.sort_by_key(|known| known.pid);
        found
    }

    /// A file that is handed in lies in the folder of the session's browser.
    async fn place(&self, session: Session, data: &Path) -> Placed {
        let mark = format!("mark-{}", session.id);
        let path = format!("/v1/sessions/{}/uploads?name={mark}", session.id);
        self.operator
            .bytes(Method::POST, &path, b"here".to_vec())
            .await;
        let cells = fs::read_dir(data.join("cells")).unwrap().flatten();
        let cell = cells
            .map(|cell| cell.path())
            .find(|cell| holds(cell, &mark, 4))
            .unwrap_or_else(|| panic!("{mark} is in no cell"));
        let trace = self.session(&session.id).await["trace"].clone();
        Placed {
            trace: trace.as_str().unwrap().to_owned(),
            family: self.family(&cell),
            session,
            cell,
        }
    }

    /// All processes of the browser in that folder.
    pub fn family(&self, cell: &Path) -> HashSet<Known> {
        let named = cell.display().to_string();
        let mut browsers = self.browsers();
        browsers.retain(|known| known.command().contains(&named));
        let below = browsers
            .iter()
            .flat_map(|known| process::descendants(u32::try_from(known.pid).unwrap()));
        let mut family: HashSet<Known> = below.collect();
        family.extend(browsers);
        family
    }
}

/// Whether a file of that name lies so deep in a folder.
fn holds(folder: &Path, name: &str, depth: usize) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    let mut entries = entries.flatten();
    entries.any(|entry| {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        entry.file_name() == *name
            || (is_folder && depth > 0 && holds(&entry.path(), name, depth - 1))
    })
}
