use std::ops::Range;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::trace::{record::samples, segment::Sealer};

const KEY: [u8; KEY_LEN] = [7; KEY_LEN];
const PER_SEGMENT: [u32; 3] = [2, 3, 2];
const RECORDS: u64 = 7;

// A real trace in segments, and where in their bytes each record stands.
#[derive(Clone)]
struct Sample {
    trace: TraceId,
    head: Head,
    headers: Vec<Vec<u8>>,
    frames: Vec<Vec<Vec<u8>>>,
}

impl Sample {
    fn new(number: u128, ended: bool) -> Self {
        Self::with(number, ended, 9, b"wrapped")
    }

    fn with(number: u128, ended: bool, salt: u8, wrapped: &[u8]) -> Self {
        let trace = TraceId::from_uuid(Uuid::from_u128(number));
        let salt = Salt::new([salt; 32].into());
        let mut chain = Chain::new(trace);
        let (mut headers, mut frames) = (Vec::new(), Vec::new());
        let mut nonce = number.to_be_bytes()[4..].try_into().unwrap();
        for (segment, count) in (1..).zip(PER_SEGMENT) {
            let head = chain.head();
            let header = Header {
                trace,
                segment,
                first_seq: head.records + 1,
                prev: head.hash,
                wrapped: wrapped.to_vec(),
            };
            let (sealer, bytes) = Sealer::begin(&header, &KEY, &salt, fresh(&mut nonce)).unwrap();
            headers.push(bytes);
            frames.push(Vec::new());
            for _ in 0..count {
                let seq = chain.head().records + 1;
                let draft = match seq {
                    RECORDS if ended => samples::end(),
                    _ => samples::navigation(u32::try_from(seq).unwrap()),
                };
                let line = chain.append(draft.fit().unwrap()).unwrap();
                let mut frame = Vec::new();
                sealer.frame(&line, fresh(&mut nonce), &mut frame).unwrap();
                assert_eq!(frame.len(), Sealer::frame_len(line.bytes.len()));
                frames.last_mut().unwrap().push(frame);
            }
        }
        Self {
            trace,
            head: chain.head(),
            headers,
            frames,
        }
    }

    fn segments(&self) -> Vec<Vec<u8>> {
        self.headers
            .iter()
            .zip(&self.frames)
            .map(|(header, frames)| {
                let frames = frames.iter().flatten();
                header.iter().chain(frames).copied().collect()
            })
            .collect()
    }

    fn first_of(&self, segment: usize) -> u64 {
        let before: usize = self.frames[..segment].iter().map(Vec::len).sum();
        before as u64 + 1
    }

    // Every stretch of bytes with the record that is affected when it changes.
    fn stretches(&self) -> Vec<(usize, Range<usize>, u64)> {
        let mut all = Vec::new();
        for (segment, frames) in self.frames.iter().enumerate() {
            let mut at = self.headers[segment].len();
            all.push((segment, 0..at, self.first_of(segment)));
            for (seq, frame) in (self.first_of(segment)..).zip(frames) {
                all.push((segment, at..at + frame.len(), seq));
                at += frame.len();
            }
        }
        all
    }

    // Record `seq` as segment and place in it.
    fn place(&self, seq: u64) -> (usize, usize) {
        let segment = (0..self.frames.len())
            .rfind(|segment| self.first_of(*segment) <= seq)
            .unwrap();
        let place = seq - self.first_of(segment);
        (segment, usize::try_from(place).unwrap())
    }

    fn check(&self, segments: &[Vec<u8>]) -> Result<Verified, VerifyError> {
        verify(self.trace, segments, &KEY, Some(self.head))
    }
}

fn fresh(nonce: &mut [u8; 12]) -> [u8; 12] {
    nonce[0] += 1;
    *nonce
}

fn seq_of<T: std::fmt::Debug>(result: Result<T, VerifyError>) -> u64 {
    result.unwrap_err().seq
}

#[test]
fn an_unchanged_trace_verifies_with_and_without_an_anchor() {
    for ended in [false, true] {
        let sample = Sample::new(1, ended);
        let verified = Verified {
            head: sample.head,
            segments: 3,
            torn_tail: false,
        };
        assert_eq!(sample.head.ended, ended);
        assert_eq!(sample.check(&sample.segments()), Ok(verified));
        let bare = verify(sample.trace, &sample.segments(), &KEY, None);
        assert_eq!(bare, Ok(verified));
        let mut lines = 0;
        let mut reader = Verifier::new(sample.trace, &KEY, None).unwrap();
        for (index, bytes) in sample.segments().iter().enumerate() {
            reader
                .segment(bytes, index == 2, |line, value| {
                    lines += 1;
                    assert_eq!(value["seq"], lines);
                    assert_eq!(line.hash, LineHash::of(&line.bytes));
                })
                .unwrap();
        }
        assert_eq!(lines, RECORDS);
    }
}

