//! Traces: which there are, and their heads, kept apart from the traces
//! themselves so that cutting one short shows.

use sqlx::{AnyConnection, any::AnyRow};

use super::{Columns, Store, Stored, TraceInfo, TraceKind, sql_number};
use crate::model::{id::TraceId, time::Timestamp};

const TABLE: &str = "traces";

impl Store {
    /// Adds a trace.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn trace_insert(&self, trace: &TraceInfo) -> Stored<()> {
        let mut connection = self.pool.acquire().await?;
        insert(&mut connection, trace).await
    }

    /// Stores a trace's head. A head never goes back: one with fewer records
    /// changes nothing.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn trace_head_set(&self, id: TraceId, records: u64, head: &str) -> Stored<()> {
        sqlx::query("UPDATE traces SET records = $2, head = $3 WHERE id = $1 AND records <= $2")
            .bind(id.to_string())
            .bind(sql_number(records))
            .bind(head)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Marks a trace as ended; the first time stays.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn trace_end(&self, id: TraceId, now: Timestamp) -> Stored<()> {
        sqlx::query("UPDATE traces SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL")
            .bind(id.to_string())
            .bind(now.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A trace.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn trace_get(&self, id: TraceId) -> Stored<Option<TraceInfo>> {
        let row = sqlx::query(
            "SELECT id, kind, session, created_at, ended_at, records, head FROM traces WHERE id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Every trace, newest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn trace_list(&self) -> Stored<Vec<TraceInfo>> {
        let rows = sqlx::query(
            "SELECT id, kind, session, created_at, ended_at, records, head
             FROM traces ORDER BY id DESC",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Traces that have not ended.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn trace_unended(&self) -> Stored<Vec<TraceInfo>> {
        let rows = sqlx::query(
            "SELECT id, kind, session, created_at, ended_at, records, head
             FROM traces WHERE ended_at IS NULL ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }
}

pub(super) async fn insert(connection: &mut AnyConnection, trace: &TraceInfo) -> Stored<()> {
    sqlx::query(
        "INSERT INTO traces (id, kind, session, created_at, ended_at, records, head)
         VALUES ($1, $2, $3, $4, NULL, $5, $6)",
    )
    .bind(trace.id.to_string())
    .bind(trace.kind.as_str())
    .bind(trace.session.map(|session| session.to_string()))
    .bind(trace.created_at.0)
    .bind(sql_number(trace.records))
    .bind(trace.head.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Stored<TraceInfo> {
    let row = Columns { table: TABLE, row };
    Ok(TraceInfo {
        id: row.parsed("id")?,
        kind: TraceKind::parse(&row.text("kind")?).ok_or_else(|| row.damaged("kind"))?,
        session: row
            .maybe_text("session")?
            .map(|text| text.parse().map_err(|_| row.damaged("session")))
            .transpose()?,
        created_at: row.time("created_at")?,
        ended_at: row.maybe_time("ended_at")?,
        records: row.number("records")?,
        head: row.text("head")?,
    })
}
