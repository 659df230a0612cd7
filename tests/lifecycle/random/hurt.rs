//! Blows at a browser's processes, and what they hit.

use super::{
    draw::{Blow, Round},
    scene::{Placed, Scene},
    work::Work,
};
use crate::{
    stage,
    support::process::{self, Known},
};

/// What a blow hit.
#[derive(Debug, Default)]
pub struct Hurt {
    /// None where it was not ready: it has no page, and is given to no session.
    browser: Option<Known>,
    /// Its command names its folder.
    command: String,
    /// The kind of its process that was struck.
    pub kind: String,
}

impl Hurt {
    pub fn hits(&self, placed: &Placed) -> bool {
        let name = placed.cell.file_name().unwrap().to_string_lossy();
        self.command.contains(&*name)
    }

    /// Whether a browser cannot go on without what was struck.
    pub fn is_mortal(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "" | "zygote" | "network.mojom.NetworkService"
        )
    }

    /// Also of one that no session is in. Who starts one until then may be given it,
    /// and lose it again.
    pub fn takes_effect(&self) {
        let Some(browser) = self.browser.as_ref().filter(|_| self.is_mortal()) else {
            return;
        };
        assert!(
            process::until(stage::LIMIT, || !browser.is_running()),
            "it lives on without its {}: {}",
            self.kind,
            self.command
        );
    }
}

/// Kills a process of a browser. Where one is being made ready, it is that one's.
pub fn hit(scene: &Scene, round: &Round, known: &[Known]) -> Hurt {
    let mut browsers = scene.browsers();
    if round.work == Work::Warm && browsers.iter().any(|one| !known.contains(one)) {
        browsers.retain(|one| !known.contains(one));
    }
    // The work itself may have ended the only one, and so a process of it.
    let Some(browser) = browsers.get(round.pick % browsers.len().max(1)) else {
        return Hurt::default();
    };
    let below = process::descendants(u32::try_from(browser.pid).unwrap());
    let mut below: Vec<Known> = below.into_iter().collect();
    below.sort_by_key(|one| one.pid);
    let victim = match round.blow {
        Blow::Process if !below.is_empty() => &below[round.pick / 7 % below.len()],
        _ => browser,
    };
    let is_ready = below.iter().any(|one| kind(one) == "renderer");
    if victim.command().is_empty() {
        return Hurt::default();
    }
    let hurt = Hurt {
        browser: is_ready.then(|| browser.clone()),
        command: browser.command(),
        kind: kind(victim),
    };
    let is_used = scene.placed.iter().any(|placed| hurt.hits(placed));
    println!(
        "round {}: struck the {} of a browser that is {}",
        round.number,
        if hurt.kind.is_empty() {
            "first process"
        } else {
            &hurt.kind
        },
        if is_used { "in use" } else { "kept warm" }
    );
    victim.kill();
    hurt
}

/// The kind of a browser's process; empty for its first.
fn kind(process: &Known) -> String {
    let command = process.command();
    let named = |name: &str| {
        let mut words = command.split_whitespace();
        words.find_map(|word| Some(word.strip_prefix(name)?.to_owned()))
    };
    named("--utility-sub-type=")
        .or_else(|| named("--type="))
        .unwrap_or_default()
}
