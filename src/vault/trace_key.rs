//! One key for each trace: a trace can be sealed, handed to a reviewer or
//! forgotten without touching any other.

use std::fmt;

use zeroize::Zeroizing;

use super::{Vault, VaultError, decrypt, encrypt, key_of, seal::NONCE};
use crate::{model::id::TraceId, random::random_secret};

/// The key of one trace, zeroed when dropped.
pub struct TraceKey(Zeroizing<[u8; 32]>);

/// The key of one trace, wrapped by the vault: 61 bytes for a segment's header.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedTraceKey([u8; Self::LENGTH]);

const FORM: u8 = 1;

// === impl Vault ===

impl Vault {
    /// Draws the key of a trace and wraps it.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn trace_key(&self, trace: TraceId) -> Result<(TraceKey, WrappedTraceKey), VaultError> {
        let key = random_secret::<32>()?;
        let (nonce, ciphertext) = encrypt(&self.0, key.as_slice(), &associated_data(trace))?;
        let mut wrapped = [FORM; WrappedTraceKey::LENGTH];
        wrapped
            .iter_mut()
            .skip(1)
            .zip(nonce.iter().chain(&ciphertext))
            .for_each(|(to, from)| *to = *from);
        Ok((TraceKey(key), WrappedTraceKey(wrapped)))
    }

    /// Opens the wrapped key of that trace.
    ///
    /// # Errors
    /// It was altered, or belongs to another trace or vault.
    pub fn open_trace_key(
        &self,
        trace: TraceId,
        wrapped: &WrappedTraceKey,
    ) -> Result<TraceKey, VaultError> {
        let (_, rest) = wrapped.0.split_at(1);
        rest.split_first_chunk::<NONCE>()
            .and_then(|(nonce, ciphertext)| {
                decrypt(&self.0, nonce, ciphertext, &associated_data(trace))
            })
            .and_then(|plain| key_of(&plain))
            .map(TraceKey)
            .ok_or_else(|| VaultError::Unseal {
                kind: "key of trace".to_owned(),
                id: trace.to_string(),
            })
    }
}

fn associated_data(trace: TraceId) -> Vec<u8> {
    [
        b"hallpass trace key v1\0".as_slice(),
        trace.to_string().as_bytes(),
    ]
    .concat()
}

// === impl TraceKey ===

impl TraceKey {
    /// The key itself.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TraceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceKey([secret])")
    }
}

// === impl WrappedTraceKey ===

impl WrappedTraceKey {
    /// Length in bytes: form, nonce, key and tag.
    pub const LENGTH: usize = 1 + NONCE + 32 + 16;

    /// The bytes, to be stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// They are cut, too long or of an unknown version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VaultError> {
        let bytes: [u8; Self::LENGTH] = bytes.try_into().map_err(|_| {
            VaultError::Malformed("the wrapped key of a trace is 61 bytes long, they are not")
        })?;
        match bytes.first() {
            Some(&FORM) => Ok(Self(bytes)),
            _ => Err(VaultError::Malformed(
                "they are of a version that this release does not know",
            )),
        }
    }
}

impl fmt::Debug for WrappedTraceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappedTraceKey([wrapped])")
    }
}
