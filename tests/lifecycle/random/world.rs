//! The broker under its blows, the site that counts, and what must hold of both.

use std::{cell::Cell, collections::HashSet};

use serde_json::{Value, json};

use super::{
    draw::Setup,
    scene::{Placed, Scene},
};
use crate::{
    stage::{self, VALUE},
    support::{
        api::Session,
        broker::Broker,
        canary::{self, Canary, Hit, Reply},
        process::{self, Known},
    },
};

/// The page keeps asking, so that whatever lets it through is seen to.
const PAGE: &str = "<!doctype html><title>desk</title><link rel=icon href='data:,'>
<script>setInterval(() => fetch('tick').catch(() => 0), 40)</script>
<form method=post action=save target=below><input name=note value=x></form>
<iframe name=below></iframe><a href=file download>file</a><input type=file>";

pub struct World {
    pub site: Canary,
    broker: Option<Broker>,
    pub setup: Setup,
    agents: Cell<u32>,
}

impl World {
    pub async fn new(setup: Setup) -> Self {
        let world = Self {
            site: Canary::start(routes).await,
            broker: Some(Broker::start(&config(setup))),
            setup,
            agents: Cell::new(0),
        };
        let state = json!({ "origins": [], "cookies": [{
            "name": "sid", "value": VALUE, "domain": "127.0.0.1", "path": "/",
            "expires": -1, "httpOnly": true, "secure": false, "sameSite": "Lax",
        }]});
        world.broker().operator().import_storage_state(&state).await;
        world
    }

    pub fn broker(&self) -> &Broker {
        self.broker.as_ref().unwrap()
    }

    /// How many agents there were, this one included.
    pub fn agents(&self) -> u32 {
        self.agents.set(self.agents.get() + 1);
        self.agents.get()
    }

    /// Ends the broker in an orderly way and starts it with this, if it is not.
    pub fn set_up(&mut self, setup: Setup) {
        if self.setup != setup {
            let folder = self.broker.take().unwrap().finish();
            self.start(folder, setup);
        }
    }

    /// Kills the broker. Nothing that it started may outlive it.
    pub fn crash(&mut self) -> tempfile::TempDir {
        self.broker.take().unwrap().crash()
    }

    /// The next start, in the folder that the last one left.
    pub fn start(&mut self, folder: tempfile::TempDir, setup: Setup) {
        self.broker = Some(Broker::start_in(folder, &config(setup)));
        self.setup = setup;
    }

    /// Requests that came with what was lent, for which `which` holds.
    pub fn lent(&self, which: impl Fn(&Hit) -> bool) -> Vec<String> {
        let mut hits = self.site.hits();
        hits.retain(|hit| hit.cookie("sid") == Some(VALUE) && which(hit));
        hits.iter().map(Hit::line).collect()
    }

    /// Whatever was sent to the site has come, and its connections are gone.
    pub async fn all_came(&self) {
        assert!(
            self.site.until_left().await,
            "connections to the site outlive who may use them"
        );
    }

    /// Of ended sessions no process and no profile is left.
    pub fn nothing_is_left(&self, scene: &Scene) {
        let gone =
            |placed: &Placed| !placed.cell.exists() && !placed.family.iter().any(Known::is_running);
        let done = process::until(stage::LIMIT, || {
            scene.placed.iter().all(gone) && self.strays(scene).is_empty()
        });
        assert!(
            done,
            "left: {:?}; strays: {:?}",
            scene
                .placed
                .iter()
                .filter(|one| !gone(one))
                .collect::<Vec<_>>(),
            self.strays(scene)
        );
    }

    /// Browsers and folders beyond the one that is kept warm; folders without a
    /// browser; processes on the data folder that are not the broker's.
    fn strays(&self, scene: &Scene) -> Vec<String> {
        let data = &self.broker().data_dir;
        let warm = usize::from(self.setup == Setup::Warm);
        let browsers: Vec<(Known, String)> = scene
            .browsers()
            .into_iter()
            .map(|known| (known.clone(), known.command()))
            .collect();
        let cells = stage::profiles(data);
        let mut strays: Vec<String> = Vec::new();
        let served = |cell: &String| browsers.iter().any(|(_, command)| command.contains(cell));
        strays.extend(cells.iter().filter(|cell| !served(cell)).cloned());
        if browsers.len() > warm {
            strays.extend(browsers.iter().map(|(_, command)| command.clone()));
        }
        let mut owned: HashSet<i32> = process::descendants(self.broker().pid())
            .iter()
            .map(|known| known.pid)
            .collect();
        owned.insert(i32::try_from(self.broker().pid()).unwrap());
        let named = process::with_argument(&data.display().to_string());
        let foreign = named.iter().filter(|known| !owned.contains(&known.pid));
        strays.extend(foreign.map(Known::command));
        strays
    }

    /// The traces of a round's sessions verify, and hold what was read before and
    /// each write that arrived.
    pub async fn traces_hold(&self, scene: &Scene, read: &[Vec<String>]) {
        let mut on_record = Vec::new();
        for (at, placed) in scene.placed.iter().enumerate() {
            let before = read.get(at).map_or(&[][..], Vec::as_slice);
            let path = format!("/v1/traces/{}/verify", placed.trace);
            let verdict = scene.operator.get(&path).await;
            assert_eq!(verdict["intact"], true, "{verdict}");
            let after = records(scene, placed).await;
            assert!(
                after.starts_with(before),
                "{} of {} records that were told before are not there any more",
                before.len(),
                after.len()
            );
            on_record.extend(after);
        }
        let wrote = |hit: &&Hit| hit.method == "POST" && hit.path.starts_with(&scene.path);
        let arrived = self.site.hits().iter().filter(wrote).count();
        let save = format!("POST {}/save", scene.base);
        let recorded = on_record.iter().filter(|record| record.contains(&save));
        let recorded = recorded.count();
        assert!(
            arrived <= recorded,
            "{arrived} writes, {recorded} on record"
        );
    }

    pub fn verified(&self) -> Value {
        stage::verified(self.broker())
    }
}

/// The records of a session that can be read now.
pub async fn records(scene: &Scene, placed: &Placed) -> Vec<String> {
    let path = format!("/v1/traces/{}/records", placed.trace);
    let text = scene.operator.get_text(&path).await;
    text.lines().map(str::to_owned).collect()
}

/// Ends all sessions of the round's agent.
pub async fn end_all(scene: &Scene) {
    let listed = scene.by_agent.get("/v1/sessions").await;
    for session in listed["sessions"].as_array().unwrap() {
        let session = Session {
            id: session["id"].as_str().unwrap().to_owned(),
            cdp_url: String::new(),
            token: String::new(),
        };
        scene.operator.end_session(&session).await;
        let shown = scene.session(&session.id).await;
        assert_eq!(shown["status"], "ended", "{shown}");
    }
}

fn config(setup: Setup) -> String {
    let cell = match setup {
        Setup::Cold => "warm = 0",
        Setup::Warm => "warm = 1",
        Setup::Shared => "warm = 0\nisolation = \"shared\"",
    };
    format!("[cell]\n{cell}\n")
}

fn routes(hit: &Hit) -> Reply {
    match hit.path.rsplit('/').next().unwrap_or_default() {
        "page" => canary::html(PAGE),
        "stream" => canary::endless("text/plain", "piece after piece "),
        "file" => canary::attachment("file.bin", vec![b'x'; 500_000]),
        _ => canary::html("done"),
    }
}
