//! What an agent or a page is about to do, and what was decided about it.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{
    body::Body,
    cookie::{PartitionKey, SiteContext},
    delegation::CloseReason,
    id::{DelegationId, HoldId},
    origin::Origin,
};

/// How a request is used by the page; decides which list of a scope applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Destination {
    /// A document at the top of a page.
    Page,
    /// A document in a frame.
    Frame,
    /// Script, style, image, font, media and the like.
    Load,
    /// `fetch`, XHR, beacons, event streams, sockets.
    Connect,
}

/// Kinds of acts, the gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Looks.
    Read,
    /// Changes something.
    Write,
    /// Changes something that cannot be changed back.
    Destructive,
    /// Makes, shows or ends credentials.
    Secrets,
}

/// One request that the browser has paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestAction {
    /// Method.
    pub method: String,
    /// Where to, without a fragment.
    pub url: Url,
    /// What for.
    pub destination: Destination,
    /// How its site relates to the sites that caused it.
    pub site: SiteContext,
    /// The cookie partition it is made in, where known.
    pub partition: Option<PartitionKey>,
    /// Origin of the page that it is made by; none where it opens one.
    pub page: Option<Origin>,
    /// What it carries.
    pub body: Body,
    /// Whether it is of the session's own context: one that a client has made
    /// besides is lent nothing.
    pub own_context: bool,
}

/// One connection that the egress proxy was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectAction {
    /// Host, as the URL standard reads it.
    pub host: Host,
    /// Port.
    pub port: u16,
}

/// The rule that refused, by a name that stays the same between releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// No open delegation covers the origin.
    OriginOutOfScope,
    /// The origin is covered, the path is not.
    PathOutOfScope,
    /// The origin is covered, the method is not.
    MethodOutOfScope,
    /// The origin may be used for sub-resources, not as a page.
    NavigationOutOfScope,
    /// A policy of the broker forbids it, or none permits it.
    Policy,
    /// It waits for a person's answer.
    Held,
    /// A person said no.
    HoldDenied,
    /// Nobody answered in time.
    HoldExpired,
    /// As many requests wait for a person as may.
    TooManyHolds,
    /// The delegation's budget is used up.
    BudgetUsedUp,
    /// A URL that is neither http nor https.
    SchemeRefused,
    /// The delegation that covered it is over.
    WindowClosed,
    /// The session has ended or is ending.
    SessionEnded,
    /// A name resolved to an address that the scope does not name.
    AddressRefused,
    /// The name does not resolve.
    NameUnresolved,
    /// A TLS connection that was allowed for one host names another.
    ServerNameMismatch,
    /// Too many connections at once.
    LimitReached,
    /// The agent has used what it may within an hour.
    AgentLimit,
    /// The record could not be made, so nothing may happen.
    RecordUnavailable,
    /// The request was not understood.
    Malformed,
}

/// Why something was refused, in words for a person or a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which rule.
    pub rule: Rule,
    /// The delegation that came nearest to covering it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<DelegationId>,
    /// Why that delegation is over, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<CloseReason>,
    /// What was refused, e.g. `POST https://app.example.com/tickets/7`.
    pub what: String,
    /// The hold that it waits for, or that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldId>,
    /// The policies that forbid it, by their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// What they say, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
}

// === impl Class ===

impl Class {
    /// As policies name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
            Self::Secrets => "secrets",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Destructive, Self::Secrets]
            .into_iter()
            .find(|class| class.as_str() == name)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Rule ===

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OriginOutOfScope => "origin-out-of-scope",
            Self::PathOutOfScope => "path-out-of-scope",
            Self::MethodOutOfScope => "method-out-of-scope",
            Self::NavigationOutOfScope => "navigation-out-of-scope",
            Self::Policy => "policy",
            Self::Held => "held",
            Self::HoldDenied => "hold-denied",
            Self::HoldExpired => "hold-expired",
            Self::TooManyHolds => "too-many-holds",
            Self::BudgetUsedUp => "budget-used-up",
            Self::SchemeRefused => "scheme-refused",
            Self::WindowClosed => "window-closed",
            Self::SessionEnded => "session-ended",
            Self::AddressRefused => "address-refused",
            Self::NameUnresolved => "name-unresolved",
            Self::ServerNameMismatch => "server-name-mismatch",
            Self::LimitReached => "limit-reached",
            Self::AgentLimit => "agent-limit",
            Self::RecordUnavailable => "record-unavailable",
            Self::Malformed => "malformed",
        })
    }
}

// === impl Refusal ===

impl Refusal {
    /// A refusal that names no delegation.
    #[must_use]
    pub fn new(rule: Rule, what: impl Into<String>) -> Self {
        Self {
            rule,
            delegation: None,
            closed: None,
            what: what.into(),
            hold: None,
            policies: Vec::new(),
            says: None,
        }
    }

    /// A refusal by policies.
    #[must_use]
    pub const fn by_policy(
        what: String,
        delegation: DelegationId,
        policies: Vec<String>,
        says: String,
    ) -> Self {
        Self {
            rule: Rule::Policy,
            delegation: Some(delegation),
            closed: None,
            what,
            hold: None,
            policies,
            says: Some(says),
        }
    }

