//! The virtual browser: one Chromium on one side, an agent's clients on the
//! other, and between them the only place where messages cross.
//!
//! Sans-I/O: [`Hub::handle_browser`] and [`Hub::handle_client`] take a message
//! and a clock reading, [`Hub::poll_output`] says what to do. The hub owns the
//! browser's root CDP session, on which `Fetch` pauses every request before the
//! first context exists; no client ever gets that session.
//!
//! What a client sees as its browser is its session's contexts: other contexts,
//! targets and CDP sessions do not exist for it. Commands of the `Target` and
//! `Browser` domains are answered here; commands for a page go to a CDP session
//! of the client's own, under a number of ours.

mod acts;
mod attach;
mod browser;
mod client;
mod command;
mod credentials;
mod detail;
mod drains;
mod ending;
mod files;
mod filter;
mod flights;
mod holds;
mod intercept;
mod network;
mod notice;
mod proposals;
mod rewritten;
mod second_system;
mod site;
mod targets;
mod virtual_browser;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use serde_json::{Value, json};
use url::Url;

pub use self::{
    files::{Download, DownloadState},
    holds::{AnswerError, HoldLimits},
    proposals::Proposal,
    second_system::Encounter,
};
use self::{filter::Filter, targets::Target};
use super::{envelope, scan::Scanner, table::Row};
use crate::{
    broker::lease::Leases,
    model::{
        cookie::CookieAttributes,
        hold::{Hold, HoldEnd},
        id::{CredentialId, DelegationId, HoldId, SessionId},
        origin::Origin,
        secret::Secret,
        time::Now,
    },
    policy::Authority,
    trace::record::{Actor, Draft, Event},
};

/// Number of a client connection within its session.
pub type ClientId = u64;

/// A CDP session id, as Chromium draws it (128 random bits), or one of ours for
/// a virtual session.
pub type CdpSession = Arc<str>;

/// Where records go. An error means that nothing may happen.
pub trait Journal: Send {
    /// Takes a record; answers its ticket, to wait for durability by.
    ///
    /// # Errors
    /// The trace takes no more records.
    fn record(&mut self, draft: Draft) -> Result<u64, Unrecorded>;

    /// The salted hash by which records name a value.
    fn digest(&self, value: &Secret) -> String;
}

/// The trace takes no more records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the step could not be put on record")]
pub struct Unrecorded;

/// Whom the virtual browser is for.
pub struct Tenant {
    /// The session.
    pub session: SessionId,
    /// Its agent, and the policies that decide.
    pub authority: Authority,
    /// What is lent to it.
    pub leases: Arc<Leases>,
    /// Its trace.
    pub journal: Box<dyn Journal>,
    /// How long requests wait for a person.
    pub holds: HoldLimits,
    /// How much it may have at once.
    pub most: Most,
}

/// How much a session may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Contexts, its first among them (`session.contexts`).
    pub contexts: usize,
    /// Pages, from which on no client is given another (`session.pages`).
    pub pages: usize,
    /// Commands of one client that Chromium has not answered yet
    /// (`session.commands`).
    pub commands: usize,
}

impl Default for Most {
    fn default() -> Self {
        Self {
            contexts: 64,
            pages: 256,
            commands: 10_000,
        }
    }
}

/// How the browser is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The egress proxy of the session, such as `http://127.0.0.1:4711`.
    pub proxy: String,
    /// Folder that downloads go to.
    pub downloads: String,
}

