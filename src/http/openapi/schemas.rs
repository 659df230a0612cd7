//! The shapes of bodies. Kept by hand beside the types they describe; the
//! contract tests check real answers against them, member by member.

use serde_json::{Map, Value, json};

/// Every schema by name.
pub(super) fn all() -> Map<String, Value> {
    [
        ("Problem", problem()),
        ("Health", object(&[("status", text())])),
        ("OpenApi", json!({ "type": "object" })),
        (
            "Time",
            described("RFC 3339, UTC, microseconds", "date-time"),
        ),
        ("Span", described("A length of time, such as `15m`", "span")),
        (
            "AgentRef",
            described("Id (`agt_…`) or name of an agent", "agent"),
        ),
        ("Phase", one_of(&["requested", "pending", "open", "closed"])),
        (
            "ImportFormat",
            one_of(&["auto", "netscape", "storage-state", "json"]),
        ),
        ("Delivery", one_of(&["wire", "jar"])),
        ("FileName", text()),
        ("Flag", flag()),
        ("FilePath", text()),
    ]
    .into_iter()
    .chain(registry())
    .chain(delegations())
    .chain(grants())
    .chain(sessions())
    .chain(super::holds::all())
    .chain(traces())
    .map(|(name, schema)| (name.to_owned(), schema))
    .collect()
}

fn registry() -> Vec<(&'static str, Value)> {
    vec![
        ("NewAgent", object(&[("name", text())])),
        (
            "Agent",
            object(&[
                ("id", text()),
                ("name", text()),
                ("created_at", to("Time")),
                ("disabled_at", or_null(&to("Time"))),
            ]),
        ),
        (
            "AddedAgent",
            object(&[("agent", to("Agent")), ("key", text())]),
        ),
        ("AgentList", object(&[("agents", list(&to("Agent")))])),
        (
            "Cookie",
            object(&[
                ("name", text()),
                ("domain", text()),
                ("hostOnly", flag()),
                ("path", text()),
                ("secure", flag()),
                ("httpOnly", flag()),
                (
                    "sameSite",
                    json!({ "enum": ["Strict", "Lax", "None", null] }),
                ),
                ("partitionKey?", to("PartitionKey")),
                ("expires", or_null(&to("Time"))),
            ]),
        ),
        (
            "PartitionKey",
            object(&[("topLevelSite", text()), ("hasCrossSiteAncestor", flag())]),
        ),
        (
            "Credential",
            object(&[
                ("id", text()),
                ("person", text()),
                ("cookie", to("Cookie")),
                ("version", number()),
                ("cleared", flag()),
                ("created_at", to("Time")),
                ("updated_at", to("Time")),
            ]),
        ),
        (
            "CredentialList",
            object(&[("credentials", list(&to("Credential")))]),
        ),
        (
            "RefusedCookie",
            object(&[
                ("position", number()),
                ("name", or_null(&text())),
                ("reason", text()),
            ]),
        ),
        (
            "ImportReport",
            object(&[
                ("imported", list(&to("Credential"))),
                ("refused", list(&to("RefusedCookie"))),
                ("left_out", list(&text())),
            ]),
        ),
    ]
}

fn delegations() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Scope",
            object(&[
                ("origins", list(&text())),
                ("paths?", list(&text())),
                ("methods?", list(&text())),
                ("load?", list(&text())),
                ("connect?", list(&text())),
                ("addresses?", list(&text())),
                ("unknown?", one_of(&["refuse", "propose"])),
                ("writes?", one_of(&["hold", "allow"])),
                ("budget?", to("Budget")),
            ]),
        ),
        (
            "Budget",
            object(&[
                ("requests?", number()),
                ("writes?", number()),
                ("bytes?", number()),
            ]),
        ),
        (
            "Window",
            object(&[("start", to("Time")), ("end", to("Time"))]),
        ),
        (
            "WindowAsk",
            object(&[
                ("start?", to("Time")),
                ("end?", to("Time")),
                ("duration?", to("Span")),
            ]),
        ),
        (
            "LentCredential",
            object(&[("credential", text()), ("delivery", to("Delivery"))]),
        ),
        (
            "NamedCookie",
            object(&[
                ("name", text()),
                ("origin", text()),
                ("delivery?", to("Delivery")),
            ]),
        ),
        (
            "CookieById",
            object(&[("credential", text()), ("delivery?", to("Delivery"))]),
        ),
        (
            "CookieRef",
            json!({ "anyOf": [to("CookieById"), to("NamedCookie")] }),
        ),
        (
            "NewDelegation",
            object(&[
                ("agent?", to("AgentRef")),
                ("lender?", text()),
                ("purpose", text()),
                ("cookies?", list(&to("CookieRef"))),
                ("scope", to("Scope")),
                ("window?", to("WindowAsk")),
            ]),
        ),
        (
            "Narrow",
            object(&[
                ("scope?", to("Scope")),
                ("window?", to("WindowAsk")),
                ("credentials?", list(&text())),
            ]),
        ),
    ]
}

