//! What a record tells of a command's arguments: enough to review, no values.

use serde_json::{Map, Value};
use url::Url;

use crate::model::action::redacted_url;

/// One short line; empty where the method's name says it all.
pub(super) fn detail(method: &str, params: &Map<String, Value>) -> String {
    let text = |key: &str| params.get(key).and_then(Value::as_str);
    match method {
        "Page.navigate" | "Target.createTarget" => text("url").map_or_else(String::new, |url| {
            Url::parse(url).map_or_else(|_| "an invalid URL".to_owned(), |url| redacted_url(&url))
        }),
        "Runtime.evaluate" => length("expression", text("expression")),
        "Runtime.callFunctionOn" => length("function", text("functionDeclaration")),
        "Input.insertText" => length("text", text("text")),
        "Input.dispatchMouseEvent" | "Input.dispatchKeyEvent" | "Input.dispatchTouchEvent" => {
            text("type").unwrap_or_default().chars().take(32).collect()
        }
        "Network.setCookie" | "Network.deleteCookies" => {
            text("name").unwrap_or_default().chars().take(64).collect()
        }
        _ => String::new(),
    }
}

/// Whether [`detail`] looks into the arguments, so that they must be parsed.
pub(super) fn looks_into(method: &str) -> bool {
    matches!(
        method,
        "Runtime.evaluate"
            | "Runtime.callFunctionOn"
            | "Input.insertText"
            | "Input.dispatchMouseEvent"
            | "Input.dispatchKeyEvent"
            | "Input.dispatchTouchEvent"
    )
}

fn length(what: &str, text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| {
        format!("{what} of {} bytes", text.len())
    })
}
