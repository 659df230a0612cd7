//! Canaries that count what arrives, a book of records, and a raw client.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    time::timeout,
};
use uuid::Uuid;

use crate::{
    broker::lease::{Lease, Leases},
    clock::Clock,
    egress::{
        Connection, ConnectionLog, Egress, Ended, Gate, Limits, Listener, RecordUnavailable,
        Resolver,
    },
    model::{
        action::Rule,
        delegation::{LiveWindow, Window},
        id::{AgentId, DelegationId, PersonId},
    },
    policy::Authority,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Awaits with a bound that only a broken build reaches.
pub(super) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it never came")
}

// === canary ===

/// A server that counts and echoes.
pub(super) struct Canary {
    pub(super) address: SocketAddr,
    pub(super) seen: Arc<Seen>,
}

#[derive(Default)]
pub(super) struct Seen {
    pub(super) connections: AtomicUsize,
    pub(super) bytes: AtomicUsize,
    ended: AtomicUsize,
    change: Notify,
}

impl Canary {
    /// Echoes whatever comes, after saying `first` unasked.
    pub(super) async fn echo_on(ip: &str, port: u16, first: &'static [u8]) -> Self {
        let listener = TcpListener::bind((ip, port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let shared = seen.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let seen = shared.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65_536];
                    let _ = socket.write_all(first).await;
                    while let Ok(read @ 1..) = socket.read(&mut buffer).await {
                        seen.bytes.fetch_add(read, Ordering::SeqCst);
                        if socket.write_all(&buffer[..read]).await.is_err() {
                            break;
                        }
                    }
                    seen.ended.fetch_add(1, Ordering::SeqCst);
                    seen.change.notify_waiters();
                });
            }
        });
        Self { address, seen }
    }

    pub(super) async fn echo() -> Self {
        Self::echo_on("127.0.0.1", 0, b"").await
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub(super) fn bytes(&self) -> usize {
        self.seen.bytes.load(Ordering::SeqCst)
    }

    /// Waits until that many connections have ended here.
    pub(super) async fn until_ended(&self, count: usize) {
        soon(async {
            loop {
                let change = self.seen.change.notified();
                if self.seen.ended.load(Ordering::SeqCst) >= count {
                    return;
                }
                change.await;
            }
        })
        .await;
    }
}

// === records ===

/// Keeps records; can refuse them, or make the proxy wait for them.
#[derive(Debug)]
pub(super) struct Book {
    connections: Mutex<Vec<Connection>>,
    ended: Mutex<Vec<Ended>>,
    change: Notify,
    pub(super) broken: AtomicBool,
    /// One permit for each record that may be made.
    pub(super) pace: Semaphore,
}

impl Book {
    pub(super) fn new() -> Arc<Self> {
        Self::paced(Semaphore::MAX_PERMITS)
    }

    pub(super) fn paced(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            connections: Mutex::default(),
            ended: Mutex::default(),
            change: Notify::new(),
            broken: AtomicBool::new(false),
            pace: Semaphore::new(permits),
        })
    }

    pub(super) fn connections(&self) -> Vec<Connection> {
        self.connections.lock().unwrap().clone()
    }

    /// The rules that refused, in order.
    pub(super) fn rules(&self) -> Vec<Rule> {
        self.connections()
            .iter()
            .filter_map(|c| c.refusal.as_ref().map(|refusal| refusal.rule))
            .collect()
    }

    /// The ends on record, once there are that many.
    pub(super) async fn ended(&self, count: usize) -> Vec<Ended> {
        self.until(|book| book.ended.lock().unwrap().len() >= count)
            .await;
        self.ended.lock().unwrap().clone()
    }

    /// How many ends are on record this instant.
    pub(super) fn ended_by_now(&self) -> usize {
        self.ended.lock().unwrap().len()
    }

    /// Waits for that many records of connections.
    pub(super) async fn until_connections(&self, count: usize) {
        self.until(|book| book.connections().len() >= count).await;
    }

    async fn until(&self, reached: impl Fn(&Self) -> bool) {
        soon(async {
            loop {
                let change = self.change.notified();
                if reached(self) {
                    return;
                }
                change.await;
            }
        })
        .await;
    }
}

impl ConnectionLog for Book {
    fn connection(&self, connection: Connection) -> BoxFuture<'_, Result<(), RecordUnavailable>> {
        Box::pin(async move {
            self.connections.lock().unwrap().push(connection);
            self.change.notify_waiters();
            self.pace.acquire().await.unwrap().forget();
            if self.broken.load(Ordering::SeqCst) {
                Err(RecordUnavailable)
            } else {
                Ok(())
            }
        })
    }

    fn ended(&self, ended: Ended) {
        self.ended.lock().unwrap().push(ended);
        self.change.notify_waiters();
    }
}

