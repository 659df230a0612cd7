//! Blanks what must not leave in replies and events, in place: clients wait for
//! these messages, so none is dropped.

use serde_json::{Map, Value};

/// What stands where a value was.
pub const BLANK: &str = "[redacted]";

/// Whether a cookie's value must not leave: lent names always, and whatever is
/// `HttpOnly`.
pub type IsLent<'a> = &'a dyn Fn(&str) -> bool;

/// Whether a reply to `method` has values in known places, and so is parsed
/// whole; others are only searched for live secrets.
pub fn is_structural_reply(method: &str) -> bool {
    matches!(
        method,
        "Network.getCookies"
            | "Network.getAllCookies"
            | "Storage.getCookies"
            | "DOM.getFileInfo"
            | "Browser.getWindowForTarget"
    )
}

/// The same for events.
pub fn is_structural_event(method: &str) -> bool {
    !matches!(
        method,
        "Network.dataReceived"
            | "Network.eventSourceMessageReceived"
            | "Network.webSocketFrameReceived"
            | "Network.webSocketFrameSent"
            | "HeapProfiler.addHeapSnapshotChunk"
            | "Runtime.bindingCalled"
            | "Runtime.consoleAPICalled"
            | "Runtime.exceptionThrown"
            | "Console.messageAdded"
            | "Log.entryAdded"
    )
}

/// Redacts a reply to `method`.
pub fn reply(method: &str, result: &mut Value, lent: IsLent<'_>) {
    match method {
        "Network.getCookies" | "Network.getAllCookies" | "Storage.getCookies" => {
            cookies(result.get_mut("cookies"), lent);
        }
        "DOM.getFileInfo" => base_name(result.get_mut("path")),
        // Bodies, evaluation results and the like: the scan of everything that
        // leaves blanks live secrets in them.
        _ => {}
    }
}

/// Redacts an event's parameters.
pub fn event(method: &str, params: &mut Value, lent: IsLent<'_>) {
    for key in ["headers", "requestHeaders"] {
        headers(params.get_mut(key));
    }
    for key in ["request", "response", "redirectResponse"] {
        if let Some(inner) = params.get_mut(key).and_then(Value::as_object_mut) {
            for key in ["headers", "requestHeaders"] {
                headers(inner.get_mut(key));
            }
            for key in ["headersText", "requestHeadersText"] {
                inner.remove(key);
            }
        }
    }
    match method {
        "Network.requestWillBeSentExtraInfo" => {
            for entry in array(params.get_mut("associatedCookies")) {
                cookie(entry.get_mut("cookie"), lent);
            }
        }
        "Network.responseReceivedExtraInfo" => {
            remove(params, "headersText");
            for list in ["blockedCookies", "exemptedCookies"] {
                for entry in array(params.get_mut(list)) {
                    blank(entry.get_mut("cookieLine"));
                    cookie(entry.get_mut("cookie"), lent);
                }
            }
        }
        "Fetch.requestPaused" => headers(params.get_mut("responseHeaders")),
        "Audits.issueAdded" => {
            let issue = params.pointer_mut("/issue/details/cookieIssueDetails");
            if let Some(issue) = issue {
                remove(issue, "rawCookieLine");
            }
        }
        "Browser.downloadProgress" => remove(params, "filePath"),
        "Input.dragIntercepted" => {
            if let Some(data) = params.get_mut("data") {
                remove(data, "files");
            }
        }
        _ => {}
    }
}

/// Whether a header carries a credential.
pub fn is_credential_header(name: &str) -> bool {
    [
        "cookie",
        "set-cookie",
        "authorization",
        "proxy-authorization",
        "cookie2",
    ]
    .iter()
    .any(|known| name.eq_ignore_ascii_case(known))
}

fn cookies(list: Option<&mut Value>, lent: IsLent<'_>) {
    for entry in array(list) {
        cookie(Some(entry), lent);
    }
}

fn cookie(entry: Option<&mut Value>, lent: IsLent<'_>) {
    let Some(entry) = entry.and_then(Value::as_object_mut) else {
        return;
    };
    let hidden = entry.get("httpOnly").and_then(Value::as_bool) != Some(false)
        || entry.get("name").and_then(Value::as_str).is_none_or(lent);
    if hidden {
        let name = entry.get("name").and_then(Value::as_str);
        let size = name.map_or(0, str::len);
        // The size of both would tell how long the value is.
        if let Some(told) = entry.get_mut("size") {
            *told = size.into();
        }
        entry.insert("value".to_owned(), Value::String(String::new()));
    }
}

/// Headers as CDP writes them: an object, or a list of `{name, value}`.
fn headers(place: Option<&mut Value>) {
    match place {
        Some(Value::Object(map)) => {
            for (name, value) in map.iter_mut() {
                if is_credential_header(name) {
                    header_value(name, value);
                }
            }
        }
        Some(Value::Array(list)) => {
            for entry in list.iter_mut().filter_map(Value::as_object_mut) {
                header_entry(entry);
            }
        }
        _ => {}
    }
}

