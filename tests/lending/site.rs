//! The site of these tests: one server under several names, whose pages reach
//! it in every way that a page can.
//!
//! `/x/KIND/NAME` answers with something of that kind; a name makes the request
//! known by what it was for. `/go?URL` leads on to another place.

use std::time::Duration;

use hyper::StatusCode;
use url::form_urlencoded;

use crate::support::canary::{self, Canary, Hit, Reply};

/// Starts it.
pub async fn start() -> Canary {
    Canary::start(answer).await
}

pub fn answer(hit: &Hit) -> Reply {
    let reply = route(hit);
    let origin = hit.header("origin");
    if origin.is_empty() {
        return reply;
    }
    let reply = canary::with(reply, "access-control-allow-origin", origin);
    let reply = canary::with(reply, "access-control-allow-headers", "content-type");
    canary::with(reply, "access-control-allow-credentials", "true")
}

fn route(hit: &Hit) -> Reply {
    let port = hit.header("host").rsplit(':').next().unwrap_or_default();
    let page = |text: &str| canary::html(text.replace("{port}", port));
    if let Some(name) = hit.path.strip_prefix("/page/") {
        return match name {
            "home" => page(include_str!("home.html")),
            "foreign" => page(include_str!("foreign.html")),
            "loops" => page(include_str!("loops.html")),
            "framed" => page(include_str!("framed.html")),
            _ => canary::not_found(),
        };
    }
    match hit.path.as_str() {
        "/set" => set(hit),
        "/go" => canary::redirect(&hit.query),
        "/go307" => {
            let reply = canary::with(canary::text(""), "location", &hit.query);
            canary::status(StatusCode::TEMPORARY_REDIRECT, reply)
        }
        "/sw.js" => script(include_str!("service_worker.js")),
        "/worker.js" => script(include_str!("worker.js")),
        "/shared.js" => script(include_str!("shared_worker.js")),
        "/loops.js" => script(include_str!("loops.js")),
        "/module-worker.js" => script("fetch('/x/txt/module-worker-fetch')"),
        path => match path
            .strip_prefix("/x/")
            .and_then(|rest| rest.split('/').next())
        {
            Some(kind) => made(kind, hit),
            None => canary::not_found(),
        },
    }
}

fn made(kind: &str, hit: &Hit) -> Reply {
    match kind {
        "html" => {
            canary::html("<!doctype html><title>page</title><link rel=icon href='data:,'>page")
        }
        "js" => script("void 0;"),
        "css" => canary::typed(
            "text/css",
            "@font-face { font-family: lent; src: url(/x/woff/font) } p { font-family: lent; background: url(/x/png/background) }",
        ),
        "png" => canary::typed("image/png", PNG),
        "woff" => canary::typed("font/woff", ""),
        "sse" => canary::typed("text/event-stream", "data: 1\n\n"),
        "json" => canary::typed("application/json", "{}"),
        "file" => canary::attachment("report.csv", "ticket,state\n1,open\n"),
        "slow" => canary::after(Duration::from_millis(10), canary::text("")),
        "endless" => canary::with(
            canary::endless("application/octet-stream", "piece after piece "),
            "content-disposition",
            "attachment; filename=\"endless.bin\"",
        ),
        "empty" => canary::status(StatusCode::NO_CONTENT, canary::text("")),
        _ => canary::text(hit.path.clone()),
    }
}

/// `/set?c=SET-COOKIE&to=URL`: sets cookies, and leads on if told where to.
fn set(hit: &Hit) -> Reply {
    let pairs: Vec<_> = form_urlencoded::parse(hit.query.as_bytes()).collect();
    let to = pairs.iter().find(|(name, _)| name == "to");
    let reply = to.map_or_else(
        || canary::html("<!doctype html>set"),
        |(_, to)| canary::redirect(to),
    );
    pairs
        .iter()
        .filter(|(name, _)| name == "c")
        .fold(reply, |reply, (_, line)| {
            canary::with(reply, "set-cookie", line)
        })
}

fn script(text: &'static str) -> Reply {
    canary::typed("text/javascript", text)
}

/// One transparent dot.
const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, b'I', b'H', b'D', b'R', 0, 0, 0,
    1, 0, 0, 0, 1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 0x0d, b'I', b'D', b'A', b'T',
    0x78, 0x9c, 0x63, 0x60, 0, 2, 0, 0, 5, 0, 1, 0x7a, 0x5e, 0xab, 0x3f, 0, 0, 0, 0, b'I', b'E',
    b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];
