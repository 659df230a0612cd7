//! The name server of tests that have names of their own: it counts what it is
//! asked, and answers that every name is this machine.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Notify,
    task::JoinSet,
    time,
};

/// Where it listens, by datagram and by stream.
pub const ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 53);

const HEADER: usize = 12;
/// The type of questions for an IPv4 address.
const A: u16 = 1;

#[derive(Debug)]
pub struct Dns {
    seen: Arc<Seen>,
    /// Ends with the value.
    _serving: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    names: Mutex<BTreeSet<String>>,
    came: Notify,
}

impl Dns {
    pub async fn start() -> Self {
        let seen = Arc::new(Seen::default());
        let datagrams = UdpSocket::bind(ADDRESS).await.unwrap();
        let listener = TcpListener::bind(ADDRESS).await.unwrap();
        let mut serving = JoinSet::new();
        let sink = Arc::clone(&seen);
        serving.spawn(async move {
            let mut message = [0; 4096];
            while let Ok((length, from)) = datagrams.recv_from(&mut message).await {
                if let Some(answer) = sink.answer(&message[..length]) {
                    datagrams.send_to(&answer, from).await.ok();
                }
            }
        });
        let sink = Arc::clone(&seen);
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&sink)));
            }
        });
        Self {
            seen,
            _serving: serving,
        }
    }

    /// The names that were asked for, once they are enough or the time is over.
    pub async fn until(
        &self,
        enough: impl Fn(&BTreeSet<String>) -> bool,
        limit: Duration,
    ) -> BTreeSet<String> {
        let waiting = async {
            loop {
                let came = self.seen.came.notified();
                if enough(&self.seen.names.lock().unwrap()) {
                    return;
                }
                came.await;
            }
        };
        time::timeout(limit, waiting).await.ok();
        self.seen.names.lock().unwrap().clone()
    }

    /// Forgets what it was asked so far.
    pub fn reset(&self) {
        self.seen.names.lock().unwrap().clear();
    }
}

impl Seen {
    /// Counts the question; what is no question has no answer.
    fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let (name, kind, end) = question(message)?;
        self.names.lock().unwrap().insert(name);
        self.came.notify_waiters();
        let addresses = u8::from(kind == A);
        let mut answer = message[..2].to_vec();
        // An answer without error; counts of questions, answers and the rest.
        answer.extend([0x81, 0x80, 0, 1, 0, addresses, 0, 0, 0, 0]);
        answer.extend(&message[HEADER..end]);
        if kind == A {
            // The name above, type A of the Internet, for no time, four bytes.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
        }
        Some(answer)
    }
}

/// A message's first question: its name in small letters without the labels that
/// tell of a service (`_443._https`), its type, and where it ends.
fn question(message: &[u8]) -> Option<(String, u16, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // Longer ones are pointers, which questions have no use for.
        let label = message.get(at..at + length).filter(|_| length < 64)?;
        if !label.starts_with(b"_") {
            labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        }
        at += length;
    }
    let end = at + 4;
    let [high, low, ..] = *message.get(at..end)? else {
        return None;
    };
    Some((labels.join("."), u16::from_be_bytes([high, low]), end))
}

async fn serve(mut stream: TcpStream, seen: Arc<Seen>) {
    while let Ok(length) = stream.read_u16().await {
        let mut message = vec![0; length.into()];
        if stream.read_exact(&mut message).await.is_err() {
            return;
        }
        let Some(answer) = seen.answer(&message) else {
            return;
        };
        let length = u16::try_from(answer.len()).unwrap();
        let whole = [&length.to_be_bytes()[..], &answer].concat();
        if stream.write_all(&whole).await.is_err() {
            return;
        }
    }
}
