//! The third ring: a forward proxy of its own for each session.
//!
//! Every byte of a browser goes through a [`Listener`]; its port is the
//! session's identity, so there are no credentials to leak. A connection is
//! decided by the session's leases, its name is resolved once, every address
//! is checked, and only a checked address is connected to. What a TLS greeting
//! asks for must be what was allowed. The end of the window ends the
//! connection, whether or not anything else of the broker still runs.
//!
//! ```text
//! browser ─▶ serve ─▶ target ─▶ registry (decide, enter) ─▶ dial ─▶ tunnel │ forward
//! ```

mod answer;
mod client_hello;
mod dial;
mod exchange;
mod forward;
mod log;
mod registry;
mod resolver;
mod serve;
mod target;
mod tunnel;
mod upstream;

use std::{
    collections::HashSet,
    fmt, io,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use log::{Connection, ConnectionLog, Ended, RecordUnavailable};
pub use resolver::{HostsError, Resolver};

use crate::{
    broker::lease::{Lease, Leases},
    clock::Clock,
    model::{action::ConnectAction, id::DelegationId, time::Now},
    policy::Authority,
};
pub use registry::Bar;
use registry::Registry;

/// What the proxy allows at most.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections of the browser to one listener.
    pub connections: usize,
    /// Connections being made to sites at once, for one listener.
    pub dials: usize,
    /// Longest request head, in bytes; at least 8192.
    pub header_bytes: usize,
    /// Longest time for a request head to arrive whole, and between requests.
    pub header: Duration,
    /// Longest time from a tunnel's opening to a whole greeting of its client.
    pub first_bytes: Duration,
    /// Longest time for a name to resolve.
    pub lookup: Duration,
    /// Longest time for one address to answer.
    pub connect: Duration,
    /// Longest silence once one side of a tunnel has ended.
    pub half_open: Duration,
}

/// What a session's listener decides by and records to.
#[derive(Debug, Clone)]
pub struct Gate {
    /// The session's leases.
    pub leases: Arc<Leases>,
    /// Its agent, and the policies that are asked.
    pub authority: Authority,
    /// Where its connections are recorded.
    pub record: Arc<dyn ConnectionLog>,
    /// What time it is.
    pub clock: Clock,
}

/// The far end of a connection, and what allowed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host and port.
    pub to: ConnectAction,
    /// The delegation that allowed it at first.
    pub delegation: DelegationId,
}

/// The proxy; makes listeners.
#[derive(Debug, Clone)]
pub struct Egress(Arc<Shared>);

/// The proxy of one session, or of a browser as a whole. Dropping it stops it
/// and ends what it carries.
pub struct Listener {
    port: u16,
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    resolver: Resolver,
    limits: Limits,
    /// Ports on this machine that no session may reach.
    own: Mutex<HashSet<u16>>,
}

// === impl Egress ===

impl Egress {
    /// A proxy without listeners.
    #[must_use]
    pub fn new(resolver: Resolver, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            resolver,
            limits,
            own: Mutex::default(),
        }))
    }

    /// A listener that refuses everything until its gate is opened. What is
    /// refused before that, or after it is closed, goes unrecorded.
    ///
    /// # Errors
    /// The system has no port on the loopback address.
    pub async fn listen(&self) -> io::Result<Listener> {
        self.listen_with(None).await
    }

    /// The same, recording with `refusals` what is refused while no gate is
    /// open. One that never opens is the proxy of a browser as a whole.
    ///
    /// # Errors
    /// The system has no port on the loopback address.
    pub async fn listen_recorded(&self, refusals: Arc<dyn ConnectionLog>) -> io::Result<Listener> {
        self.listen_with(Some(refusals)).await
    }

    /// Keeps sessions from a port on this machine, whatever their scope says:
    /// the broker's own. Listeners' ports are kept so by themselves.
    pub fn reserve(&self, port: u16) {
        self.0.own(|own| own.insert(port));
    }

    async fn listen_with(&self, refusals: Option<Arc<dyn ConnectionLog>>) -> io::Result<Listener> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = socket.local_addr()?.port();
        self.reserve(port);
        let listener = Listener {
            port,
            shared: self.0.clone(),
            registry: Arc::new(Registry::new(refusals)),
            stop: CancellationToken::new(),
        };
        tokio::spawn(serve::accept(
            socket,
            self.0.clone(),
            listener.registry.clone(),
            listener.stop.clone(),
        ));
        Ok(listener)
    }
}

// === impl Listener ===

impl Listener {
    /// The port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Opens the gate, once in a listener's life: `false` if it was open or
    /// closed before, and then nothing changes.
    #[must_use]
    pub fn open(&self, gate: Gate) -> bool {
        self.registry.open(gate)
    }

    /// Refuses everything from here on and cuts what is open. Answers how many
    /// connections that were, once no further byte of them can leave.
    pub async fn close(&self) -> usize {
        self.registry.close();
        self.registry.cut(|_| true).await
    }

    /// Cuts what goes to a matching endpoint. Answers how many connections that
    /// were, once no further byte of them can leave. Keeping new ones out is
    /// the leases' part: close the lease first.
    pub async fn cut(&self, matches: impl Fn(&Endpoint) -> bool) -> usize {
        self.registry
            .cut(|exchange| matches(exchange.endpoint()))
            .await
    }

    /// Refuses new connections to what the lease reaches until the bar is
    /// dropped, whatever else permits them: a window is being closed, and what
    /// was under way with its cookies must not find another way out.
    #[must_use]
    pub fn bar(&self, lease: Arc<Lease>) -> Bar {
        self.registry.bar(lease)
    }

    /// Cuts what goes where the lease reaches, as [`Self::cut`] does.
    pub async fn cut_lease(&self, lease: &Lease) -> usize {
        self.cut(|Endpoint { to, .. }| lease.reaches(&to.host, to.port))
            .await
    }

    /// Cuts what no open lease permits any more, as [`Self::cut`] does.
    pub async fn recheck(&self, now: Now) -> usize {
        self.registry
            .cut(|exchange| exchange.left(now).is_none())
            .await
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.registry.close();
        self.stop.cancel();
        self.shared.own(|own| own.remove(&self.port));
    }
}

// === impl Shared ===

impl Shared {
    fn is_own(&self, address: IpAddr, port: u16) -> bool {
        (address.is_loopback() || address.is_unspecified()) && self.own(|own| own.contains(&port))
    }

    fn own<T>(&self, with: impl FnOnce(&mut HashSet<u16>) -> T) -> T {
        match self.own.lock() {
            Ok(mut own) => with(&mut own),
            Err(poisoned) => with(&mut poisoned.into_inner()),
        }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            dials: 32,
            header_bytes: 64 * 1024,
            header: Duration::from_secs(30),
            first_bytes: Duration::from_secs(10),
            lookup: Duration::from_secs(5),
            connect: Duration::from_secs(5),
            half_open: Duration::from_mins(1),
        }
    }
}

#[cfg(test)]
mod tests;
