//! A broker on an ephemeral port with a data folder of its own, and a client
//! that sends what it is told to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use hallpass::{config::Config, serve::Broker};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

/// A running broker; [`Running::stop`] ends it.
pub(crate) struct Running {
    pub(crate) base: String,
    pub(crate) operator: String,
    pub(crate) folder: TempDir,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// An answer, read to its end.
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Running {
    /// Starts one with the default configuration.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts one with a configuration of the test's own.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = private_folder();
        let mut config = Config::in_dir(folder.path().join("data"));
        config.listen = ([127, 0, 0, 1], 0).into();
        config.cell.launcher = Some(env!("CARGO_BIN_EXE_hallpass").into());
        change(&mut config);
        let broker = Broker::open(config).await.unwrap();
        let base = format!("http://{}", broker.address());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stop = async { drop(stopped.await) };
            broker.run(stop).await.unwrap();
        });
        let operator = operator_token(&folder.path().join("data"));
        Self {
            base,
            operator,
            folder,
            stop,
            task,
        }
    }

    /// Stops it and waits until it has.
    pub(crate) async fn stop(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        self.folder
    }

    /// A request with a token and a JSON body, where given.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Answered {
        let mut request = self.request(method, path);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        answered(request).await
    }

    /// A request by the operator.
    pub(crate) async fn operate(&self, method: &str, path: &str, body: Option<&Value>) -> Answered {
        self.call(method, path, Some(&self.operator), body).await
    }

    /// A request to be completed by the test.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        client().request(method, format!("{}{path}", self.base))
    }

    /// Adds an agent and answers its key.
    pub(crate) async fn agent(&self, name: &str) -> String {
        let added = self
            .operate("POST", "/v1/agents", Some(&json!({ "name": name })))
            .await;
        assert_eq!(added.status, 201, "{}", added.text);
        added.json()["key"].as_str().unwrap().to_owned()
    }
}

impl Answered {
    /// Its body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text))
    }

    /// Asserts that it is a problem of this kind, and answers it.
    pub(crate) fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{}",
            self.text
        );
        let problem = self.json();
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for member in ["title", "detail"] {
            assert!(problem[member].is_string(), "{problem}");
        }
        problem
    }
}

/// Sends a request and reads the answer to its end.
pub(crate) async fn answered(request: reqwest::RequestBuilder) -> Answered {
    let response = request.send().await.unwrap();
    Answered {
        status: response.status(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

/// A folder that nobody else can read.
pub(crate) fn private_folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("hallpass-test-")
        // Cells run as users of their own, who must be able to pass through.
        .permissions(std::fs::Permissions::from_mode(0o711))
        .tempdir()
        .unwrap()
}

/// The operator token of a data folder.
pub(crate) fn operator_token(data: &Path) -> String {
    let text = std::fs::read_to_string(data.join("keys/operator.token")).unwrap();
    text.trim().to_owned()
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}