fn header_entry(entry: &mut Map<String, Value>) {
    let name = entry
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if is_credential_header(&name) {
        if let Some(value) = entry.get_mut("value") {
            header_value(&name, value);
        }
    }
}

/// Keeps cookie names, so that a client can still see that one was sent.
fn header_value(name: &str, value: &mut Value) {
    let text = value.as_str().unwrap_or_default();
    let name_of = |pair: &str| pair.split('=').next().unwrap_or_default().trim().to_owned();
    let shown = if name.eq_ignore_ascii_case("cookie") {
        text.split(';')
            .map(|pair| format!("{}={BLANK}", name_of(pair)))
            .collect::<Vec<_>>()
            .join("; ")
    } else if name.eq_ignore_ascii_case("set-cookie") {
        text.split('\n')
            .map(|line| {
                let attributes = line.split_once(';').map_or("", |(_, rest)| rest);
                let mark = if attributes.is_empty() { "" } else { ";" };
                format!("{}={BLANK}{mark}{attributes}", name_of(line))
            })
            .collect::<Vec<_>>()
            .join("\n")
    } else {
        BLANK.to_owned()
    };
    *value = Value::String(shown);
}

fn base_name(place: Option<&mut Value>) {
    if let Some(Value::String(path)) = place {
        *path = path
            .rsplit(['/', '\\'])
            .next()
            .unwrap_or_default()
            .to_owned();
    }
}

fn blank(place: Option<&mut Value>) {
    if let Some(value) = place {
        *value = Value::String(BLANK.to_owned());
    }
}

fn remove(place: &mut Value, key: &str) {
    if let Some(map) = place.as_object_mut() {
        map.remove(key);
    }
}

fn array(place: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    place.and_then(Value::as_array_mut).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event_text(method: &str, mut params: Value) -> String {
        event(method, &mut params, &|name| name == "lent");
        params.to_string()
    }

    #[test]
    fn values_are_blanked_wherever_chromium_puts_them() {
        let set = "lent=SECRET; Path=/; HttpOnly\nother=SECRET";
        for (method, params) in [
            (
                "Network.requestWillBeSentExtraInfo",
                json!({"headers":{"Cookie":"lent=SECRET; b=SECRET","Authorization":"SECRET"},
                "associatedCookies":[{"cookie":{"name":"lent","value":"SECRET","httpOnly":false}},{"cookie":{"name":"x","value":"SECRET","httpOnly":true}}]}),
            ),
            (
                "Network.responseReceivedExtraInfo",
                json!({"headers":{"set-cookie":set},"headersText":"SECRET",
                "blockedCookies":[{"cookieLine":"SECRET","cookie":{"name":"a","value":"SECRET","httpOnly":true}}],
                "exemptedCookies":[{"cookieLine":"SECRET","cookie":{"name":"a","value":"SECRET"}}]}),
            ),
            (
                "Network.webSocketWillSendHandshakeRequest",
                json!({"request":{"headers":{"cookie":"lent=SECRET"}}}),
            ),
            (
                "Network.webSocketHandshakeResponseReceived",
                json!({"response":{"requestHeaders":{"Cookie":"lent=SECRET"},"requestHeadersText":"SECRET","headers":{},"headersText":"SECRET"}}),
            ),
            (
                "Network.requestWillBeSent",
                json!({"request":{"headers":{"Authorization":"SECRET"}},"redirectResponse":{"requestHeaders":{"Cookie":"a=SECRET"},"headersText":"SECRET"}}),
            ),
            (
                "Fetch.requestPaused",
                json!({"request":{"headers":{"Cookie":"lent=SECRET"}},"responseHeaders":[{"name":"Set-Cookie","value":set}]}),
            ),
            (
                "Fetch.authRequired",
                json!({"request":{"headers":{"cookie":"lent=SECRET"}}}),
            ),
            (
                "Audits.issueAdded",
                json!({"issue":{"details":{"cookieIssueDetails":{"rawCookieLine":"SECRET"}}}}),
            ),
            ("Browser.downloadProgress", json!({"filePath":"SECRET"})),
        ] {
            let text = event_text(method, params);
            assert!(!text.contains("SECRET"), "{method}: {text}");
        }
    }

    #[test]
    fn the_clients_own_cookies_stay_whole() {
        let mut result = json!({"cookies":[
            {"name":"mine","value":"v","httpOnly":false},
            {"name":"lent","value":"v","httpOnly":false,"size":5},
            {"name":"hidden","value":"v","httpOnly":true},
            {"name":"unclear","value":"v"}]});
        reply("Storage.getCookies", &mut result, &|name| name == "lent");
        let values: Vec<_> = result["cookies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["value"].as_str().unwrap())
            .collect();
        assert_eq!(values, ["v", "", "", ""]);
        assert_eq!(result["cookies"][1]["size"], 4);
    }

    #[test]
    fn names_and_attributes_remain() {
        let text = event_text(
            "Network.responseReceivedExtraInfo",
            json!({"headers":{"Set-Cookie":"a=SECRET; Path=/\nb=SECRET"}}),
        );
        assert!(
            text.contains("a=[redacted]; Path=/\\nb=[redacted]"),
            "{text}"
        );
    }
}
