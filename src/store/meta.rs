//! Facts about the store itself, and the people.

use sqlx::Row;

use super::{Store, StoreError, Stored};
use crate::model::{id::PersonId, time::Timestamp};

impl Store {
    /// A fact by name.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn meta_get(&self, name: &str) -> Stored<Option<Vec<u8>>> {
        let row = sqlx::query("SELECT value FROM meta WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| {
            row.try_get("value").map_err(|_| StoreError::Row {
                table: "meta",
                column: "value",
            })
        })
        .transpose()
    }

    /// Sets a fact that must not be there yet.
    ///
    /// # Errors
    /// It is there, or the store does not answer.
    pub async fn meta_insert(&self, name: &str, value: &[u8]) -> Stored<()> {
        sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2)")
            .bind(name)
            .bind(value.to_vec())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The person that the operator token stands for, if set.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn operator_get(&self) -> Stored<Option<PersonId>> {
        let damaged = || StoreError::Row {
            table: "meta",
            column: "operator",
        };
        let Some(bytes) = self.meta_get("operator").await? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
        text.parse().map(Some).map_err(|_| damaged())
    }

    /// Adds the operator as the first person.
    ///
    /// # Errors
    /// There is one, or the store does not answer.
    pub async fn operator_insert(&self, id: PersonId, now: Timestamp) -> Stored<()> {
        let mut writing = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("INSERT INTO people (id, name, created_at) VALUES ($1, 'operator', $2)")
            .bind(id.to_string())
            .bind(now.0)
            .execute(&mut *writing)
            .await?;
        sqlx::query("INSERT INTO meta (name, value) VALUES ('operator', $1)")
            .bind(id.to_string().into_bytes())
            .execute(&mut *writing)
            .await?;
        writing.commit().await?;
        Ok(())
    }

    /// Whether there is such a person.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn person_exists(&self, id: PersonId) -> Stored<bool> {
        let row = sqlx::query("SELECT id FROM people WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }
}
