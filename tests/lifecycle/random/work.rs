//! What is being done when the blow falls.

use reqwest::Method;
use serde_json::{Value, json};

use super::scene::Scene;
use crate::support::process;

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    Start,
    Warm,
    Together,
    Navigate,
    Stream,
    Fetch,
    Form,
    Download,
    Upload,
    Socket,
    Screenshot,
    Cookies,
    Hold,
    Approve,
    Revoke,
    End,
}

/// What was acknowledged, and so must hold from then on.
#[derive(Debug, PartialEq, Eq)]
pub enum Done {
    Plainly,
    Approved(String),
    Revoked,
    Ended,
}

const STREAM: &str = "fetch('stream').then(async (response) => {
    const reader = response.body.getReader();
    for (let piece = 0; piece < 8; piece++) await reader.read();
    await reader.cancel();
})";
const FETCH: &str = "(async () => {
    for (let item = 0; item < 10; item++) await (await fetch('item?' + item)).text();
})()";
const FORM: &str = "new Promise((done) => {
    document.querySelector('iframe').onload = done;
    document.forms[0].submit();
}).then(() => 0)";
const SOCKET: &str = "new Promise((done, failed) => {
    const socket = new WebSocket(new URL('socket', location.href.replace('http', 'ws')));
    let left = 10;
    socket.onopen = () => socket.send('x');
    socket.onerror = failed;
    socket.onmessage = () => { if (--left) socket.send('x'); else { socket.close(); done(); } };
}).then(() => 0)";
const SEND_FILE: &str =
    "fetch('save', { method: 'POST', body: document.querySelector('[type=file]').files[0] })
    .then((response) => response.text())";

impl Work {
    pub const ALL: [Self; 16] = [
        Self::Start,
        Self::Warm,
        Self::Together,
        Self::Navigate,
        Self::Stream,
        Self::Fetch,
        Self::Form,
        Self::Download,
        Self::Upload,
        Self::Socket,
        Self::Screenshot,
        Self::Cookies,
        Self::Hold,
        Self::Approve,
        Self::Revoke,
        Self::End,
    ];

    /// Whether it ends the first session.
    pub fn ends(self) -> bool {
        matches!(self, Self::Revoke | Self::End)
    }

    /// Does it; `None` where what it stands on went meanwhile.
    pub async fn perform(self, scene: Scene) -> Option<Done> {
        let pages = &scene.pages;
        match self {
            Self::Start => start(&scene).await?,
            Self::Warm => warm(&scene).await?,
            Self::Together => {
                let (one, two) = tokio::join!(
                    scene.evaluate(&pages[0], FETCH),
                    scene.evaluate(&pages[1], FETCH)
                );
                one.and(two)?;
            }
            Self::Navigate => {
                let params = json!({ "url": format!("{}/page", scene.base) });
                scene.command("Page.navigate", params).await?;
            }
            Self::Stream => scene.evaluate(&pages[0], STREAM).await?,
            Self::Fetch => scene.evaluate(&pages[0], FETCH).await?,
            Self::Form => scene.evaluate(&pages[0], FORM).await?,
            Self::Download => download(&scene).await?,
            Self::Upload => upload(&scene).await?,
            Self::Socket => scene.evaluate(&pages[0], SOCKET).await?,
            Self::Screenshot => {
                scene.command("Page.captureScreenshot", json!({})).await?;
            }
            Self::Cookies => {
                for _ in 0..5 {
                    scene.command("Network.getCookies", json!({})).await?;
                }
            }
            Self::Hold => hold(&scene).await?,
            Self::Approve => return approve(&scene).await.map(Done::Approved),
            Self::Revoke => {
                let path = format!("/v1/delegations/{}/revoke", scene.lent);
                called(&scene, Method::POST, &path, json!({})).await?;
                return Some(Done::Revoked);
            }
            Self::End => {
                let path = format!("/v1/sessions/{}", scene.placed[0].session.id);
                called(&scene, Method::DELETE, &path, json!({})).await?;
                return Some(Done::Ended);
            }
        }
        Some(Done::Plainly)
    }
}

