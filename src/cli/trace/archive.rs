//! The traces of a data folder, read where they lie: no broker need run, and
//! one that runs is not disturbed.

use std::path::{Path, PathBuf};

use crate::{
    cli::failure::{Exit, Failure},
    config::Config,
    model::id::TraceId,
    recorder::read::{self, KeyError, ReadError, Reading},
    store::{Store, StoredTrace},
    trace::{chain::Head, segment::Key},
    vault::{Vault, WrappedKey, WrappedTraceKey, WrappingKey},
};

/// The traces of a data folder.
#[derive(Debug)]
pub(super) struct Archive {
    folder: PathBuf,
    store: Store,
    vault: Vault,
}

impl Archive {
    /// Opens the store for reading and the vault with its key file.
    pub(super) async fn open(config: &Config) -> Result<Self, Failure> {
        let database = config.data_dir.join("hallpass.db");
        if !database.exists() {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "no broker has run on this data folder: there is no {}",
                    database.display()
                ),
            )
            .advise("name the folder with `--data-dir`"));
        }
        let store = Store::peek(&database)
            .await
            .map_err(|error| Failure::because("the traces cannot be read", &error))?;
        let vault = open_vault(&store, &config.vault.key_file).await?;
        Ok(Self {
            folder: config.data_dir.join("traces"),
            store,
            vault,
        })
    }

    /// Every trace, newest first.
    pub(super) async fn list(&self) -> Result<Vec<StoredTrace>, Failure> {
        self.store
            .trace_list()
            .await
            .map_err(|error| Failure::because("the traces cannot be listed", &error))
    }

    /// A trace with all of its records, up to the first fault. It is held
    /// against the head that the store keeps; the head is read first, since a
    /// running broker adds to both.
    pub(super) async fn read(&self, id: TraceId) -> Result<Result<Reading, ReadError>, Failure> {
        let known = self
            .store
            .trace_get(id)
            .await
            .map_err(|error| Failure::because("the trace's head cannot be read", &error))?;
        let Some(info) = known else {
            return Err(Failure::new(
                Exit::Failed,
                format!("there is no trace `{id}` in this data folder"),
            )
            .advise("`hallpass trace list` shows the ids"));
        };
        let (folder, vault) = (self.folder.clone(), self.vault.clone());
        let anchor: Head = info.head;
        tokio::task::spawn_blocking(move || {
            let open = |wrapped: &[u8]| open_key(&vault, id, wrapped);
            read::read(&folder, id, open, Some(anchor))
        })
        .await
        .map_err(|error| Failure::because("reading the trace was interrupted", &error))
    }
}

async fn open_vault(store: &Store, key_file: &Path) -> Result<Vault, Failure> {
    let advice = "name the vault's key file as `key_file` under `[vault]` in the configuration";
    let shut = |error: &dyn std::error::Error| {
        Failure::because(
            "the vault, which has the traces' keys, cannot be opened",
            error,
        )
        .advise(advice)
    };
    let wrapping = WrappingKey::open(key_file).map_err(|error| shut(&error))?;
    let wrapped = store
        .meta_get("vault_key")
        .await
        .map_err(|error| shut(&error))?;
    let Some(wrapped) = wrapped else {
        return Err(Failure::new(
            Exit::Failed,
            "this data folder has no vault yet: no broker has finished its first start",
        )
        .advise("start one with `hallpass serve`"));
    };
    let wrapped: WrappedKey = serde_json::from_slice(&wrapped).map_err(|error| shut(&error))?;
    Vault::open(&wrapping, &wrapped).map_err(|error| shut(&error))
}

fn open_key(vault: &Vault, trace: TraceId, wrapped: &[u8]) -> Result<Key, KeyError> {
    let wrapped = WrappedTraceKey::from_bytes(wrapped)?;
    Ok(Key::new(*vault.open_trace_key(trace, &wrapped)?.expose()))
}
