//! The sealed form of a stretch of a trace: a header, then one frame a record.
//!
//! ```text
//! header  magic 8 ‖ version u16 ‖ trace 30 ‖ segment u32 ‖ first seq u64 ‖ head before 32
//!         ‖ wrapped key u16 + bytes ‖ nonce 12 ‖ sealed salt 48
//! frame   length u32 ‖ nonce 12 ‖ AES-256-GCM of the line
//! ```
//! Numbers are big-endian; `length` counts what follows the nonce. The salt is
//! sealed with all of the header before it as associated data; a frame with
//! trace, segment, number of the record and the header's SHA-256. So nothing in
//! a segment can be changed, moved, or put into another without the key.
//!
//! Nonces are arguments: every one must be drawn afresh from a good source.

use std::fmt;

use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{chain::Line, fit::LINE_MAX};

mod header;

pub use header::{Header, HeaderError, Salt, WRAPPED_MAX};

use header::{ID_LEN, Input, SALT_LEN};

/// Bytes of a trace's key.
pub const KEY_LEN: usize = 32;
/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;

const TAG_LEN: usize = 16;

/// A key to seal one trace with, and one nonce.
pub type Key = Zeroizing<[u8; KEY_LEN]>;
/// A number used once.
pub type Nonce = [u8; NONCE_LEN];

/// A frame that is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record {seq}: {what}")]
pub struct BadRecord {
    /// Number of the record that should be here.
    pub seq: u64,
    /// What is wrong.
    pub what: FrameError,
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The segment ends, or is all zeros from here on, before the frame does:
    /// what a crash in the middle of a write leaves behind.
    #[error("the segment ends in the middle of it")]
    Torn,
    /// No frame has that length.
    #[error("its length is impossible")]
    Length,
    /// Some byte was changed.
    #[error("it was changed")]
    Changed,
    /// A true record of this segment, in a place that is not its own.
    #[error("record {0} stands in its place: a record was dropped, repeated or moved")]
    Displaced(u64),
    /// The line cannot be sealed.
    #[error("its line is longer than {LINE_MAX} bytes")]
    TooLong,
}

/// Seals the records of one segment.
pub struct Sealer {
    cipher: Aes256Gcm,
    context: Context,
}

/// A segment whose header is in order.
pub struct Segment<'b> {
    header: Header,
    salt: Salt,
    cipher: Aes256Gcm,
    context: Context,
    frames: &'b [u8],
}

/// Reads a segment's records in their order; ends after the first error.
#[derive(Debug)]
pub struct Frames<'s, 'b> {
    segment: &'s Segment<'b>,
    rest: &'b [u8],
    seq: u64,
}

// Associated data of a frame: all but the number of the record.
struct Context {
    trace: [u8; ID_LEN],
    segment: u32,
    header: [u8; 32],
}

// === impl Sealer ===

impl Sealer {
    /// Begins a segment: answers its sealer and its header's bytes.
    ///
    /// # Errors
    /// The wrapped key is too long.
    pub fn begin(
        header: &Header,
        key: &[u8; KEY_LEN],
        salt: &Salt,
        nonce: Nonce,
    ) -> Result<(Self, Vec<u8>), HeaderError> {
        let (trace, mut bytes) = header.to_bytes()?;
        let cipher = Aes256Gcm::new(key.into());
        let mut sealed = salt.0.clone();
        let tag = cipher
            .encrypt_inout_detached(&nonce.into(), &bytes, sealed.as_mut_slice().into())
            .map_err(|_| HeaderError::Malformed)?;
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(sealed.as_slice());
        bytes.extend_from_slice(&tag);
        let context = Context {
            trace,
            segment: header.segment,
            header: Sha256::digest(&bytes).into(),
        };
        Ok((Self { cipher, context }, bytes))
    }

    /// Bytes of the frame of a line of `line` bytes.
    #[must_use]
    pub const fn frame_len(line: usize) -> usize {
        4 + NONCE_LEN + line + TAG_LEN
    }

