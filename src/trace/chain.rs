//! The chain: each record carries the hash of the line before it, so that none
//! can be changed, dropped or moved without every later one showing it.
//!
//! A line is the canonical JSON of a [`StoredRecord`], without a line break. The
//! first one's `prev` is [`LineHash::genesis`], which is bound to the trace's
//! id: the beginning of one trace cannot serve another.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    canonical::{self, CanonicalError},
    fit::{Fitted, LINE_MAX},
    record::{Actor, Event},
};
use crate::model::{id::TraceId, time::Timestamp};

/// SHA-256 of a line; 64 hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LineHash(pub [u8; 32]);

/// Why a text is no [`LineHash`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a SHA-256 hash as 64 hexadecimal digits")]
pub struct LineHashError;

/// A record as it stands in a trace. Times in RFC 3339, hashes in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredRecord {
    /// Number in the trace, from 1.
    pub seq: u64,
    /// When, by the wall clock.
    pub at: Timestamp,
    /// Of which trace.
    pub trace: TraceId,
    /// Who.
    pub actor: Actor,
    /// What.
    pub event: Event,
    /// Hash of the line before.
    pub prev: LineHash,
}

/// A record's canonical text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Number in the trace, from 1.
    pub seq: u64,
    /// The text, without a line break.
    pub bytes: Vec<u8>,
    /// Its SHA-256.
    pub hash: LineHash,
}

/// Where a trace stands: what has to be kept elsewhere to notice a cut tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Which trace.
    pub trace: TraceId,
    /// How many records it has.
    pub records: u64,
    /// Hash of the last line, or the genesis hash.
    pub hash: LineHash,
    /// Whether the last record is the end of the session.
    pub ended: bool,
}

/// Why no further line can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The session's end is on record.
    #[error("the trace has ended; its last record is made")]
    Ended,
    /// The record has no canonical text.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// Its line is longer than a line may be.
    #[error("the record's line is {0} bytes long; at most {LINE_MAX} are allowed")]
    TooLong(usize),
}

/// Why a line does not follow from the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No JSON, or not the one canonical text of its value.
    #[error("it is not canonical JSON")]
    NotCanonical,
    /// `seq`, `trace`, `prev` or `event.type` is missing or no such thing.
    #[error("its `{0}` is missing or malformed")]
    Field(&'static str),
    /// It carries another number.
    #[error("it says that it is record {0}")]
    Seq(u64),
    /// It belongs elsewhere.
    #[error("it belongs to trace {0}")]
    Trace(TraceId),
    /// What came before is not what it was made after.
    #[error("it does not follow from the record before it")]
    Prev,
    /// It comes after the session's end.
    #[error("it comes after the end of the session")]
    AfterEnd,
}

/// Makes lines, or takes them, one after the other.
#[derive(Debug, Clone)]
pub struct Chain {
    head: Head,
}

// === impl LineHash ===

impl LineHash {
    /// What stands before a trace's first line: SHA-256 of `hallpass trace 1`,
    /// a line break and the trace's id.
    #[must_use]
    pub fn genesis(trace: TraceId) -> Self {
        Self::of(format!("hallpass trace 1\n{trace}").as_bytes())
    }