#[test]
fn every_single_byte_matters() {
    let sample = Sample::new(1, true);
    for (segment, stretch, seq) in sample.stretches() {
        for at in stretch {
            let mut segments = sample.segments();
            segments[segment][at] ^= 1 << (at % 8);
            let found = sample.check(&segments);
            assert_eq!(
                found.as_ref().map_err(|e| e.seq),
                Err(seq),
                "byte {at} of segment {segment}: {found:?}"
            );
        }
    }
}

#[test]
fn a_record_dropped_swapped_or_repeated_is_named() {
    for ended in [false, true] {
        let sample = Sample::new(1, ended);
        for seq in 1..=RECORDS {
            let (segment, place) = sample.place(seq);
            let mut dropped = sample.clone();
            dropped.frames[segment].remove(place);
            assert_eq!(seq_of(sample.check(&dropped.segments())), seq);

            let mut repeated = sample.clone();
            let frame = repeated.frames[segment][place].clone();
            repeated.frames[segment].insert(place, frame);
            assert_eq!(seq_of(sample.check(&repeated.segments())), seq + 1);

            for other in seq + 1..=RECORDS {
                let (to, at) = sample.place(other);
                let mut swapped = sample.clone();
                swapped.frames[segment][place] = sample.frames[to][at].clone();
                swapped.frames[to][at] = sample.frames[segment][place].clone();
                assert_eq!(seq_of(sample.check(&swapped.segments())), seq);
            }
        }
    }
}

#[test]
fn a_moved_record_is_told_from_a_changed_one() {
    let sample = Sample::new(1, false);
    let mut dropped = sample.clone();
    dropped.frames[1].remove(0);
    let error = sample.check(&dropped.segments()).unwrap_err();
    assert_eq!(error.fault, Fault::Frame(FrameError::Displaced(4)));
    let mut changed = sample.clone();
    changed.frames[1][0][40] ^= 1;
    let error = sample.check(&changed.segments()).unwrap_err();
    assert_eq!(error.fault, Fault::Frame(FrameError::Changed));
    assert_eq!(error.to_string(), "record 3 (segment 2): it was changed");
}

#[test]
fn a_segment_dropped_swapped_or_repeated_is_named() {
    for ended in [false, true] {
        let sample = Sample::new(1, ended);
        for segment in 0..3 {
            let mut segments = sample.segments();
            segments.remove(segment);
            assert_eq!(seq_of(sample.check(&segments)), sample.first_of(segment));

            let mut segments = sample.segments();
            segments.insert(segment, segments[segment].clone());
            let next = sample.first_of(segment) + sample.frames[segment].len() as u64;
            assert_eq!(seq_of(sample.check(&segments)), next);

            for other in segment + 1..3 {
                let mut segments = sample.segments();
                segments.swap(segment, other);
                assert_eq!(seq_of(sample.check(&segments)), sample.first_of(segment));
            }
        }
        let none: [Vec<u8>; 0] = [];
        assert_eq!(seq_of(sample.check(&none)), 1);
        assert_eq!(seq_of(verify(sample.trace, &none, &KEY, None)), 1);
    }
}

#[test]
fn another_traces_records_are_refused_though_the_key_is_the_same() {
    let (sample, other) = (Sample::new(1, false), Sample::new(2, false));
    for segment in 0..3 {
        let mut segments = sample.segments();
        segments[segment] = other.segments()[segment].clone();
        let error = sample.check(&segments).unwrap_err();
        assert_eq!(error.seq, sample.first_of(segment));
        let expected = Fault::OtherTrace {
            expected: sample.trace,
            found: other.trace,
        };
        assert_eq!(error.fault, expected);

        let mut mixed = sample.clone();
        mixed.frames[segment] = other.frames[segment].clone();
        assert_eq!(
            seq_of(sample.check(&mixed.segments())),
            sample.first_of(segment)
        );
    }
    let error = verify(sample.trace, &sample.segments(), &KEY, Some(other.head));
    assert_eq!(seq_of(error), 1);
}

#[test]
fn segments_of_one_trace_share_its_salt_and_wrapped_key() {
    let sample = Sample::new(1, false);
    for other in [
        Sample::with(1, false, 8, b"wrapped"),
        Sample::with(1, false, 9, b"another"),
    ] {
        assert_eq!(sample.head, other.head);
        let mut segments = sample.segments();
        segments[1] = other.segments()[1].clone();
        let error = sample.check(&segments).unwrap_err();
        assert_eq!((error.seq, error.fault), (3, Fault::Unconnected));
    }
}

