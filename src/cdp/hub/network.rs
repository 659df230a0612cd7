//! What Chromium's `Network` tells our own sessions of a request after it was let
//! go: its answer, its failure, its end. Four such events come for each request,
//! so only what is needed of them is read.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::Hub;
use crate::{
    model::{cookie::PartitionKey, time::Now},
    trace::record::{Actor, Event},
};

/// The arguments that these events have in common.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    /// `webSocketCreated`
    #[serde(borrow, default)]
    url: Option<Cow<'a, str>>,
    /// `responseReceived`
    #[serde(default)]
    response: Option<Answer>,
    /// `loadingFailed`
    #[serde(borrow, default)]
    error_text: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: Option<i64>,
}

/// `Network.responseReceivedExtraInfo`: the only place where Chromium shows
/// `Set-Cookie`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResponseHeaders<'a> {
    #[serde(borrow)]
    pub(super) request_id: Cow<'a, str>,
    /// One cookie a line.
    #[serde(borrow, default, rename = "headers", deserialize_with = "set_cookie")]
    pub(super) set_cookie: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    cookie_partition_key: Option<&'a RawValue>,
}

// === impl ResponseHeaders ===

impl ResponseHeaders<'_> {
    pub(super) fn partition(&self) -> Option<PartitionKey> {
        serde_json::from_str(self.cookie_partition_key?.get()).ok()
    }
}

/// The value of `Set-Cookie` among headers of which nothing else is kept; the lines
/// of all of them where a site spells the name in more than one way.
fn set_cookie<'de, D: Deserializer<'de>>(headers: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    struct Headers;
    impl<'de> Visitor<'de> for Headers {
        type Value = Option<Cow<'de, str>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("headers")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut headers: A) -> Result<Self::Value, A::Error> {
            let mut found: Self::Value = None;
            while let Some(Text(name)) = headers.next_key()? {
                if name.eq_ignore_ascii_case("set-cookie") {
                    let Text(value) = headers.next_value()?;
                    match &mut found {
                        None => found = Some(value),
                        Some(lines) => {
                            let lines = lines.to_mut();
                            lines.push('\n');
                            lines.push_str(&value);
                        }
                    }
                } else {
                    headers.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    headers.deserialize_map(Headers)
}

impl Hub {
    /// One of the events, on a session of ours.
    pub(super) fn request_told(&mut self, session: &str, method: &str, params: &str, now: Now) {
        if method == "Network.responseReceivedExtraInfo" {
            match serde_json::from_str(params) {
                Ok(headers) => self.response_headers(&headers, now),
                Err(error) => unreadable(method, &error),
            }
            return;
        }
        let told: Told<'_> = match serde_json::from_str(params) {
            Ok(told) => told,
            Err(error) => return unreadable(method, &error),
        };
        let request = &*told.request_id;
        match method {
            "Network.responseReceived" => {
                let status = told.response.and_then(|answer| answer.status);
                let status = status.and_then(|status| u16::try_from(status).ok());
                self.outcome(request, status, None, now);
            }
            "Network.webSocketCreated" => {
                let url = told.url.as_deref().unwrap_or_default();
                self.socket_opened(session, request, url, now);
            }
            "Network.loadingFailed" => {
                self.loading_over(request, now);
                self.hold_given_up(Some(request), None, now);
                let error = told.error_text.map(Cow::into_owned).unwrap_or_default();
                self.outcome(request, None, Some(error), now);
            }
            "Network.loadingFinished" => self.loading_over(request, now),
            "Network.webSocketClosed" => self.request_over(request, now),
            _ => {}
        }
    }

    fn loading_over(&mut self, request: &str, now: Now) {
        self.request_over(request, now);
        self.causes.forget(request);
        self.hops.remove(request);
    }

    fn outcome(&mut self, request: &str, status: Option<u16>, error: Option<String>, now: Now) {
        let event = Event::Outcome {
            request: request.to_owned(),
            status,
            error,
        };
        self.record(Actor::Page, event, now).ok();
    }
}

fn unreadable(method: &str, error: &serde_json::Error) {
    // The error's text may quote a value, and that may be a cookie.
    let column = error.column();
    tracing::warn!(
        method,
        column,
        "an event of the browser cannot be understood"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_headers_only_the_cookies_are_read() {
        for (headers, expected) in [
            (
                r#"{"a":"1","SET-Cookie":"x=1\ny=2","b":{"c":[1]}}"#,
                Some("x=1\ny=2"),
            ),
            (
                r#"{"Set-Cookie":"x=\u0031","set-cookie":"z=2"}"#,
                Some("x=1\nz=2"),
            ),
            (r#"{"Cookie":"x=1"}"#, None),
            ("{}", None),
        ] {
            let event =
                format!(r#"{{"requestId":"N.1","headers":{headers},"cookiePartitionKey":7}}"#);
            let read: ResponseHeaders<'_> = serde_json::from_str(&event).unwrap();
            assert_eq!(read.set_cookie.as_deref(), expected, "{headers}");
            assert_eq!(read.request_id, "N.1");
            assert_eq!(read.partition(), None);
        }
        let key = r#"{"topLevelSite":"https://a.example","hasCrossSiteAncestor":true}"#;
        let event = format!(r#"{{"requestId":"N","headers":{{}},"cookiePartitionKey":{key}}}"#);
        let read: ResponseHeaders<'_> = serde_json::from_str(&event).unwrap();
        let key = read.partition().unwrap();
        assert!(key.has_cross_site_ancestor && key.top_level_site == "https://a.example");
    }
}
