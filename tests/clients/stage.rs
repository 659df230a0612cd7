//! The places that clients are sent to, the person's cookies, and both kinds of
//! browser: one of the client's own and one lent by Hallpass.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    compare::{self, Compared},
    desk,
    support::{
        api::{Agent, Api, Lend, Session},
        broker::Broker,
        canary::Canary,
        chromium::PlainChromium,
        node::{self, Report},
        site::{self, SESSION, TAG},
    },
};

pub const SESSION_VALUE: &str = "s3ss10n-of-the-desk-91c4";
pub const TAG_VALUE: &str = "t4g-of-the-desk-5b07";

/// What clients hand in.
const UPLOAD: (&str, &str) = ("note.txt", "from the client");

#[derive(Debug)]
pub struct Stage {
    pub site: Canary,
    pub elsewhere: Canary,
}

impl Stage {
    /// The site of the stories.
    pub async fn set() -> Self {
        Self {
            site: site::start(SESSION_VALUE).await,
            elsewhere: site::elsewhere().await,
        }
    }

    /// The site of the tasks.
    pub async fn desk() -> Self {
        Self {
            site: desk::start(SESSION_VALUE).await,
            elsewhere: site::elsewhere().await,
        }
    }

    pub fn options(&self) -> Value {
        json!({ "site": self.site.origin(), "elsewhere": self.elsewhere.origin() })
    }

    /// The person's cookies, as Playwright writes them.
    fn cookies() -> Value {
        let cookie = |name: &str, value: &str, http_only: bool| {
            json!({
                "name": name, "value": value, "domain": "127.0.0.1", "path": "/",
                "expires": -1, "httpOnly": http_only, "secure": false, "sameSite": "Lax",
            })
        };
        json!([
            cookie(SESSION, SESSION_VALUE, true),
            cookie(TAG, TAG_VALUE, false)
        ])
    }

    /// A browser that holds the person's cookies.
    pub async fn plain_chromium() -> PlainChromium {
        let browser = PlainChromium::start();
        let cookies = json!({ "cookies": Self::cookies() });
        node::run("seed.mjs", &browser.cdp_url, &cookies)
            .await
            .outcome("seed");
        browser
    }

    pub async fn on_plain_chromium(&self, script: &str) -> Report {
        let browser = Self::plain_chromium().await;
        node::run(script, &browser.cdp_url, &self.options()).await
    }

    /// A session that lends both cookies by the wire, for reading.
    pub async fn session(&self, broker: &Broker) -> Session {
        let operator = broker.operator();
        let agent = Self::agent(&operator).await;
        let lend = Self::lend();
        let delegation = operator
            .delegate(&agent, &self.site.origin(), &lend, &["GET", "HEAD"])
            .await;
        operator.start_session(&agent, &[&delegation]).await
    }

    pub async fn on_hallpass(&self, script: &str) -> Report {
        let broker = Broker::start("");
        let session = self.session(&broker).await;
        let report = node::run(script, &session.cdp_url, &self.options()).await;
        Self::assert_never_written(&broker);
        report
    }

    /// The same task in both browsers; in the session files go in and out
    /// through the API. Nothing of the session may reach elsewhere.
    pub async fn compare(&self, task: impl AsyncFn(&str, &Value) -> Report) -> Compared {
        let folder = TempDir::new().unwrap();
        let upload = folder.path().join(UPLOAD.0);
        std::fs::write(&upload, UPLOAD.1).unwrap();
        let browser = Self::plain_chromium().await;
        let options = self.task_options(folder.path(), &upload.display().to_string());
        let plain = task(&browser.cdp_url, &options).await;
        drop(browser);
        self.elsewhere.reset();
        self.site.reset();

        let folder = TempDir::new().unwrap();
        let broker = Broker::start("");
        let operator = broker.operator();
        let agent = Self::agent(&operator).await;
        let session = self.task_session(&operator, &agent).await;
        let api = broker.agent(&agent.key);
        let upload = folder.path().join(UPLOAD.0).display().to_string();
        std::fs::write(&upload, UPLOAD.1).unwrap();
        hand_in(&api, &session, &upload).await;
        let options = self.task_options(folder.path(), &upload);
        let hallpass = task(&session.cdp_url, &options).await;
        compare::assert_fetched(&downloads(&api, &session).await);
        compare::assert_untouched(&self.elsewhere);
        Self::assert_never_written(&broker);
        let compared = Compared { plain, hallpass };
        compared.assert_kept(&[SESSION_VALUE, TAG_VALUE]);
        compared
    }

    fn task_options(&self, folder: &Path, upload: &str) -> Value {
        let mut options = self.options();
        options["folder"] = folder.display().to_string().into();
        options["upload"] = upload.into();
        options["file"] = json!({ "name": UPLOAD.0, "text": UPLOAD.1 });
        options
    }

    /// A session that may write to the desk, and read what it frames.
    async fn task_session(&self, operator: &Api, agent: &Agent) -> Session {
        let origin = self.site.origin();
        let cookies = Self::lend()
            .map(|lend| json!({ "name": lend.name, "origin": origin, "delivery": lend.delivery }));
        let framed = self.site.origin_as(desk::FRAMED);
        let asked = json!({
            "agent": agent.id,
            "purpose": "look after the tickets of the day",
            "cookies": cookies,
            "scope": {
                "origins": [origin, framed], "methods": ["GET", "HEAD", "POST"], "writes": "allow",
            },
            "window": { "duration": "10m" },
        });
        let made = operator.post("/v1/delegations", &asked).await;
        let delegation = made["id"].as_str().unwrap();
        operator.approve(delegation).await;
        operator.start_session(agent, &[delegation]).await
    }

    async fn agent(operator: &Api) -> Agent {
        let state = json!({ "cookies": Self::cookies(), "origins": [] });
        let imported = operator.import_storage_state(&state).await;
        assert_eq!(imported["imported"].as_array().map(Vec::len), Some(2));
        operator
            .add_agent(&format!("clerk-{}", Uuid::new_v4()))
            .await
    }

    fn lend() -> [Lend<'static>; 2] {
        [SESSION, TAG].map(|name| Lend {
            name,
            delivery: "wire",
        })
    }

    fn assert_never_written(broker: &Broker) {
        broker.assert_never_wrote(SESSION_VALUE);
        broker.assert_never_wrote(TAG_VALUE);
    }
}

/// Under the path that the client has it at.
async fn hand_in(api: &Api, session: &Session, file: &str) {
    let path = format!("/v1/sessions/{}/uploads?path={file}", session.id);
    let (_, answer) = api.bytes(Method::POST, &path, UPLOAD.1.into()).await;
    let upload: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(
        (&upload["path"], &upload["name"]),
        (&json!(file), &json!(UPLOAD.0))
    );
}

/// Names and contents.
async fn downloads(api: &Api, session: &Session) -> Vec<(String, String)> {
    let list = format!("/v1/sessions/{}/downloads", session.id);
    let mut files = Vec::new();
    for file in api.get(&list).await["downloads"].as_array().unwrap() {
        let path = format!("{list}/{}", file["guid"].as_str().unwrap());
        let (_, bytes) = api.bytes(Method::GET, &path, Vec::new()).await;
        let name = file["name"].as_str().unwrap().to_owned();
        files.push((name, String::from_utf8(bytes).unwrap()));
    }
    files
}
