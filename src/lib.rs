//! Hallpass lends an agent a slice of a person's browser session: named sites,
//! for a few minutes, every step on record, and without ever handing over the
//! cookie.
//!
//! # Bird's eye
//!
//! A person's cookies lie sealed in the vault. A *delegation* says which of
//! them an agent may use, where, for what methods and for how long; a person
//! approves it. While its *window* is open it is bound to a running *session*
//! as a *lease*. The session is a Chromium context in a *cell* (a confined
//! process), reached by the agent's own CDP client through the *gateway*. Every
//! request of every page is paused, decided and only then let go, with the lent
//! cookie added on the wire. All of it goes into the session's *trace*.
//!
//! # Four rings
//!
//! | ring | where | decides on |
//! | --- | --- | --- |
//! | gateway | [`gateway`], [`cdp::hub`], [`cdp::table`], [`cdp::check`] | each CDP message |
//! | interceptor | [`cdp::hub`] | each request, by [`policy`] |
//! | egress | [`egress`] | each connection, by [`policy`] |
//! | cell | [`browser`] | each system call, by the kernel |
//!
//! # Three flows
//!
//! 1. *Agent message* → [`gateway`] (WebSocket) → [`session`] (the driver) →
//!    [`cdp::hub`] (envelope, method table, checks, routing) → the cell's pipe;
//!    and back through redaction and the scan for live secrets.
//! 2. *Request paused* → [`cdp::hub`] ([`cdp::paused`] → action) → [`policy`] →
//!    a permit ([`broker::injection`] adds what it lends) or a notice page.
//!    Connections ask the same policy through [`egress`].
//! 3. *Person approves* → [`cli`] or [`http`] → [`service`] → a lease
//!    ([`broker::lease`]) → expiry, completion, revocation → [`session`] cuts.
//!
//! # Code map
//!
//! Pure, that is without I/O, clock or randomness (a test refuses imports that
//! would bring them in): [`model`], [`cdp`], [`policy`], [`broker`], [`trace`].
//! They take messages and a [`model::time::Now`], and answer with what to do.
//!
//! The shell around them: [`vault`] seals; [`recorder`] writes traces; [`store`]
//! keeps state; [`browser`] launches and confines; [`egress`] connects;
//! [`session`] drives; [`gateway`] and [`http`] listen; [`service`] holds the
//! use cases; [`serve`] puts a broker together; [`cli`] is the program;
//! [`demo`] shows the main job.
//!
//! # Invariants
//!
//! - **First in line.** The broker's `Fetch` is enabled on the browser's root
//!   CDP session before the first context exists; no client ever gets that
//!   session. ([`cdp::hub::Hub::new`])
//! - **A permit is a value.** Only [`policy`] makes a [`policy::Permit`], and
//!   [`broker::injection::inject`] takes one.
//! - **Fail closed.** No decision, an unparsable message, a trace that takes no
//!   more records, a clock that cannot be read: all mean no.
//! - **A window never grows by itself.** It ends by wall time or boot time,
//!   whichever comes first; after a reboot nothing approved before is live.
//!   ([`model::delegation`])
//! - **Decided by two.** A request goes if an open lease's scope covers it and the
//!   policies permit it under every lease that does; an error of a policy refuses;
//!   an answer of a person only turns a hold into a yes. ([`policy::decide`])
//! - **Closed means gone.** Whoever ends a window hears so once no request with
//!   what it lent can leave any more, the browser's own repeats included.
//!   ([`cdp::hub::Hub::drain`], [`egress::Listener::bar`])
//! - **Record before release.** A write waits until its record is durable and
//!   is then decided again. ([`cdp::hub::Hub::handle_durable`])
//! - **Values never leave.** [`model::secret::Secret`] has no `Display` and no
//!   `Serialize`; records name a value by a salted hash.
//! - **Nothing forwarded that was not parsed.** Envelopes are read by a JSON
//!   parser and written anew. ([`cdp::envelope`])
//! - **Agents and people never share an identity**, a token type or an
//!   endpoint. ([`vault::token`], [`service`])
//! - **Nothing of a cell outlives it.** ([`browser::reap`])
//!
//! # Where this differs from the design
//!
//! - The interceptor does not attach to pages to pause them; one `Fetch.enable`
//!   on the root session does. It attaches to read: `Set-Cookie` and the cause
//!   of a request are told nowhere else.
//! - Clients that attach to tabs get virtual ones: a tab is its page here.
//! - A `forbid` with `@hold` is how a Cedar policy makes a request wait: Cedar has
//!   two effects, and a third one must not be able to allow.
//! - The act of a request is one of `navigate`, `load` and `connect` (all in `read`),
//!   `write`, `destructive` and `secrets`; a connection is a `tunnel`.
//! - A data folder may be passed through by others (mode 0711), so that cells
//!   run as users of their own can reach their profiles in it. What lies in it
//!   is private, file by file.

pub mod broker;
pub mod browser;
pub mod cdp;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod egress;
pub mod gateway;
pub mod http;
pub mod model;
pub mod policy;
pub mod policy_file;
pub mod random;
pub mod recorder;
pub mod serve;
pub mod service;
pub mod session;
pub mod store;
pub mod trace;
pub mod vault;
