//! What policies are asked: who does what, where, and under which delegation.

use std::{collections::HashSet, str::FromStr, sync::LazyLock};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
    Schema,
};
use url::Url;

use crate::{
    broker::lease::Lease,
    model::{
        action::{Class, Destination, RequestAction},
        body::{Body, Operation},
        cookie::SiteContext,
        id::AgentId,
        origin::Origin,
        time::Now,
    },
};

/// What policies may speak of.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// What is done, as policies name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Opens a page or a frame.
    Navigate,
    /// Loads a part of a page.
    Load,
    /// Reads by `fetch` and the like.
    Connect,
    /// Changes something.
    Write,
    /// Changes something that cannot be changed back.
    Destructive,
    /// Makes, shows or ends credentials.
    Secrets,
    /// A connection, before anything is asked over it.
    Tunnel,
    /// Keeps a response as a file.
    Download,
    /// Hands a file to a page.
    Upload,
    /// The agent runs script in a page.
    Script,
}

/// What acts, as policies name its kind.
pub(super) const AGENT: &str = "Hallpass::Agent";

/// One question.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// Who acts.
    pub agent: AgentId,
    /// What is done.
    pub act: Act,
    /// Where.
    pub place: Place<'a>,
    /// Under which delegation; none where the question is only about the act.
    pub lease: Option<&'a Lease>,
    /// Whether the delegation lends something that goes along.
    pub lent: bool,
    /// Whether it is outside the delegation's own origins, and only listed.
    pub second_system: bool,
    /// Method.
    pub method: &'a str,
    /// `page`, `frame`, `load`, `connect`; empty where it is no request.
    pub destination: &'static str,
    /// Whether everything that caused it is of the same site.
    pub same_site: bool,
    /// Origin of the page that it is made by.
    pub page: Option<&'a Origin>,
    /// What it carries.
    pub body: Option<&'a Body>,
    /// When.
    pub now: Now,
}

/// Where something is done.
#[derive(Debug, Clone)]
pub enum Place<'a> {
    /// At an address.
    Url(&'a Url),
    /// At a host and port.
    Endpoint(&'a str, u16),
    /// Nowhere that is known.
    Unknown,
}

/// Names of types that never change.
struct Names {
    schema: Schema,
    agent: EntityTypeName,
    person: EntityTypeName,
    place: EntityTypeName,
    action: EntityTypeName,
}

static NAMES: LazyLock<Result<Names, String>> = LazyLock::new(|| {
    let name = |text: &str| EntityTypeName::from_str(text).map_err(|error| error.to_string());
    Ok(Names {
        schema: Schema::from_cedarschema_str(SCHEMA)
            .map_err(|error| error.to_string())?
            .0,
        agent: name(AGENT)?,
        person: name("Hallpass::Person")?,
        place: name("Hallpass::Place")?,
        action: name("Hallpass::Action")?,
    })
});

/// What policies may speak of, read.
pub(super) fn schema() -> Result<&'static Schema, String> {
    NAMES
        .as_ref()
        .map(|names| &names.schema)
        .map_err(Clone::clone)
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Navigate,
        Self::Load,
        Self::Connect,
        Self::Write,
        Self::Destructive,
        Self::Secrets,
        Self::Tunnel,
        Self::Download,
        Self::Upload,
        Self::Script,
    ];

    /// What a request of that class does.
    #[must_use]
    pub const fn of(class: Class, destination: Destination) -> Self {
        match (class, destination) {
            (Class::Write, _) => Self::Write,
            (Class::Destructive, _) => Self::Destructive,
            (Class::Secrets, _) => Self::Secrets,
            (Class::Read, Destination::Page | Destination::Frame) => Self::Navigate,
            (Class::Read, Destination::Load) => Self::Load,
            (Class::Read, Destination::Connect) => Self::Connect,
        }
    }

    /// As policies name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Navigate => "navigate",
            Self::Load => "load",
            Self::Connect => "connect",
            Self::Write => "write",
            Self::Destructive => "destructive",
            Self::Secrets => "secrets",
            Self::Tunnel => "tunnel",
            Self::Download => "download",
            Self::Upload => "upload",
            Self::Script => "script",
        }
    }

    /// The group that it is in.
    #[must_use]
    pub const fn group(self) -> Option<&'static str> {
        match self {
            Self::Navigate | Self::Load | Self::Connect => Some("read"),
            _ => None,
        }
    }
}

