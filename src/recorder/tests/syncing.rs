//! When what is recorded is in the file, and when on disk.

use super::*;

// What a broker wrote before it was killed is read back, though nothing made it
// durable yet.
#[tokio::test]
async fn what_nobody_waits_for_is_in_the_file_before_it_is_on_disk() {
    let dir = TempDir::new().unwrap();
    let settings = Settings {
        sync: Duration::from_mins(10),
        ..Settings::default()
    };
    let recorders = Recorders::new(dir.path().to_owned(), settings).unwrap();
    let recorder = recorders.create(trace(1), key()).unwrap();
    for n in 1..=3 {
        recorder.record(samples::navigation(n)).unwrap();
        let written = async {
            while read(dir.path(), 1, None).records.len() < usize::try_from(n).unwrap() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), written)
            .await
            .unwrap();
    }
    assert_eq!(recorder.head().records, 0);
    // Waiting for one brings the writer out of that, with nothing new to write.
    tokio::time::timeout(Duration::from_secs(20), recorder.durable(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(recorder.head().records, 3);
    assert!(read(dir.path(), 1, Some(recorder.head())).outcome.is_ok());
}

#[tokio::test]
async fn what_nobody_waits_for_becomes_durable_by_itself() {
    let dir = TempDir::new().unwrap();
    let recorders = Recorders::new(dir.path().to_owned(), Settings::default()).unwrap();
    let (one, other) = (
        recorders.create(trace(1), key()).unwrap(),
        recorders.create(trace(2), key()).unwrap(),
    );
    // The other's hurry is not this one's.
    one.record(samples::navigation(1)).unwrap();
    other.record_durably(samples::navigation(1)).await.unwrap();
    let durable = async {
        while one.head().records == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), durable)
        .await
        .unwrap();
}
