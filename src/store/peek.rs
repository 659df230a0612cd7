//! Reading the database without holding the data folder: beside a running
//! broker, or with none.

use std::path::Path;

use sqlx::any::AnyPoolOptions;

use super::{Store, Stored, options, refused};

impl Store {
    /// Opens a database that is there, for reading alone: it is neither made
    /// nor brought to another schema, and every write fails.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub async fn peek(path: &Path) -> Stored<Self> {
        sqlx::any::install_default_drivers();
        let options = options(path).map_err(|source| refused(path, source))?;
        let pool = AnyPoolOptions::new()
            .max_connections(1)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    for pragma in ["PRAGMA busy_timeout = 5000", "PRAGMA query_only = ON"] {
                        sqlx::query(pragma).execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            })
            .connect_with(options)
            .await
            .map_err(|source| refused(path, source))?;
        Ok(Self { pool })
    }
}