    /// Appends a line's frame to `out`; after an error `out` is as it was.
    ///
    /// # Errors
    /// The line is longer than [`LINE_MAX`].
    pub fn frame(&self, line: &Line, nonce: Nonce, out: &mut Vec<u8>) -> Result<(), BadRecord> {
        let bad = BadRecord {
            seq: line.seq,
            what: FrameError::TooLong,
        };
        if line.bytes.len() > LINE_MAX {
            return Err(bad);
        }
        let length = u32::try_from(line.bytes.len() + TAG_LEN).map_err(|_| bad)?;
        let start = out.len();
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&nonce);
        let text = out.len();
        out.extend_from_slice(&line.bytes);
        let sealed = out.get_mut(text..).unwrap_or_default();
        let tag = self.cipher.encrypt_inout_detached(
            &nonce.into(),
            &self.context.of(line.seq),
            sealed.into(),
        );
        if let Ok(tag) = tag {
            out.extend_from_slice(&tag);
            return Ok(());
        }
        out.truncate(start);
        Err(bad)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

// === impl Segment ===

impl<'b> Segment<'b> {
    /// Reads and checks a segment's header.
    ///
    /// # Errors
    /// See [`HeaderError`].
    pub fn open(bytes: &'b [u8], key: &[u8; KEY_LEN]) -> Result<Self, HeaderError> {
        let mut input = Input(bytes);
        let (header, trace) = Header::parse(&mut input)?;
        let plain_len = bytes.len() - input.0.len();
        let nonce: Nonce = input.array()?;
        let mut salt: Zeroizing<[u8; SALT_LEN]> = Zeroizing::new(input.array()?);
        let tag: [u8; TAG_LEN] = input.array()?;
        let header_len = bytes.len() - input.0.len();
        let cipher = Aes256Gcm::new(key.into());
        cipher
            .decrypt_inout_detached(
                &nonce.into(),
                bytes.get(..plain_len).unwrap_or_default(),
                salt.as_mut_slice().into(),
                &tag.into(),
            )
            .map_err(|_| HeaderError::Changed)?;
        let context = Context {
            trace,
            segment: header.segment,
            header: Sha256::digest(bytes.get(..header_len).unwrap_or_default()).into(),
        };
        Ok(Self {
            header,
            salt: Salt(salt),
            cipher,
            context,
            frames: input.0,
        })
    }

    /// What it says of itself.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The trace's salt.
    #[must_use]
    pub const fn salt(&self) -> &Salt {
        &self.salt
    }

    /// Its records, each as its number and line.
    #[must_use]
    pub const fn frames(&self) -> Frames<'_, 'b> {
        Frames {
            segment: self,
            rest: self.frames,
            seq: self.header.first_seq,
        }
    }

    fn open_frame(&self, seq: u64, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut input = Input(sealed);
        let nonce: Nonce = input.array().ok()?;
        let (text, tag) = input.0.split_last_chunk::<TAG_LEN>()?;
        let mut line = text.to_vec();
        self.cipher
            .decrypt_inout_detached(
                &nonce.into(),
                &self.context.of(seq),
                line.as_mut_slice().into(),
                tag.into(),
            )
            .ok()?;
        Some(line)
    }

    // Which of this segment's records a frame is, if not the one expected. Only
    // asked once something is wrong, to say what.
    fn identify(&self, sealed: &[u8]) -> Option<u64> {
        // A dropped record leaves fewer frames than there were; 64 more are tried.
        let count = self.count().saturating_add(64);
        let first = self.header.first_seq;
        (first..first.saturating_add(count)).find(|seq| self.open_frame(*seq, sealed).is_some())
    }

    fn count(&self) -> u64 {
        let mut input = Input(self.frames);
        let mut count = 0;
        while let Ok(Some(_)) = next_frame(&mut input) {
            count += 1;
        }
        count
    }
}

impl fmt::Debug for Segment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

impl Iterator for Frames<'_, '_> {
    type Item = Result<(u64, Vec<u8>), BadRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        let seq = self.seq;
        let mut input = Input(self.rest);
        let sealed = match next_frame(&mut input) {
            Ok(None) => return None,
            Ok(Some(sealed)) => sealed,
            Err(what) => {
                self.rest = &[];
                return Some(Err(BadRecord { seq, what }));
            }
        };
        if let Some(line) = self.segment.open_frame(seq, sealed) {
            self.rest = input.0;
            self.seq = seq.saturating_add(1);
            return Some(Ok((seq, line)));
        }
        self.rest = &[];
        let what = self
            .segment
            .identify(sealed)
            .map_or(FrameError::Changed, FrameError::Displaced);
        Some(Err(BadRecord { seq, what }))
    }
}

// === impl Context ===

impl Context {
    fn of(&self, seq: u64) -> [u8; ID_LEN + 4 + 8 + 32] {
        let mut data = [0; ID_LEN + 4 + 8 + 32];
        let parts = self
            .trace
            .into_iter()
            .chain(self.segment.to_be_bytes())
            .chain(seq.to_be_bytes())
            .chain(self.header);
        for (to, from) in data.iter_mut().zip(parts) {
            *to = from;
        }
        data
    }
}

// Nonce, ciphertext and tag of the next frame; nothing at the end.
fn next_frame<'b>(input: &mut Input<'b>) -> Result<Option<&'b [u8]>, FrameError> {
    if input.0.is_empty() {
        return Ok(None);
    }
    // A file system may give a file its new length before the bytes.
    if input.0.iter().all(|byte| *byte == 0) {
        return Err(FrameError::Torn);
    }
    let length = input.array().map_err(|_| FrameError::Torn)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| FrameError::Length)?;
    if !(TAG_LEN..=LINE_MAX + TAG_LEN).contains(&length) {
        return Err(FrameError::Length);
    }
    let sealed = input.take(NONCE_LEN + length);
    sealed.map(Some).map_err(|_| FrameError::Torn)
}
