//! Pages with many parts over loopback http: bare, with a `Fetch` client that
//! lets every request go, with one that is also told what becomes of them, and
//! through Hallpass with everything on.

use super::{
    Group, Scale,
    cdp::Cdp,
    relay::FetchClient,
    table::{Samples, Unit},
    world::{self, Hallpass},
};

const LIGHT: &str = "page of 51 requests, 2 KiB each";
const FAR: &str = "page of 51 requests, each after 20 ms";
const HEAVY: &str = "page of 300 requests, 8 KiB each";
const VARIANTS: &[&str] = &[
    "Fetch client",
    "bare",
    "Fetch + Network client",
    "hallpass, no cookie",
    "hallpass, lent cookie",
];

pub const GROUP: Group = Group {
    name: "pages",
    rows: &[(LIGHT, VARIANTS), (FAR, VARIANTS), (HEAVY, VARIANTS)],
    run,
};

fn run(scale: Scale) -> Vec<Samples> {
    let browser = world::browser();
    world::run(async {
        let site = world::site().await;
        // A broker each: the sessions of one share the machine by weight.
        let broker = || Hallpass::start("[cell]\nwarm = 0\n");
        let (first, second) = (broker().await, broker().await);
        let without = first.session(&site, false).await;
        let with = second.session(&site, true).await;
        let plain = || world::plain(&browser);
        let (bare, fetched, told) = (plain().await, plain().await, plain().await);
        let _fetch = FetchClient::start(&fetched.cdp_url, false).await;
        let _told = FetchClient::start(&told.cdp_url, true).await;
        let mut pages = [
            Cdp::new_page(&fetched.cdp_url).await,
            Cdp::new_page(&bare.cdp_url).await,
            Cdp::new_page(&told.cdp_url).await,
            Cdp::first_page(&without.cdp_url).await,
            Cdp::first_page(&with.cdp_url).await,
        ];
        let mut all = Vec::new();
        for (what, parts, size, wait, rounds) in [
            (LIGHT, 50, 2 << 10, 0, scale.of(1, 40)),
            (FAR, 50, 2 << 10, 20, scale.of(1, 20)),
            (HEAVY, 299, 8 << 10, 0, scale.of(1, 20)),
        ] {
            let mut samples = Samples::each(what, VARIANTS, Unit::Milliseconds);
            let warm_up = scale.of(0, 3);
            for round in 0..warm_up + rounds {
                let query = format!("n={parts}&size={size}&wait={wait}&round={round}");
                let url = format!("{}/page?{query}", site.origin());
                // Each in turn is the first: what one leaves to be done is the next one's loss.
                for turn in 0..VARIANTS.len() {
                    let at = (round + turn) % VARIANTS.len();
                    let (page, samples) = (&mut pages[at], &mut samples[at]);
                    site.reset();
                    let took = page.load(&url).await;
                    assert_eq!(site.hits().len(), parts + 1, "{}", samples.variant);
                    if round >= warm_up {
                        samples.time(took);
                    }
                }
            }
            all.extend(samples);
        }
        all
    })
}