    /// One sentence: what the rule says.
    #[must_use]
    pub fn reason(&self) -> &str {
        if let Some(says) = &self.says {
            return says;
        }
        match self.rule {
            Rule::OriginOutOfScope => "no open delegation of this session covers that origin",
            Rule::PathOutOfScope => "the delegation covers that origin, but not that path",
            Rule::MethodOutOfScope => "the delegation covers that page, but not that method",
            Rule::NavigationOutOfScope => {
                "the delegation lets pages load from that origin, but not go there"
            }
            Rule::Policy => "the policies of this broker forbid it",
            Rule::Held => "it waits for a person's answer",
            Rule::HoldDenied => "a person said no",
            Rule::HoldExpired => "nobody answered for it in time",
            Rule::TooManyHolds => {
                "too much of this session or agent waits for a person's answer already"
            }
            Rule::BudgetUsedUp => "the delegation's budget of requests is used up",
            Rule::SchemeRefused => "only http and https addresses can be in scope",
            Rule::WindowClosed => "the delegation that covered it is over",
            Rule::SessionEnded => "the session has ended",
            Rule::AddressRefused => {
                "the name resolves to a private or special address that the delegation does not name"
            }
            Rule::NameUnresolved => "the name does not resolve",
            Rule::ServerNameMismatch => {
                "the connection was allowed for one host, but its TLS greeting names another or none"
            }
            Rule::LimitReached => "the session has too many connections open or opening",
            Rule::AgentLimit => {
                "the agent has used as many requests or bytes as it may within an hour, over all its sessions"
            }
            Rule::RecordUnavailable => "the step could not be put on record, so it may not happen",
            Rule::Malformed => "the request could not be understood",
        }
    }

    /// One sentence: what to do next.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self.rule {
            Rule::OriginOutOfScope
            | Rule::PathOutOfScope
            | Rule::MethodOutOfScope
            | Rule::NavigationOutOfScope
            | Rule::AddressRefused => {
                "if the task needs it, ask for a delegation that names it (POST /v1/delegations) and wait for a person's approval; trying again without one is refused the same way"
            }
            Rule::WindowClosed => {
                "ask for a new delegation (POST /v1/delegations) if the task is not done; a window is never extended"
            }
            Rule::Policy => {
                "leave it to the person, or do the task without it; a further delegation changes nothing about it, and trying again is refused the same way"
            }
            Rule::Held => {
                "send the very same request again later; it goes through once a person has approved it (GET /v1/holds/ID with the agent's key tells), and another one would wait anew"
            }
            Rule::HoldDenied => {
                "do not send it again: the same request stays refused while this window lasts; take the person's words into account, or ask the person"
            }
            Rule::HoldExpired => {
                "tell the person that it needs an answer, then send the same request again"
            }
            Rule::TooManyHolds => {
                "wait until a person has answered what waits (GET /v1/holds), then try again"
            }
            Rule::BudgetUsedUp => {
                "ask for a new delegation (POST /v1/delegations) if the task is not done; a budget is never raised"
            }
            Rule::SchemeRefused | Rule::Malformed => "use an http or https address",
            Rule::SessionEnded => "start a new session (POST /v1/sessions)",
            Rule::NameUnresolved => "check the spelling of the host name",
            Rule::ServerNameMismatch => "connect to the host that is meant, by its own name",
            Rule::LimitReached => "close some pages or wait for others to load, then try again",
            Rule::AgentLimit => {
                "go on more slowly: what was used is given back evenly over the hour; the operator sets the limits (`agent.requests_per_hour`, `agent.bytes_per_hour`)"
            }
            Rule::RecordUnavailable => "tell the operator: the trace store does not accept records",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Hallpass refused {}: {} (rule `{}`",
            self.what,
            self.reason(),
            self.rule
        )?;
        if !self.policies.is_empty() {
            write!(f, " of `{}`", self.policies.join("`, `"))?;
        }
        if let Some(delegation) = self.delegation {
            write!(f, ", delegation {delegation}")?;
        }
        if let Some(hold) = self.hold {
            write!(f, ", hold {hold}")?;
        }
        write!(f, "). What to do: {}.", self.advice())
    }
}

/// Methods that change nothing by the HTTP standard.
#[must_use]
pub fn is_safe_method(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

impl RequestAction {
    /// A request without a body whose causes are all of its own site.
    #[must_use]
    pub fn new(method: impl Into<String>, url: Url, destination: Destination) -> Self {
        Self {
            method: method.into(),
            url,
            destination,
            site: SiteContext::SameSite,
            partition: None,
            page: None,
            body: Body::default(),
            own_context: true,
        }
    }

    /// Method and URL for a record or a message. The query is left out: it may
    /// hold tokens.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{} {}", self.method, redacted_url(&self.url))
    }
}

/// A URL fit for records: no user, no password, no query values, no fragment.
#[must_use]
pub fn redacted_url(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_fragment(None);
    if shown.set_username("").is_err() || shown.set_password(None).is_err() {
        // Not a URL with an authority: only its scheme is told.
        if shown.cannot_be_a_base() {
            return format!("{}:…", url.scheme());
        }
    }
    let names: Vec<String> = url
        .query_pairs()
        .map(|(name, _)| format!("{name}=…"))
        .collect();
    if url.query().is_some() {
        shown.set_query(None);
        return format!("{shown}?{}", names.join("&"));
    }
    shown.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_show_no_query_values() {
        for (url, expected) in [
            (
                "https://u:p@a.test/x?token=abc&b#f",
                "https://a.test/x?token=…&b=…",
            ),
            ("https://a.test/x", "https://a.test/x"),
            ("data:text/html,secret", "data:…"),
        ] {
            assert_eq!(redacted_url(&Url::parse(url).unwrap()), expected);
        }
    }

    #[test]
    fn a_refusal_says_what_by_which_rule_and_what_next() {
        let text = Refusal::new(Rule::OriginOutOfScope, "GET https://b.test/").to_string();
        for part in [
            "GET https://b.test/",
            "origin-out-of-scope",
            "POST /v1/delegations",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
