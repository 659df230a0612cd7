//! What a request carries, read for deciding about it and for showing it to a
//! person: forms, JSON, parts, `GraphQL` operations.

use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::json::unambiguous;

/// Bodies that are longer are not read; they are told by their size.
pub const LONGEST: usize = 1 << 20;

/// Names of fields that sites fill with a new random value on each page, so that
/// no other site can send their forms.
const ANTI_FORGERY: [&str; 7] = [
    "csrfmiddlewaretoken",
    "authenticity_token",
    "__requestverificationtoken",
    "csrf_token",
    "csrf-token",
    "_csrf",
    "_token",
];

/// A body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Body {
    /// Bytes that are known; the browser does not tell files it streams.
    pub size: u64,
    /// What is in it.
    pub content: Content,
}

/// What is in a body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Content {
    /// Nothing.
    #[default]
    Empty,
    /// `application/x-www-form-urlencoded`, decoded.
    Form {
        /// In order.
        fields: Vec<Field>,
    },
    /// JSON in which no key stands twice.
    Json {
        /// As sent.
        text: String,
        /// Names of the outermost object's fields.
        names: Vec<String>,
        /// What it asks for if it is `GraphQL`.
        graphql: Option<Operation>,
    },
    /// `multipart/form-data`.
    Multipart {
        /// In order.
        parts: Vec<Part>,
    },
    /// Any other text.
    Text {
        /// As sent.
        text: String,
    },
    /// No text.
    Binary,
    /// Too long, or not told whole by the browser.
    Unseen,
}

/// A field of a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// A part of a form with files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Name of the field.
    pub name: String,
    /// Name of the file, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Text of a short field that is no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// What a `GraphQL` document does, at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Reads.
    Query,
    /// Listens.
    Subscription,
    /// Changes something.
    Mutation,
}

/// Longest value of a part that is kept.
const LONGEST_VALUE: usize = 4096;

impl Body {
    /// Reads a body. `whole` is false where the browser told a part of it only.
    #[must_use]
    pub fn read(content_type: &str, bytes: &[u8], whole: bool) -> Self {
        let size = bytes.len() as u64;
        let content = if !whole || bytes.len() > LONGEST {
            Content::Unseen
        } else if bytes.is_empty() {
            Content::Empty
        } else {
            read(content_type, bytes)
        };
        Self { size, content }
    }

    /// Names of its fields, sorted, each once.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = match &self.content {
            Content::Form { fields } => fields.iter().map(|field| &*field.name).collect(),
            Content::Json { names, .. } => names.iter().map(String::as_str).collect(),
            Content::Multipart { parts } => parts.iter().map(|part| &*part.name).collect(),
            Content::Empty | Content::Text { .. } | Content::Binary | Content::Unseen => Vec::new(),
        };
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What it asks for if it is `GraphQL`.
    #[must_use]
    pub const fn graphql(&self) -> Option<Operation> {
        match self.content {
            Content::Json { graphql, .. } => graphql,
            _ => None,
        }
    }

    /// Values of a form's fields of that name: a server may take any of them.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let form = match &self.content {
            Content::Form { fields } => fields.as_slice(),
            _ => &[],
        };
        let parts = match &self.content {
            Content::Multipart { parts } => parts.as_slice(),
            _ => &[],
        };
        let of_form = form
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value.as_str());
        let of_parts = parts
            .iter()
            .filter(move |part| part.name.eq_ignore_ascii_case(name))
            .filter_map(|part| part.value.as_deref());
        of_form.chain(of_parts)
    }

    /// What the body is, as policies name it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.content {
            Content::Empty => "none",
            Content::Form { .. } => "form",
            Content::Json { .. } => "json",
            Content::Multipart { .. } => "multipart",
            Content::Text { .. } => "text",
            Content::Binary => "binary",
            Content::Unseen => "unseen",
        }
    }
}

/// Whether a field only proves which page a form came from.
#[must_use]
pub fn is_anti_forgery(name: &str) -> bool {
    ANTI_FORGERY.contains(&name.to_ascii_lowercase().as_str())
}

