//! A paused request, as Chromium tells it.

use std::{borrow::Cow, collections::BTreeMap};

use data_encoding::BASE64;
use serde::Deserialize;
use url::Url;

use crate::model::{
    action::{Destination, is_safe_method},
    body::Body,
};

/// The arguments of `Fetch.requestPaused` that matter here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Paused<'a> {
    /// Names the pause; used to continue, fulfil or fail it.
    #[serde(borrow)]
    pub request_id: Cow<'a, str>,
    /// The request.
    #[serde(borrow)]
    pub request: Request<'a>,
    /// Frame that it is for.
    #[serde(borrow, default)]
    pub frame_id: Option<Cow<'a, str>>,
    /// What the page wants it for.
    #[serde(borrow)]
    pub resource_type: Cow<'a, str>,
    /// Names the request in `Network` events.
    #[serde(borrow, default)]
    pub network_id: Option<Cow<'a, str>>,
    /// Present when paused at the response.
    #[serde(default)]
    pub response_status_code: Option<u16>,
    /// Present when paused because it failed.
    #[serde(borrow, default)]
    pub response_error_reason: Option<Cow<'a, str>>,
}

/// A request in CDP's terms.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Where to.
    #[serde(borrow)]
    pub url: Cow<'a, str>,
    /// Method.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// Headers that the browser will send, its own cookies among them.
    pub headers: BTreeMap<String, String>,
    /// Whether it has a body, also where that is not told.
    #[serde(default)]
    pub has_post_data: bool,
    /// Its body in pieces; a piece without bytes is a file that is streamed.
    #[serde(borrow, default)]
    pub post_data_entries: Vec<Piece<'a>>,
}

/// A piece of a body, in Base64.
#[derive(Debug, Deserialize)]
pub struct Piece<'a> {
    #[serde(borrow, default)]
    bytes: Option<Cow<'a, str>>,
}

impl Paused<'_> {
    /// Whether it was let go before and now has its answer, or failed.
    pub const fn is_answered(&self) -> bool {
        self.response_status_code.is_some() || self.response_error_reason.is_some()
    }

    /// Whether it is of a kind that takes no cookies along, whatever the jar
    /// holds: a preflight, or a font from another origin. A `fetch` that asks
    /// for none looks like any other.
    /// Source: <https://fetch.spec.whatwg.org/#cors-preflight-fetch>,
    /// <https://drafts.csswg.org/css-fonts/#font-fetching-requirements>.
    pub fn is_anonymous(&self) -> bool {
        let preflight = self.request.method == "OPTIONS"
            && self.header("access-control-request-method").is_some();
        let elsewhere = || {
            let from = self.header("origin")?;
            Some(self.url()?.origin().ascii_serialization() != from)
        };
        preflight || self.resource_type == "Font" && elsewhere().unwrap_or(false)
    }

    /// What the page wants it for; `is_main` says whether the frame is the top
    /// of its page.
    pub fn destination(&self, is_main: bool) -> Destination {
        match &*self.resource_type {
            "Document" if is_main => Destination::Page,
            "Document" => Destination::Frame,
            "Stylesheet" | "Image" | "Media" | "Font" | "Script" | "TextTrack" | "Manifest"
            | "Prefetch" | "SignedExchange" => Destination::Load,
            _ => Destination::Connect,
        }
    }

    /// Where it goes, without a fragment; `None` where that cannot be parsed.
    pub fn url(&self) -> Option<Url> {
        let mut url = Url::parse(&self.request.url).ok()?;
        url.set_fragment(None);
        Some(url)
    }

    /// What the server may take the method to be: a header that asks for
    /// another one counts, unless it asks for one that only reads.
    pub fn method(&self) -> String {
        const OVERRIDES: [&str; 3] = [
            "x-http-method-override",
            "x-http-method",
            "x-method-override",
        ];
        let asked = OVERRIDES
            .iter()
            .filter_map(|name| self.header(name))
            .map(|method| method.trim().to_ascii_uppercase())
            .find(|method| !is_safe_method(method));
        asked.unwrap_or_else(|| self.request.method.to_string())
    }

    /// What it carries.
    pub fn body(&self) -> Body {
        let pieces = &self.request.post_data_entries;
        if pieces.is_empty() {
            return Body::read("", &[], !self.request.has_post_data);
        }
        let mut whole = true;
        let mut bytes = Vec::new();
        for piece in pieces {
            let decoded = piece
                .bytes
                .as_ref()
                .and_then(|text| BASE64.decode(text.as_bytes()).ok());
            match decoded {
                Some(more) => bytes.extend(more),
                None => whole = false,
            }
        }
        Body::read(
            self.header("content-type").unwrap_or_default(),
            &bytes,
            whole,
        )
    }

    /// The value of a header that the browser will send.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_asks_for_another_method_counts() {
        for (method, header, expected) in [
            ("GET", r#""X-HTTP-Method-Override":" delete""#, "DELETE"),
            ("GET", r#""x-method-override":"POST""#, "POST"),
            ("POST", r#""X-HTTP-Method":"GET""#, "POST"),
            ("GET", r#""Accept":"*/*""#, "GET"),
        ] {
            let text = format!(
                r#"{{"requestId":"1","resourceType":"XHR","request":{{"url":"https://b.test/","method":"{method}","headers":{{{header}}}}}}}"#
            );
            let paused: Paused<'_> = serde_json::from_str(&text).unwrap();
            assert_eq!(paused.method(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_told_is_read() {
        let text = r#"{"requestId":"1","frameId":"F","resourceType":"Document",
            "request":{"url":"https://b.test/x#f","method":"GET","headers":{"cookie":"a=1"}}}"#;
        let paused: Paused<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(paused.header("Cookie"), Some("a=1"));
        assert_eq!(paused.url().unwrap().as_str(), "https://b.test/x");
        assert_eq!(paused.destination(true), Destination::Page);
        assert_eq!(paused.destination(false), Destination::Frame);
    }
}
