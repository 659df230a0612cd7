//! Whether a trace is what was recorded: every byte, in its order, to its end.
//!
//! The segments alone show any change within them. That the tail was cut off,
//! or the whole rewritten by somebody with the key, shows against an anchor: a
//! [`Head`] that was kept elsewhere when its records had become durable.

use serde_json::Value;

use super::{
    chain::{Chain, Head, Line, LineHash, LinkError},
    segment::{BadRecord, FrameError, Header, HeaderError, KEY_LEN, Salt, Segment},
};
use crate::model::id::TraceId;

/// What a check found in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Where the trace stands; `head.records` records were checked.
    pub head: Head,
    /// How many segments it is in.
    pub segments: u32,
    /// Whether a write that a crash interrupted follows: no record, and beyond
    /// the anchor.
    pub torn_tail: bool,
}

/// A trace is not what was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} (segment {segment}): {fault}")]
pub struct VerifyError {
    /// Number of the first record that is affected.
    pub seq: u64,
    /// Segment that was read when it showed, from 1.
    pub segment: u32,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The segment's header is of no use.
    #[error(transparent)]
    Header(HeaderError),
    /// Another trace's segment, or an anchor of another trace.
    #[error("what should be trace {expected} is trace {found}")]
    OtherTrace {
        /// The trace that is read.
        expected: TraceId,
        /// What was found.
        found: TraceId,
    },
    /// A segment was dropped, repeated or moved.
    #[error("segment {found} stands in its place: a segment was dropped, repeated or moved")]
    Displaced {
        /// The segment found.
        found: u32,
    },
    /// The segment does not go on where the one before it ended.
    #[error("the segment does not follow from the one before it")]
    Unconnected,
    /// A frame is no record, or not the one that belongs there.
    #[error(transparent)]
    Frame(FrameError),
    /// A record does not follow from the one before it.
    #[error(transparent)]
    Link(LinkError),
    /// The trace ends before the anchor.
    #[error("it is missing: {anchored} records were made and {found} are there")]
    Missing {
        /// Records that the anchor knows.
        anchored: u64,
        /// Records there.
        found: u64,
    },
    /// The anchor knows another record of that number.
    #[error("it is not the record that was made: its hash is {found}, the anchor's {anchored}")]
    Anchor {
        /// Hash that the anchor knows.
        anchored: LineHash,
        /// Hash of what is there.
        found: LineHash,
    },
    /// Something follows the end of the session.
    #[error("bytes follow the end of the session")]
    AfterEnd,
}

/// Checks one trace, a segment at a time.
#[derive(Debug)]
pub struct Verifier<'k> {
    key: &'k [u8; KEY_LEN],
    anchor: Option<Head>,
    chain: Chain,
    segments: u32,
    constants: Option<(Vec<u8>, Salt)>,
    torn: bool,
}

/// Checks a whole trace: its segments' bytes in their order.
///
/// # Errors
/// The first fault, with the number of the first record that is affected.
pub fn verify<S: AsRef<[u8]>>(
    trace: TraceId,
    segments: &[S],
    key: &[u8; KEY_LEN],
    anchor: Option<Head>,
) -> Result<Verified, VerifyError> {
    let mut verifier = Verifier::new(trace, key, anchor)?;
    let count = segments.len();
    for (index, bytes) in segments.iter().enumerate() {
        verifier.segment(bytes.as_ref(), index + 1 == count, |_, _| ())?;
    }
    verifier.finish()
}

// === impl Verifier ===

impl<'k> Verifier<'k> {
    /// Begins at the first record.
    ///
    /// # Errors
    /// The anchor is another trace's.
    pub fn new(
        trace: TraceId,
        key: &'k [u8; KEY_LEN],
        anchor: Option<Head>,
    ) -> Result<Self, VerifyError> {
        let verifier = Self {
            key,
            anchor,
            chain: Chain::new(trace),
            segments: 0,
            constants: None,
            torn: false,
        };
        match anchor {
            Some(anchor) if anchor.trace != trace => Err(verifier.fault(Fault::OtherTrace {
                expected: trace,
                found: anchor.trace,
            })),
            _ => Ok(verifier),
        }
    }