impl<'a> Question<'a> {
    /// About a request under a lease that covers it.
    #[must_use]
    pub fn request(
        agent: AgentId,
        action: &'a RequestAction,
        class: Class,
        (lease, lent, second_system): (&'a Lease, bool, bool),
        now: Now,
    ) -> Self {
        Self {
            agent,
            act: Act::of(class, action.destination),
            place: Place::Url(&action.url),
            lease: Some(lease),
            lent,
            second_system,
            method: &action.method,
            destination: match action.destination {
                Destination::Page => "page",
                Destination::Frame => "frame",
                Destination::Load => "load",
                Destination::Connect => "connect",
            },
            same_site: action.site == SiteContext::SameSite,
            page: action.page.as_ref(),
            body: Some(&action.body),
            now,
        }
    }

    /// About an act as such.
    #[must_use]
    pub const fn any(agent: AgentId, act: Act) -> Self {
        Self {
            agent,
            act,
            place: Place::Unknown,
            lease: None,
            lent: false,
            second_system: false,
            method: "",
            destination: "",
            same_site: false,
            page: None,
            body: None,
            now: Now::ZERO,
        }
    }

    /// Hour of the day, UTC.
    pub(super) fn hour(&self) -> u64 {
        let hour = self.now.wall.0 / 3_600_000_000 % 24;
        u64::try_from(hour).unwrap_or_default()
    }

    /// The question in Cedar's terms.
    pub(super) fn put(&self) -> Result<(Request, Entities), String> {
        let names = NAMES.as_ref().map_err(Clone::clone)?;
        let uid = |kind: &EntityTypeName, id: String| {
            EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
        };
        let text = |value: &str| RestrictedExpression::new_string(value.to_owned());
        let flag = RestrictedExpression::new_bool;
        let person = |id: Option<String>| {
            RestrictedExpression::new_entity_uid(uid(&names.person, id.unwrap_or_default()))
        };
        let (place, attributes) = self.place.put()?;
        let place = uid(&names.place, place);
        let entity = Entity::new(place.clone(), attributes, HashSet::new())
            .map_err(|error| error.to_string())?;
        let action = uid(&names.action, self.act.as_str().to_owned());
        let parents = self
            .act
            .group()
            .map(|group| uid(&names.action, group.to_owned()));
        let act = Entity::new_no_attrs(action.clone(), parents.into_iter().collect());
        let entities =
            Entities::from_entities([entity, act], None).map_err(|error| error.to_string())?;
        let lease = self.lease;
        let empty = Body::default();
        let body = self.body.unwrap_or(&empty);
        let graphql = match body.graphql() {
            None => "",
            Some(Operation::Query) => "query",
            Some(Operation::Subscription) => "subscription",
            Some(Operation::Mutation) => "mutation",
        };
        let fields = body.names().into_iter().map(text);
        let page = self.page.map(ToString::to_string).unwrap_or_default();
        let context = [
            ("person", person(lease.map(|l| l.lender.to_string()))),
            ("approver", person(lease.map(|l| l.approver.to_string()))),
            (
                "delegation",
                text(&lease.map(|l| l.delegation.to_string()).unwrap_or_default()),
            ),
            ("lent", flag(self.lent)),
            ("secondSystem", flag(self.second_system)),
            ("method", text(self.method)),
            ("destination", text(self.destination)),
            ("sameSite", flag(self.same_site)),
            ("page", text(&page)),
            (
                "windowLeft",
                number(lease.map_or(0, |l| l.live.left(self.now).as_secs())),
            ),
            ("hour", number(self.hour())),
            ("requests", number(lease.map_or(0, |l| l.used().requests))),
            ("writes", number(lease.map_or(0, |l| l.used().writes))),
            ("body", text(body.kind())),
            ("bodySize", number(body.size)),
            ("fields", RestrictedExpression::new_set(fields)),
            ("graphql", text(graphql)),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let context = Context::from_pairs(context).map_err(|error| error.to_string())?;
        // Against the schema in tests alone, where every kind is put once: what
        // is put here does not depend on who asks.
        let schema = cfg!(test).then_some(&names.schema);
        let agent = uid(&names.agent, self.agent.to_string());
        Request::new(agent, action, place, context, schema)
            .map(|request| (request, entities))
            .map_err(|error| error.to_string())
    }
}

type Attributes = std::collections::HashMap<String, RestrictedExpression>;

impl Place<'_> {
    fn put(&self) -> Result<(String, Attributes), String> {
        let (id, origin, scheme, host, port, path) = match self {
            Place::Url(url) => {
                let origin = Origin::of(url).ok_or("it is no http or https address")?;
                let port = url.port_or_known_default().ok_or("it has no port")?;
                (
                    origin.to_string(),
                    origin.to_string(),
                    url.scheme(),
                    url.host_str().unwrap_or_default(),
                    port,
                    url.path(),
                )
            }
            Place::Endpoint(host, port) => (
                format!("{host}:{port}"),
                String::new(),
                "",
                *host,
                *port,
                "",
            ),
            Place::Unknown => (String::new(), String::new(), "", "", 0, ""),
        };
        let text = |value: &str| RestrictedExpression::new_string(value.to_owned());
        let attributes = [
            ("origin", text(&origin)),
            ("scheme", text(scheme)),
            ("host", text(host)),
            ("port", number(port.into())),
            ("path", text(path)),
        ];
        let attributes = attributes
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        Ok((id, attributes))
    }
}

fn number(value: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(value).unwrap_or(i64::MAX))
}
