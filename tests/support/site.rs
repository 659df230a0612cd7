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
        "/form" => page(
            "<form method=post action=/submitted><input name=note><select name=state><option>open<option>closed</select><input type=checkbox name=urgent><button>send</button></form>",
        ),
        "/submitted" if hit.method == "POST" => {
            let fields = url::form_urlencoded::parse(&hit.body);
            let values: Vec<String> = fields.map(|(_, value)| value.into_owned()).collect();
            heading(&format!("saved: {} for {who}", values.join(" ")))
        }
        "/upload" => page(
            "<form method=post action=/uploaded enctype=multipart/form-data><input type=file name=file><button>send</button></form>",
        ),
        "/uploaded" if hit.method == "POST" => {
            let body = String::from_utf8_lossy(&hit.body);
            let whole = body.contains("filename=\"notes.txt\"") && body.contains("hello world");
            heading(&format!("whole: {whole} for {who}"))
        }
        "/worker" => page(
            "<script>navigator.serviceWorker.register('/worker.js')</script>",
        ),
        "/worker.js" => canary::typed(
            "text/javascript",
            "addEventListener('activate', (event) => event.waitUntil(clients.claim()));
             addEventListener('fetch', (event) => {
               if (new URL(event.request.url).pathname === '/from-worker') {
                 event.respondWith(fetch('/whoami').then(async (r) => new Response('from the worker for ' + await r.text())));
               }
             });",
        ),
        "/report.csv" => canary::attachment("report.csv", "ticket,state\n1,open\n"),
        _ => canary::status(StatusCode::NOT_FOUND, heading("not found")),
    }
}

fn page(body: &str) -> Reply {
    canary::html(format!(
        r#"<!doctype html><title>Desk</title><link rel=icon href="data:,">{body}"#
    ))
}

fn heading(text: &str) -> Reply {
    canary::html(format!(
        r#"<!doctype html><title>Desk</title><link rel=icon href="data:,"><h1>{text}</h1>"#
    ))
}
