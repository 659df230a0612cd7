//! Traces: which there are, and their heads, kept apart from the traces
//! themselves so that cutting one short shows.

use sqlx::{AnyConnection, any::AnyRow};

use super::{Columns, Store, Stored, StoredTrace, TraceKind, newest_first, sql_number};
use crate::{
    model::{id::TraceId, time::Timestamp},
    trace::chain::{Head, LineHash},
};

const TABLE: &str = "traces";

impl Store {
    /// Adds a trace.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn trace_insert(&self, trace: &StoredTrace) -> Stored<()> {
        let mut connection = self.pool.acquire().await?;
        insert(&mut connection, trace).await
    }

    /// Stores a trace's head. A head never goes back: one with fewer records
    /// changes nothing.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn trace_head_set(&self, head: &Head) -> Stored<()> {
        sqlx::query(
            "UPDATE traces SET records = $2, head = $3, complete = $4
             WHERE id = $1 AND records <= $2",
        )
        .bind(head.trace.to_string())
        .bind(sql_number(head.records))
        .bind(String::from(head.hash))
        .bind(i64::from(head.ended))
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
    pub async fn trace_get(&self, id: TraceId) -> Stored<Option<StoredTrace>> {
        let row = sqlx::query(
            "SELECT id, kind, session, created_at, ended_at, records, head, complete FROM traces WHERE id = $1",
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
    pub async fn trace_list(&self) -> Stored<Vec<StoredTrace>> {
        let rows = sqlx::query(
            "SELECT id, kind, session, created_at, ended_at, records, head, complete
             FROM traces",
        )
        .fetch_all(&self.pool)
        .await?;
        newest_first(rows.iter().map(read), |trace| trace.id)
    }

    /// Traces that have not ended.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn trace_unended(&self) -> Stored<Vec<StoredTrace>> {
        let rows = sqlx::query(
            "SELECT id, kind, session, created_at, ended_at, records, head, complete
             FROM traces WHERE ended_at IS NULL ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }
}

pub(super) async fn insert(connection: &mut AnyConnection, trace: &StoredTrace) -> Stored<()> {
    sqlx::query(
        "INSERT INTO traces (id, kind, session, created_at, ended_at, records, head, complete)
         VALUES ($1, $2, $3, $4, NULL, $5, $6, $7)",
    )
    .bind(trace.id.to_string())
    .bind(trace.kind.as_str())
    .bind(trace.session.map(|session| session.to_string()))
    .bind(trace.created_at.0)
    .bind(sql_number(trace.head.records))
    .bind(String::from(trace.head.hash))
    .bind(i64::from(trace.head.ended))
    .execute(connection)
    .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Stored<StoredTrace> {
    let row = Columns { table: TABLE, row };
    let id = row.parsed("id")?;
    Ok(StoredTrace {
        id,
        kind: TraceKind::parse(&row.text("kind")?).ok_or_else(|| row.damaged("kind"))?,
        session: row
            .maybe_text("session")?
            .map(|text| text.parse().map_err(|_| row.damaged("session")))
            .transpose()?,
        created_at: row.time("created_at")?,
        ended_at: row.maybe_time("ended_at")?,
        head: Head {
            trace: id,
            records: row.number("records")?,
            hash: LineHash::try_from(row.text("head")?).map_err(|_| row.damaged("head"))?,
            ended: row.number::<i64>("complete")? != 0,
        },
    })
}
