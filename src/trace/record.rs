//! One record: who did what, when, and what was decided. No value of a cookie,
//! no body, no query value is ever in one.

use serde::{Deserialize, Serialize};

use crate::model::{
    action::{Class, Destination, Refusal, RequestAction},
    body::{Content, Operation},
    cookie::SiteContext,
    delegation::{CloseReason, Delivery, Terms},
    hold::{HoldEnd, HoldRule},
    id::{AgentId, CredentialId, DelegationId, HoldId, PersonId, SessionId},
    origin::Origin,
    scope::Scope,
    time::Timestamp,
};

/// Who caused what a record tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", deny_unknown_fields)]
pub enum Actor {
    /// A person, by the operator token or a sign-in.
    Person {
        /// Who.
        id: PersonId,
    },
    /// An agent, by its key or its session's token.
    Agent {
        /// Who.
        id: AgentId,
    },
    /// Script of a page, or the browser on its behalf.
    Page,
    /// Hallpass itself: a timer, a reconciler, a start or stop.
    Broker,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type", deny_unknown_fields)]
pub enum Event {
    /// The broker started or stopped.
    Broker {
        /// `started`, `stopping`.
        what: String,
        /// Release.
        version: String,
    },
    /// An agent, credential or other registry entry was made, changed or removed.
    Registry {
        /// `agent-added`, `agent-disabled`, `credential-imported`, `credential-removed`, …
        what: String,
        /// Its id.
        id: String,
        /// Name, and for a credential its origin; never a value.
        detail: String,
    },
    /// A call was refused before anything was done.
    CallRefused {
        /// Method and route.
        route: String,
        /// Why.
        reason: String,
    },
    /// A delegation was asked for.
    DelegationRequested {
        /// Which.
        delegation: DelegationId,
        /// Who may use it.
        agent: AgentId,
        /// Whose session it is.
        lender: PersonId,
        /// In the requester's words.
        purpose: String,
        /// What was asked for.
        requested: Terms,
    },
    /// A person agreed.
    DelegationApproved {
        /// Which.
        delegation: DelegationId,
        /// Who.
        approver: PersonId,
        /// To what.
        granted: Terms,
    },
    /// A delegation ended: its window closed. In the broker's trace and in that of
    /// each session that it was bound to.
    DelegationClosed {
        /// Which.
        delegation: DelegationId,
        /// Why.
        reason: CloseReason,
    },
    /// A session began; always the first record of its trace.
    SessionStarted {
        /// Which.
        session: SessionId,
        /// For whom.
        agent: AgentId,
        /// With which delegations.
        delegations: Vec<DelegationId>,
        /// Product and version of the browser.
        browser: String,
    },
    /// A lease was bound to the session: its window is open for it.
    WindowOpened {
        /// Which.
        delegation: DelegationId,
        /// Whose session is lent.
        lender: PersonId,
        /// Who agreed.
        approver: PersonId,
        /// From when.
        from: Timestamp,
        /// Until when at most.
        until: Timestamp,
        /// Where, which paths, which methods.
        scope: Scope,
        /// What is lent: names and salted hashes.
        cookies: Vec<CookieTrace>,
    },
    /// A session ended; the last record of its trace.
    SessionEnded {
        /// Why.
        reason: String,
    },
    /// A client connected to the session's endpoint or left it.
    Client {
        /// `connected`, `disconnected`, `refused`.
        what: String,
        /// Number of the connection in this session.
        connection: u64,
        /// What the client says it is, or why it was refused.
        detail: String,
    },
    /// A command of the agent.
    Command {
        /// Number of the connection in this session.
        connection: u64,
        /// CDP method.
        method: String,
        /// Target it was sent to, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<String>,
        /// What the method table or its check said: `allow`, `rewrite`, `refuse`, …
        verdict: String,
        /// What it was about, redacted: a URL, a selector's length; never a value.
        detail: String,
    },
    /// A paused request was decided.
    Request {
        /// Chromium's network id of the request.
        request: String,
        /// Method and URL without query values.
        what: String,
        /// For what kind of use.
        destination: Destination,
        /// The delegation that allowed it; absent on a refusal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delegation: Option<DelegationId>,
        /// Why it was refused; absent on an allow.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refusal: Option<Refusal>,
        /// Policy revision that decided.
        policy: String,
        /// What kind of act it is; absent on a refusal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<Class>,
        /// What else was known of it when it was decided.
        #[serde(default, skip_serializing_if = "Facts::is_plain")]
        facts: Box<Facts>,
        /// Whether a person's answer let it go.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        answered: bool,
        /// The policies that permitted it, by their ids.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        policies: Vec<String>,
    },
    /// A page went to a place outside every open window: another system, such as an
    /// identity provider or a linked tool. What led there is on record, and what may
    /// come of it is a person's to say.
    SecondSystem {
        /// Which.
        origin: Origin,
        /// Method and URL without query values.
        what: String,
        /// The page that led there, without query values.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        page: Option<String>,
        /// The agent's last command to that page before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// A request waits for a person.
    HoldOpened {
        /// Which hold.
        hold: HoldId,
        /// Chromium's network id of the request.
        request: String,
        /// Method and URL without query values.
        what: String,
        /// What kind of act it is.
        class: Class,
        /// The delegation that it would be done under.
        delegation: DelegationId,
        /// The policies that want an answer; none where the delegation does.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        policies: Vec<String>,
        /// Why it waits.
        says: String,
        /// For what kind of use.
        destination: Destination,
        /// What else was known of it.
        #[serde(default, skip_serializing_if = "Facts::is_plain")]
        facts: Box<Facts>,
        /// The page that sends it, without query values.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        page: Option<String>,
        /// The agent's last command to that page before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
        /// Why, in the agent's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_says: Option<String>,
        /// When it is denied if nobody answers.
        until: Timestamp,
    },
    /// A hold was answered, or ended without an answer.
    HoldEnded {
        /// Which.
        hold: HoldId,
        /// How.
        how: HoldEnd,
        /// What else is let go until the window ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<HoldRule>,
        /// The person's words for the agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        words: Option<String>,
    },
    /// Lent cookies went along with a request.
    Injection {
        /// Chromium's network id of the request.
        request: String,
        /// Which: names and salted hashes.
        cookies: Vec<CookieTrace>,
    },
    /// A site set a lent cookie anew, or took it away.
    Rotation {
        /// The cookie, with the hash of the new value.
        cookie: CookieTrace,
        /// `rotated` or `cleared`.
        what: String,
    },
    /// A page went somewhere.
    Navigation {
        /// Target.
        target: String,
        /// URL without query values.
        url: String,
    },
    /// How a request ended.
    Outcome {
        /// Chromium's network id of the request.
        request: String,
        /// HTTP status, if an answer came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// Chromium's error text, if it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// The egress proxy was asked for a connection.
    Connection {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// Address connected to; absent on a refusal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
        /// The delegation that allowed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delegation: Option<DelegationId>,
        /// Why it was refused; absent on an allow.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refusal: Option<Refusal>,
    },
    /// A connection was closed or cut.
    ConnectionEnded {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// Bytes to the site.
        sent: u64,
        /// Bytes from the site.
        received: u64,
        /// `closed`, `cut` or an error.
        how: String,
    },
    /// A live secret was found in what would have gone to the agent, and replaced.
    Redaction {
        /// CDP method or event it was found in.
        method: String,
        /// How often.
        count: u64,
    },
}

/// What was known of a request beside where it goes; what a policy may look at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Whether another site had a part in causing it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cross_site: bool,
    /// Whether it was of a context that a client had made, which is lent nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other_context: bool,
    /// Origin of the page that made it; absent where it opened one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// What its body was; absent where it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyFacts>,
}

/// What is told of a body: never a value in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyFacts {
    /// `form`, `json`, `multipart`, `text`, `binary` or `unseen`.
    pub kind: String,
    /// Bytes that are known.
    pub size: u64,
    /// Names of its fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// What it asks for if it is `GraphQL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graphql: Option<Operation>,
}

/// A cookie in a record: its name and a salted hash of its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CookieTrace {
    /// Vault entry.
    pub credential: CredentialId,
    /// Name.
    pub name: String,
    /// Domain.
    pub domain: String,
    /// How it reaches the site.
    pub delivery: Delivery,
    /// Hex SHA-256 of the trace's salt and the value.
    pub digest: String,
}

/// What a caller hands to the recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// When, by the wall clock.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    pub event: Event,
}

impl Facts {
    /// What is known of a request.
    #[must_use]
    pub fn of(action: &RequestAction) -> Self {
        let body = &action.body;
        Self {
            cross_site: action.site != SiteContext::SameSite,
            other_context: !action.own_context,
            page: action.page.as_ref().map(ToString::to_string),
            body: (body.content != Content::Empty).then(|| BodyFacts {
                kind: body.kind().to_owned(),
                size: body.size,
                fields: body.names().into_iter().map(str::to_owned).collect(),
                graphql: body.graphql(),
            }),
        }
    }

    // By reference to what serde has.
    #[allow(clippy::borrowed_box, reason = "serde hands over what the field is")]
    fn is_plain(facts: &Box<Self>) -> bool {
        **facts == Self::default()
    }
}

impl Event {
    /// The `type` of the record that is the last of its trace.
    pub const LAST: &'static str = "session-ended";

    /// Whether nothing may follow this in a trace.
    #[must_use]
    pub const fn ends_trace(&self) -> bool {
        matches!(self, Self::SessionEnded { .. })
    }
}

#[cfg(test)]
#[path = "samples.rs"]
pub(crate) mod samples;
