//! The site of the tasks: a desk with a log-in, a form, files, frames of
//! another site and a service worker; all on one server.

use std::fmt::Write as _;

use hyper::StatusCode;

use crate::support::{
    canary::{self, Canary, Hit, Reply},
    site::{SESSION, VISITOR},
};

/// The other site that the desk frames.
pub const FRAMED: &str = "frame.localhost";
/// What `/report.csv` says.
pub const REPORT: &str = "ticket,state\n1,open\n";

/// A desk that knows whoever brings [`SESSION`] with this value.
pub async fn start(session: &str) -> Canary {
    let session = session.to_owned();
    Canary::start(move |hit| answer(hit, &session)).await
}

fn answer(hit: &Hit, session: &str) -> Reply {
    let who = match hit.cookie(SESSION) {
        Some(value) if value == session => VISITOR,
        _ => "nobody",
    };
    match hit.path.as_str() {
        "/" => page(&include_str!("desk.html").replace("{who}", who)),
        "/tickets" if hit.method == "POST" => heading(&format!("{} by {who}", fields(hit))),
        // It tells the page around it, too.
        "/frame" => page(&format!(
            "<h1>framed for {who}</h1><script>parent.postMessage('framed for {who}', '*')</script>"
        )),
        "/popup" => heading(&format!("popped up for {who}")),
        "/second" => heading(&format!("second page for {who}")),
        "/whoami" => canary::text(who),
        "/asked" => canary::text(format!(
            "{} with {} by {who}",
            hit.method,
            hit.header("x-rewritten")
        )),
        "/worker.js" => canary::typed("text/javascript", include_str!("worker.js")),
        "/report.csv" => canary::attachment("report.csv", REPORT),
        _ => canary::status(StatusCode::NOT_FOUND, heading("not found")),
    }
}

/// The fields of a form, as a person would say them.
fn fields(hit: &Hit) -> String {
    let mut said = String::new();
    for (name, value) in url::form_urlencoded::parse(&hit.body) {
        let _ = write!(said, "{name} is {value}, ");
    }
    said + "filed"
}

fn heading(text: &str) -> Reply {
    page(&format!("<h1>{text}</h1>"))
}

fn page(body: &str) -> Reply {
    canary::html(format!(
        "<!doctype html><title>Desk</title><link rel=icon href=\"data:,\">{body}"
    ))
}
