//! State on disk: `hallpass.db`, a database file that only the broker's user can
//! read, in a folder of the same kind. Methods are `noun_verb`; SQL text is
//! static.
//!
//! Changes are on the disk when a method answers (`synchronous = FULL`).

mod agent;
mod credential;
mod delegation;
mod file;
mod hold;
mod lock;
mod meta;
mod peek;
mod row;
mod session;
mod trace;

use std::{path::PathBuf, str::FromStr, time::Duration};

use sqlx::{
    AnyConnection, AnyPool, Connection, Row,
    any::{AnyConnectOptions, AnyPoolOptions, AnyRow},
    migrate::MigrateError,
};
use url::Url;

pub use row::{
    Agent, CredentialInfo, NamedCookie, SessionStatus, StoredCredential, StoredDelegation,
    StoredSession, StoredTrace, TraceKind,
};

use crate::model::time::Timestamp;
pub use file::{DataDir, DataDirError};

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: AnyPool,
}

/// Why the store did not open or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be opened for writing.
    #[error(
        "the store `{path}` cannot be opened for writing; check that the broker's user owns it and that the disk is writable and not full"
    )]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// Not a database, or a damaged one.
    #[error(
        "the store `{path}` is damaged or no Hallpass store ({found}); restore it from a backup, or move it away to begin anew"
    )]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What the check found.
        found: String,
    },
    /// Written by a later release.
    #[error(
        "the store `{path}` was written by a newer release (schema {version}); start that release, or use another data folder"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The schema step that is not known here.
        version: i64,
    },
    /// The schema could not be brought up to date.
    #[error("the store `{path}` could not be brought to this release's schema")]
    Migrate {
        /// Which file.
        path: PathBuf,
        /// Which step, and why.
        #[source]
        source: MigrateError,
    },
    /// A statement failed.
    #[error("the store did not answer")]
    Query(#[from] sqlx::Error),
    /// A row that nothing here could have written.
    #[error("the store holds a row in `{table}` that cannot be read: `{column}`")]
    Row {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
    },
}

type Stored<T> = Result<T, StoreError>;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/store/migrations");

const PRAGMAS: [&str; 5] = [
    // The wait comes first: setting the journal mode may have to wait, too.
    "PRAGMA busy_timeout = 5000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
];

impl Store {
    /// Opens the database of a data folder, making or upgrading it if needed.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn open(dir: &DataDir) -> Stored<Self> {
        let path = dir.database().map_err(|source| StoreError::Open {
            path: dir.path().join(file::DATABASE),
            source: sqlx::Error::Io(source),
        })?;
        sqlx::any::install_default_drivers();
        let options = options(&path).map_err(|source| refused(&path, source))?;
        // Outside the pool, which would try a file that cannot be opened over
        // and over.
        check(&options, &path).await?;
        let pool = AnyPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(|connection, _| Box::pin(prepare(connection)))
            .connect_with(options)
            .await
            .map_err(|source| refused(&path, source))?;
        MIGRATIONS.run(&pool).await.map_err(|source| match source {
            MigrateError::VersionMissing(version) => StoreError::Newer {
                path: path.clone(),
                version,
            },
            MigrateError::Execute(source) if is_unwritable(&source) => StoreError::Open {
                path: path.clone(),
                source,
            },
            source => StoreError::Migrate {
                path: path.clone(),
                source,
            },
        })?;
        Ok(Self { pool })
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Stored<()> {
        sqlx::query("SELECT name FROM meta LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        Ok(())
    }

    /// Closes it; every later call fails.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

async fn prepare(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    for pragma in PRAGMAS {
        sqlx::query(pragma).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn check(options: &AnyConnectOptions, path: &std::path::Path) -> Stored<()> {
    let look = async {
        let mut connection = AnyConnection::connect_with(options).await?;
        prepare(&mut connection).await?;
        let found = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        Ok(found)
    };
    let found: String = look.await.map_err(|source| refused(path, source))?;
    if found == "ok" {
        return Ok(());
    }
    Err(StoreError::Corrupt {
        path: path.to_owned(),
        found,
    })
}

fn options(path: &std::path::Path) -> Result<AnyConnectOptions, sqlx::Error> {
    let no_url = || sqlx::Error::Configuration("the data folder's path is not absolute".into());
    let file = Url::from_file_path(path).map_err(|()| no_url())?;
    let rest = file.as_str().strip_prefix("file:").ok_or_else(no_url)?;
    AnyConnectOptions::from_str(&format!("sqlite:{rest}?mode=rw"))
}

// SQLite's result codes; the low byte of an extended code is the primary one.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

fn refused(path: &std::path::Path, source: sqlx::Error) -> StoreError {
    const CORRUPT: u32 = 11;
    const NOT_A_DATABASE: u32 = 26;
    let path = path.to_owned();
    match primary_code(&source) {
        Some(CORRUPT | NOT_A_DATABASE) => StoreError::Corrupt {
            path,
            found: source
                .as_database_error()
                .map_or_else(String::new, |error| error.message().to_owned()),
        },
        _ => StoreError::Open { path, source },
    }
}

fn is_unwritable(error: &sqlx::Error) -> bool {
    const READ_ONLY: u32 = 8;
    const FULL: u32 = 13;
    matches!(primary_code(error), Some(READ_ONLY | FULL))
}

// === reading rows ===

/// Reads columns of a row of one table, naming what cannot be read.
struct Columns<'a> {
    table: &'static str,
    row: &'a AnyRow,
}

impl Columns<'_> {
    const fn damaged(&self, column: &'static str) -> StoreError {
        StoreError::Row {
            table: self.table,
            column,
        }
    }

    fn text(&self, column: &'static str) -> Stored<String> {
        self.row.try_get(column).map_err(|_| self.damaged(column))
    }

    fn parsed<T: FromStr>(&self, column: &'static str) -> Stored<T> {
        self.text(column)?.parse().map_err(|_| self.damaged(column))
    }

    fn json<T: serde::de::DeserializeOwned>(&self, column: &'static str) -> Stored<T> {
        serde_json::from_str(&self.text(column)?).map_err(|_| self.damaged(column))
    }

    fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Stored<T> {
        self.row
            .try_get::<i64, _>(column)
            .ok()
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| self.damaged(column))
    }

    fn time(&self, column: &'static str) -> Stored<Timestamp> {
        self.number(column).map(Timestamp)
    }

    fn maybe_time(&self, column: &'static str) -> Stored<Option<Timestamp>> {
        self.row
            .try_get::<Option<i64>, _>(column)
            .map(|at| at.map(Timestamp))
            .map_err(|_| self.damaged(column))
    }

    fn maybe_text(&self, column: &'static str) -> Stored<Option<String>> {
        self.row.try_get(column).map_err(|_| self.damaged(column))
    }

    fn maybe_bytes(&self, column: &'static str) -> Stored<Option<Vec<u8>>> {
        self.row.try_get(column).map_err(|_| self.damaged(column))
    }
}

fn json<T: serde::Serialize>(
    value: &T,
    table: &'static str,
    column: &'static str,
) -> Stored<String> {
    serde_json::to_string(value).map_err(|_| StoreError::Row { table, column })
}

fn sql_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// By id, which tells when: to be done here, for ids sort otherwise as text, where
/// digits stand for more than letters and come before them.
fn newest_first<T, K: Ord>(
    rows: impl Iterator<Item = Stored<T>>,
    id: impl Fn(&T) -> K,
) -> Stored<Vec<T>> {
    let mut rows = rows.collect::<Stored<Vec<T>>>()?;
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(id(row)));
    Ok(rows)
}

#[cfg(test)]
mod tests;
