//! Agents.

use sqlx::any::AnyRow;

use super::{Agent, Columns, Store, Stored};
use crate::model::{id::AgentId, time::Timestamp};

impl Store {
    /// Adds an agent; answers `false` when the name is taken.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn agent_insert(&self, agent: &Agent, key_hash: &[u8]) -> Stored<bool> {
        let inserted = sqlx::query(
            "INSERT INTO agents (id, name, key_hash, created_at, disabled_at)
             VALUES ($1, $2, $3, $4, NULL) ON CONFLICT (name) DO NOTHING",
        )
        .bind(agent.id.to_string())
        .bind(agent.name.as_str())
        .bind(key_hash.to_vec())
        .bind(agent.created_at.0)
        .execute(&self.pool)
        .await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// The agent with this id.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn agent_get(&self, id: AgentId) -> Stored<Option<Agent>> {
        let row = sqlx::query("SELECT id, name, created_at, disabled_at FROM agents WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The agent with this name.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn agent_by_name(&self, name: &str) -> Stored<Option<Agent>> {
        let row =
            sqlx::query("SELECT id, name, created_at, disabled_at FROM agents WHERE name = $1")
                .bind(name)
                .fetch_optional(&self.pool)
                .await?;
        row.as_ref().map(read).transpose()
    }

    /// The agent whose key has this SHA-256, disabled ones too.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn agent_by_key(&self, key_hash: &[u8]) -> Stored<Option<Agent>> {
        let row =
            sqlx::query("SELECT id, name, created_at, disabled_at FROM agents WHERE key_hash = $1")
                .bind(key_hash.to_vec())
                .fetch_optional(&self.pool)
                .await?;
        row.as_ref().map(read).transpose()
    }

    /// Every agent, in the order they were added.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn agent_list(&self) -> Stored<Vec<Agent>> {
        let rows = sqlx::query(
            "SELECT id, name, created_at, disabled_at FROM agents ORDER BY created_at, id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Disables an agent for good; the first time stays.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn agent_disable(&self, id: AgentId, now: Timestamp) -> Stored<()> {
        sqlx::query("UPDATE agents SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL")
            .bind(id.to_string())
            .bind(now.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn read(row: &AnyRow) -> Stored<Agent> {
    let row = Columns {
        table: "agents",
        row,
    };
    Ok(Agent {
        id: row.parsed("id")?,
        name: row.text("name")?,
        created_at: row.time("created_at")?,
        disabled_at: row.maybe_time("disabled_at")?,
    })
}
