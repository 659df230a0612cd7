//! The method table against the protocol of the browsers that are installed:
//! nothing that they speak is without a row.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::path::Path;

use hallpass::cdp::table::{self, Kind, Row};
use serde::Deserialize;
use support::{chromium::PlainChromium, tools};
use url::Url;

#[derive(Deserialize)]
struct Protocol {
    domains: Vec<Domain>,
}

#[derive(Deserialize)]
struct Domain {
    #[serde(rename = "domain")]
    name: String,
    #[serde(default)]
    commands: Vec<Named>,
    #[serde(default)]
    events: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// What a browser says of itself at `json/protocol`.
async fn spoken_by(browser: &Path) -> Vec<(Kind, String)> {
    let browser = PlainChromium::start_as(browser, &[]);
    let mut url: Url = browser.cdp_url.parse().unwrap();
    url.set_scheme("http").unwrap();
    url.set_path("/json/protocol");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let protocol: Protocol = client.get(url).send().await.unwrap().json().await.unwrap();
    let named = |kind, domain: &str, list: &[Named]| -> Vec<(Kind, String)> {
        list.iter()
            .map(|named| (kind, format!("{domain}.{}", named.name)))
            .collect()
    };
    protocol
        .domains
        .iter()
        .flat_map(|domain| {
            let mut all = named(Kind::Method, &domain.name, &domain.commands);
            all.extend(named(Kind::Event, &domain.name, &domain.events));
            all
        })
        .collect()
}

fn without_row(spoken: &[(Kind, String)]) -> Vec<String> {
    let row = |kind, name: &str| -> Option<&Row> {
        match kind {
            Kind::Method => table::method(name),
            Kind::Event => table::event(name),
        }
    };
    spoken
        .iter()
        .filter(|(kind, name)| row(*kind, name).is_none_or(|row| row.reason.trim().is_empty()))
        .map(|(kind, name)| format!("{kind:?} {name}"))
        .collect()
}

async fn assert_complete(browser: &Path) {
    let mut spoken = spoken_by(browser).await;
    // Fewer would mean that the browser's answer was not understood.
    assert!(spoken.len() > 700, "{} only", spoken.len());
    let missing = without_row(&spoken);
    assert!(
        missing.is_empty(),
        "{} speaks what has no row in src/cdp/methods.tsv:\n{}",
        browser.display(),
        missing.join("\n")
    );
    spoken.push((Kind::Method, "Page.fromTomorrow".into()));
    assert_eq!(without_row(&spoken), ["Method Page.fromTomorrow"]);
}

#[tokio::test]
async fn the_table_has_a_row_for_all_that_the_headless_shell_speaks() {
    assert_complete(&tools::headless_shell()).await;
}

#[tokio::test]
async fn the_table_has_a_row_for_all_that_chromium_speaks() {
    assert_complete(&tools::chromium()).await;
}
