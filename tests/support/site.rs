//! The site of the client scripts, and the place they may not go to.

use hyper::StatusCode;

use super::canary::{self, Canary, Hit, Reply};

/// The cookie that signs a visitor in; not for scripts.
pub const SESSION: &str = "sid";
/// A cookie that scripts may read.
pub const TAG: &str = "tag";
/// Whom the site greets.
pub const VISITOR: &str = "Dispatcher";

/// A site that knows whoever brings [`SESSION`] with this value.
pub async fn start(session: &str) -> Canary {
    let session = session.to_owned();
    Canary::start(move |hit| answer(hit, &session)).await
}

/// A second system: any page, readable by anybody who gets there.
pub async fn elsewhere() -> Canary {
    Canary::start(|_| canary::html("<!doctype html><title>Elsewhere</title><p>you are elsewhere"))
        .await
}

fn answer(hit: &Hit, session: &str) -> Reply {
    let who = match hit.cookie(SESSION) {
        Some(value) if value == session => VISITOR,
        _ => "nobody",
    };
    match hit.path.as_str() {
        "/" => canary::html(format!(
            r#"<!doctype html><title>Desk</title><link rel=icon href="data:,">
<p id=who>{who}</p>
<button id=count>0</button>
<input id=note><output id=echo></output>
<button id=log>log</button>
<button id=add-frame>frame</button>
<button id=popup>popup</button>
<a id=download href=/report.csv>report</a>
<script>
const get = (id) => document.getElementById(id);
get('count').onclick = (event) => {{ event.target.textContent = Number(event.target.textContent) + 1; }};
get('note').oninput = (event) => {{ get('echo').textContent = event.target.value; }};
get('log').onclick = () => console.warn('pressed');
get('add-frame').onclick = () => {{
  const frame = document.createElement('iframe');
  frame.id = 'frame';
  frame.src = '/frame';
  document.body.append(frame);
}};
get('popup').onclick = () => window.open('/popup');
</script>"#
        )),
        "/frame" => heading(&format!("framed for {who}")),
        "/popup" => heading(&format!("popped up for {who}")),
        "/second" => heading(&format!("second page for {who}")),
        "/whoami" => canary::text(who),
        "/echo" => canary::text(format!("{:#?}", hit.headers)),
        "/report.csv" => canary::attachment("report.csv", "ticket,state\n1,open\n"),
        _ => canary::status(StatusCode::NOT_FOUND, heading("not found")),
    }
}

fn heading(text: &str) -> Reply {
    canary::html(format!(
        r#"<!doctype html><title>Desk</title><link rel=icon href="data:,"><h1>{text}</h1>"#
    ))
}
