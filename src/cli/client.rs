//! Calls to the running broker, by its HTTP API and the operator's token.

use std::time::Duration;

use reqwest::{Method, StatusCode, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use super::failure::{Exit, Failure, chain};
use crate::model::secret::Secret;

/// The running broker, and who calls it.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Secret,
}

/// What a problem document says, as far as a person is told.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProblemText {
    title: String,
    detail: String,
    rule: Option<String>,
    delegation: Option<String>,
    what_to_do: Option<String>,
}

impl Client {
    /// A client of the broker at `base`.
    ///
    /// # Errors
    /// The HTTP client cannot be set up.
    pub fn new(base: Url, token: Secret) -> Result<Self, Failure> {
        // The broker is on this machine: no proxy may see the token, and a
        // redirect to elsewhere must not carry it there.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_mins(2))
            .build()
            .map_err(|error| Failure::because("the HTTP client cannot be set up", &error))?;
        Ok(Self { http, base, token })
    }

    /// Reads.
    ///
    /// # Errors
    /// No broker answers, or it refuses.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Method::GET, path, None).await
    }

    /// Does, with a JSON body.
    ///
    /// # Errors
    /// No broker answers, or it refuses.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failure::because("the request cannot be written", &error))?;
        self.call(Method::POST, path, Some(("application/json", body)))
            .await
    }

    /// Does, with the bytes of a file.
    ///
    /// # Errors
    /// No broker answers, or it refuses.
    pub async fn post_file<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, Failure> {
        self.call(Method::POST, path, Some(("application/octet-stream", body)))
            .await
    }

    /// Removes or ends.
    ///
    /// # Errors
    /// No broker answers, or it refuses.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Method::DELETE, path, None).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Vec<u8>)>,
    ) -> Result<T, Failure> {
        let url = self.base.join(path).map_err(|error| {
            Failure::because(format!("`{path}` is no path of the broker"), &error)
        })?;
        let mut request = self
            .http
            .request(method, url)
            .bearer_auth(self.token.expose());
        if let Some((media, bytes)) = body {
            request = request.header(header::CONTENT_TYPE, media).body(bytes);
        }
        let response = request.send().await.map_err(|error| self.lost(&error))?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|error| self.lost(&error))?;
        if !status.is_success() {
            return Err(refused(status, &bytes));
        }
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(text).map_err(|error| {
            Failure::because(
                format!("what answers at {} does not talk like a broker", self.base),
                &error,
            )
            .advise("check `--url` and whether the broker is of the same release")
        })
    }

    fn lost(&self, error: &reqwest::Error) -> Failure {
        if error.is_connect() {
            return Failure::new(
                Exit::Failed,
                format!("no broker runs at {} ({})", self.base, chain(error)),
            )
            .advise("start one with `hallpass serve`, or name another with `--url`");
        }
        Failure::because(format!("the broker at {} did not answer", self.base), error)
            .advise("look at what the broker says on its standard error")
    }
}

fn refused(status: StatusCode, body: &[u8]) -> Failure {
    let problem: ProblemText = serde_json::from_slice(body).unwrap_or_default();
    let exit = match status {
        StatusCode::FORBIDDEN => Exit::Refused,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Exit::Usage,
        _ if problem.rule.is_some() => Exit::Refused,
        _ => Exit::Failed,
    };
    let mut what = match (problem.detail.is_empty(), problem.title.is_empty()) {
        (false, _) => problem.detail,
        (true, false) => problem.title,
        (true, true) => format!("the broker answered {status}"),
    };
    let named: Vec<String> = [("rule", problem.rule), ("delegation", problem.delegation)]
        .into_iter()
        .filter_map(|(label, value)| value.map(|value| format!("{label} `{value}`")))
        .collect();
    if !named.is_empty() {
        what = format!("{what} ({})", named.join(", "));
    }
    let failure = Failure::new(exit, what);
    match problem.what_to_do {
        Some(advice) => failure.advise(advice),
        None if status == StatusCode::UNAUTHORIZED => failure.advise(
            "the token is another broker's: check `--data-dir`, `--url` and `HALLPASS_TOKEN`",
        ),
        None => failure,
    }
}

/// Prints an answer as the API gave it.
pub fn print_json(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}
