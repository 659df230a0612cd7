//! Locks.

use super::{Columns, Store, Stored, json, newest_first};
use crate::model::lock::Lock;

const TABLE: &str = "locks";

impl Store {
    /// Adds a lock, or stores that it was lifted.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn lock_put(&self, lock: &Lock) -> Stored<()> {
        sqlx::query(
            "INSERT INTO locks (id, document, set_at, lifted_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE SET document = excluded.document,
             lifted_at = excluded.lifted_at",
        )
        .bind(lock.id.to_string())
        .bind(json(lock, TABLE, "document")?)
        .bind(lock.set_at.0)
        .bind(lock.lifted_at.map(|at| at.0))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Every lock, newest first; lifted ones only where asked for.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn lock_list(&self, lifted: bool) -> Stored<Vec<Lock>> {
        let query = if lifted {
            sqlx::query("SELECT document FROM locks")
        } else {
            sqlx::query("SELECT document FROM locks WHERE lifted_at IS NULL")
        };
        let rows = query.fetch_all(&self.pool).await?;
        let locks = rows
            .iter()
            .map(|row| Columns { table: TABLE, row }.json("document"));
        newest_first(locks, |lock: &Lock| lock.id)
    }
}
