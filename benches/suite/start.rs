//! From nothing to a loaded page: a session of Hallpass, warm and cold, and the
//! same browser launched plain.

use std::time::Instant;

use super::{
    Group, Scale,
    cdp::Cdp,
    table::{Samples, Unit},
    world::{self, Hallpass},
};
use crate::support::canary::Canary;

const WHAT: &str = "start to first page";
const CALL: &str = "POST /v1/sessions";
const VARIANTS: &[&str] = &["plain launch", "hallpass, cold", "hallpass, warm"];
const CALLS: &[&str] = &["hallpass, cold", "hallpass, warm"];

pub const GROUP: Group = Group {
    name: "start",
    rows: &[(WHAT, VARIANTS), (CALL, CALLS)],
    run,
};

fn run(scale: Scale) -> Vec<Samples> {
    let browser = world::browser();
    world::run(async {
        let site = world::site().await;
        let page = format!("{}/", site.origin());
        let cold = Hallpass::start("[cell]\nwarm = 0\n").await;
        let warm = Hallpass::start("[cell]\nwarm = 1\n").await;
        let mut whole = Samples::each(WHAT, VARIANTS, Unit::Milliseconds);
        let mut calls = Samples::each(CALL, CALLS, Unit::Milliseconds);
        for _ in 0..scale.of(1, 15) {
            let begun = Instant::now();
            let plain = world::plain(&browser).await;
            Cdp::new_page(&plain.cdp_url).await.load(&page).await;
            whole[0].time(begun.elapsed());
            drop(plain);
            for (at, broker) in [&cold, &warm].into_iter().enumerate() {
                if at == 1 {
                    broker.until_cells(1);
                }
                let (call, all) = session(broker, &site, &page).await;
                calls[at].values.push(call);
                whole[at + 1].values.push(all);
            }
        }
        whole.into_iter().chain(calls).collect()
    })
}

/// Milliseconds until the session was there, and until the page was.
async fn session(broker: &Hallpass, site: &Canary, page: &str) -> (f64, f64) {
    let delegation = broker.lend(site, true).await;
    let begun = Instant::now();
    let session = broker
        .operator
        .start_session(&broker.agent, &[&delegation])
        .await;
    let call = begun.elapsed().as_secs_f64() * 1e3;
    Cdp::first_page(&session.cdp_url).await.load(page).await;
    let all = begun.elapsed().as_secs_f64() * 1e3;
    broker.operator.end_session(&session).await;
    (call, all)
}
