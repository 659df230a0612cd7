//! One admitted connection, from its permit to its end: who allowed it, how
//! long that lasts, what it moved, how it is cut.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Endpoint, Gate,
    log::{Connection, Ended},
    registry::Registry,
};
use crate::{
    broker::lease::Lease,
    model::{
        action::{Refusal, Rule},
        origin::Scheme,
        time::Now,
    },
    policy::{address::is_public, decide_address, decide_connect, decide_connect_as},
};

/// The longest time between two looks at the leases. Timers stand still while
/// the machine sleeps and nobody need tell of a closed lease; a look does.
const LOOK: Duration = Duration::from_millis(500);

/// The longest wait for the record of one connection.
pub(super) const RECORD: Duration = Duration::from_secs(10);

/// Held by everything that can still move a byte; when the last holder is gone,
/// so are the sockets, and the end is recorded.
#[derive(Debug)]
pub(super) struct Exchange {
    registry: Arc<Registry>,
    id: u64,
    endpoint: Endpoint,
    gate: Gate,
    /// What its bytes are taken from: all that reach the endpoint.
    leases: Vec<Arc<Lease>>,
    scheme: OnceLock<Scheme>,
    /// The address on record as being connected to.
    attempt: Mutex<Option<IpAddr>>,
    how: OnceLock<String>,
    was_cut: AtomicBool,
    /// Ends the client's connection and all that hangs on it.
    stop: CancellationToken,
    /// Ends this exchange alone.
    finish: CancellationToken,
    done: CancellationToken,
    sent: AtomicU64,
    received: AtomicU64,
}

// === impl Exchange ===

