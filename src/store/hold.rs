//! Holds: that they were, and how they ended.

use super::{Columns, Store, Stored};
use crate::model::{
    hold::{Hold, HoldEnd},
    id::{AgentId, HoldId},
    time::Timestamp,
};

const TABLE: &str = "holds";

impl Store {
    /// Notes a hold; once more changes nothing.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn hold_insert(&self, hold: &Hold) -> Stored<()> {
        sqlx::query(
            "INSERT INTO holds (id, session, agent, delegation, opened_at, ended_at, how)
             VALUES ($1, $2, $3, $4, $5, NULL, NULL) ON CONFLICT DO NOTHING",
        )
        .bind(hold.id.to_string())
        .bind(hold.session.to_string())
        .bind(hold.agent.to_string())
        .bind(hold.delegation.to_string())
        .bind(hold.opened_at.0)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Notes how a hold ended; the first end stays.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn hold_end(&self, id: HoldId, how: HoldEnd, at: Timestamp) -> Stored<()> {
        sqlx::query("UPDATE holds SET ended_at = $2, how = $3 WHERE id = $1 AND ended_at IS NULL")
            .bind(id.to_string())
            .bind(at.0)
            .bind(how.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Whose hold it is, and how it ended.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn hold_get(&self, id: HoldId) -> Stored<Option<(AgentId, Option<String>)>> {
        let row = sqlx::query("SELECT agent, how FROM holds WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let row = Columns {
            table: TABLE,
            row: &row,
        };
        Ok(Some((row.parsed("agent")?, row.maybe_text("how")?)))
    }

    /// Holds of which no end is known.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn hold_unended(&self) -> Stored<Vec<HoldId>> {
        let rows = sqlx::query("SELECT id FROM holds WHERE ended_at IS NULL ORDER BY id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| Columns { table: TABLE, row }.parsed("id"))
            .collect()
    }
}
