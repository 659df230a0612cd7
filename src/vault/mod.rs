//! Sealing: what is lent lies in the database as AES-256-GCM ciphertext.
//!
//! ```text
//! key file ── wrapping key ──wraps──▶ data key ──seals──▶ cookies
//!                                        └──────wraps──▶ one key for each trace
//! ```
//! The wrapped data key lies in the database beside what it seals; the key file
//! lies elsewhere and is what to back up. A sealed value is bound to its record
//! by associated data, so one cannot be put in another's place.

pub mod error;
pub mod import;
pub mod key;
pub mod seal;
pub mod token;
pub mod trace_key;

use std::{fmt, sync::Arc};

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use error::VaultError;
pub use key::{KeyId, WrappingKey};
pub use seal::{SealContext, Sealed};
pub use trace_key::{TraceKey, WrappedTraceKey};

use crate::random::{random_bytes, random_secret};
use seal::{NONCE, SEALED_V1};

/// An open vault: holds the data key. Cloning shares it.
#[derive(Clone)]
pub struct Vault(Arc<Aes256Gcm>);

/// The data key, wrapped: what the caller keeps in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKey {
    /// The wrapping key that opens it.
    pub key_id: KeyId,
    /// Base64 in JSON.
    #[serde(with = "base64_bytes")]
    pub nonce: Vec<u8>,
    /// Ciphertext and tag; base64 in JSON.
    #[serde(with = "base64_bytes")]
    pub ciphertext: Vec<u8>,
}

// === impl Vault ===

impl Vault {
    /// Makes a vault: draws a data key and wraps it.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn create(wrapping: &WrappingKey) -> Result<(Self, WrappedKey), VaultError> {
        let data_key = random_secret::<32>()?;
        let key_id = wrapping.id();
        let (nonce, ciphertext) = encrypt(
            &cipher(wrapping.expose()),
            data_key.as_slice(),
            &wrap_data(key_id),
        )?;
        let wrapped = WrappedKey {
            key_id,
            nonce: nonce.to_vec(),
            ciphertext,
        };
        Ok((Self(Arc::new(cipher(&data_key))), wrapped))
    }

    /// Opens a vault made before. Changes nothing, whatever the outcome.
    ///
    /// # Errors
    /// The key file is not the one that the vault was made with
    /// ([`VaultError::WrongKey`]), or the wrapped key was altered.
    pub fn open(wrapping: &WrappingKey, wrapped: &WrappedKey) -> Result<Self, VaultError> {
        let found = wrapping.id();
        if found != wrapped.key_id {
            return Err(VaultError::WrongKey {
                expected: wrapped.key_id,
                found,
            });
        }
        let altered = || VaultError::WrappedKeyAltered { key: found };
        let nonce: &[u8; NONCE] = wrapped.nonce.as_slice().try_into().map_err(|_| altered())?;
        decrypt(
            &cipher(wrapping.expose()),
            nonce,
            &wrapped.ciphertext,
            &wrap_data(found),
        )
        .and_then(|plain| key_of(&plain))
        .map(|data_key| Self(Arc::new(cipher(&data_key))))
        .ok_or_else(altered)
    }

    /// Seals a value for the record that `context` names.
    ///
    /// # Errors
    /// There is no randomness, or the value is larger than the cipher takes.
    pub fn seal(&self, context: &SealContext<'_>, plaintext: &[u8]) -> Result<Sealed, VaultError> {
        let data = context.associated_data(SEALED_V1);
        let (nonce, ciphertext) = encrypt(&self.0, plaintext, &data)?;
        Ok(Sealed {
            version: SEALED_V1,
            nonce,
            ciphertext,
        })
    }

    /// Opens a value that was sealed for this very record and version.
    ///
    /// # Errors
    /// It was altered, or sealed for another record, version or vault.
    pub fn unseal(
        &self,
        context: &SealContext<'_>,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let data = context.associated_data(sealed.version);
        decrypt(&self.0, &sealed.nonce, &sealed.ciphertext, &data)
            .filter(|_| sealed.version == SEALED_V1)
            .ok_or_else(|| VaultError::Unseal {
                kind: context.kind.to_owned(),
                id: context.id.to_owned(),
            })
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault([secret])")
    }
}

// === the cipher ===

fn cipher(key: &[u8; 32]) -> Aes256Gcm {
    Aes256Gcm::new(key.into())
}

/// Random nonces of 96 bits are safe for 2^32 messages under one key. The data
/// key seals one message for each write of a credential and each trace.
fn encrypt(
    cipher: &Aes256Gcm,
    plaintext: &[u8],
    data: &[u8],
) -> Result<([u8; NONCE], Vec<u8>), VaultError> {
    let nonce = random_bytes::<NONCE>()?;
    let payload = Payload {
        msg: plaintext,
        aad: data,
    };
    cipher
        .encrypt((&nonce).into(), payload)
        .map(|ciphertext| (nonce, ciphertext))
        .map_err(|_| VaultError::TooLarge)
}

fn decrypt(
    cipher: &Aes256Gcm,
    nonce: &[u8; NONCE],
    ciphertext: &[u8],
    data: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let payload = Payload {
        msg: ciphertext,
        aad: data,
    };
    cipher
        .decrypt(nonce.into(), payload)
        .ok()
        .map(Zeroizing::new)
}

fn wrap_data(key_id: KeyId) -> Vec<u8> {
    [b"hallpass data key v1\0".as_slice(), key_id.as_bytes()].concat()
}

fn key_of(plain: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    plain.try_into().ok().map(Zeroizing::new)
}

mod base64_bytes {
    use data_encoding::BASE64;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64
            .decode(text.as_bytes())
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