fn read(content_type: &str, bytes: &[u8]) -> Content {
    let mut parts = content_type.split(';');
    let kind = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "multipart/form-data" {
        let boundary = parts.find_map(|parameter| {
            let (name, value) = parameter.trim().split_once('=')?;
            name.eq_ignore_ascii_case("boundary")
                .then(|| value.trim_matches('"'))
        });
        return boundary
            .and_then(|boundary| multipart(boundary, bytes))
            .map_or(Content::Unseen, |parts| Content::Multipart { parts });
    }
    if kind == "application/x-www-form-urlencoded" {
        let fields = url::form_urlencoded::parse(bytes)
            .map(|(name, value)| Field {
                name: name.into_owned(),
                value: value.into_owned(),
            })
            .collect();
        return Content::Form { fields };
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Content::Binary;
    };
    if kind == "application/graphql" {
        return Content::Json {
            text: text.to_owned(),
            names: vec!["query".to_owned()],
            graphql: Some(operation(text)),
        };
    }
    // Sites read JSON whatever it is called, so it is looked for in any text.
    json(text).unwrap_or_else(|| Content::Text {
        text: text.to_owned(),
    })
}

fn json(text: &str) -> Option<Content> {
    let start = text.trim_start();
    if !start.starts_with(['{', '[']) || unambiguous(&format!("{{\"_\":{text}}}")).is_err() {
        return None;
    }
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let names = value
        .as_object()
        .map(|object| object.keys().cloned().collect())
        .unwrap_or_default();
    let graphql = match &value {
        serde_json::Value::Array(batch) => {
            let each: Option<Vec<Operation>> = batch.iter().map(asked).collect();
            each.and_then(|each| each.into_iter().max())
        }
        one => asked(one),
    };
    Some(Content::Json {
        text: text.to_owned(),
        names,
        graphql,
    })
}

/// A request of the GraphQL-over-HTTP form: `query` is its document.
fn asked(value: &serde_json::Value) -> Option<Operation> {
    let document = value.get("query")?.as_str()?;
    let start = document.trim_start();
    ["{", "query", "mutation", "subscription", "fragment", "#"]
        .iter()
        .any(|word| start.starts_with(word))
        .then(|| operation(document))
}

/// The gravest operation that a document defines, whichever of them is asked for.
#[must_use]
pub fn operation(document: &str) -> Operation {
    let mut gravest = Operation::Query;
    let mut depth = 0_usize;
    let mut rest = document;
    while let Some(c) = rest.chars().next() {
        let word: usize = rest
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .map(char::len_utf8)
            .sum();
        let skip = match c {
            '{' | '(' | '[' => {
                depth += 1;
                1
            }
            '}' | ')' | ']' => {
                // One too many closes: no document; the gravest is assumed.
                let Some(less) = depth.checked_sub(1) else {
                    return Operation::Mutation;
                };
                depth = less;
                1
            }
            '#' => rest.find(['\n', '\r']).unwrap_or(rest.len()),
            '"' => string(rest),
            _ if word > 0 => {
                gravest = gravest.max(match rest.get(..word) {
                    Some("mutation") if depth == 0 => Operation::Mutation,
                    Some("subscription") if depth == 0 => Operation::Subscription,
                    _ => Operation::Query,
                });
                word
            }
            c => c.len_utf8(),
        };
        rest = rest.get(skip..).unwrap_or_default();
    }
    if depth == 0 {
        gravest
    } else {
        Operation::Mutation
    }
}

/// Length of the string literal that `text` begins with.
fn string(text: &str) -> usize {
    if let Some(block) = text.strip_prefix("\"\"\"") {
        let mut from = 0;
        while let Some(at) = block.get(from..).and_then(|rest| rest.find("\"\"\"")) {
            let escaped = block
                .get(..from + at)
                .is_some_and(|before| before.ends_with('\\'));
            from += at + 3;
            if !escaped {
                return from + 3;
            }
        }
        return text.len();
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' | '\n' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// RFC 7578, as browsers write it. `None` where it is not of that form.
fn multipart(boundary: &str, bytes: &[u8]) -> Option<Vec<Part>> {
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = bytes.strip_prefix(format!("--{boundary}").as_bytes())?;
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Some(parts);
        }
        rest = rest.strip_prefix(b"\r\n")?;
        let end = memmem::find(rest, delimiter.as_bytes())?;
        let (part, after) = rest.split_at_checked(end)?;
        rest = after.get(delimiter.len()..)?;
        let split = memmem::find(part, b"\r\n\r\n")?;
        let (head, content) = part.split_at_checked(split)?;
        let content = content.get(4..)?;
        let head = std::str::from_utf8(head).ok()?;
        let disposition = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-disposition")
                .then_some(value)
        })?;
        let file = parameter(disposition, "filename");
        let value = std::str::from_utf8(content)
            .ok()
            .filter(|text| file.is_none() && text.len() <= LONGEST_VALUE);
        parts.push(Part {
            name: parameter(disposition, "name")?,
            value: value.map(str::to_owned),
            file,
            size: content.len() as u64,
        });
    }
}

