//! Signing in over HTTP as a form does, and what the browser would keep of it.

use std::time::Duration;

use cookie::Cookie;
use reqwest::{StatusCode, header, redirect};
use serde_json::json;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::SESSION_COOKIE;
use crate::model::secret::Secret;

/// A session of the desk, as the person's browser holds it.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The `Set-Cookie` header's value, as the desk sent it.
    pub set_cookie: Secret,
    /// The cookie's value alone.
    pub value: Secret,
    host: String,
}

/// Why signing in failed.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// No answer.
    #[error("the desk does not answer")]
    Http(#[from] reqwest::Error),
    /// An answer without a session.
    #[error("the desk answered {0} and gave no session; check name and password")]
    Refused(StatusCode),
    /// The origin is none.
    #[error("`{0}` is no origin of a desk")]
    Origin(String),
}

impl SignedIn {
    /// Posts the form.
    pub(super) async fn by_form(
        origin: &str,
        username: &str,
        password: &Secret,
    ) -> Result<Self, SignInError> {
        let no_origin = || SignInError::Origin(origin.to_owned());
        let base = Url::parse(origin).map_err(|_| no_origin())?;
        let host = base.host_str().ok_or_else(no_origin)?.to_owned();
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("username", username)
            .append_pair("password", password.expose())
            .finish();
        let answer = reqwest::Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(Duration::from_secs(10))
            .build()?
            .post(base.join("/login").map_err(|_| no_origin())?)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await?;
        answer
            .headers()
            .get_all(header::SET_COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .find_map(|line| {
                let cookie = Cookie::parse(line).ok()?;
                (cookie.name() == SESSION_COOKIE).then(|| Self {
                    set_cookie: Secret::new(line.to_owned()),
                    value: Secret::new(cookie.value().to_owned()),
                    host: host.clone(),
                })
            })
            .ok_or_else(|| SignInError::Refused(answer.status()))
    }

    /// What Playwright would save as a storage state: fit for import.
    #[must_use]
    pub fn storage_state(&self) -> Zeroizing<String> {
        let state = json!({
            "cookies": [{
                "name": SESSION_COOKIE,
                "value": self.value.expose(),
                "domain": self.host,
                "path": "/",
                "expires": -1,
                "httpOnly": true,
                "secure": false,
                "sameSite": "Lax",
            }],
            "origins": [],
        });
        Zeroizing::new(state.to_string())
    }
}