    /// Hash of a line.
    #[must_use]
    pub fn of(line: &[u8]) -> Self {
        Self(Sha256::digest(line).into())
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for LineHash {
    type Err = LineHashError;

    fn from_str(text: &str) -> Result<Self, LineHashError> {
        let bytes = HEXLOWER
            .decode(text.as_bytes())
            .map_err(|_| LineHashError)?;
        bytes.try_into().map(Self).map_err(|_| LineHashError)
    }
}

impl TryFrom<String> for LineHash {
    type Error = LineHashError;

    fn try_from(text: String) -> Result<Self, LineHashError> {
        text.parse()
    }
}

impl From<LineHash> for String {
    fn from(hash: LineHash) -> Self {
        hash.to_string()
    }
}

// === impl Head ===

impl Head {
    /// A trace without records.
    #[must_use]
    pub fn genesis(trace: TraceId) -> Self {
        Self {
            trace,
            records: 0,
            hash: LineHash::genesis(trace),
            ended: false,
        }
    }
}

// === impl Chain ===

impl Chain {
    /// The chain of a trace without records.
    #[must_use]
    pub fn new(trace: TraceId) -> Self {
        Self {
            head: Head::genesis(trace),
        }
    }

    /// Where it stands.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Makes the next line. A refused record changes nothing.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn append(&mut self, record: Fitted) -> Result<Line, ChainError> {
        if self.head.ended {
            return Err(ChainError::Ended);
        }
        let draft = record.into_draft();
        let ended = draft.event.ends_trace();
        let seq = self.head.records.saturating_add(1);
        let bytes = canonical::to_vec(&StoredRecord {
            seq,
            at: draft.at,
            trace: self.head.trace,
            actor: draft.actor,
            event: draft.event,
            prev: self.head.hash,
        })?;
        if bytes.len() > LINE_MAX {
            return Err(ChainError::TooLong(bytes.len()));
        }
        let hash = LineHash::of(&bytes);
        self.advance(hash, ended);
        Ok(Line { seq, bytes, hash })
    }

    /// Takes a line made elsewhere, if it is the next one, and answers its value.
    ///
    /// # Errors
    /// See [`LinkError`]; the chain is unchanged.
    pub fn accept(&mut self, line: &[u8]) -> Result<Value, LinkError> {
        let value: Value = serde_json::from_slice(line).map_err(|_| LinkError::NotCanonical)?;
        // Whoever holds the line must find one value in it, whichever reader is used.
        if canonical::to_vec(&value).as_deref() != Ok(line) {
            return Err(LinkError::NotCanonical);
        }
        if self.head.ended {
            return Err(LinkError::AfterEnd);
        }
        let trace = text(&value, "/trace").and_then(|text| text.parse().ok());
        let trace: TraceId = trace.ok_or(LinkError::Field("trace"))?;
        if trace != self.head.trace {
            return Err(LinkError::Trace(trace));
        }
        let seq = value.pointer("/seq").and_then(Value::as_u64);
        let seq = seq.ok_or(LinkError::Field("seq"))?;
        if seq != self.head.records.saturating_add(1) {
            return Err(LinkError::Seq(seq));
        }
        let prev = text(&value, "/prev").and_then(|text| text.parse().ok());
        let prev: LineHash = prev.ok_or(LinkError::Field("prev"))?;
        if prev != self.head.hash {
            return Err(LinkError::Prev);
        }
        let kind = text(&value, "/event/type").ok_or(LinkError::Field("event.type"))?;
        let ended = kind == Event::LAST;
        self.advance(LineHash::of(line), ended);
        Ok(value)
    }

    fn advance(&mut self, hash: LineHash, ended: bool) {
        self.head.records = self.head.records.saturating_add(1);
        self.head.hash = hash;
        self.head.ended = ended;
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::trace::record::samples;

    fn trace(n: u128) -> TraceId {
        TraceId::from_uuid(Uuid::from_u128(n))
    }

    #[test]
    fn the_first_line_is_what_it_was_when_the_format_was_made() {
        let line = Chain::new(trace(1))
            .append(samples::navigation(7).fit().unwrap())
            .unwrap();
        assert_eq!(
            String::from_utf8(line.bytes).unwrap(),
            format!(
                "{{\"actor\":{{\"kind\":\"page\"}},\"at\":\"1970-01-01T00:00:00.000007Z\",\"event\":{{\"target\":\"T\",\"type\":\"navigation\",\"url\":\"https://a.test/7\"}},\"prev\":\"{}\",\"seq\":1,\"trace\":\"{}\"}}",
                "d18cfcfd3960b42cf433d1ba74ff88cedf802925947e4064a9b2eb3381bb39b0",
                trace(1)
            )
        );
    }

    #[test]
    fn lines_are_taken_back_in_their_order_alone() {
        let mut chain = Chain::new(trace(1));
        let lines: Vec<Line> = (0..3)
            .map(|n| chain.append(samples::navigation(n).fit().unwrap()).unwrap())
            .collect();
        let mut reader = Chain::new(trace(1));
        assert_eq!(reader.accept(&lines[1].bytes), Err(LinkError::Seq(2)));
        for line in &lines {
            let value = reader.accept(&line.bytes).unwrap();
            let record: StoredRecord = serde_json::from_value(value).unwrap();
            assert_eq!(record.seq, line.seq);
        }
        assert_eq!(reader.head(), chain.head());
        assert_eq!(
            Chain::new(trace(2)).accept(&lines[0].bytes),
            Err(LinkError::Trace(trace(1)))
        );
    }

    #[test]
    fn a_line_that_was_rewritten_breaks_the_next() {
        let mut chain = Chain::new(trace(1));
        let first = chain.append(samples::navigation(1).fit().unwrap()).unwrap();
        let second = chain.append(samples::navigation(2).fit().unwrap()).unwrap();
        let forged = String::from_utf8(first.bytes).unwrap();
        let mut reader = Chain::new(trace(1));
        reader
            .accept(forged.replace("a.test", "b.test").as_bytes())
            .unwrap();
        assert_eq!(reader.accept(&second.bytes), Err(LinkError::Prev));
        let mut reader = Chain::new(trace(1));
        let spaced = forged.replacen(':', ": ", 1);
        assert_eq!(
            reader.accept(spaced.as_bytes()),
            Err(LinkError::NotCanonical)
        );
        let doubled = forged.replacen("{\"actor\"", "{\"actor\":1,\"actor\"", 1);
        assert_eq!(
            reader.accept(doubled.as_bytes()),
            Err(LinkError::NotCanonical)
        );
    }

    #[test]
    fn nothing_follows_the_end_of_the_session() {
        let mut chain = Chain::new(trace(1));
        let end = chain.append(samples::end().fit().unwrap()).unwrap();
        assert!(chain.head().ended);
        let refused = chain.append(samples::navigation(1).fit().unwrap());
        assert_eq!(refused, Err(ChainError::Ended));
        let mut reader = Chain::new(trace(1));
        reader.accept(&end.bytes).unwrap();
        assert_eq!(reader.head(), chain.head());
        assert_eq!(reader.accept(&end.bytes), Err(LinkError::AfterEnd));
    }

    #[test]
    fn hashes_read_back() {
        let hash = LineHash::of(b"x");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!("ab".parse::<LineHash>().is_err());
        assert_ne!(LineHash::genesis(trace(1)), LineHash::genesis(trace(2)));
    }
}
