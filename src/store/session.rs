//! Sessions, and the delegations that they were started with.

use sqlx::any::AnyRow;

use super::{Columns, SessionStatus, Store, Stored, StoredSession, StoredTrace, newest_first};
use crate::model::{
    id::{AgentId, DelegationId, SessionId},
    time::Timestamp,
};

const TABLE: &str = "sessions";

impl Store {
    /// Adds a session with its trace and its delegations, all or nothing.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn session_insert(&self, session: &StoredSession, trace: &StoredTrace) -> Stored<()> {
        let mut writing = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        super::trace::insert(&mut writing, trace).await?;
        sqlx::query(
            "INSERT INTO sessions (id, agent, trace, status, started_at, ended_at, reason)
             VALUES ($1, $2, $3, $4, $5, NULL, NULL)",
        )
        .bind(session.id.to_string())
        .bind(session.agent.to_string())
        .bind(session.trace.to_string())
        .bind(session.status.as_str())
        .bind(session.started_at.0)
        .execute(&mut *writing)
        .await?;
        for delegation in &session.delegations {
            sqlx::query("INSERT INTO session_delegations (session, delegation) VALUES ($1, $2)")
                .bind(session.id.to_string())
                .bind(delegation.to_string())
                .execute(&mut *writing)
                .await?;
        }
        writing.commit().await?;
        Ok(())
    }

    /// Adds a delegation to a session; once more changes nothing.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn session_delegation_add(
        &self,
        session: SessionId,
        delegation: DelegationId,
    ) -> Stored<()> {
        sqlx::query(
            "INSERT INTO session_delegations (session, delegation) VALUES ($1, $2)
             ON CONFLICT DO NOTHING",
        )
        .bind(session.to_string())
        .bind(delegation.to_string())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Marks a starting session as running; answers `false` when it has ended.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn session_run(&self, id: SessionId) -> Stored<bool> {
        let updated = sqlx::query(
            "UPDATE sessions SET status = 'running' WHERE id = $1 AND status = 'starting'",
        )
        .bind(id.to_string())
        .execute(&self.pool)
        .await?;
        Ok(updated.rows_affected() == 1)
    }

    /// Marks a session as ended; answers `false` when it was already, and then
    /// changes nothing.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn session_end(&self, id: SessionId, now: Timestamp, reason: &str) -> Stored<bool> {
        let updated = sqlx::query(
            "UPDATE sessions SET status = 'ended', ended_at = $2, reason = $3
             WHERE id = $1 AND status <> 'ended'",
        )
        .bind(id.to_string())
        .bind(now.0)
        .bind(reason)
        .execute(&self.pool)
        .await?;
        Ok(updated.rows_affected() == 1)
    }

    /// A session.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn session_get(&self, id: SessionId) -> Stored<Option<StoredSession>> {
        let row = sqlx::query(
            "SELECT id, agent, trace, status, started_at, ended_at, reason
             FROM sessions WHERE id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let mut sessions = vec![read(&row)?];
        self.fill(&mut sessions).await?;
        Ok(sessions.pop())
    }

    /// Sessions, newest first: all of them, or one agent's.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn session_list(&self, agent: Option<AgentId>) -> Stored<Vec<StoredSession>> {
        let query = match agent {
            Some(agent) => sqlx::query(
                "SELECT id, agent, trace, status, started_at, ended_at, reason
                 FROM sessions WHERE agent = $1",
            )
            .bind(agent.to_string()),
            None => sqlx::query(
                "SELECT id, agent, trace, status, started_at, ended_at, reason
                 FROM sessions",
            ),
        };
        let rows = query.fetch_all(&self.pool).await?;
        let mut sessions = newest_first(rows.iter().map(read), |session| session.id)?;
        self.fill(&mut sessions).await?;
        Ok(sessions)
    }

    /// Sessions that have not ended.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn session_unended(&self) -> Stored<Vec<StoredSession>> {
        let rows = sqlx::query(
            "SELECT id, agent, trace, status, started_at, ended_at, reason
             FROM sessions WHERE status IN ('starting', 'running') ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut sessions: Vec<_> = rows.iter().map(read).collect::<Stored<_>>()?;
        self.fill(&mut sessions).await?;
        Ok(sessions)
    }

    async fn fill(&self, sessions: &mut [StoredSession]) -> Stored<()> {
        for session in sessions {
            let rows = sqlx::query(
                "SELECT delegation FROM session_delegations WHERE session = $1 ORDER BY delegation",
            )
            .bind(session.id.to_string())
            .fetch_all(&self.pool)
            .await?;
            session.delegations = rows
                .iter()
                .map(|row| {
                    Columns {
                        table: "session_delegations",
                        row,
                    }
                    .parsed::<DelegationId>("delegation")
                })
                .collect::<Stored<_>>()?;
        }
        Ok(())
    }
}

fn read(row: &AnyRow) -> Stored<StoredSession> {
    let row = Columns { table: TABLE, row };
    Ok(StoredSession {
        id: row.parsed("id")?,
        agent: row.parsed("agent")?,
        trace: row.parsed("trace")?,
        status: SessionStatus::parse(&row.text("status")?).ok_or_else(|| row.damaged("status"))?,
        delegations: Vec::new(),
        started_at: row.time("started_at")?,
        ended_at: row.maybe_time("ended_at")?,
        reason: row.maybe_text("reason")?,
    })
}
