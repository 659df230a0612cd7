//! What a session that does nothing costs: memory of the broker alone, and of
//! its browser.

use super::{
    Group, Scale,
    cdp::Cdp,
    table::{Samples, Unit},
    world::{self, Hallpass},
};
use crate::support::process;

const BROKER: &str = "broker memory of an idle session (RSS)";
const BROWSER: &str = "browser memory of an idle page (PSS)";
const STATES: &[&str] = &["no client", "client attached"];
const BROWSERS: &[&str] = &["plain", "hallpass"];

pub const GROUP: Group = Group {
    name: "idle",
    rows: &[(BROKER, STATES), (BROWSER, BROWSERS)],
    run,
};

fn run(scale: Scale) -> Vec<Samples> {
    let browser = world::browser();
    world::run(async {
        let count = scale.of(3, 200);
        let site = world::site().await;
        let config = "[cell]\nwarm = 0\n[session]\nmax = 300\ngrace = \"10m\"\n[agent]\nsessions = 300\nwindows = 300\n";
        let broker = Hallpass::start(config).await;
        let plain = world::plain(&browser).await;
        let _page = Cdp::new_page(&plain.cdp_url).await;
        let mut broker_memory = Samples::each(BROKER, STATES, Unit::Kibibytes);
        let mut browser_memory = Samples::each(BROWSER, BROWSERS, Unit::Kibibytes);
        // The first ones touch what all share.
        let mut sessions = Vec::new();
        let mut clients = Vec::new();
        for _ in 0..scale.of(1, 3) {
            let session = broker.session(&site, true).await;
            clients.push(Cdp::first_page(&session.cdp_url).await);
        }
        let before = resident(broker.broker.pid());
        for _ in 0..count {
            sessions.push(broker.session(&site, true).await);
        }
        let started = resident(broker.broker.pid());
        for session in &sessions {
            clients.push(Cdp::first_page(&session.cdp_url).await);
        }
        let attached = resident(broker.broker.pid());
        broker_memory[0]
            .values
            .push((started - before) / f64::from(count));
        broker_memory[1]
            .values
            .push((attached - before) / f64::from(count));
        for cell in broker.cells() {
            browser_memory[1].values.push(proportional(cell.pid));
        }
        let pid = i32::try_from(plain.pid()).unwrap();
        browser_memory[0].values.push(proportional(pid));
        drop(clients);
        for session in sessions {
            broker.operator.end_session(&session).await;
        }
        broker_memory.into_iter().chain(browser_memory).collect()
    })
}

/// Resident KiB of one process.
fn resident(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    field(&text, "VmRSS:")
}

/// Proportional KiB of a process and all below it.
fn proportional(root: i32) -> f64 {
    let below = process::descendants(u32::try_from(root).unwrap());
    below
        .iter()
        .map(|known| known.pid)
        .chain([root])
        .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok())
        .map(|text| field(&text, "Pss:"))
        .sum()
}

fn field(text: &str, name: &str) -> f64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}