/// Something for the shell to do.
#[derive(Debug)]
pub enum Output {
    /// Send to Chromium.
    Browser(Vec<u8>),
    /// Send to a client.
    Client {
        /// Which.
        client: ClientId,
        /// One JSON text.
        message: Vec<u8>,
    },
    /// Close a client's connection.
    Close {
        /// Which.
        client: ClientId,
        /// Why, for its close frame.
        reason: String,
    },
    /// Wait until the ticket's record is durable, then call [`Hub::handle_durable`].
    Durable {
        /// What the journal answered.
        ticket: u64,
        /// The paused request that waits.
        paused: String,
    },
    /// The browser is set up and has a blank page.
    Warm,
    /// Everything asked of the browser up to [`Hub::flush`] has been done by it.
    Flushed {
        /// What `flush` was called with.
        token: u64,
    },
    /// Nothing that carries what a closed lease lent is under way any more.
    Drained {
        /// What [`Hub::drain`] was called with.
        token: u64,
        /// `false`: some of it still was after the longest wait; the token comes
        /// again when nothing is.
        whole: bool,
    },
    /// A site set a lent cookie anew (or took it away).
    Rotated {
        /// Which.
        credential: CredentialId,
        /// The new value; `None` where the site cleared it.
        value: Option<Secret>,
        /// Its new attributes.
        attributes: CookieAttributes,
    },
    /// A request waits for a person.
    Held(Box<Hold>),
    /// Its page was told to try again, or has done so; the hold stays open.
    HoldWaits {
        /// Which.
        hold: HoldId,
        /// Whether its page waits now.
        waiting: bool,
    },
    /// It does not wait any more.
    HoldEnded {
        /// Which.
        hold: HoldId,
        /// How.
        end: HoldEnd,
    },
    /// A page went to a place outside every open window.
    SecondSystem(Box<Encounter>),
    /// Pages need hosts that no window names.
    Proposed(Box<Proposal>),
    /// A budget of this delegation is used up: its window must close.
    UsedUp(DelegationId),
    /// The session must end.
    End {
        /// Why.
        reason: String,
    },
}

/// The virtual browser.
pub struct Hub {
    setup: Setup,
    tenant: Option<Tenant>,
    scanner: Option<Arc<Scanner>>,
    /// Values that a site has replaced; pages may still show them.
    retired: Vec<Secret>,
    next: u64,
    pending: HashMap<u64, Pending>,
    /// The session's own first, then those that the agent made.
    contexts: Vec<Arc<str>>,
    /// The agent made one, be it gone by now.
    made_contexts: bool,
    /// Boxed, since a map makes room for eleven.
    targets: BTreeMap<Arc<str>, Box<Target>>,
    sessions: HashMap<CdpSession, Attached>,
    clients: BTreeMap<ClientId, Client>,
    barriers: HashMap<u64, Barrier>,
    paused: HashMap<String, intercept::Waiting>,
    /// Who caused requests.
    causes: site::Causes,
    flights: flights::Flights,
    drains: drains::Drains,
    holds: holds::Holds,
    endings: ending::Endings,
    /// Other systems that the session has run into.
    encountered: BTreeSet<Origin>,
    proposals: proposals::Proposals,
    /// URLs of requests under way, one for each redirect.
    hops: HashMap<String, VecDeque<Url>>,
    /// Files handed in: the path that clients know them by, and where they are.
    uploads: HashMap<String, String>,
    downloads: Vec<Download>,
    /// Downloads that no policy permits, by their ids.
    refused_downloads: HashSet<String>,
    out: VecDeque<Output>,
    ended: bool,
}

/// A real CDP session.
struct Attached {
    owner: Owner,
    target: Arc<str>,
    /// The session whose `Target.attachedToTarget` told of it.
    parent: Option<CdpSession>,
    /// Attached by a root command of ours, so detached by one.
    by_root: bool,
    /// Paused requests of its `Fetch` in which a site asked for a password.
    challenges: HashSet<String>,
    /// Its own paused requests: by their pause, the request.
    pauses: HashMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Broker,
    Client(ClientId),
}

/// A client connection.
#[derive(Default)]
struct Client {
    /// It may only look.
    watches: bool,
    /// Per CDP session that asked (none: the browser): what it discovers.
    discover: Vec<(Option<CdpSession>, Filter)>,
    auto: Option<AutoAttach>,
    /// Targets that it was attached to because it asked for whatever appears.
    auto_done: HashSet<Arc<str>>,
    /// Sessions on virtual tabs: session id → page.
    tabs: HashMap<CdpSession, Arc<str>>,
    /// Second sessions on the virtual browser itself.
    roots: HashSet<CdpSession>,
    /// Contexts to dispose of when it leaves.
    disposable: Vec<Arc<str>>,
    /// Windows that it was told of.
    windows: HashSet<i64>,
    /// CDP sessions that asked to hear of downloads (none: the browser).
    download_events: HashSet<Option<CdpSession>>,
    /// Its commands that Chromium has not answered yet.
    under_way: usize,
}

