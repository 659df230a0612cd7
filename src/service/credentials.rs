//! Credentials: into the vault, listed without values, out again.

use super::{
    Answer, CallError, Caller, CredentialInfo, ImportReport, RefusedCookie, Service, person,
};
use crate::{
    model::{
        cookie::CookieAttributes,
        delegation::{CloseReason, Delegation, State},
        id::{CredentialId, PersonId},
        secret::Secret,
    },
    random::random_uuid_v7,
    store::StoredCredential,
    vault::{
        SealContext, Sealed,
        import::{self, Format},
    },
};

const TRIES: usize = 5;

impl Service {
    /// Seals cookies of a file into the vault, for the calling person. A cookie
    /// that is there gets a new version under the same id. Formats are
    /// `cookies-txt`, `storage-state` and `json`.
    ///
    /// # Errors
    /// [`CallError::Invalid`] when the file as a whole cannot be read; single
    /// cookies that cannot be lent are in the report.
    pub async fn credential_import(
        &self,
        caller: Caller,
        format: &str,
        bytes: &[u8],
    ) -> Answer<ImportReport> {
        self.noted(caller, "credential import", async {
            let person = person(caller)?;
            let format: Format = format
                .parse()
                .map_err(|error| CallError::invalid("format", error))?;
            let parsed = import::parse(format, bytes, self.now().wall)
                .map_err(|error| CallError::invalid("file", error))?;
            let mut report = ImportReport {
                imported: Vec::with_capacity(parsed.cookies.len()),
                refused: parsed
                    .refused
                    .into_iter()
                    .map(RefusedCookie::from)
                    .collect(),
                left_out: parsed.storage.iter().map(left_out).collect(),
            };
            for cookie in parsed.cookies {
                let info = self
                    .credential_put(caller, person, &cookie.attributes, &cookie.value)
                    .await?;
                report.imported.push(info);
            }
            Ok(report)
        })
        .await
    }

    /// The calling person's credentials, without their values.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn credential_list(&self, caller: Caller) -> Answer<Vec<CredentialInfo>> {
        self.noted(caller, "credential list", async {
            Ok(self.store.credential_list(person(caller)?).await?)
        })
        .await
    }

    /// Removes a credential of the calling person and revokes the delegations
    /// that lend it.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn credential_remove(&self, caller: Caller, id: CredentialId) -> Answer<()> {
        self.noted(caller, "credential remove", async {
            let person = person(caller)?;
            let found = self.store.credential_get(id).await?;
            let Some(credential) = found.filter(|found| found.info.person == person) else {
                return Err(CallError::not_found("credential", &id));
            };
            let detail = label(&credential.info.cookie);
            self.registry(caller, "credential-removed", &id, &detail)
                .await?;
            // Gone before the delegations are looked at: an approval that comes
            // between finds no value to lend.
            self.store.credential_delete(id).await?;
            for stored in self.store.delegation_unclosed().await? {
                if lends(&stored.delegation, id) {
                    self.close(caller.into(), stored.delegation.id, CloseReason::Revoked)
                        .await?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn credential_put(
        &self,
        caller: Caller,
        person: PersonId,
        cookie: &CookieAttributes,
        value: &Secret,
    ) -> Answer<CredentialInfo> {
        for _ in 0..TRIES {
            let now = self.now().wall;
            let known = self.store.credential_same(person, cookie).await?;
            let info = match &known {
                Some(known) => CredentialInfo {
                    cookie: cookie.clone(),
                    version: known.info.version.saturating_add(1),
                    cleared: false,
                    updated_at: now,
                    ..known.info
                },
                None => CredentialInfo {
                    id: CredentialId::from_uuid(random_uuid_v7()?),
                    person,
                    cookie: cookie.clone(),
                    version: 1,
                    cleared: false,
                    created_at: now,
                    updated_at: now,
                },
            };
            let next = StoredCredential {
                sealed: Some(self.seal(&info, value)?),
                info,
            };
            let id = next.info.id;
            self.registry(caller, "credential-imported", &id, &label(cookie))
                .await?;
            let stored = if known.is_some() {
                self.store.credential_replace(&next).await?
            } else {
                self.store.credential_insert(&next).await?
            };
            if stored {
                self.lending.rotate(id, value);
                return Ok(next.info);
            }
        }
        Err(CallError::Conflict(
            "the credential is being changed by another import; try again".to_owned(),
        ))
    }

    /// Takes in what a site did to a lent cookie: a new value, or none.
    pub(super) async fn credential_rotated(
        &self,
        id: CredentialId,
        attributes: CookieAttributes,
        value: Option<Secret>,
    ) -> Answer<()> {
        for _ in 0..TRIES {
            let Some(known) = self.store.credential_get(id).await? else {
                return Ok(());
            };
            let known = known.info;
            let info = CredentialInfo {
                // What tells one cookie from another stays: a site cannot turn
                // one credential into another.
                cookie: CookieAttributes {
                    name: known.cookie.name,
                    domain: known.cookie.domain,
                    host_only: known.cookie.host_only,
                    path: known.cookie.path,
                    partition_key: known.cookie.partition_key,
                    ..attributes.clone()
                },
                version: known.version.saturating_add(1),
                cleared: value.is_none(),
                updated_at: self.now().wall,
                ..known
            };
            let sealed = value.as_ref().map(|value| self.seal(&info, value));
            let next = StoredCredential {
                sealed: sealed.transpose()?,
                info,
            };
            if self.store.credential_replace(&next).await? {
                if let Some(value) = &value {
                    self.lending.rotate(id, value);
                }
                return Ok(());
            }
        }
        Err(CallError::Conflict(format!(
            "{id} is being changed by something else"
        )))
    }

    fn seal(&self, info: &CredentialInfo, value: &Secret) -> Answer<Vec<u8>> {
        let id = info.id.to_string();
        let context = context(&id, info.version);
        let sealed = self.vault.seal(&context, value.expose().as_bytes())?;
        Ok(sealed.to_bytes())
    }

    /// The value of a credential, or `None` once the site took it away.
    pub(super) fn unseal(&self, stored: &StoredCredential) -> Answer<Option<Secret>> {
        let Some(bytes) = &stored.sealed else {
            return Ok(None);
        };
        let id = stored.info.id.to_string();
        let sealed = Sealed::from_bytes(bytes)?;
        let value = self
            .vault
            .unseal(&context(&id, stored.info.version), &sealed)?;
        let value = std::str::from_utf8(&value).map_err(|_| CallError::Internal("vault"))?;
        Ok(Some(Secret::new(value.to_owned())))
    }
}

fn context(id: &str, version: u32) -> SealContext<'_> {
    SealContext {
        kind: "credential",
        id,
        version: version.into(),
    }
}

fn lends(delegation: &Delegation, id: CredentialId) -> bool {
    let lent = match &delegation.state {
        State::Approved { granted, .. } => &granted.credentials,
        State::Requested => &delegation.requested.credentials,
        State::Closed { .. } => return false,
    };
    lent.iter().any(|lent| lent.credential == id)
}

/// Name and domain, for records and messages.
pub(super) fn label(cookie: &CookieAttributes) -> String {
    format!("`{}` of {}", cookie.name, cookie.domain)
}

fn left_out(storage: &import::SkippedStorage) -> String {
    format!(
        "local storage of `{}` ({} items)",
        storage.origin, storage.items
    )
}

impl From<import::RefusedCookie> for RefusedCookie {
    fn from(refused: import::RefusedCookie) -> Self {
        Self {
            position: refused.position as u64,
            name: refused.name,
            reason: refused.reason,
        }
    }
}
