use std::io::Write;

use proptest::prelude::*;

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn pair() -> (PipeReader, PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    (
        PipeReader::new(reader.into()).unwrap(),
        PipeWriter::new(writer.into()).unwrap(),
    )
}

// Writes the pieces as they are, each with a write call of its own.
fn reader_of(pieces: Vec<Vec<u8>>) -> PipeReader {
    let (reader, mut writer) = io::pipe().unwrap();
    std::thread::spawn(move || {
        for piece in pieces {
            if writer.write_all(&piece).is_err() {
                return;
            }
        }
    });
    PipeReader::new(reader.into()).unwrap()
}

async fn all(reader: &mut PipeReader) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while let Some(message) = reader.next().await.unwrap() {
        messages.push(message);
    }
    messages
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_sent_arrives_in_order_however_it_is_cut(
        messages in prop::collection::vec(prop::collection::vec(1_u8..=255, 0..300), 0..20),
        cut in 1_usize..400,
    ) {
        let wire: Vec<u8> = messages
            .iter()
            .flat_map(|m| m.iter().copied().chain([0]))
            .collect();
        runtime().block_on(async {
            let mut reader = reader_of(wire.chunks(cut).map(<[u8]>::to_vec).collect());
            assert_eq!(all(&mut reader).await, messages);
        });
    }
}

#[test]
fn long_and_short_messages_mix() {
    runtime().block_on(async {
        let (mut reader, mut writer) = pair();
        let long = vec![b'x'; 9 << 20];
        let sent = long.clone();
        let sending = tokio::spawn(async move {
            writer.feed(b"{}").unwrap();
            writer.feed(b"").unwrap();
            writer.send(&sent).await.unwrap();
            writer.send(b"last").await.unwrap();
        });
        assert_eq!(all(&mut reader).await, [&b"{}"[..], b"", &long, b"last"]);
        sending.await.unwrap();
        // Nothing but its own small tail is kept after a long message.
        assert!(reader.buffer.capacity() <= KEEP * 2);
    });
}

#[test]
fn a_message_over_the_limit_is_refused_before_it_ends() {
    runtime().block_on(async {
        let mut reader = reader_of(vec![vec![b'x'; 4 << 20]]);
        reader.limit = 1 << 20;
        assert!(matches!(reader.next().await, Err(PipeError::TooLong)));
    });
}

#[test]
fn an_end_inside_a_message_is_an_error_and_between_messages_is_not() {
    runtime().block_on(async {
        let mut whole = reader_of(vec![b"a\0".to_vec()]);
        assert_eq!(all(&mut whole).await, ["a"]);
        let mut torn = reader_of(vec![b"a\0b".to_vec()]);
        assert_eq!(torn.next().await.unwrap().unwrap(), "a");
        assert!(matches!(torn.next().await, Err(PipeError::Torn)));
    });
}

#[test]
fn a_nul_inside_a_message_is_refused_and_nothing_of_it_is_sent() {
    runtime().block_on(async {
        let (mut reader, mut writer) = pair();
        assert!(matches!(
            writer.send(b"{\"id\":1}\0{\"id\":2}").await,
            Err(PipeError::NulInside)
        ));
        writer.send(b"ok").await.unwrap();
        drop(writer);
        assert_eq!(all(&mut reader).await, ["ok"]);
    });
}

#[test]
fn cancelling_a_read_or_a_write_loses_nothing() {
    runtime().block_on(async {
        let (mut reader, mut writer) = pair();
        let long = vec![b'y'; 6 << 20];
        writer.feed(&long).unwrap();
        // The pipe is smaller than the message, so this cannot finish.
        tokio::select! {
            biased;
            _ = writer.flush() => panic!("a pipe took more than it holds"),
            () = tokio::task::yield_now() => {}
        }
        tokio::select! {
            biased;
            _ = reader.next() => panic!("half a message is no message"),
            () = tokio::task::yield_now() => {}
        }
        let (written, read) = tokio::join!(writer.flush(), reader.next());
        written.unwrap();
        assert_eq!(read.unwrap().unwrap(), long);
    });
}
