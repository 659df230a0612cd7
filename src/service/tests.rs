//! The use cases over a real store, vault and recorder.

mod lending;
mod matrix;
mod refusals;
mod restart;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::{
    config::Span,
    model::{
        delegation::Delivery,
        id::{DelegationId, SessionId},
        scope::Scope,
        time::{BootTime, Timestamp},
    },
};

/// What no record, answer or file may show.
const VALUE: &str = "c4nary-v4lue";

struct Broker {
    service: Arc<Service>,
    clock: Arc<Mutex<Now>>,
    folder: Arc<TempDir>,
}

impl Broker {
    async fn start() -> Self {
        let folder = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .unwrap();
        let clock = Now {
            // 2026-11-24T00:00:00Z
            wall: Timestamp(1_795_478_400_000_000),
            boot: BootTime(1_000_000_000),
        };
        Self::open(Arc::new(folder), Arc::new(Mutex::new(clock)), "boot-1").await
    }

    async fn open(folder: Arc<TempDir>, clock: Arc<Mutex<Now>>, boot_id: &str) -> Self {
        let service = Self::try_open(folder.path(), &clock, boot_id)
            .await
            .unwrap();
        Self {
            service,
            clock,
            folder,
        }
    }

    async fn try_open(
        folder: &Path,
        clock: &Arc<Mutex<Now>>,
        boot_id: &str,
    ) -> Result<Arc<Service>, OpenError> {
        let config = Config::in_dir(folder.to_owned());
        let dir = DataDir::hold(folder)?;
        let (sessions, events) = Sessions::without_browsers();
        let now = clock.clone();
        let time = Time {
            now: Arc::new(move || *now.lock().unwrap()),
            boot_id: boot_id.to_owned(),
        };
        Service::open_at(config, dir, sessions, events, time).await
    }

    /// As after a crash: nothing is shut down.
    async fn crash(self, boot_id: &str) -> Self {
        let Self {
            service,
            clock,
            folder,
        } = self;
        service.store.close().await;
        drop(service);
        Self::open(folder, clock, boot_id).await
    }

    fn pass(&self, seconds: u64) {
        let mut now = self.clock.lock().unwrap();
        let span = Duration::from_secs(seconds);
        now.wall = now.wall.saturating_add(span);
        now.boot = now.boot.saturating_add(span);
    }

    fn person(&self) -> Caller {
        Caller::Person {
            id: self.service.operator(),
        }
    }

    async fn agent(&self, name: &str) -> Caller {
        let (agent, _) = self.service.agent_add(self.person(), name).await.unwrap();
        Caller::Agent { id: agent.id }
    }

    async fn import(&self, value: &str) -> CredentialInfo {
        let file = format!("#HttpOnly_app.example.com\tFALSE\t/\tTRUE\t1900000000\tsid\t{value}\n");
        let report = self
            .service
            .credential_import(self.person(), "cookies-txt", file.as_bytes())
            .await
            .unwrap();
        assert_eq!(report.refused, vec![]);
        report.imported.into_iter().next().unwrap()
    }

    /// Asked for by the agent, approved by the operator.
    async fn granted(&self, agent: Caller) -> DelegationInfo {
        let asked = self.service.delegation_request(agent, ask()).await.unwrap();
        self.service
            .delegation_approve(self.person(), asked.delegation.id, None)
            .await
            .unwrap()
    }

    async fn session(&self, agent: Caller, delegations: &[DelegationId]) -> SessionId {
        let started = self.service.session_start(agent, None, delegations);
        started.await.unwrap().session.id
    }

    /// Records of the broker's own trace.
    async fn records(&self) -> Vec<Value> {
        let trace = self.service.ledger.trace();
        self.service
            .trace_records(self.person(), trace)
            .await
            .unwrap()
    }
}

fn ask() -> NewDelegation {
    NewDelegation {
        agent: None,
        lender: None,
        purpose: "read one ticket".into(),
        cookies: vec![named("sid", "https://app.example.com")],
        scope: Scope::reading(vec!["https://app.example.com".parse().unwrap()]),
        window: WindowAsk {
            duration: Some(Span::seconds(600)),
            ..WindowAsk::default()
        },
    }
}

fn named(name: &str, origin: &str) -> CookieRef {
    CookieRef::Named(NamedCookie {
        name: name.into(),
        origin: origin.parse().unwrap(),
        delivery: Delivery::Wire,
    })
}

fn types(records: &[Value]) -> Vec<&str> {
    records
        .iter()
        .map(|record| record["event"]["type"].as_str().unwrap())
        .collect()
}