/// A call by the operator.
async fn called(scene: &Scene, method: Method, path: &str, body: Value) -> Option<Value> {
    let body = body.to_string().into_bytes();
    let (status, text) = scene.operator.attempt(method, path, body).await?;
    status.is_success().then_some(())?;
    serde_json::from_str(&text).ok()
}

async fn start(scene: &Scene) -> Option<()> {
    let asked = json!({ "delegations": [scene.lent] }).to_string();
    let started = scene
        .by_agent
        .attempt(Method::POST, "/v1/sessions", asked.into_bytes());
    started.await?.0.is_success().then_some(())
}

/// A session takes the warm browser, and the next is prepared.
async fn warm(scene: &Scene) -> Option<()> {
    let before = scene.browsers();
    start(scene).await?;
    loop {
        let spare = scene.browsers().into_iter().find(|browser| {
            let below = process::descendants(u32::try_from(browser.pid).unwrap());
            !before.contains(browser)
                && below
                    .iter()
                    .any(|known| known.command().contains("--type=renderer"))
        });
        if spare.is_some() {
            return Some(());
        }
        // Ends where the broker does.
        called(scene, Method::GET, "/v1/holds", json!({})).await?;
    }
}

async fn download(scene: &Scene) -> Option<()> {
    let page = &scene.pages[0];
    scene
        .evaluate(page, "document.querySelector('a').click()")
        .await?;
    let path = format!("/v1/sessions/{}/downloads", scene.placed[0].session.id);
    loop {
        let list = called(scene, Method::GET, &path, json!({})).await?;
        match list["downloads"][0]["state"].as_str() {
            Some("completed") => return Some(()),
            Some("canceled") => return None,
            _ => {}
        }
    }
}

async fn upload(scene: &Scene) -> Option<()> {
    let id = &scene.placed[0].session.id;
    let path = format!("/v1/sessions/{id}/uploads?name=note.txt");
    let sent = scene
        .by_agent
        .attempt(Method::POST, &path, vec![b'x'; 100_000]);
    let upload: Value = serde_json::from_str(&sent.await?.1).ok()?;
    let document = scene.command("DOM.getDocument", json!({})).await?;
    let node = &document["root"]["nodeId"];
    let asked = json!({ "nodeId": node, "selector": "[type=file]" });
    let input = scene.command("DOM.querySelector", asked).await?;
    let asked = json!({ "nodeId": input["nodeId"], "files": [upload["path"]] });
    scene.command("DOM.setFileInputFiles", asked).await?;
    scene.evaluate(&scene.pages[0], SEND_FILE).await
}

async fn hold(scene: &Scene) -> Option<()> {
    let page = &scene.pages[0];
    let begin = "(window.held = fetch('held', { method: 'DELETE' }).then((response) => response.text()), 0)";
    scene.evaluate(page, begin).await?;
    let id = loop {
        let list = called(scene, Method::GET, "/v1/holds", json!({})).await?;
        if let Some(id) = list["holds"][0]["id"].as_str() {
            break id.to_owned();
        }
    };
    let path = format!("/v1/holds/{id}/answer");
    called(scene, Method::POST, &path, json!({ "answer": "once" })).await?;
    scene.evaluate(page, "held").await
}

/// A further window for the running session.
async fn approve(scene: &Scene) -> Option<String> {
    let asked = called(scene, Method::POST, "/v1/delegations", scene.ask()).await?;
    let id = asked["id"].as_str()?.to_owned();
    let path = format!("/v1/sessions/{}/delegations", scene.placed[0].session.id);
    called(scene, Method::POST, &path, json!({ "delegation": id })).await?;
    let path = format!("/v1/delegations/{id}/approve");
    called(scene, Method::POST, &path, json!({})).await?;
    Some(id)
}
