//! What is open right now: admission, and cutting. Deciding and entering are
//! one step under one lock, so a connection is either decided after a window
//! closed, or is found by whoever cuts what the window had allowed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, Weak},
};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    Endpoint, Gate,
    exchange::{Exchange, RECORD},
    log::{Connection, ConnectionLog},
};
use crate::{
    broker::lease::Lease,
    model::{
        action::{ConnectAction, Refusal, Rule},
        origin::Scheme,
    },
    policy::{Permit, decide_connect, decide_connect_as},
};

#[derive(Debug)]
pub(super) struct Registry {
    state: Mutex<State>,
    /// Hears of refusals while no gate is open.
    fallback: Option<Arc<dyn ConnectionLog>>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    next: u64,
    open: HashMap<u64, Weak<Exchange>>,
    /// Of windows that are being closed.
    barred: HashMap<u64, Arc<Lease>>,
}

/// Keeps new connections from what a lease reaches while it lives.
#[derive(Debug)]
pub struct Bar {
    registry: Arc<Registry>,
    id: u64,
}

#[derive(Debug)]
enum Stage {
    Waiting,
    Open(Gate),
    Closed,
}

// === impl Registry ===

impl Registry {
    pub(super) fn new(fallback: Option<Arc<dyn ConnectionLog>>) -> Self {
        Self {
            state: Mutex::new(State {
                stage: Stage::Waiting,
                next: 0,
                open: HashMap::new(),
                barred: HashMap::new(),
            }),
            fallback,
        }
    }

    /// Opens the gate if it has never been open or closed.
    pub(super) fn open(&self, gate: Gate) -> bool {
        let mut state = self.state();
        let waiting = matches!(state.stage, Stage::Waiting);
        if waiting {
            state.stage = Stage::Open(gate);
        }
        waiting
    }

    /// From here on nothing is admitted.
    pub(super) fn close(&self) {
        self.state().stage = Stage::Closed;
    }

    /// Admits nothing to what the lease reaches until the bar is dropped.
    pub(super) fn bar(self: &Arc<Self>, lease: Arc<Lease>) -> Bar {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.barred.insert(id, lease);
        Bar {
            registry: self.clone(),
            id,
        }
    }

    /// Decides a connection and enters it. `scheme` is known for a request in
    /// clear text; `stop` ends the client's connection and all that hangs on it.
    pub(super) fn admit(
        self: &Arc<Self>,
        to: ConnectAction,
        scheme: Option<Scheme>,
        stop: &CancellationToken,
    ) -> Result<Arc<Exchange>, Refusal> {
        let mut state = self.state();
        let (gate, permit) = state.decide(&to, scheme)?;
        let id = state.next;
        state.next += 1;
        let endpoint = Endpoint {
            to,
            delegation: permit.delegation(),
        };
        let exchange = Exchange::new(self.clone(), id, endpoint, scheme, gate, stop);
        state.open.insert(id, Arc::downgrade(&exchange));
        Ok(exchange)
    }

    /// Decides a further request on a connection that is open. `false`: it may go,
    /// but not on this one, whose bytes are counted as of another time.
    pub(super) fn admit_again(&self, exchange: &Exchange) -> Result<bool, Refusal> {
        let state = self.state();
        let (_, _permit) = state.decide(&exchange.endpoint().to, exchange.scheme())?;
        Ok(!exchange.was_cut() && exchange.is_charged_as_new())
    }

    /// Cuts what matches and waits until its sockets are gone.
    pub(super) async fn cut(&self, matches: impl Fn(&Exchange) -> bool) -> usize {
        // The references are let go outside the lock: the last one takes it.
        let open: Vec<Arc<Exchange>> = self
            .state()
            .open
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        let mut gone = Vec::new();
        for exchange in open {
            if matches(&exchange) {
                exchange.cut();
                gone.push(exchange.done());
            }
        }
        for done in &gone {
            done.cancelled().await;
        }
        gone.len()
    }

    pub(super) fn leave(&self, id: u64) {
        self.state().open.remove(&id);
    }

    /// Records a refusal. It stands whether or not the record can be made.
    pub(super) async fn refused(&self, to: Option<&ConnectAction>, refusal: &Refusal) {
        let log = match &self.state().stage {
            Stage::Open(gate) => Some(gate.record.clone()),
            Stage::Waiting | Stage::Closed => self.fallback.clone(),
        };
        let Some(log) = log else {
            return;
        };
        let connection = Connection {
            host: to.map(|to| to.host.to_string()).unwrap_or_default(),
            port: to.map_or(0, |to| to.port),
            address: None,
            delegation: refusal.delegation,
            refusal: Some(refusal.clone()),
        };
        let recorded = timeout(RECORD, log.connection(connection)).await;
        if !matches!(recorded, Ok(Ok(()))) {
            tracing::error!(rule = %refusal.rule, "a refused connection could not be put on record");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        match self.state.lock() {
            Ok(state) => state,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

// === impl State ===

impl State {
    fn decide(
        &self,
        to: &ConnectAction,
        scheme: Option<Scheme>,
    ) -> Result<(Gate, Permit), Refusal> {
        let refusal = |rule| {
            let what = format!("a connection to {}:{}", to.host, to.port);
            Refusal::new(rule, what)
        };
        let gate = match &self.stage {
            Stage::Open(gate) => gate,
            Stage::Closed => return Err(refusal(Rule::SessionEnded)),
            Stage::Waiting => return Err(refusal(Rule::OriginOutOfScope)),
        };
        let barred = |lease: &Arc<Lease>| lease.reaches(&to.host, to.port);
        if self.barred.values().any(barred) {
            return Err(refusal(Rule::WindowClosed));
        }
        let now = gate.clock.now();
        let permit = match scheme {
            Some(scheme) => decide_connect_as(scheme, to, &gate.leases, &gate.authority, now),
            None => decide_connect(to, &gate.leases, &gate.authority, now),
        }?;
        let has_bytes = |lease: &Arc<Lease>| Some(lease.quota.has_bytes(now));
        if gate.leases.find(has_bytes) == Some(false) {
            return Err(refusal(Rule::AgentLimit));
        }
        Ok((gate.clone(), permit))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.registry.state().barred.remove(&self.id);
    }
}
