//! The JSON envelope around every message, parsed by a real parser and written
//! anew. Nothing is forwarded that was not parsed.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A command from an agent's client.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command<'a> {
    /// The client's own number for it.
    pub id: i64,
    /// `Domain.method`.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// Arguments, still as text.
    #[serde(borrow, default)]
    pub params: Option<&'a RawValue>,
    /// Which CDP session it is for; absent for the browser itself.
    #[serde(borrow, default, rename = "sessionId")]
    pub session: Option<Cow<'a, str>>,
}

/// A message from Chromium: a reply if it has an id, else an event.
#[derive(Debug, Deserialize)]
pub struct Message<'a> {
    /// Our number of the command that it answers.
    #[serde(default)]
    pub id: Option<u64>,
    /// Event name.
    #[serde(borrow, default)]
    pub method: Option<Cow<'a, str>>,
    /// Event arguments.
    #[serde(borrow, default)]
    pub params: Option<&'a RawValue>,
    /// What a command returned.
    #[serde(borrow, default)]
    pub result: Option<&'a RawValue>,
    /// Why a command failed.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    /// Which CDP session it is of.
    #[serde(borrow, default, rename = "sessionId")]
    pub session: Option<Cow<'a, str>>,
}

/// JSON-RPC error codes, as Chromium uses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The message is no JSON.
    Parse,
    /// The message is JSON, but no command.
    InvalidRequest,
    /// No such method here.
    MethodNotFound,
    /// The arguments are wrong.
    InvalidParams,
    /// Anything else; refusals among them.
    Server,
    /// No such CDP session for this client.
    SessionNotFound,
}

impl Code {
    const fn number(self) -> i32 {
        match self {
            Self::Parse => -32700,
            Self::InvalidRequest => -32600,
            Self::MethodNotFound => -32601,
            Self::InvalidParams => -32602,
            Self::Server => -32000,
            Self::SessionNotFound => -32001,
        }
    }
}

#[derive(Serialize)]
struct CommandOut<'a, P> {
    id: u64,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<P>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "sessionId")]
    session: Option<&'a str>,
}

#[derive(Serialize)]
struct ReplyOut<'a, R> {
    id: i64,
    result: R,
    #[serde(skip_serializing_if = "Option::is_none", rename = "sessionId")]
    session: Option<&'a str>,
}

#[derive(Serialize)]
struct ErrorOut<'a, E> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
    error: E,
    #[serde(skip_serializing_if = "Option::is_none", rename = "sessionId")]
    session: Option<&'a str>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: i32,
    message: &'a str,
}

#[derive(Serialize)]
struct EventOut<'a, P> {
    method: &'a str,
    params: P,
    #[serde(skip_serializing_if = "Option::is_none", rename = "sessionId")]
    session: Option<&'a str>,
}

/// A command for Chromium.
pub fn command(
    id: u64,
    method: &str,
    params: Option<impl Serialize>,
    session: Option<&str>,
) -> Vec<u8> {
    encode(&CommandOut {
        id,
        method,
        params,
        session,
    })
}

/// A successful reply for a client.
pub fn reply(id: i64, result: impl Serialize, session: Option<&str>) -> Vec<u8> {
    encode(&ReplyOut {
        id,
        result,
        session,
    })
}

/// A failed reply for a client, with Chromium's own error object.
pub fn failure(id: i64, error: impl Serialize, session: Option<&str>) -> Vec<u8> {
    encode(&ErrorOut {
        id: Some(id),
        error,
        session,
    })
}

/// A failed reply for a client in our words. Without an id where the message
/// was too broken to have one.
pub fn refusal(id: Option<i64>, code: Code, message: &str, session: Option<&str>) -> Vec<u8> {
    encode(&ErrorOut {
        id,
        error: ErrorBody {
            code: code.number(),
            message,
        },
        session,
    })
}

/// An event for a client.
pub fn event(method: &str, params: impl Serialize, session: Option<&str>) -> Vec<u8> {
    encode(&EventOut {
        method,
        params,
        session,
    })
}

// Everything encoded here is text, numbers and JSON that was parsed before, so
// encoding cannot fail; an empty message would be dropped by its reader.
fn encode(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(text: &str) -> Option<String> {
        serde_json::from_str::<Command<'_>>(text)
            .ok()
            .map(|command| command.method.into_owned())
    }

    #[test]
    fn escaped_keys_are_keys_and_duplicates_are_refused() {
        assert_eq!(
            method(r#"{"id":1,"\u006dethod":"Page.enable"}"#).as_deref(),
            Some("Page.enable")
        );
        for text in [
            r#"{"id":1,"method":"a","method":"b"}"#,
            r#"{"id":1,"method":"a","\u006dethod":"b"}"#,
            r#"{"id":1,"method":"a","params":{},"params":{}}"#,
            r#"{"id":1,"method":"a"} {"id":2,"method":"b"}"#,
            r#"{"id":1,"method":"a","extra":1}"#,
            r#"{"id":"1","method":"a"}"#,
            r#"[{"id":1,"method":"a"}]"#,
            "",
        ] {
            assert_eq!(method(text), None, "{text}");
        }
    }
}
