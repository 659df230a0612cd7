//! Headers that a client sets: none that carries a credential, names a place or
//! speaks to a proxy, and none that is two headers to whoever reads it next.

use serde_json::{Map, Value};
use url::Url;

use super::Checked::{self, Forward, Refuse};
use crate::cdp::redact::is_credential_header;

/// Headers of responses by which a client would write into the jar.
const JAR: [&str; 3] = ["set-cookie", "set-cookie2", "clear-site-data"];

/// `Network.setExtraHTTPHeaders`.
pub(super) fn extra(headers: Option<&Value>) -> Checked {
    let Some(Value::Object(headers)) = headers else {
        return Refuse("`headers` is expected to be an object".into());
    };
    for (name, value) in headers {
        if let Some(refused) = malformed(name, Some(value)) {
            return refused;
        }
        if is_forbidden(name) {
            return Refuse(format!("the header `{name}` cannot be set by an agent"));
        }
    }
    Forward
}

/// `Fetch.continueRequest`.
pub(super) fn request(params: &mut Map<String, Value>) -> Checked {
    if let Some(url) = params.get("url") {
        match url.as_str().map(Url::parse) {
            Some(Ok(url)) if matches!(url.scheme(), "http" | "https") => {}
            _ => return Refuse("a request can be sent on to http and https addresses only".into()),
        }
    }
    // Clients repeat the headers that they were shown; those that are not
    // theirs to set are left to the browser.
    without(params, "headers", is_forbidden)
}

/// `Fetch.fulfillRequest` and `Fetch.continueResponse`.
pub(super) fn response(params: &mut Map<String, Value>) -> Checked {
    // Chromium writes it into the same text as the headers.
    if let Some(phrase) = params.get("responsePhrase") {
        if !phrase.as_str().is_some_and(is_text) {
            return Refuse("`responsePhrase` is expected to be one line of text".into());
        }
    }
    // The same list in its second, binary form could not be looked into.
    params.remove("binaryResponseHeaders");
    without(params, "responseHeaders", |name| {
        JAR.iter().any(|known| name.eq_ignore_ascii_case(known))
    })
}

fn without(params: &mut Map<String, Value>, key: &str, unwanted: fn(&str) -> bool) -> Checked {
    let headers = match params.get_mut(key) {
        None => return Forward,
        Some(Value::Array(headers)) => headers,
        Some(_) => return Refuse(format!("`{key}` is expected to be a list")),
    };
    headers.retain(|header| {
        let name = header.get("name").and_then(Value::as_str);
        !name.is_some_and(unwanted)
    });
    for header in headers.iter() {
        let name = header.get("name").and_then(Value::as_str);
        if let Some(refused) = malformed(name.unwrap_or_default(), header.get("value")) {
            return refused;
        }
    }
    Forward
}

/// Chromium writes names and values into one text that it parses again, where
/// `Set-Cookie ` is `Set-Cookie` and a zero byte ends a header.
fn malformed(name: &str, value: Option<&Value>) -> Option<Checked> {
    if !is_token(name) {
        return Some(Refuse(format!(
            "`{}` is no name of a header",
            name.escape_debug()
        )));
    }
    if !value.and_then(Value::as_str).is_some_and(is_text) {
        return Some(Refuse(format!(
            "the value of the header `{name}` is expected to be one line of text"
        )));
    }
    None
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_text(value: &str) -> bool {
    value.chars().all(|c| c == '\t' || !c.is_control())
}

fn is_forbidden(name: &str) -> bool {
    is_credential_header(name)
        || [
            "host",
            "origin",
            "content-length",
            "transfer-encoding",
            "connection",
            "upgrade",
            "forwarded",
            "x-method-override",
        ]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
        || ["proxy-", "sec-", "x-forwarded-", "x-http-method"]
            .iter()
            .any(|prefix| {
                name.get(..prefix.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            })
}