/// A parameter of `Content-Disposition`; browsers write `"` in it as `%22`.
fn parameter(disposition: &str, wanted: &str) -> Option<String> {
    let start = disposition.find(&format!("; {wanted}=\""))? + wanted.len() + 4;
    let rest = disposition.get(start..)?;
    Some(
        rest.get(..rest.find('"')?)?
            .replace("%22", "\"")
            .replace("%0D", "\r")
            .replace("%0A", "\n"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_as_what_they_are() {
        for (kind, text, expected, names) in [
            (
                "application/x-www-form-urlencoded",
                "a=1&b=x+y&a=2",
                "form",
                "a b",
            ),
            (
                "application/json; charset=utf-8",
                r#"{"b":1,"a":[2]}"#,
                "json",
                "a b",
            ),
            ("text/plain", r#" {"b":1}"#, "json", "b"),
            ("text/plain", "hello", "text", ""),
            ("application/json", r#"{"b":1,"b":2}"#, "text", ""),
            ("application/json", r#"[{"b":1}]"#, "json", ""),
            ("application/json", "{", "text", ""),
            ("", "", "none", ""),
        ] {
            let body = Body::read(kind, text.as_bytes(), true);
            assert_eq!(body.kind(), expected, "{kind} {text}");
            assert_eq!(body.names().join(" "), names, "{kind} {text}");
        }
        assert_eq!(Body::read("", b"\xff\x00", true).kind(), "binary");
        assert_eq!(Body::read("", b"abc", false).kind(), "unseen");
        assert_eq!(
            Body::read("", &vec![b'a'; LONGEST + 1], true).kind(),
            "unseen"
        );
    }

    #[test]
    fn what_a_graphql_document_does_is_found() {
        use Operation::{Mutation, Query, Subscription};
        for (document, expected) in [
            ("{ me { name } }", Query),
            ("query Q($a: Int = 1) { mutation(x: $a) }", Query),
            ("mutation M { drop }", Mutation),
            ("query Q { a } mutation M { b }", Mutation),
            ("subscription { a }", Subscription),
            ("fragment F on T { a } mutation { b }", Mutation),
            ("# mutation\nquery { a }", Query),
            ("query { a(s: \"} mutation { b\") }", Query),
            ("query { a(s: \"\"\"} \\\"\"\" mutation {\"\"\") }", Query),
            ("query { a(s: \"\\\"} mutation {\") }", Query),
            ("} mutation {", Mutation),
            ("query { a", Mutation),
        ] {
            assert_eq!(operation(document), expected, "{document}");
        }
        let asked = |text: &str| Body::read("application/json", text.as_bytes(), true).graphql();
        assert_eq!(asked(r#"{"query":"{ a }"}"#), Some(Query));
        assert_eq!(
            asked(r#"[{"query":"{ a }"},{"query":"mutation { a }"}]"#),
            Some(Mutation)
        );
        assert_eq!(asked(r#"[{"query":"{ a }"},{"id":"x"}]"#), None);
        assert_eq!(asked(r#"{"query":"shoes"}"#), None);
        assert_eq!(asked(r#"{"extensions":{"persistedQuery":{}}}"#), None);
    }

    #[test]
    fn parts_are_told_by_name_and_size() {
        let text = "--X\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhi\r\n--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a%22b.txt\"\r\nContent-Type: text/plain\r\n\r\n12345\r\n--X--\r\n";
        let body = Body::read("multipart/form-data; boundary=X", text.as_bytes(), true);
        let Content::Multipart { parts } = &body.content else {
            unreachable!("{body:?}");
        };
        assert_eq!(
            parts,
            &[
                Part {
                    name: "note".into(),
                    file: None,
                    size: 2,
                    value: Some("hi".into())
                },
                Part {
                    name: "file".into(),
                    file: Some("a\"b.txt".into()),
                    size: 5,
                    value: None
                },
            ]
        );
        assert_eq!(body.values("NOTE").collect::<Vec<_>>(), ["hi"]);
        for broken in [
            "--X\r\n",
            "--X\r\nA: b\r\n\r\nhi\r\n--X--",
            "nothing",
            "--X\r\n\r\n\r\n",
        ] {
            let body = Body::read("multipart/form-data; boundary=X", broken.as_bytes(), true);
            assert_eq!(body.kind(), "unseen", "{broken:?}");
        }
    }
}