#[derive(Clone)]
struct AutoAttach {
    wait: bool,
    filter: Filter,
}

/// A client's command that waits for several attachments.
struct Barrier {
    left: usize,
    reply: ReplyTo,
    result: Value,
}

/// Where a reply goes.
#[derive(Clone)]
struct ReplyTo {
    client: ClientId,
    id: i64,
    session: Option<CdpSession>,
}

/// What a reply from Chromium is to.
enum Pending {
    /// A client's own command.
    Client {
        to: ReplyTo,
        row: &'static Row,
        /// It is about a context that the client made, where nothing is lent.
        made: bool,
    },
    /// A command of ours.
    Ours(Call),
}

enum Call {
    /// Nothing depends on it.
    Ignored,
    /// Setting up; failure is fatal.
    Vital,
    /// The session's first context.
    FirstContext,
    /// The first page.
    FirstPage,
    /// A fence: everything before it is done.
    Fence(u64),
    /// A fence of a drain.
    Emptied(u64),
    /// A cookie that the response to this request set is out of the jar.
    Cleared(String),
    /// This page was sent to the notice, for the first time or once more.
    Left { page: Arc<str>, again: bool },
    /// `Target.attachToTarget` for a client.
    Attach(attach::Attach),
    /// `Target.createTarget` for a client.
    CreateTarget(ReplyTo),
    /// `Target.createBrowserContext` for a client.
    CreateContext { to: ReplyTo, dispose: bool },
    /// A page's navigation history, to check where an entry leads.
    History {
        to: ReplyTo,
        session: CdpSession,
        entry: i64,
    },
}

