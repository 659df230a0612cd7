//! Only the session's own token opens it, and no web page does.

use reqwest::StatusCode;
use serde_json::Value;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, client::IntoClientRequest as _, http::HeaderValue},
};
use url::Url;

use crate::support::{api::Session, broker::Broker, cdp::Cdp};

/// Connects with these headers; the refusal's status and problem otherwise.
async fn knock(url: &Url, headers: &[(&'static str, &str)]) -> Result<(), (u16, Value)> {
    let mut request = url.as_str().into_client_request().unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().insert(*name, value);
    }
    match connect_async(request).await {
        Ok(_) => Ok(()),
        Err(Error::Http(response)) => {
            let kind = &response.headers()["content-type"];
            assert_eq!(kind, "application/problem+json");
            let body = response.body().as_deref().unwrap_or_default();
            let problem = serde_json::from_slice(body).unwrap();
            Err((response.status().as_u16(), problem))
        }
        Err(error) => panic!("neither in nor refused: {error}"),
    }
}

fn without_token(session: &Session) -> Url {
    let mut url: Url = session.cdp_url.parse().unwrap();
    url.set_query(None);
    url
}

fn with_token(session: &Session, token: &str) -> Url {
    let mut url = without_token(session);
    url.query_pairs_mut().append_pair("token", token);
    url
}

#[tokio::test]
async fn a_sessions_own_token_opens_it_and_nothing_else_does() {
    let broker = Broker::start("[cell]\nwarm = 0");
    let operator = broker.operator();
    let (one, two) = (
        operator.add_agent("one").await,
        operator.add_agent("two").await,
    );
    let session = operator.start_session(&one, &[]).await;
    let other = operator.start_session(&two, &[]).await;
    let mut altered = session.token.clone();
    let last = altered.pop().unwrap();
    altered.push(if last == 'A' { 'B' } else { 'A' });
    let wrong = [
        "",
        "x",
        &altered,
        &session.token[..session.token.len() - 1],
        &other.token,
        &one.key,
        &broker.operator_token,
        &session.id,
    ];
    let bare = without_token(&session);
    let refused = |outcome: Result<(), (u16, Value)>, how: &str| {
        let (status, problem) = outcome.expect_err(how);
        assert_eq!(status, 401, "{how}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains("own token"));
    };
    refused(knock(&bare, &[]).await, "no token");
    for token in wrong {
        refused(knock(&with_token(&session, token), &[]).await, token);
        let bearer = format!("Bearer {token}");
        refused(knock(&bare, &[("authorization", &bearer)]).await, token);
    }
    let basic = format!("Basic {}", session.token);
    refused(knock(&bare, &[("authorization", &basic)]).await, "basic");
    let mut elsewhere = bare.clone();
    elsewhere.set_path("/v1/sessions/ses_agrbsj4ugr36xgikkhwjr2ejcu/cdp");
    let bearer = format!("Bearer {}", session.token);
    refused(
        knock(&elsewhere, &[("authorization", &bearer)]).await,
        "a session that is not there",
    );

    knock(&bare, &[("authorization", &bearer)]).await.unwrap();
    let url = with_token(&session, &session.token);
    knock(&url, &[]).await.unwrap();
    operator.end_session(&session).await;
    refused(knock(&url, &[]).await, "after its end");
    knock(&with_token(&other, &other.token), &[]).await.unwrap();
}

#[tokio::test]
async fn a_web_page_is_refused_whatever_it_knows() {
    let broker = Broker::start("allowed_origins = [\"https://tools.example\"]\n[cell]\nwarm = 0");
    let operator = broker.operator();
    let agent = operator.add_agent("one").await;
    let session = operator.start_session(&agent, &[]).await;
    let url: Url = session.cdp_url.parse().unwrap();
    for origin in [
        "https://evil.example",
        "null",
        "",
        "http://tools.example",
        "https://tools.example:444",
        "https://tools.example.evil.example",
        "file://",
    ] {
        let (status, problem) = knock(&url, &[("origin", origin)]).await.expect_err(origin);
        assert_eq!(status, 403, "{origin}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains("Origin"));
    }
    knock(&url, &[("origin", "https://tools.example")])
        .await
        .unwrap();
    // What is no WebSocket is told what is expected.
    let mut http = url.clone();
    http.set_scheme("http").unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(http).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UPGRADE_REQUIRED);
    let problem: Value = response.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("CDP client"));
    // Still there, for whoever may.
    Cdp::connect(&session.cdp_url)
        .await
        .ask("Browser.getVersion", serde_json::json!({}))
        .await;
}
