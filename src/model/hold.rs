//! A hold: a paused request that waits for a person, and what the person says.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use super::{
    action::{Class, Destination, RequestAction},
    body::{Content, is_anti_forgery},
    id::{AgentId, DelegationId, HoldId, PersonId, SessionId},
    origin::Origin,
    time::Timestamp,
};

/// Longest word to an agent, in characters.
pub const LONGEST_WORDS: usize = 500;

/// A paused request, as a person is shown it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its name.
    pub id: HoldId,
    /// In which session.
    pub session: SessionId,
    /// Whose request it is.
    pub agent: AgentId,
    /// What it would be done under.
    pub delegation: DelegationId,
    /// Whose session is lent: who may answer.
    pub lender: PersonId,
    /// What kind of act it is.
    pub class: Class,
    /// Verb.
    pub method: String,
    /// Where to, with its query; lent values are blanked.
    pub url: String,
    /// What the page wants it for.
    pub destination: Destination,
    /// What it carries, decoded; lent values are blanked.
    pub body: Content,
    /// Bytes of that.
    pub body_size: u64,
    /// The page that sends it.
    pub page: Option<String>,
    /// The agent's last command to that page before.
    pub cause: Option<String>,
    /// Why, in the agent's own words. Nobody has checked them.
    pub agent_says: Option<String>,
    /// The policies that want an answer; none where the delegation does.
    pub policies: Vec<String>,
    /// Why it waits.
    pub says: String,
    /// What `like-this` would let through until the window ends; none where the
    /// body is not known.
    pub rule: Option<HoldRule>,
    /// Since when it waits.
    pub opened_at: Timestamp,
    /// When it is denied if nobody answers.
    pub deadline: Timestamp,
    /// Whether its page still waits, or was told to try again.
    pub waiting: bool,
}

/// Requests that are like one that a person has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldRule {
    /// Verb.
    pub method: String,
    /// Where to.
    pub origin: Origin,
    /// Path; `{id}` stands for one part that is a number or an identifier.
    pub path: String,
    /// Names in the query at most.
    pub query: BTreeSet<String>,
    /// What the body is.
    pub body: String,
    /// Names of its fields at most.
    pub fields: BTreeSet<String>,
    /// What kind of act.
    pub class: Class,
}

/// What a person says to a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HoldAnswer {
    /// This one may go.
    Once,
    /// This one, and those that the rule fits, until the window ends.
    LikeThis {
        /// The rule as it was shown.
        rule: HoldRule,
    },
    /// It may not.
    Deny {
        /// Words for the agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        words: Option<String>,
    },
}

/// How a hold ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldEnd {
    /// Let go this once.
    Once,
    /// Let go, and others like it.
    LikeThis,
    /// A person said no.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// Its window closed.
    WindowClosed,
    /// Its page gave it up.
    GivenUp,
    /// Its session ended.
    SessionEnded,
    /// The broker ended without a word.
    BrokerStopped,
}

/// Tells whether two requests are the same: verb, place and what they carry,
/// save for values that only prove which page a form came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape([u8; 32]);

impl Shape {
    /// Of a request; `None` where its body is not known.
    #[must_use]
    pub fn of(action: &RequestAction) -> Option<Self> {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        add(&action.method);
        add(action.url.as_str());
        add(action.body.kind());
        match &action.body.content {
            Content::Empty => {}
            Content::Form { fields } => {
                for field in fields.iter().filter(|field| !is_anti_forgery(&field.name)) {
                    add(&field.name);
                    add(&field.value);
                }
            }
            Content::Json { text, .. } | Content::Text { text } => add(text),
            Content::Multipart { parts } => {
                // What is in a file is not kept, so it cannot be compared.
                if parts.iter().any(|part| part.value.is_none()) {
                    return None;
                }
                for part in parts.iter().filter(|part| !is_anti_forgery(&part.name)) {
                    add(&part.name);
                    add(part.value.as_deref().unwrap_or_default());
                }
            }
            Content::Binary | Content::Unseen => return None,
        }
        Some(Self(hash.finalize().into()))
    }
}

impl HoldRule {
    /// What is like this request; `None` where its body is not known.
    #[must_use]
    pub fn of(action: &RequestAction, class: Class) -> Option<Self> {
        if matches!(action.body.content, Content::Binary | Content::Unseen) {
            return None;
        }
        Some(Self {
            method: action.method.clone(),
            origin: Origin::of(&action.url)?,
            path: template(&action.url),
            query: query_names(&action.url),
            body: action.body.kind().to_owned(),
            fields: fields(action),
            class,
        })
    }