#[test]
fn another_key_opens_nothing() {
    let sample = Sample::new(1, false);
    let error = verify(sample.trace, &sample.segments(), &[8; KEY_LEN], None).unwrap_err();
    assert_eq!(error.fault, Fault::Header(HeaderError::Changed));
}

#[test]
fn a_tail_cut_off_before_the_anchor_is_missing_and_beyond_it_torn() {
    let sample = Sample::new(1, true);
    let short = |records: u64| {
        // The head as it was when `records` were durable.
        let mut verifier = Verifier::new(sample.trace, &KEY, None).unwrap();
        let mut head = Head::genesis(sample.trace);
        for (index, bytes) in sample.segments().iter().enumerate() {
            verifier
                .segment(bytes, index == 2, |line, _| {
                    if line.seq == records {
                        head.records = line.seq;
                        head.hash = line.hash;
                        head.ended = line.seq == RECORDS;
                    }
                })
                .unwrap();
        }
        head
    };
    for (segment, stretch, seq) in sample.stretches() {
        for at in stretch.clone() {
            let mut segments = sample.segments();
            segments.truncate(segment + 1);
            segments[segment].truncate(at);
            assert_eq!(seq_of(sample.check(&segments)), seq, "{at}");
            let found = verify(sample.trace, &segments, &KEY, Some(short(seq - 1))).unwrap();
            assert_eq!(found.head, short(seq - 1));
            let whole = at == stretch.start && at > 0;
            assert_eq!(found.torn_tail, !whole, "{at}");
        }
    }
}

#[test]
fn zeros_after_a_crash_are_a_torn_tail_and_anything_else_is_not() {
    let sample = Sample::new(1, false);
    let mut segments = sample.segments();
    segments[2].extend([0; 100]);
    assert!(sample.check(&segments).unwrap().torn_tail);
    segments[2].extend([1; 100]);
    assert_eq!(seq_of(sample.check(&segments)), RECORDS + 1);
    let mut segments = sample.segments();
    segments[1].extend([0; 100]);
    assert_eq!(seq_of(sample.check(&segments)), sample.first_of(2));
}

#[test]
fn nothing_may_follow_the_end_of_the_session() {
    let sample = Sample::new(1, true);
    for tail in [&[0_u8; 3][..], &[1], &[0, 0, 0, 200, 1]] {
        let mut segments = sample.segments();
        segments[2].extend(tail);
        let error = sample.check(&segments).unwrap_err();
        assert_eq!((error.seq, error.fault), (RECORDS + 1, Fault::AfterEnd));
    }
}

#[test]
fn a_trace_rewritten_with_its_key_shows_against_the_anchor() {
    let sample = Sample::new(1, false);
    for records in 1..=RECORDS {
        let anchor = Head {
            records,
            hash: LineHash([1; 32]),
            ..sample.head
        };
        let error = verify(sample.trace, &sample.segments(), &KEY, Some(anchor)).unwrap_err();
        assert_eq!(error.seq, records);
        assert!(matches!(error.fault, Fault::Anchor { .. }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_put_anywhere_are_noticed(
        segment in 0..3_usize, at in any::<prop::sample::Index>(),
        cut in 0..40_usize, put in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let sample = Sample::new(1, true);
        let mut segments = sample.segments();
        let at = at.index(segments[segment].len());
        let end = (at + cut).min(segments[segment].len());
        segments[segment].splice(at..end, put);
        prop_assume!(segments != sample.segments());
        let error = sample.check(&segments).unwrap_err();
        let affected = sample.stretches().into_iter()
            .find(|(s, stretch, _)| *s == segment && stretch.contains(&at)).unwrap().2;
        // Bytes that are as they were may stand before the first that is not.
        prop_assert!(error.seq >= affected, "{} < {affected}", error.seq);
    }

    #[test]
    fn hostile_segments_never_do_more_than_fail(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let trace = TraceId::from_uuid(Uuid::from_u128(1));
        let genuine = Sample::new(1, false).headers[0].clone();
        let spliced: Vec<u8> = genuine.iter().copied().chain(bytes.iter().copied()).collect();
        prop_assume!(!bytes.is_empty());
        prop_assert!(verify(trace, &[bytes], &KEY, None).map_or(true, |v| v.head.records == 0));
        prop_assert!(verify(trace, &[spliced], &KEY, None).map_or(true, |v| v.head.records == 0));
    }
}
