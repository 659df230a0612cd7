//! Credentials: attributes in the clear, values sealed.

use sqlx::any::AnyRow;

use super::{Columns, CredentialInfo, Store, Stored, StoredCredential, json};
use crate::model::{
    cookie::CookieAttributes,
    id::{CredentialId, PersonId},
};

const TABLE: &str = "credentials";

impl Store {
    /// The person's credential that a browser would call the same cookie.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn credential_same(
        &self,
        person: PersonId,
        cookie: &CookieAttributes,
    ) -> Stored<Option<StoredCredential>> {
        let row = sqlx::query(
            "SELECT id, person, attributes, sealed, version, created_at, updated_at
             FROM credentials WHERE person = $1 AND name = $2 AND domain = $3
             AND host_only = $4 AND path = $5 AND partition_key = $6",
        )
        .bind(person.to_string())
        .bind(cookie.name.as_str())
        .bind(cookie.domain.as_str())
        .bind(i64::from(cookie.host_only))
        .bind(cookie.path.as_str())
        .bind(partition(cookie)?)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Adds a credential; answers `false` when the same cookie is there.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn credential_insert(&self, new: &StoredCredential) -> Stored<bool> {
        let info = &new.info;
        let cookie = &info.cookie;
        let inserted = sqlx::query(
            "INSERT INTO credentials (id, person, name, domain, host_only, path, partition_key,
             attributes, sealed, version, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING",
        )
        .bind(info.id.to_string())
        .bind(info.person.to_string())
        .bind(cookie.name.as_str())
        .bind(cookie.domain.as_str())
        .bind(i64::from(cookie.host_only))
        .bind(cookie.path.as_str())
        .bind(partition(cookie)?)
        .bind(json(cookie, TABLE, "attributes")?)
        .bind(new.sealed.clone())
        .bind(i64::from(info.version))
        .bind(info.created_at.0)
        .bind(info.updated_at.0)
        .execute(&self.pool)
        .await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// Stores the next version of a credential; answers `false` when another
    /// change came first, or the credential is gone.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn credential_replace(&self, next: &StoredCredential) -> Stored<bool> {
        let info = &next.info;
        let replaced = sqlx::query(
            "UPDATE credentials SET attributes = $3, sealed = $4, version = $5, updated_at = $6
             WHERE id = $1 AND version = $2",
        )
        .bind(info.id.to_string())
        .bind(i64::from(info.version.saturating_sub(1)))
        .bind(json(&info.cookie, TABLE, "attributes")?)
        .bind(next.sealed.clone())
        .bind(i64::from(info.version))
        .bind(info.updated_at.0)
        .execute(&self.pool)
        .await?;
        Ok(replaced.rows_affected() == 1)
    }

    /// A credential.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn credential_get(&self, id: CredentialId) -> Stored<Option<StoredCredential>> {
        let row = sqlx::query(
            "SELECT id, person, attributes, sealed, version, created_at, updated_at
             FROM credentials WHERE id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// A person's credentials by domain and name.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn credential_list(&self, person: PersonId) -> Stored<Vec<CredentialInfo>> {
        let rows = sqlx::query(
            "SELECT id, person, attributes, sealed, version, created_at, updated_at
             FROM credentials WHERE person = $1 ORDER BY domain, name, path, id",
        )
        .bind(person.to_string())
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| read(row).map(|stored| stored.info))
            .collect()
    }

    /// Removes a credential with its value; answers whether it was there.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn credential_delete(&self, id: CredentialId) -> Stored<bool> {
        let deleted = sqlx::query("DELETE FROM credentials WHERE id = $1")
            .bind(id.to_string())
            .execute(&self.pool)
            .await?;
        Ok(deleted.rows_affected() == 1)
    }
}

fn partition(cookie: &CookieAttributes) -> Stored<String> {
    cookie.partition_key.as_ref().map_or_else(
        || Ok(String::new()),
        |key| json(key, TABLE, "partition_key"),
    )
}

fn read(row: &AnyRow) -> Stored<StoredCredential> {
    let row = Columns { table: TABLE, row };
    let sealed = row.maybe_bytes("sealed")?;
    Ok(StoredCredential {
        info: CredentialInfo {
            id: row.parsed("id")?,
            person: row.parsed("person")?,
            cookie: row.json("attributes")?,
            version: row.number("version")?,
            cleared: sealed.is_none(),
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        },
        sealed,
    })
}