fn grants() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Terms",
            object(&[
                ("scope", to("Scope")),
                ("window", to("Window")),
                ("credentials", list(&to("LentCredential"))),
            ]),
        ),
        (
            "State",
            object(&[
                ("status", one_of(&["requested", "approved", "closed"])),
                ("approver?", or_null(&text())),
                ("granted?", or_null(&to("Terms"))),
                ("approved_at?", to("Time")),
                ("approved_boot?", number()),
                ("boot_id?", text()),
                (
                    "reason?",
                    one_of(&[
                        "denied",
                        "expired",
                        "revoked",
                        "completed",
                        "exhausted",
                        "locked",
                    ]),
                ),
                ("at?", to("Time")),
            ]),
        ),
        (
            "CookieLabel",
            object(&[("credential", text()), ("name", text()), ("domain", text())]),
        ),
        (
            "Delegation",
            object(&[
                ("id", text()),
                ("agent", text()),
                ("agent_name", text()),
                ("lender", text()),
                ("purpose", text()),
                ("requested_at", to("Time")),
                ("requested", to("Terms")),
                ("state", to("State")),
                ("phase", to("Phase")),
                ("wanted", list(&to("NamedCookie"))),
                ("cookies", list(&to("CookieLabel"))),
                ("revision", number()),
            ]),
        ),
        (
            "DelegationList",
            object(&[("delegations", list(&to("Delegation")))]),
        ),
    ]
}

fn sessions() -> Vec<(&'static str, Value)> {
    vec![
        (
            "NewSession",
            object(&[("agent?", to("AgentRef")), ("delegations?", list(&text()))]),
        ),
        (
            "Session",
            object(&[
                ("id", text()),
                ("agent", text()),
                ("agent_name", text()),
                ("trace", text()),
                ("status", one_of(&["starting", "running", "ended"])),
                ("delegations", list(&text())),
                ("started_at", to("Time")),
                ("ended_at", or_null(&to("Time"))),
                ("reason", or_null(&text())),
            ]),
        ),
        (
            "StartedSession",
            object(&[
                ("session", to("Session")),
                ("cdp_url", text()),
                ("http_url", text()),
                ("token", text()),
            ]),
        ),
        ("SessionList", object(&[("sessions", list(&to("Session")))])),
        (
            "Upload",
            object(&[("path", text()), ("name", text()), ("bytes", number())]),
        ),
        (
            "Download",
            object(&[
                ("guid", text()),
                ("name", text()),
                ("bytes", number()),
                ("state", one_of(&["in-progress", "completed", "canceled"])),
            ]),
        ),
        (
            "DownloadList",
            object(&[("downloads", list(&to("Download")))]),
        ),
    ]
}

fn traces() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Trace",
            object(&[
                ("id", text()),
                ("kind", one_of(&["session", "broker"])),
                ("session", or_null(&text())),
                ("created_at", to("Time")),
                ("ended_at", or_null(&to("Time"))),
                ("records", number()),
                ("head", text()),
            ]),
        ),
        ("TraceList", object(&[("traces", list(&to("Trace")))])),
        ("Record", json!({ "type": "object" })),
        (
            "TraceVerdict",
            object(&[
                ("trace", text()),
                ("intact", flag()),
                ("records", number()),
                ("head", text()),
                ("problem", or_null(&text())),
            ]),
        ),
    ]
}

fn problem() -> Value {
    object(&[
        ("type", text()),
        ("title", text()),
        ("status", number()),
        ("detail", text()),
        ("rule?", text()),
        ("delegation?", text()),
        ("what_to_do?", text()),
        ("field?", text()),
        ("line?", number()),
        ("column?", number()),
    ])
}

/// An object of these members and no others; `?` marks what may be absent.
pub(super) fn object(members: &[(&str, Value)]) -> Value {
    let required: Vec<&str> = members
        .iter()
        .filter(|(name, _)| !name.ends_with('?'))
        .map(|(name, _)| *name)
        .collect();
    let properties: Map<String, Value> = members
        .iter()
        .map(|(name, schema)| (name.trim_end_matches('?').to_owned(), schema.clone()))
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

pub(super) fn number() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn described(description: &str, format: &str) -> Value {
    json!({ "type": "string", "format": format, "description": description })
}

pub(super) fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

pub(super) fn list(item: &Value) -> Value {
    json!({ "type": "array", "items": item })
}

pub(super) fn or_null(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

pub(super) fn to(name: &str) -> Value {
    super::reference(name)
}
