//! Opening a data folder, and settling what an earlier broker left there.

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
};

use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{CallError, Service, leases::Lending, ledger::Ledger, locks::Locks};
use crate::{
    clock::{Clock, boot_id},
    config::Config,
    model::{
        id::PersonId,
        time::{Now, Timestamp},
    },
    random::{RandomError, random_uuid_v7},
    recorder::RecordError,
    session::{SessionEvents, Sessions},
    store::{DataDir, DataDirError, Store, StoreError, StoredTrace, TraceKind},
    trace::record::{Actor, Event},
    vault::{
        Vault, VaultError, WrappedKey, WrappingKey,
        token::{Token, TokenKind},
    },
};

/// Why the broker cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The data folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key file or what it opens.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The broker's trace cannot be begun.
    #[error("the broker's own trace cannot be written, and nothing may happen off the record")]
    Trace(#[from] RecordError),
    /// The operator token's file.
    #[error(
        "`keys/operator.token` in the data folder holds no operator token; remove it and start again to have a new one made"
    )]
    OperatorToken,
    /// The store has an entry that cannot be read.
    #[error("the store's `{0}` entry cannot be read; restore the store from a backup")]
    Entry(&'static str),
    /// The system gives no randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The kernel does not name this boot.
    #[error("the kernel does not tell which boot this is, so no window can be measured")]
    Boot(#[source] io::Error),
    /// What an earlier broker left cannot be settled.
    #[error("what an earlier broker left open cannot be closed")]
    Settle(#[source] CallError),
}

/// Where the time comes from.
#[derive(Clone)]
pub struct Time {
    /// Both clocks, now.
    pub now: Arc<dyn Fn() -> Now + Send + Sync>,
    /// Names the boot that the boot clock counts from.
    pub boot_id: String,
}

// === impl Time ===

impl Time {
    /// The machine's own clocks.
    ///
    /// # Errors
    /// The kernel does not name this boot.
    pub fn of_machine() -> Result<Self, OpenError> {
        Ok(Self {
            now: Arc::new(|| Clock.now()),
            boot_id: boot_id().map_err(OpenError::Boot)?,
        })
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Time")
            .field("boot_id", &self.boot_id)
            .finish_non_exhaustive()
    }
}

// === impl Service ===

impl Service {
    /// Opens the data folder, making what is missing, and settles what an
    /// earlier broker left: its sessions are ended, what is due is closed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        config: Config,
        dir: DataDir,
        sessions: Arc<Sessions>,
        events: SessionEvents,
    ) -> Result<Arc<Self>, OpenError> {
        Self::open_at(config, dir, sessions, events, Time::of_machine()?).await
    }

    /// The same with another source of time.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_at(
        config: Config,
        dir: DataDir,
        sessions: Arc<Sessions>,
        events: SessionEvents,
        time: Time,
    ) -> Result<Arc<Self>, OpenError> {
        let store = Store::open(&dir).await?;
        let vault = open_vault(&config, &store).await?;
        let operator_token = operator_token(&dir)?;
        let operator = operator(&store, (time.now)().wall).await?;
        let ledger = Ledger::open(dir.path(), config.trace.segment_bytes, vault.clone())?;
        let lending = Lending::new(config.agent.quota());
        let service = Self {
            config,
            _dir: dir,
            store,
            vault,
            ledger,
            sessions,
            lending,
            locks: Locks::default(),
            operator,
            operator_token: operator_token.hash(),
            time,
            address: OnceLock::new(),
            due: Notify::new(),
            stop: CancellationToken::new(),
            events: Mutex::new(events),
            admission: Mutex::new(()),
        };
        service.settle().await?;
        Ok(Arc::new(service))
    }

    async fn settle(&self) -> Result<(), OpenError> {
        let now = self.now().wall;
        // The folder is held, so whatever has not ended is a dead broker's.
        for trace in self.store.trace_unended().await? {
            self.store.trace_end(trace.id, now).await?;
        }
        let broker = StoredTrace {
            id: self.ledger.trace(),
            kind: TraceKind::Broker,
            session: None,
            created_at: now,
            ended_at: None,
            head: self.ledger.broker_head(),
        };
        self.store.trace_insert(&broker).await?;
        let started = Event::Broker {
            what: "started".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.ledger
            .record(now, Actor::Broker, started)
            .await
            .map_err(OpenError::Settle)?;
        for session in self.store.session_unended().await? {
            self.store
                .session_end(session.id, now, "the broker stopped")
                .await?;
        }
        self.deny_left_holds().await.map_err(OpenError::Settle)?;
        self.locks.fill(self.store.lock_list(false).await?);
        let revision = self.sessions.policies().bundle().revision().to_string();
        self.registry(Actor::Broker, "policies-loaded", &revision, "at the start")
            .await
            .map_err(OpenError::Settle)?;
        self.close_uncounted().await.map_err(OpenError::Settle)?;
        self.reconcile().await.map_err(OpenError::Settle)?;
        Ok(())
    }
}

async fn open_vault(config: &Config, store: &Store) -> Result<Vault, OpenError> {
    const ENTRY: &str = "vault_key";
    let key_file = &config.vault.key_file;
    let Some(bytes) = store.meta_get(ENTRY).await? else {
        let (vault, wrapped) = Vault::create(&WrappingKey::open_or_create(key_file)?)?;
        let bytes = serde_json::to_vec(&wrapped).map_err(|_| OpenError::Entry(ENTRY))?;
        store.meta_insert(ENTRY, &bytes).await?;
        return Ok(vault);
    };
    let wrapped: WrappedKey =
        serde_json::from_slice(&bytes).map_err(|_| OpenError::Entry(ENTRY))?;
    // A key file that is gone must not be made anew: what the old one sealed
    // would be lost without a word.
    Ok(Vault::open(&WrappingKey::open(key_file)?, &wrapped)?)
}

async fn operator(store: &Store, now: Timestamp) -> Result<PersonId, OpenError> {
    if let Some(id) = store.operator_get().await? {
        return Ok(id);
    }
    let id = PersonId::from_uuid(random_uuid_v7()?);
    store.operator_insert(id, now).await?;
    Ok(id)
}

fn operator_token(dir: &DataDir) -> Result<Token, OpenError> {
    let text = dir.key_text("operator.token", || {
        Token::draw(TokenKind::Operator)
            .map(|token| Zeroizing::new(token.expose().to_owned()))
            .map_err(io::Error::other)
    })?;
    Token::parse_as(TokenKind::Operator, &text).map_err(|_| OpenError::OperatorToken)
}
