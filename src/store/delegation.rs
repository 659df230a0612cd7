//! Delegations, changed by compare-and-set on their revision.

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use super::{
    Columns, NamedCookie, Store, Stored, StoredDelegation, json, newest_first, sql_number,
};
use crate::model::{
    delegation::{Delegation, State, Window},
    id::{AgentId, DelegationId},
};

const TABLE: &str = "delegations";

#[derive(Serialize, Deserialize)]
struct Document {
    delegation: Delegation,
    #[serde(default)]
    wanted: Vec<NamedCookie>,
}

impl Store {
    /// Adds a delegation at revision 1.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn delegation_insert(
        &self,
        delegation: Delegation,
        wanted: Vec<NamedCookie>,
    ) -> Stored<StoredDelegation> {
        let document = Document { delegation, wanted };
        let window = window(&document.delegation);
        sqlx::query(
            "INSERT INTO delegations (id, agent, lender, status, window_start, window_end,
             document, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, 1)",
        )
        .bind(document.delegation.id.to_string())
        .bind(document.delegation.agent.to_string())
        .bind(document.delegation.lender.to_string())
        .bind(status(&document.delegation))
        .bind(window.start.0)
        .bind(window.end.0)
        .bind(json(&document, TABLE, "document")?)
        .execute(&self.pool)
        .await?;
        Ok(StoredDelegation {
            delegation: document.delegation,
            wanted: document.wanted,
            revision: 1,
        })
    }

    /// Stores a change that was made from `changed.revision`; answers `false`
    /// when another change came first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn delegation_update(&self, changed: &StoredDelegation) -> Stored<bool> {
        let document = Document {
            delegation: changed.delegation.clone(),
            wanted: changed.wanted.clone(),
        };
        let window = window(&changed.delegation);
        let updated = sqlx::query(
            "UPDATE delegations SET status = $3, window_start = $4, window_end = $5,
             document = $6, revision = revision + 1 WHERE id = $1 AND revision = $2",
        )
        .bind(changed.delegation.id.to_string())
        .bind(sql_number(changed.revision))
        .bind(status(&changed.delegation))
        .bind(window.start.0)
        .bind(window.end.0)
        .bind(json(&document, TABLE, "document")?)
        .execute(&self.pool)
        .await?;
        Ok(updated.rows_affected() == 1)
    }

    /// A delegation.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn delegation_get(&self, id: DelegationId) -> Stored<Option<StoredDelegation>> {
        let row = sqlx::query("SELECT id, document, revision FROM delegations WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Delegations, newest first: all of them, or one agent's.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn delegation_list(&self, agent: Option<AgentId>) -> Stored<Vec<StoredDelegation>> {
        let query = match agent {
            Some(agent) => {
                sqlx::query("SELECT id, document, revision FROM delegations WHERE agent = $1")
                    .bind(agent.to_string())
            }
            None => sqlx::query("SELECT id, document, revision FROM delegations"),
        };
        let rows = query.fetch_all(&self.pool).await?;
        newest_first(rows.iter().map(read), |stored| stored.delegation.id)
    }

    /// Delegations that have not ended, those whose window ends first in front.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn delegation_unclosed(&self) -> Stored<Vec<StoredDelegation>> {
        let rows = sqlx::query(
            "SELECT id, document, revision FROM delegations WHERE status IN ('requested', 'approved')
             ORDER BY window_end",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// How many requests of an agent wait for a person.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn delegation_waiting(&self, agent: AgentId) -> Stored<u64> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS waiting FROM delegations WHERE agent = $1 AND status = 'requested'",
        )
        .bind(agent.to_string())
        .fetch_one(&self.pool)
        .await?;
        Columns {
            table: TABLE,
            row: &row,
        }
        .number("waiting")
    }
}

const fn status(delegation: &Delegation) -> &'static str {
    match delegation.state {
        State::Requested => "requested",
        State::Approved { .. } => "approved",
        State::Closed { .. } => "closed",
    }
}

const fn window(delegation: &Delegation) -> Window {
    match &delegation.state {
        State::Approved { granted, .. } => granted.window,
        State::Requested | State::Closed { .. } => delegation.requested.window,
    }
}

fn read(row: &AnyRow) -> Stored<StoredDelegation> {
    let row = Columns { table: TABLE, row };
    let document: Document = row.json("document")?;
    // A row under another row's id is no row of ours.
    if row.parsed::<DelegationId>("id")? != document.delegation.id {
        return Err(row.damaged("id"));
    }
    Ok(StoredDelegation {
        delegation: document.delegation,
        wanted: document.wanted,
        revision: row.number("revision")?,
    })
}
