//! The broker's own trace, and the keys and heads of every other.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde_json::Value;
use tokio::task::spawn_blocking;

use super::{Answer, CallError, Caller, OpenError, TraceVerdict, call::report};
use crate::{
    model::{id::TraceId, time::Timestamp},
    random::random_uuid_v7,
    recorder::{
        Heads, RecordError, Recorder, Recorders, Settings, TraceKey,
        read::{self, KeyError, ReadError},
    },
    store::StoredTrace,
    trace::{
        chain::Head,
        record::{Actor, Draft, Event},
        segment::Key,
    },
    vault::{Vault, WrappedTraceKey},
};

/// Where it is put on record who called what.
#[derive(Debug)]
pub(super) struct Ledger {
    folder: PathBuf,
    vault: Vault,
    // Writers of their own: what persons do is not to wait until the traces of all
    // busy sessions are on the disk.
    _own: Recorders,
    recorders: Recorders,
    broker: Recorder,
    heads: Mutex<BTreeMap<TraceId, Heads>>,
}

impl Ledger {
    /// Begins the trace of this run of the broker.
    pub(super) fn open(folder: &Path, segment_bytes: u64, vault: Vault) -> Result<Self, OpenError> {
        let folder = folder.join("traces");
        let settings = Settings {
            segment_bytes,
            ..Settings::default()
        };
        let recorders = Recorders::new(folder.clone(), settings)?;
        let trace = TraceId::from_uuid(random_uuid_v7()?);
        let own = Recorders::new(folder.clone(), settings)?;
        let broker = own.create(trace, fresh_key(&vault, trace)?)?;
        let heads = BTreeMap::from([(trace, broker.heads())]);
        Ok(Self {
            folder,
            vault,
            _own: own,
            recorders,
            broker,
            heads: Mutex::new(heads),
        })
    }

    /// The broker's own trace.
    pub(super) fn trace(&self) -> TraceId {
        self.broker.trace()
    }

    /// How far it has come.
    pub(super) fn broker_head(&self) -> Head {
        self.broker.head()
    }

    /// Begins a session's trace.
    pub(super) fn recorder(&self, trace: TraceId) -> Answer<Recorder> {
        let key = fresh_key(&self.vault, trace)?;
        let recorder = self
            .recorders
            .create(trace, key)
            .map_err(|error| unavailable(&error))?;
        self.watched().insert(trace, recorder.heads());
        Ok(recorder)
    }

    /// Puts a step on record; answers once it is on the disk.
    pub(super) async fn record(&self, at: Timestamp, actor: Actor, event: Event) -> Answer<()> {
        self.broker
            .record_durably(Draft { at, actor, event })
            .await
            .map(drop)
            .map_err(|error| unavailable(&error))
    }

    /// Puts a call on record that changed nothing; written soon.
    pub(super) fn note(&self, at: Timestamp, actor: Actor, event: Event) -> Answer<()> {
        self.broker
            .record(Draft { at, actor, event })
            .map(drop)
            .map_err(|error| unavailable(&error))
    }

    /// Whether the broker's trace takes records.
    pub(super) fn check(&self) -> Answer<()> {
        if self.broker.is_failed() {
            return Err(CallError::Unavailable(REFUSES.to_owned()));
        }
        Ok(())
    }

    /// Heads that moved since they were last asked for.
    pub(super) fn moved_heads(&self) -> Vec<Head> {
        let mut moved = Vec::new();
        self.watched().retain(|_, heads| {
            let (head, is_last) = heads.moved();
            moved.extend(head);
            !is_last
        });
        moved
    }

    /// How far a trace has come, if it is being written.
    pub(super) fn head(&self, trace: TraceId) -> Option<Head> {
        self.watched().get(&trace).map(Heads::head)
    }

    pub(super) async fn records(&self, trace: &StoredTrace) -> Answer<Vec<Value>> {
        let reading = self.read(trace).await?.map_err(|error| damaged(&error))?;
        if let Err(error) = &reading.outcome {
            report("trace", error);
        }
        Ok(reading
            .records
            .into_iter()
            .map(|(_, record)| record)
            .collect())
    }

    pub(super) async fn verify(&self, trace: &StoredTrace) -> Answer<TraceVerdict> {
        let verdict = match self.read(trace).await? {
            Ok(reading) => match reading.outcome {
                Ok(verified) => Ok(verified.head),
                Err(error) => Err((reading.records.len() as u64, error.to_string())),
            },
            Err(error) => Err((0, told(&error))),
        };
        Ok(match verdict {
            Ok(head) => TraceVerdict {
                trace: trace.id,
                intact: true,
                records: head.records,
                head: String::from(head.hash),
                problem: None,
            },
            Err((records, problem)) => TraceVerdict {
                trace: trace.id,
                intact: false,
                records,
                head: String::from(trace.head.hash),
                problem: Some(problem),
            },
        })
    }

    /// Ends the broker's trace; answers where it stands.
    pub(super) async fn finish(&self) -> Option<Head> {
        match self.broker.finish().await {
            Ok(head) => Some(head),
            Err(error) => {
                report("trace", &error);
                None
            }
        }
    }

    async fn read(&self, trace: &StoredTrace) -> Answer<Result<read::Reading, ReadError>> {
        let folder = self.folder.clone();
        let vault = self.vault.clone();
        let (id, anchor) = (trace.id, trace.head);
        spawn_blocking(move || {
            read::read(
                &folder,
                id,
                |wrapped| open_key(&vault, id, wrapped),
                Some(anchor),
            )
        })
        .await
        .map_err(|error| report("trace", &error))
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, BTreeMap<TraceId, Heads>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Caller> for Actor {
    fn from(caller: Caller) -> Self {
        match caller {
            Caller::Person { id } => Self::Person { id },
            Caller::Agent { id } => Self::Agent { id },
        }
    }
}

fn fresh_key(vault: &Vault, trace: TraceId) -> Result<TraceKey, crate::vault::VaultError> {
    let (key, wrapped) = vault.trace_key(trace)?;
    Ok(TraceKey {
        key: Key::new(*key.expose()),
        wrapped: wrapped.as_bytes().to_vec(),
    })
}

fn open_key(vault: &Vault, trace: TraceId, wrapped: &[u8]) -> Result<Key, KeyError> {
    let wrapped = WrappedTraceKey::from_bytes(wrapped)?;
    Ok(Key::new(*vault.open_trace_key(trace, &wrapped)?.expose()))
}

const REFUSES: &str = "the step could not be put on record, so it may not happen; tell the operator that the trace does not accept records";

fn unavailable(error: &RecordError) -> CallError {
    report("trace", error);
    CallError::Unavailable(REFUSES.to_owned())
}

fn damaged(error: &ReadError) -> CallError {
    report("trace", error);
    CallError::Unavailable(format!("the trace cannot be read: {error}"))
}

fn told(error: &ReadError) -> String {
    use std::error::Error;
    error
        .source()
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
