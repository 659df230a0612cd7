//! Much at once: events in a row, a large result, a large picture.

use std::time::Instant;

use serde_json::json;

use super::{
    Group, Scale,
    cdp::Cdp,
    relay::Relay,
    table::{Samples, Unit},
    world::{self, Hallpass},
};

const EVENTS: &str = "20000 console.log events";
const RESULT: &str = "evaluate with a result of 64 MiB";
const PICTURE: &str = "screenshot of 5 MB";
const VARIANTS: &[&str] = &["relay", "direct", "hallpass"];

pub const GROUP: Group = Group {
    name: "streams",
    rows: &[(EVENTS, VARIANTS), (RESULT, VARIANTS), (PICTURE, VARIANTS)],
    run,
};

/// Noise that no picture format makes small.
const PAINT: &str = "(() => {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [innerWidth, innerHeight];
  canvas.style = 'position:fixed;left:0;top:0';
  document.body.append(canvas);
  const paint = canvas.getContext('2d');
  const image = paint.createImageData(canvas.width, canvas.height);
  let seed = 1;
  for (let at = 0; at < image.data.length; at++) {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    image.data[at] = at % 4 === 3 ? 255 : (seed >> 16) & 255;
  }
  paint.putImageData(image, 0, 0);
})()";

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
        let rounds = scale.of(1, 10);
        let events = scale.of(500, 20_000);
        let bytes = scale.of(1 << 20, 64 << 20);
        let (width, height) = scale.of((200, 100), (1_600, 1_100));

        let mut console = Samples::each(EVENTS, VARIANTS, Unit::Milliseconds);
        let mut result = Samples::each(RESULT, VARIANTS, Unit::Milliseconds);
        let mut picture = Samples::each(PICTURE, VARIANTS, Unit::Milliseconds);
        for page in &mut pages {
            page.load(&format!("{}/", site.origin())).await;
            let metrics =
                json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
            page.call("Emulation.setDeviceMetricsOverride", metrics)
                .await;
            let painted = page
                .call("Runtime.evaluate", json!({"expression": PAINT}))
                .await;
            assert!(painted.get("exceptionDetails").is_none(), "{painted}");
            page.call("Runtime.enable", json!({})).await;
        }
        for _ in 0..rounds {
            for (at, page) in pages.iter_mut().enumerate() {
                let log = format!("for (let at = 0; at < {events}; at++) console.log('line', at)");
                let (_, text) = page.command("Runtime.evaluate", &json!({"expression": log}));
                let begun = Instant::now();
                page.send(text).await;
                page.until_events("Runtime.consoleAPICalled", events).await;
                console[at].time(begun.elapsed());
                // So that nothing of it is kept for the next round.
                page.call("Runtime.discardConsoleEntries", json!({})).await;
            }
            for (at, page) in pages.iter_mut().enumerate() {
                let expression = format!("'x'.repeat({bytes})");
                let params = json!({"expression": expression, "returnByValue": true});
                let (id, text) = page.command("Runtime.evaluate", &params);
                let (took, length) = page.round_trip(id, &text).await;
                assert!(length > bytes);
                result[at].time(took);
            }
            for (at, page) in pages.iter_mut().enumerate() {
                let (id, text) = page.command("Page.captureScreenshot", &json!({"format": "png"}));
                let (took, length) = page.round_trip(id, &text).await;
                // Base64 of three bytes a pixel.
                assert!(length > width * height * 3, "{length} bytes");
                picture[at].time(took);
            }
        }
        console.into_iter().chain(result).chain(picture).collect()
    })
}
