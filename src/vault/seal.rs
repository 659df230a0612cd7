//! What sealing takes and gives: the record's identity, and the sealed bytes.

use std::fmt;

use super::error::VaultError;

/// Which record the bytes belong to. It is authenticated, not stored: a sealed
/// value that is moved to another record, or put back over a newer one, does
/// not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealContext<'a> {
    /// Kind of record, such as `credential`.
    pub kind: &'a str,
    /// Its id, in text form.
    pub id: &'a str,
    /// Counts how often the record was written.
    pub version: u64,
}

/// A sealed value, as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Form of these bytes and of what is authenticated with them.
    pub version: u8,
    /// Random, never used twice with a key.
    pub nonce: [u8; NONCE],
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

/// The form that is written today.
pub(super) const SEALED_V1: u8 = 1;
/// Length of a nonce in bytes.
pub(super) const NONCE: usize = 12;
/// Length of a tag in bytes.
pub(super) const TAG: usize = 16;

// === impl SealContext ===

impl SealContext<'_> {
    /// Each text with its length in front: no two contexts give the same bytes.
    pub(super) fn associated_data(&self, form: u8) -> Vec<u8> {
        let mut data = Vec::with_capacity(48 + self.kind.len() + self.id.len());
        data.extend_from_slice(b"hallpass seal\0");
        data.push(form);
        for text in [self.kind, self.id] {
            data.extend_from_slice(&(text.len() as u64).to_be_bytes());
            data.extend_from_slice(text.as_bytes());
        }
        data.extend_from_slice(&self.version.to_be_bytes());
        data
    }
}

// === impl Sealed ===

impl Sealed {
    /// One byte version, 12 bytes nonce, then ciphertext and tag.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + NONCE + self.ciphertext.len());
        bytes.push(self.version);
        bytes.extend_from_slice(&self.nonce);
        bytes.extend_from_slice(&self.ciphertext);
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// An unknown version, or bytes that are cut.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VaultError> {
        let Some((&version, rest)) = bytes.split_first() else {
            return Err(VaultError::Malformed("there are none"));
        };
        if version != SEALED_V1 {
            return Err(VaultError::Malformed(
                "they are of a version that this release does not know",
            ));
        }
        match rest.split_first_chunk::<NONCE>() {
            Some((nonce, ciphertext)) if ciphertext.len() >= TAG => Ok(Self {
                version,
                nonce: *nonce,
                ciphertext: ciphertext.to_vec(),
            }),
            _ => Err(VaultError::Malformed("they are cut")),
        }
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Sealed(v{}, {} bytes)",
            self.version,
            self.ciphertext.len()
        )
    }
}