    /// Whether a request is like that.
    #[must_use]
    pub fn fits(&self, action: &RequestAction, class: Class) -> bool {
        Self::of(action, class).is_some_and(|of| {
            self.method == of.method
                && self.origin == of.origin
                && self.path == of.path
                && of.query.is_subset(&self.query)
                && self.body == of.body
                && of.fields.is_subset(&self.fields)
                && self.class == class
        })
    }
}

impl std::fmt::Display for HoldRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            method,
            origin,
            path,
            ..
        } = self;
        write!(f, "{method} {origin}{path}")?;
        for (what, names) in [("query", &self.query), ("fields", &self.fields)] {
            if !names.is_empty() {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                write!(f, " with {what} {}", names.join(", "))?;
            }
        }
        Ok(())
    }
}

impl HoldEnd {
    /// As records name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::LikeThis => "like-this",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::WindowClosed => "window-closed",
            Self::GivenUp => "given-up",
            Self::SessionEnded => "session-ended",
            Self::BrokerStopped => "broker-stopped",
        }
    }
}

fn fields(action: &RequestAction) -> BTreeSet<String> {
    action.body.names().into_iter().map(str::to_owned).collect()
}

fn query_names(url: &Url) -> BTreeSet<String> {
    url.query_pairs()
        .map(|(name, _)| name.into_owned())
        .collect()
}

fn template(url: &Url) -> String {
    let parts = url
        .path()
        .split('/')
        .map(|part| if is_identifier(part) { "{id}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Numbers, UUIDs, and long hexadecimal names.
fn is_identifier(part: &str) -> bool {
    let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let hex = part.len() >= 12
        && part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
        && part.bytes().any(|b| b.is_ascii_digit());
    digits || hex
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::body::Body;

    fn action(method: &str, url: &str, body: &str) -> RequestAction {
        let url = Url::parse(url).unwrap();
        RequestAction {
            body: Body::read("application/x-www-form-urlencoded", body.as_bytes(), true),
            ..RequestAction::new(method, url, Destination::Page)
        }
    }

    #[test]
    fn a_request_is_the_same_whatever_its_anti_forgery_value() {
        let shape = |url, body| Shape::of(&action("POST", url, body)).unwrap();
        let one = shape("https://b.test/t/7", "csrfmiddlewaretoken=a&x=1");
        assert_eq!(
            one,
            shape("https://b.test/t/7", "csrfmiddlewaretoken=b&x=1")
        );
        for (url, body) in [
            ("https://b.test/t/7", "csrfmiddlewaretoken=a&x=2"),
            ("https://b.test/t/8", "csrfmiddlewaretoken=a&x=1"),
            ("https://b.test/t/7?y", "csrfmiddlewaretoken=a&x=1"),
            ("https://b.test/t/7", "csrfmiddlewaretoken=a&x=1&x=1"),
            ("https://b.test/t/7", "x1="),
        ] {
            assert_ne!(one, shape(url, body), "{url} {body}");
        }
        let unseen = RequestAction {
            body: Body::read("", b"x", false),
            ..action("POST", "https://b.test/", "")
        };
        assert_eq!(Shape::of(&unseen), None);
    }

    #[test]
    fn a_rule_fits_the_same_kind_of_request_at_other_identifiers() {
        let seen = action("POST", "https://b.test/t/7/change", "note=a&state=open");
        let rule = HoldRule::of(&seen, Class::Write).unwrap();
        assert_eq!(
            rule.to_string(),
            "POST https://b.test/t/{id}/change with fields note, state"
        );
        for (method, url, body, class, fits) in [
            (
                "POST",
                "https://b.test/t/7/change",
                "note=a&state=open",
                Class::Write,
                true,
            ),
            (
                "POST",
                "https://b.test/t/8/change",
                "note=b",
                Class::Write,
                true,
            ),
            (
                "POST",
                "https://b.test/t/8/change",
                "note=b&owner=me",
                Class::Write,
                false,
            ),
            (
                "POST",
                "https://b.test/t/x/change",
                "note=b",
                Class::Write,
                false,
            ),
            (
                "POST",
                "https://b.test/t/8/change?force=1",
                "note=b",
                Class::Write,
                false,
            ),
            (
                "POST",
                "https://c.test/t/8/change",
                "note=b",
                Class::Write,
                false,
            ),
            (
                "PUT",
                "https://b.test/t/8/change",
                "note=b",
                Class::Write,
                false,
            ),
            (
                "POST",
                "https://b.test/t/8/change",
                "note=b",
                Class::Destructive,
                false,
            ),
            ("POST", "https://b.test/t/8/change", "", Class::Write, false),
        ] {
            assert_eq!(
                rule.fits(&action(method, url, body), class),
                fits,
                "{method} {url} {body}"
            );
        }
    }
}
