use std::{fs, path::Path};

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::{
    model::secret::Secret,
    recorder::read::{KeyError, ReadError, Reading},
    trace::{
        chain::Head,
        record::{Draft, Event, samples},
        segment::Segment,
        verify::{Fault, VerifyError},
    },
};

mod failing;
mod syncing;

const KEY: [u8; 32] = [5; 32];
const WRAPPED: &[u8] = b"as the vault wrapped it";

fn trace(n: u128) -> TraceId {
    TraceId::from_uuid(Uuid::from_u128(n))
}

fn key() -> TraceKey {
    TraceKey {
        key: KEY.into(),
        wrapped: WRAPPED.to_vec(),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that readers ask for")]
fn open_key(wrapped: &[u8]) -> Result<Key, KeyError> {
    assert_eq!(wrapped, WRAPPED);
    Ok(KEY.into())
}

fn small() -> Settings {
    Settings {
        segment_bytes: 2048,
        ..Settings::default()
    }
}

fn read(dir: &Path, number: u128, anchor: Option<Head>) -> Reading {
    read::read(dir, trace(number), open_key, anchor).unwrap()
}

fn urls(reading: &Reading) -> Vec<&str> {
    reading
        .records
        .iter()
        .filter_map(|(_, value)| value["event"]["url"].as_str())
        .collect()
}

fn segment_file(dir: &Path, number: u128, segment: u32) -> std::path::PathBuf {
    file::segment_path(&dir.join(trace(number).to_string()), segment)
}

#[tokio::test]
async fn what_is_recorded_is_read_back_over_many_segments() {
    let dir = TempDir::new().unwrap();
    let recorders = Recorders::new(dir.path().join("traces"), small()).unwrap();
    let dir = dir.path().join("traces");
    let recorder = recorders.create(trace(1), key()).unwrap();
    for n in 1..=20 {
        let ticket = recorder.record(samples::navigation(n)).unwrap();
        assert_eq!(ticket, u64::from(n));
    }
    let last = recorder.record_durably(samples::end()).await.unwrap();
    assert_eq!(last, 21);
    let ended = recorder.record(samples::navigation(1));
    assert_eq!(ended, Err(RecordError::Ended));
    let head = recorder.finish().await.unwrap();
    assert_eq!((head.records, head.ended), (21, true));
    assert_eq!(recorder.finish().await, Ok(head));
    assert_eq!(recorder.head(), head);

    let reading = read(&dir, 1, Some(head));
    let verified = reading.outcome.clone().unwrap();
    assert_eq!(verified.head, head);
    assert!(verified.segments > 3 && !verified.torn_tail, "{verified:?}");
    let expected: Vec<String> = (1..=20).map(|n| format!("https://a.test/{n}")).collect();
    assert_eq!(urls(&reading), expected);
    assert_eq!(read::list(&dir).unwrap(), [trace(1)]);
    assert_eq!(
        read::verify(&dir, trace(1), open_key, Some(head)).unwrap(),
        verified
    );
    for segment in 1..=verified.segments {
        let len = fs::metadata(segment_file(&dir, 1, segment)).unwrap().len();
        assert!(len <= 2048, "{len}");
    }
}

#[tokio::test]
async fn nothing_on_disk_tells_what_was_recorded() {
    let dir = TempDir::new().unwrap();
    let recorders = Recorders::new(dir.path().to_owned(), Settings::default()).unwrap();
    let recorder = recorders.create(trace(1), key()).unwrap();
    recorder
        .record_durably(samples::navigation(1))
        .await
        .unwrap();
    let bytes = fs::read(segment_file(dir.path(), 1, 1)).unwrap();
    for text in [&b"a.test"[..], b"navigation", &KEY[..8]] {
        assert!(!bytes.windows(text.len()).any(|part| part == text));
    }
    let secret = Secret::new("value".into());
    let digest = recorder.digest(&secret);
    let segment = Segment::open(&bytes, &KEY).unwrap();
    assert_eq!(digest, segment.salt().digest(b"value"));
    let other = recorders.create(trace(2), key()).unwrap();
    assert_ne!(digest, other.digest(&secret));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_record_into_many_traces_and_each_keeps_its_order() {
    let dir = TempDir::new().unwrap();
    let recorders = Recorders::new(dir.path().to_owned(), small()).unwrap();
    let traces: Vec<Recorder> = (0..4)
        .map(|n| recorders.create(trace(n), key()).unwrap())
        .collect();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16_u32 {
        let recorder = traces[task as usize % 4].clone();
        tasks.spawn(async move {
            let mut tickets = Vec::new();
            for n in 0..25 {
                let ticket = recorder
                    .record(samples::navigation(task * 100 + n))
                    .unwrap();
                tickets.push((ticket, format!("https://a.test/{}", task * 100 + n)));
                match n % 5 {
                    0 => recorder.durable(ticket).await.unwrap(),
                    _ => tokio::task::yield_now().await,
                }
            }
            (task % 4, tickets)
        });
    }
    let tickets = tasks.join_all().await;
    for (number, recorder) in traces.into_iter().enumerate() {
        let finishing = tokio::spawn(async move { recorder.finish().await });
        let head = finishing.await.unwrap().unwrap();
        assert_eq!(head.records, 100);
        let reading = read(dir.path(), number as u128, Some(head));
        assert_eq!(reading.outcome.as_ref().unwrap().head, head);
        let urls = urls(&reading);
        for (of, tickets) in &tickets {
            for (ticket, url) in tickets.iter().filter(|_| *of as usize == number) {
                assert_eq!(urls[usize::try_from(*ticket).unwrap() - 1], url);
            }
        }
    }
}

#[tokio::test]
async fn a_trace_can_be_read_while_it_is_written() {
    let dir = TempDir::new().unwrap();
    let recorders = Recorders::new(dir.path().to_owned(), small()).unwrap();
    let recorder = recorders.create(trace(1), key()).unwrap();
    let writer = tokio::spawn({
        let recorder = recorder.clone();
        async move {
            for n in 0..200 {
                recorder
                    .record_durably(samples::navigation(n))
                    .await
                    .unwrap();
            }
        }
    });
    while !writer.is_finished() {
        let anchor = recorder.head();
        let reading = read(dir.path(), 1, Some(anchor));
        let verified = reading.outcome.unwrap();
        assert!(verified.head.records >= anchor.records);
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    assert_eq!(recorder.head().records, 200);
}

#[tokio::test]
async fn a_crash_in_the_last_frame_leaves_all_before_it() {
    let dir = TempDir::new().unwrap();
    let recorders = Recorders::new(dir.path().to_owned(), Settings::default()).unwrap();
    let recorder = recorders.create(trace(1), key()).unwrap();
    for n in 1..=3 {
        recorder
            .record_durably(samples::navigation(n))
            .await
            .unwrap();
    }
    let anchor = recorder.head();
    let path = segment_file(dir.path(), 1, 1);
    let before = fs::metadata(&path).unwrap().len();
    recorder
        .record_durably(samples::navigation(4))
        .await
        .unwrap();
    let head = recorder.finish().await.unwrap();
    let after = fs::metadata(&path).unwrap().len();
    assert!(before < after);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for len in (before..after).rev() {
        file.set_len(len).unwrap();
        let verified = read(dir.path(), 1, Some(anchor)).outcome.unwrap();
        assert_eq!(verified.head, anchor);
        assert_eq!(verified.torn_tail, len > before);
        // Had the fourth been told to be durable, its loss would be an error.
        let reading = read(dir.path(), 1, Some(head));
        assert_eq!(reading.records.len(), 3);
        assert_eq!(reading.outcome.unwrap_err().seq, 4);
    }
}

#[tokio::test]
async fn a_segment_file_lost_renamed_or_swapped_is_noticed() {
    let dir = TempDir::new().unwrap();
    let recorders = Recorders::new(dir.path().to_owned(), small()).unwrap();
    let recorder = recorders.create(trace(1), key()).unwrap();
    for n in 0..30 {
        recorder.record(samples::navigation(n)).unwrap();
    }
    let head = recorder.finish().await.unwrap();
    let path = |segment| segment_file(dir.path(), 1, segment);
    let fault = || match read::verify(dir.path(), trace(1), open_key, Some(head)) {
        Err(ReadError::Verify(VerifyError { segment, fault, .. })) => (segment, fault),
        other => panic!("{other:?}"),
    };
    fs::rename(path(2), dir.path().join("aside")).unwrap();
    assert_eq!(fault(), (2, Fault::Displaced { found: 3 }));
    fs::copy(path(3), path(2)).unwrap();
    assert_eq!(fault(), (2, Fault::Displaced { found: 3 }));
    fs::rename(dir.path().join("aside"), path(2)).unwrap();
    read::verify(dir.path(), trace(1), open_key, Some(head)).unwrap();
    let missing = read::verify(dir.path(), trace(9), open_key, None);
    assert!(matches!(missing, Err(ReadError::NoSuchTrace(_))));
}

#[tokio::test]
async fn a_trace_is_never_continued() {
    let dir = TempDir::new().unwrap();
    let recorders = Recorders::new(dir.path().to_owned(), small()).unwrap();
    let recorder = recorders.create(trace(1), key()).unwrap();
    recorder
        .record_durably(samples::navigation(1))
        .await
        .unwrap();
    let again = recorders.create(trace(1), key()).unwrap_err();
    assert_eq!(again, RecordError::Exists(trace(1)));
    recorder
        .record_durably(samples::navigation(2))
        .await
        .unwrap();
    assert_eq!(read(dir.path(), 1, None).records.len(), 2);
    let key = TraceKey {
        wrapped: vec![0; 5000],
        ..key()
    };
    let refused = recorders.create(trace(2), key).unwrap_err();
    assert_eq!(refused, RecordError::Wrapped(5000));
}

#[tokio::test]
async fn a_full_queue_refuses_and_takes_nothing() {
    for settings in [
        Settings {
            queue_records: 3,
            window: Duration::from_mins(10),
            ..small()
        },
        Settings {
            queue_bytes: 4000,
            window: Duration::from_mins(10),
            ..small()
        },
    ] {
        let dir = TempDir::new().unwrap();
        let recorders = Recorders::new(dir.path().to_owned(), settings).unwrap();
        let recorder = recorders.create(trace(1), key()).unwrap();
        recorder.record(samples::navigation(1)).unwrap();
        assert!(!recorder.is_behind());
        for n in 2..=3 {
            recorder.record(samples::navigation(n)).unwrap();
        }
        assert!(recorder.is_behind());
        let refused = recorder.record(samples::end());
        assert_eq!(refused, Err(RecordError::Backlog));
        let no_such = recorder.durable(4).await;
        assert_eq!(no_such, Err(RecordError::NoSuchRecord(4)));
        // Waiting for one brings the writer out of its long window.
        recorder.room().await;
        assert!(!recorder.is_behind());
        recorder.durable(3).await.unwrap();
        assert_eq!(recorder.record_durably(samples::end()).await, Ok(4));
    }
}

#[tokio::test]
async fn closing_writes_what_was_recorded_and_then_takes_nothing() {
    let dir = TempDir::new().unwrap();
    let settings = Settings {
        window: Duration::from_mins(10),
        ..small()
    };
    let recorders = Recorders::new(dir.path().to_owned(), settings).unwrap();
    let recorder = recorders.create(trace(1), key()).unwrap();
    let finished = recorders.create(trace(2), key()).unwrap();
    finished.finish().await.unwrap();
    recorder.record(samples::navigation(1)).unwrap();
    recorders.close();
    assert_eq!(recorder.head().records, 1);
    recorder.durable(1).await.unwrap();
    assert_eq!(recorder.failed().await, Failure::Closed);
    let refused = Err(RecordError::Failed(Failure::Closed));
    assert_eq!(recorder.record(samples::end()), refused);
    assert!(!finished.is_failed());
    assert_eq!(finished.record(samples::end()), Err(RecordError::Ended));
    assert_eq!(recorders.create(trace(3), key()).err(), refused.err());
    assert_eq!(read(dir.path(), 1, None).records.len(), 1);
}

#[tokio::test]
async fn a_dropped_recorder_leaves_its_records() {
    let dir = TempDir::new().unwrap();
    let recorders = Recorders::new(dir.path().to_owned(), small()).unwrap();
    let recorder = recorders.create(trace(1), key()).unwrap();
    let mut heads = recorder.heads();
    recorder.record(samples::navigation(1)).unwrap();
    drop(recorder);
    while !heads.moved().1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(heads.head().records, 1);
    assert_eq!(read(dir.path(), 1, None).records.len(), 1);
}

#[tokio::test]
async fn too_long_a_list_is_refused_before_anything_is_promised() {
    let dir = TempDir::new().unwrap();
    let recorders = Recorders::new(dir.path().to_owned(), small()).unwrap();
    let recorder = recorders.create(trace(1), key()).unwrap();
    let draft = Draft {
        event: Event::Injection {
            request: "1".into(),
            cookies: vec![samples::cookie("sid"); 1000],
        },
        ..samples::end()
    };
    let refused = recorder.record(draft);
    assert!(matches!(refused, Err(RecordError::TooLong(_))));
    assert_eq!(recorder.record_durably(samples::end()).await, Ok(1));
}