    /// Checks the next segment and hands each record in order to `each`, once it
    /// is known to be true: its line and its value. `last` says that no segment
    /// follows: only there may a torn write be.
    ///
    /// # Errors
    /// The first fault; the verifier is of no use afterwards.
    pub fn segment(
        &mut self,
        bytes: &[u8],
        last: bool,
        mut each: impl FnMut(Line, Value),
    ) -> Result<(), VerifyError> {
        self.segments = self.segments.saturating_add(1);
        if self.chain.head().ended {
            return Err(self.fault(Fault::AfterEnd));
        }
        let segment = match Segment::open(bytes, self.key) {
            Ok(segment) => segment,
            // What a crash at the beginning of a segment leaves behind.
            Err(HeaderError::Short) if self.may_be_torn(last) => {
                self.segments = self.segments.saturating_sub(1);
                self.torn = true;
                return Ok(());
            }
            Err(error) => return Err(self.header_fault(bytes, error)),
        };
        self.check_header(&segment)?;
        for frame in segment.frames() {
            let (seq, line) = match frame {
                Ok(frame) => frame,
                Err(BadRecord { what, .. }) => {
                    if self.chain.head().ended {
                        return Err(self.fault(Fault::AfterEnd));
                    }
                    if what == FrameError::Torn && self.may_be_torn(last) {
                        self.torn = true;
                        return Ok(());
                    }
                    return Err(self.fault(Fault::Frame(what)));
                }
            };
            let value = match self.chain.accept(&line) {
                Ok(value) => value,
                Err(error) => return Err(self.fault(Fault::Link(error))),
            };
            self.check_anchor()?;
            let hash = self.chain.head().hash;
            let line = Line {
                seq,
                bytes: line,
                hash,
            };
            each(line, value);
        }
        Ok(())
    }

    /// Checks that nothing is missing at the end.
    ///
    /// # Errors
    /// The anchor knows of more, or there is no segment at all.
    pub fn finish(self) -> Result<Verified, VerifyError> {
        let head = self.chain.head();
        let anchored = self.anchor.map_or(0, |anchor| anchor.records);
        if head.records < anchored || (self.segments == 0 && !self.torn) {
            return Err(self.fault(Fault::Missing {
                anchored,
                found: head.records,
            }));
        }
        Ok(Verified {
            head,
            segments: self.segments,
            torn_tail: self.torn,
        })
    }

    fn check_header(&mut self, segment: &Segment<'_>) -> Result<(), VerifyError> {
        let head = self.chain.head();
        let header = segment.header();
        if header.trace != head.trace {
            return Err(self.fault(Fault::OtherTrace {
                expected: head.trace,
                found: header.trace,
            }));
        }
        if header.segment != self.segments {
            return Err(self.fault(Fault::Displaced {
                found: header.segment,
            }));
        }
        let constants = (header.wrapped.clone(), segment.salt().clone());
        let connected = header.first_seq == head.records.saturating_add(1)
            && header.prev == head.hash
            && *self.constants.get_or_insert_with(|| constants.clone()) == constants;
        if connected {
            return Ok(());
        }
        Err(self.fault(Fault::Unconnected))
    }

    fn check_anchor(&self) -> Result<(), VerifyError> {
        let head = self.chain.head();
        match self.anchor {
            Some(anchor) if anchor.records == head.records && anchor != head => Err(VerifyError {
                seq: head.records,
                segment: self.segments,
                fault: Fault::Anchor {
                    anchored: anchor.hash,
                    found: head.hash,
                },
            }),
            _ => Ok(()),
        }
    }

    // Whether the anchor knows of what is torn off shows in `finish`.
    const fn may_be_torn(&self, last: bool) -> bool {
        last && !self.chain.head().ended
    }

    // Another trace's segment has another key: its header says which it is, if
    // it says anything.
    fn header_fault(&self, bytes: &[u8], error: HeaderError) -> VerifyError {
        let expected = self.chain.head().trace;
        match Header::peek(bytes) {
            Ok(header) if header.trace != expected => self.fault(Fault::OtherTrace {
                expected,
                found: header.trace,
            }),
            _ => self.fault(Fault::Header(error)),
        }
    }

    fn fault(&self, fault: Fault) -> VerifyError {
        VerifyError {
            seq: self.chain.head().records.saturating_add(1),
            segment: self.segments,
            fault,
        }
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
