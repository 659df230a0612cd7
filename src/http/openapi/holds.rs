//! The shapes of holds and locks.

use serde_json::{Value, json};

use super::schemas::{flag, list, number, object, one_of, or_null, text, to};

#[expect(clippy::too_many_lines, reason = "one entry for each shape")]
pub(super) fn all() -> Vec<(&'static str, Value)> {
    let class = one_of(&["read", "write", "destructive", "secrets"]);
    vec![
        (
            "HoldRule",
            object(&[
                ("method", text()),
                ("origin", text()),
                ("path", text()),
                ("query", list(&text())),
                ("body", text()),
                ("fields", list(&text())),
                ("class", class.clone()),
            ]),
        ),
        (
            "HoldBody",
            object(&[
                (
                    "kind",
                    one_of(&[
                        "empty",
                        "form",
                        "json",
                        "multipart",
                        "text",
                        "binary",
                        "unseen",
                    ]),
                ),
                ("fields?", list(&json!({ "type": "object" }))),
                ("parts?", list(&json!({ "type": "object" }))),
                ("text?", text()),
                ("names?", list(&text())),
                (
                    "graphql?",
                    or_null(&one_of(&["query", "subscription", "mutation"])),
                ),
            ]),
        ),
        (
            "Hold",
            object(&[
                ("id", text()),
                ("session", text()),
                ("agent", text()),
                ("delegation", text()),
                ("lender", text()),
                ("class", class),
                ("method", text()),
                ("url", text()),
                ("destination", one_of(&["page", "frame", "load", "connect"])),
                ("body", to("HoldBody")),
                ("body_size", number()),
                ("page", or_null(&text())),
                ("cause", or_null(&text())),
                ("agent_says", or_null(&text())),
                ("policies", list(&text())),
                ("says", text()),
                ("rule", or_null(&to("HoldRule"))),
                ("opened_at", to("Time")),
                ("deadline", to("Time")),
                ("waiting", flag()),
            ]),
        ),
        ("HoldList", object(&[("holds", list(&to("Hold")))])),
        (
            "HoldAnswer",
            object(&[
                ("answer", one_of(&["once", "like-this", "deny"])),
                ("rule?", to("HoldRule")),
                ("words?", text()),
            ]),
        ),
        (
            "SharedSession",
            object(&[("cdp_url", text()), ("http_url", text()), ("token", text())]),
        ),
        ("Bound", object(&[("delegation", text())])),
        ("Explanation", object(&[("reason", text())])),
        (
            "NewLock",
            object(&[
                ("agent?", to("AgentRef")),
                ("person?", text()),
                ("origin?", text()),
                ("reason", text()),
            ]),
        ),
        (
            "Lock",
            object(&[
                ("id", text()),
                (
                    "subject",
                    object(&[("agent?", text()), ("person?", text()), ("origin?", text())]),
                ),
                ("reason", text()),
                ("set_by", text()),
                ("set_at", to("Time")),
                ("lifted_by?", text()),
                ("lifted_at?", to("Time")),
            ]),
        ),
        ("LockList", object(&[("locks", list(&to("Lock")))])),
    ]
}
