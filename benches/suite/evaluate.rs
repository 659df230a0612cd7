//! One `Runtime.evaluate` and its reply: directly, through a relay that does
//! nothing, through Hallpass.

use serde_json::json;

use super::{
    Group, Scale,
    cdp::Cdp,
    relay::Relay,
    table::{Samples, Unit},
    world::{self, Hallpass},
};

const WHAT: &str = "Runtime.evaluate round trip";
const VARIANTS: &[&str] = &["relay", "direct", "hallpass"];

pub const GROUP: Group = Group {
    name: "evaluate",
    rows: &[(WHAT, VARIANTS)],
    run,
};

fn run(scale: Scale) -> Vec<Samples> {
    let browser = world::browser();
    world::run(async {
        let site = world::site().await;
        let broker = Hallpass::start("[cell]\nwarm = 0\n").await;
        let session = broker.session(&site, true).await;
        let plain = world::plain(&browser).await;
        let relay = Relay::websocket(&plain.cdp_url);
        let mut pages = [
            Cdp::new_page(&relay.url()).await,
            Cdp::new_page(&plain.cdp_url).await,
            Cdp::first_page(&session.cdp_url).await,
        ];
        let mut samples = Samples::each(WHAT, VARIANTS, Unit::Microseconds);
        let params = json!({"expression": "1+1", "returnByValue": true});
        let (warm_up, rounds) = scale.of((5, 50), (500, 5_000));
        for round in 0..warm_up + rounds {
            for (page, samples) in pages.iter_mut().zip(&mut samples) {
                let (id, text) = page.command("Runtime.evaluate", &params);
                let (took, _) = page.round_trip(id, &text).await;
                if round >= warm_up {
                    samples.time(took);
                }
            }
        }
        samples
    })
}