impl Exchange {
    pub(super) fn new(
        registry: Arc<Registry>,
        id: u64,
        endpoint: Endpoint,
        scheme: Option<Scheme>,
        gate: Gate,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let known = OnceLock::new();
        if let Some(scheme) = scheme {
            known.get_or_init(|| scheme);
        }
        let leases = charged(&gate, &endpoint);
        Arc::new(Self {
            registry,
            id,
            endpoint,
            gate,
            leases,
            scheme: known,
            attempt: Mutex::new(None),
            how: OnceLock::new(),
            was_cut: AtomicBool::new(false),
            finish: stop.child_token(),
            stop: stop.clone(),
            done: CancellationToken::new(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        })
    }

    /// Whether its bytes would be taken from the same leases if it were made now.
    pub(super) fn is_charged_as_new(&self) -> bool {
        let now = charged(&self.gate, &self.endpoint);
        now.len() == self.leases.len()
            && now.iter().zip(&self.leases).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// As far as it is known.
    pub(super) fn scheme(&self) -> Option<Scheme> {
        self.scheme.get().copied()
    }

    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Cancelled when the exchange is to end, for whatever reason.
    pub(super) const fn finish(&self) -> &CancellationToken {
        &self.finish
    }

    /// Cancelled when nothing of it is left.
    pub(super) fn done(&self) -> CancellationToken {
        self.done.clone()
    }

    /// Ends it and the client's connection that it is made for, at once.
    pub(super) fn cut(&self) {
        self.was_cut.store(true, Ordering::SeqCst);
        self.stop.cancel();
    }

    pub(super) fn was_cut(&self) -> bool {
        self.was_cut.load(Ordering::SeqCst)
    }

    /// Notes how it ended; the first word counts.
    pub(super) fn ended(&self, how: &str) {
        self.how.get_or_init(|| how.to_owned());
    }

    /// Counts what goes to the site.
    ///
    /// # Errors
    /// The exchange is cut: what goes beyond a budget is not passed on, if it is
    /// the last piece too.
    pub(super) fn count_sent(&self, bytes: usize) -> io::Result<()> {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        self.spend(bytes)
    }

    /// Counts what comes from the site.
    ///
    /// # Errors
    /// As for [`count_sent`](Self::count_sent).
    pub(super) fn count_received(&self, bytes: usize) -> io::Result<()> {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        self.spend(bytes)
    }

    /// Takes bytes from the budget; the connection that uses it up is cut.
    fn spend(&self, bytes: usize) -> io::Result<()> {
        for lease in &self.leases {
            if !lease.spend_bytes(bytes as u64) {
                self.cut();
                self.gate.record.used_up(lease.delegation);
            }
        }
        // All are the same agent's.
        if let Some(lease) = self.leases.first() {
            if !lease.quota.moved(bytes as u64, self.gate.clock.now()) {
                self.cut();
            }
        }
        if self.was_cut() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    /// Bytes moved so far, both ways.
    pub(super) fn moved(&self) -> u64 {
        self.sent
            .load(Ordering::Relaxed)
            .wrapping_add(self.received.load(Ordering::Relaxed))
    }

    /// Decides again, now that the first bytes have told the scheme.
    pub(super) fn decide_as(&self, scheme: Scheme) -> Result<(), Refusal> {
        self.scheme.get_or_init(|| scheme);
        self.decide()
    }

    /// Decides again, by what is known by now.
    pub(super) fn decide(&self) -> Result<(), Refusal> {
        let now = self.gate.clock.now();
        let (to, gate) = (&self.endpoint.to, &self.gate);
        match self.scheme.get() {
            Some(scheme) => decide_connect_as(*scheme, to, &gate.leases, &gate.authority, now),
            None => decide_connect(to, &gate.leases, &gate.authority, now),
        }
        .map(|_| ())
    }

    pub(super) fn allows_address(&self, address: IpAddr) -> bool {
        let now = self.gate.clock.now();
        decide_address(&self.endpoint.to, address, &self.gate.leases, now)
    }

    /// Records that `address` is about to be connected to.
    pub(super) async fn begin(&self, address: IpAddr) -> Result<(), Refusal> {
        let Endpoint { to, delegation } = &self.endpoint;
        let record = self.gate.record.connection(Connection {
            host: to.host.to_string(),
            port: to.port,
            address: Some(address),
            delegation: Some(*delegation),
            refusal: None,
        });
        if let Ok(Ok(())) = timeout(RECORD, record).await {
            *self.attempt() = Some(address);
            Ok(())
        } else {
            Err(Refusal {
                delegation: Some(*delegation),
                ..Refusal::new(
                    Rule::RecordUnavailable,
                    format!("a connection to {}:{}", to.host, to.port),
                )
            })
        }
    }

    /// Records that the address did not answer; another may be tried.
    pub(super) fn failed(&self, how: &str) {
        if self.attempt().take().is_some() {
            self.gate.record.ended(self.end(how.to_owned()));
        }
    }

    /// Returns when no open lease permits it any more.
    pub(super) async fn uncovered(&self) {
        while let Some(left) = self.left(self.gate.clock.now()) {
            sleep(left.min(LOOK)).await;
        }
    }

    /// Longest time that an open lease still permits it; `None` if none does.
    pub(super) fn left(&self, now: Now) -> Option<Duration> {
        let to = &self.endpoint.to;
        let named = self.attempt().filter(|address| !is_public(*address));
        let mut longest = None;
        self.gate.leases.each(|lease| {
            let scope = &lease.scope;
            let covers = match self.scheme.get() {
                Some(scheme) => scope.covers_endpoint_as(*scheme, &to.host, to.port),
                None => scope.covers_endpoint(&to.host, to.port),
            };
            if covers
                && lease.is_open(now)
                && named.is_none_or(|address| scope.names_address(&to.host, to.port, address))
            {
                longest = longest.max(Some(lease.live.left(now)));
            }
        });
        longest
    }

    fn end(&self, how: String) -> Ended {
        Ended {
            host: self.endpoint.to.host.to_string(),
            port: self.endpoint.to.port,
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            how,
        }
    }

    fn attempt(&self) -> std::sync::MutexGuard<'_, Option<IpAddr>> {
        match self.attempt.lock() {
            Ok(attempt) => attempt,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

/// All open leases that reach the endpoint.
fn charged(gate: &Gate, endpoint: &Endpoint) -> Vec<Arc<Lease>> {
    let now = gate.clock.now();
    let mut leases = Vec::new();
    gate.leases.each(|lease| {
        let to = &endpoint.to;
        if lease.is_open(now) && lease.scope.covers_endpoint(&to.host, to.port) {
            leases.push(lease.clone());
        }
    });
    leases
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let how = if self.was_cut() {
            "cut"
        } else {
            self.how.get().map_or("closed", String::as_str)
        };
        self.failed(how);
        self.registry.leave(self.id);
        self.done.cancel();
    }
}