impl std::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenant")
            .field("session", &self.session)
            .field("agent", &self.authority.agent)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("targets", &self.targets.len())
            .field("clients", &self.clients.len())
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// A virtual browser for nobody yet: until [`Hub::bind`], nothing is allowed.
    ///
    /// The first outputs arm the interceptor and make the first context, in
    /// that order; Chromium obeys a pipe in order.
    pub fn new(setup: Setup) -> Self {
        let mut hub = Self {
            setup,
            tenant: None,
            scanner: Scanner::new(std::iter::empty()).map(Arc::new),
            retired: Vec::new(),
            // Chromium was asked for its version under 1 when it was launched.
            next: 1,
            pending: HashMap::new(),
            contexts: Vec::new(),
            made_contexts: false,
            targets: BTreeMap::new(),
            sessions: HashMap::new(),
            clients: BTreeMap::new(),
            barriers: HashMap::new(),
            paused: HashMap::new(),
            causes: site::Causes::default(),
            flights: flights::Flights::default(),
            drains: drains::Drains::default(),
            holds: holds::Holds::default(),
            endings: ending::Endings::default(),
            encountered: BTreeSet::new(),
            proposals: proposals::Proposals::default(),
            hops: HashMap::new(),
            uploads: HashMap::new(),
            downloads: Vec::new(),
            refused_downloads: HashSet::new(),
            out: VecDeque::new(),
            ended: false,
        };
        // INVARIANT: nothing that can make a request comes before this.
        for (method, params) in arming() {
            hub.ask(method, params, None, Call::Vital);
        }
        let context = hub.context_params();
        hub.ask(
            "Target.createBrowserContext",
            context,
            None,
            Call::FirstContext,
        );
        hub
    }

    /// Gives the virtual browser to a session.
    pub fn bind(&mut self, tenant: Tenant, now: Now) {
        self.tenant = Some(tenant);
        // Setting up took more room than a session that rests needs.
        self.pending.shrink_to_fit();
        self.out.shrink_to_fit();
        self.refresh_scanner();
        self.fill_jar(now);
    }

    /// Takes the next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Asks for [`Output::Flushed`] once Chromium has done all it was asked.
    pub fn flush(&mut self, token: u64) {
        self.ask("Browser.getVersion", json!({}), None, Call::Fence(token));
    }

    /// Ends the virtual browser: from now on every request is refused and every
    /// client's connection closed.
    pub fn end(&mut self, reason: &str, now: Now) {
        self.deny_holds(None, now);
        self.ended = true;
        for &client in self.clients.keys() {
            self.out.push_back(Output::Close {
                client,
                reason: reason.to_owned(),
            });
        }
        for context in self.contexts.clone() {
            self.ask(
                "Target.disposeBrowserContext",
                json!({"browserContextId": context}),
                None,
                Call::Ignored,
            );
        }
    }

    fn context_params(&self) -> Value {
        json!({
            "disposeOnDetach": true,
            "proxyServer": self.setup.proxy,
            // Loopback would go around the proxy by default.
            "proxyBypassList": "<-loopback>",
        })
    }

    fn ask(&mut self, method: &str, params: Value, session: Option<&str>, call: Call) {
        self.next += 1;
        self.pending.insert(self.next, Pending::Ours(call));
        self.out.push_back(Output::Browser(envelope::command(
            self.next,
            method,
            Some(params),
            session,
        )));
    }

    /// Sends to a client after blanking the session's live secrets.
    fn send(&mut self, client: ClientId, method: &str, mut message: Vec<u8>, now: Now) {
        // Without a scanner nothing may leave.
        let Some(scanner) = &self.scanner else {
            self.fail("the secrets of this session cannot be searched for");
            return;
        };
        let found = scanner.blank(&mut message);
        if found > 0 {
            let event = Event::Redaction {
                method: method.to_owned(),
                count: found,
            };
            if self.record(Actor::Broker, event, now).is_err() {
                return;
            }
        }
        self.out.push_back(Output::Client { client, message });
    }

    fn reply(&mut self, to: &ReplyTo, method: &str, result: &Value, now: Now) {
        let message = envelope::reply(to.id, result, to.session.as_deref());
        self.send(to.client, method, message, now);
    }

    fn refuse(&mut self, to: &ReplyTo, code: envelope::Code, why: &str, now: Now) {
        let message = envelope::refusal(Some(to.id), code, why, to.session.as_deref());
        self.send(to.client, "refusal", message, now);
    }

    fn record(&mut self, actor: Actor, event: Event, now: Now) -> Result<u64, Unrecorded> {
        let recorded = self.tenant.as_mut().ok_or(Unrecorded).and_then(|tenant| {
            tenant.journal.record(Draft {
                at: now.wall,
                actor,
                event,
            })
        });
        if recorded.is_err() && self.tenant.is_some() {
            self.fail("its steps can no longer be put on record");
        }
        recorded
    }

    fn fail(&mut self, reason: &str) {
        if !self.ended {
            self.ended = true;
            self.out.push_back(Output::End {
                reason: reason.to_owned(),
            });
        }
    }

    fn agent(&self) -> Actor {
        self.tenant
            .as_ref()
            .map_or(Actor::Broker, |tenant| Actor::Agent {
                id: tenant.authority.agent,
            })
    }

    /// Looks for every value lent to the session, closed leases included: a
    /// page may still show what it was given.
    fn refresh_scanner(&mut self) {
        let mut values = self.retired.clone();
        if let Some(tenant) = &self.tenant {
            tenant.leases.each(|lease| {
                values.extend(lease.cookies.iter().map(|cookie| cookie.value()));
            });
        }
        self.scanner = Scanner::new(values.iter()).map(Arc::new);
    }

    fn is_lent_name(&self, name: &str) -> bool {
        self.tenant.as_ref().is_some_and(|tenant| {
            tenant
                .leases
                .find(|lease| {
                    lease
                        .cookies
                        .iter()
                        .any(|cookie| cookie.attributes.name == name)
                        .then_some(())
                })
                .is_some()
        })
    }
}

/// What arms a browser on its root session: every request pauses, every target is
/// told of and waits. It comes before the first context.
pub(super) fn arming() -> [(&'static str, Value); 3] {
    [
        (
            "Fetch.enable",
            json!({"patterns": [{"urlPattern": "*", "requestStage": "Request"}]}),
        ),
        (
            "Target.setDiscoverTargets",
            json!({"discover": true, "filter": [{"type": "browser", "exclude": true}, {"type": "tab", "exclude": true}, {}]}),
        ),
        (
            "Target.setAutoAttach",
            json!({"autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true,
                   "filter": [{"type": "browser", "exclude": true}, {"type": "tab", "exclude": true}, {"type": "browser_ui", "exclude": true}, {}]}),
        ),
    ]
}

#[cfg(test)]
mod tests;
