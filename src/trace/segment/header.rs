//! What a segment says of itself, and the salt that it keeps.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{NONCE_LEN, TAG_LEN};
use crate::{model::id::TraceId, trace::chain::LineHash};

/// Longest wrapped key, in bytes.
pub const WRAPPED_MAX: usize = 4096;

pub(super) const ID_LEN: usize = 30;
pub(super) const SALT_LEN: usize = 32;

const MAGIC: [u8; 8] = *b"HALLPASS";
const VERSION: u16 = 1;
const FIXED_LEN: usize = 8 + 2 + ID_LEN + 4 + 8 + 32 + 2;

/// What goes into the hashes of a trace's cookie values, so that they cannot be
/// looked up. One a trace, the same in each of its segments.
#[derive(Clone, PartialEq, Eq)]
pub struct Salt(pub(super) Zeroizing<[u8; SALT_LEN]>);

/// What a segment says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Of which trace.
    pub trace: TraceId,
    /// Which one, from 1.
    pub segment: u32,
    /// Number of its first record.
    pub first_seq: u64,
    /// Hash of the last line before it, or the genesis hash.
    pub prev: LineHash,
    /// The trace's key as the vault wrapped it; at most [`WRAPPED_MAX`] bytes.
    pub wrapped: Vec<u8>,
}

/// Why a segment's header is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The file ends before the header does.
    #[error("the header is cut short")]
    Short,
    /// Not a segment at all, or its magic, id or length was changed.
    #[error("the header is not that of a trace segment")]
    Malformed,
    /// Of a release that is newer, or its version was changed.
    #[error("the header has version {0}; this release reads version {VERSION}")]
    Version(u16),
    /// Some byte was changed, or the key is another trace's.
    #[error("the header was changed, or the key is not its own")]
    Changed,
    /// The wrapped key is longer than [`WRAPPED_MAX`].
    #[error("the wrapped key is {0} bytes long; at most {WRAPPED_MAX} are allowed")]
    WrappedTooLong(usize),
}

/// Bytes that are yet to be read.
pub(super) struct Input<'b>(pub(super) &'b [u8]);

// === impl Salt ===

impl Salt {
    /// Takes 32 fresh random bytes over.
    #[must_use]
    pub const fn new(bytes: Zeroizing<[u8; SALT_LEN]>) -> Self {
        Self(bytes)
    }

    /// Hex SHA-256 of the salt and the value.
    #[must_use]
    pub fn digest(&self, value: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update(self.0.as_slice());
        hash.update(value);
        LineHash(hash.finalize().into()).to_string()
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[salt]")
    }
}

// === impl Header ===

impl Header {
    /// Reads a header without checking its seal: good for finding the wrapped
    /// key, and for nothing else.
    ///
    /// # Errors
    /// See [`HeaderError`].
    pub fn peek(bytes: &[u8]) -> Result<Self, HeaderError> {
        Ok(Self::parse(&mut Input(bytes))?.0)
    }

    pub(super) fn parse(input: &mut Input<'_>) -> Result<(Self, [u8; ID_LEN]), HeaderError> {
        // A beginning that is not a segment's is no segment cut short.
        let magic = input.0.get(..MAGIC.len().min(input.0.len()));
        if !magic.is_some_and(|magic| MAGIC.starts_with(magic)) {
            return Err(HeaderError::Malformed);
        }
        input.array::<8>()?;
        let version = u16::from_be_bytes(input.array()?);
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let id: [u8; ID_LEN] = input.array()?;
        let trace = std::str::from_utf8(&id).ok();
        let trace = trace.and_then(|text| text.parse().ok());
        let trace = trace.ok_or(HeaderError::Malformed)?;
        let segment = u32::from_be_bytes(input.array()?);
        let first_seq = u64::from_be_bytes(input.array()?);
        let prev = LineHash(input.array()?);
        let length = usize::from(u16::from_be_bytes(input.array()?));
        if length > WRAPPED_MAX {
            return Err(HeaderError::Malformed);
        }
        let wrapped = input.take(length)?.to_vec();
        let header = Self {
            trace,
            segment,
            first_seq,
            prev,
            wrapped,
        };
        Ok((header, id))
    }

    // The header but for its seal, and the trace's id as it stands there.
    pub(super) fn to_bytes(&self) -> Result<([u8; ID_LEN], Vec<u8>), HeaderError> {
        let too_long = HeaderError::WrappedTooLong(self.wrapped.len());
        let wrapped_len = u16::try_from(self.wrapped.len())
            .ok()
            .filter(|len| usize::from(*len) <= WRAPPED_MAX)
            .ok_or(too_long)?;
        let trace = self.trace.to_string().as_bytes().try_into();
        let trace: [u8; ID_LEN] = trace.map_err(|_| HeaderError::Malformed)?;
        let sealed_len = NONCE_LEN + SALT_LEN + TAG_LEN;
        let mut bytes = Vec::with_capacity(FIXED_LEN + self.wrapped.len() + sealed_len);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&trace);
        bytes.extend_from_slice(&self.segment.to_be_bytes());
        bytes.extend_from_slice(&self.first_seq.to_be_bytes());
        bytes.extend_from_slice(&self.prev.0);
        bytes.extend_from_slice(&wrapped_len.to_be_bytes());
        bytes.extend_from_slice(&self.wrapped);
        Ok((trace, bytes))
    }
}

// === impl Input ===

impl<'b> Input<'b> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'b [u8], HeaderError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(HeaderError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], HeaderError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(HeaderError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }
}