// === session ===

/// One session: a listener with its leases and its book.
pub(super) struct Session {
    pub(super) listener: Listener,
    pub(super) book: Arc<Book>,
}

pub(super) const HOUR: Duration = Duration::from_hours(1);

/// A lease of `scope`, open from now on for `length`.
pub(super) fn lease(scope: Value, length: Duration) -> Arc<Lease> {
    let now = Clock.now();
    let live = LiveWindow {
        window: Window {
            start: now.wall,
            end: now.wall.saturating_add(length),
        },
        opens: now.boot,
        closes: now.boot.saturating_add(length),
    };
    Arc::new(Lease::new(
        DelegationId::from_uuid(Uuid::new_v4()),
        PersonId::from_uuid(Uuid::from_u128(1)),
        PersonId::from_uuid(Uuid::from_u128(2)),
        serde_json::from_value(scope).unwrap(),
        live,
        Vec::new(),
    ))
}

pub(super) fn origins(origins: &[String]) -> Value {
    json!({ "origins": origins })
}

/// Short limits where a test waits for them, long ones elsewhere.
pub(super) fn limits() -> Limits {
    Limits {
        first_bytes: PATIENCE,
        header: PATIENCE,
        half_open: PATIENCE,
        ..Limits::default()
    }
}

pub(super) fn hosts(table: &[(&str, &[&str])]) -> Resolver {
    let table = table
        .iter()
        .map(|(name, addresses)| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
            ((*name).to_owned(), addresses)
        })
        .collect();
    Resolver::new(table).unwrap()
}

impl Session {
    pub(super) async fn over(egress: &Egress, leases: Vec<Arc<Lease>>) -> Self {
        Self::recorded(egress, leases, Book::new()).await
    }

    pub(super) async fn recorded(
        egress: &Egress,
        leases: Vec<Arc<Lease>>,
        book: Arc<Book>,
    ) -> Self {
        let listener = egress.listen().await.unwrap();
        let held = Arc::new(Leases::default());
        for lease in leases {
            held.add(lease);
        }
        assert!(listener.open(Gate {
            leases: held,
            authority: authority(),
            record: book.clone(),
            clock: Clock,
        }));
        Self { listener, book }
    }

    /// A session whose one lease covers these origins, for an hour.
    pub(super) async fn covering(list: &[String]) -> Self {
        let egress = Egress::new(hosts(&[]), limits());
        Self::over(&egress, vec![lease(origins(list), HOUR)]).await
    }

    pub(super) async fn connect(&self, authority: &str) -> Reply {
        connect(self.listener.port(), authority).await
    }
}

// === client ===

/// What the proxy answered, and the socket after it.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) socket: TcpStream,
}

impl Reply {
    /// The body, to the end of the connection.
    pub(super) async fn body(mut self) -> String {
        let mut body = Vec::new();
        soon(self.socket.read_to_end(&mut body)).await.unwrap();
        String::from_utf8(body).unwrap()
    }

    pub(super) async fn problem(self) -> Value {
        serde_json::from_str(&self.body().await).unwrap()
    }
}

pub(super) async fn connect(port: u16, authority: &str) -> Reply {
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    send(port, request.as_bytes()).await
}

/// Sends raw bytes and reads the head of the answer.
pub(super) async fn send(port: u16, bytes: &[u8]) -> Reply {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let (status, head) = head(&mut socket).await;
    Reply {
        status,
        head,
        socket,
    }
}

/// Reads the head of an HTTP message: status (0 for a request) and text.
pub(super) async fn head(socket: &mut TcpStream) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match soon(socket.read_u8()).await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    (status.unwrap_or(0), head)
}

/// Sends and expects the same back.
pub(super) async fn echoes(socket: &mut TcpStream, bytes: &[u8]) {
    socket.write_all(bytes).await.unwrap();
    let mut back = vec![0; bytes.len()];
    soon(socket.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, bytes);
}

/// Whatever still comes until the socket ends, by EOF or by reset.
pub(super) async fn rest(socket: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = soon(socket.read(&mut buffer)).await {
        all.extend(&buffer[..read]);
    }
    all
}

/// An agent under the policies that ship.
pub(super) fn authority() -> Authority {
    Authority::shipped(AgentId::from_uuid(Uuid::from_u128(1))).unwrap()
}
