//! Why the vault does not open, seal or unseal.

use std::{io, path::PathBuf};

use super::key::KeyId;
use crate::random::RandomError;

/// Why the vault does not open, seal or unseal. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The key file could not be read, made or written.
    #[error("the key file `{}` cannot be {doing}: check that it and its folder belong to the user that runs this", path.display())]
    KeyFile {
        /// Where.
        path: PathBuf,
        /// `read` or `created`.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Something other than a regular file.
    #[error("the key file `{}` is not a regular file: put the key itself there", path.display())]
    KeyFileKind {
        /// Where.
        path: PathBuf,
    },
    /// Others than the owner may read or write it.
    #[error("the key file `{}` is open to others (mode {mode:03o}): run `chmod 600` on it; if somebody else may have read it, treat what the vault holds as known to them", path.display())]
    KeyFileExposed {
        /// Where.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// Another user owns it.
    #[error("the key file `{}` belongs to user {owner}, not to the one that runs this: change its owner", path.display())]
    KeyFileOwner {
        /// Where.
        path: PathBuf,
        /// User id of the owner.
        owner: u32,
    },
    /// Not one line of the expected form.
    #[error("the key file `{}` is malformed: expected one line, `hallpass-key-v1:` and 32 bytes in base64; restore it from a backup, nothing was changed", path.display())]
    KeyFileMalformed {
        /// Where.
        path: PathBuf,
    },
    /// The key file is not the one that this vault was made with.
    #[error(
        "the key file holds key `{found}`, but the vault was made with key `{expected}`: restore the right key file; nothing was changed"
    )]
    WrongKey {
        /// What the vault needs.
        expected: KeyId,
        /// What the key file holds.
        found: KeyId,
    },
    /// The stored data key is not what was stored.
    #[error(
        "the vault's stored key does not open although key `{key}` is the right one: the database entry was altered; restore it from a backup, nothing was changed"
    )]
    WrappedKeyAltered {
        /// The wrapping key.
        key: KeyId,
    },
    /// A sealed record is cut, of an unknown version, altered, or of another record.
    #[error(
        "the sealed {kind} `{id}` does not open: it was altered, or stored under another name or version"
    )]
    Unseal {
        /// Kind of record.
        kind: String,
        /// Its id.
        id: String,
    },
    /// Bytes that are no sealed record.
    #[error("the bytes are no sealed record: {0}")]
    Malformed(&'static str),
    /// A record larger than the cipher takes.
    #[error("the record is too large to be sealed")]
    TooLarge,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}
