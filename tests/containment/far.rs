//! The far side: a TCP and a UDP port for each row, so that a bare connection
//! or datagram tells which row it came from.

use std::{
    collections::BTreeSet,
    net::Ipv6Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
    sync::Notify,
    task::JoinSet,
    time,
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\n\
    content-type: text/plain\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

#[derive(Debug)]
pub struct Far {
    /// What the names of its hosts end in.
    pub below: &'static str,
    ports: Vec<u16>,
    seen: Arc<Seen>,
    /// Ends with the value.
    _serving: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    rows: Mutex<BTreeSet<usize>>,
    came: Notify,
}

impl Far {
    /// Ports on all addresses of IPv4 and IPv6, for this many rows.
    pub async fn start(rows: usize) -> Self {
        Self::start_below("localhost", rows).await
    }

    /// The same by other names.
    pub async fn start_below(below: &'static str, rows: usize) -> Self {
        let seen = Arc::new(Seen::default());
        let mut serving = JoinSet::new();
        let mut ports = Vec::new();
        while ports.len() < rows {
            let row = ports.len();
            let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            // Another program may hold the datagram port of that number.
            let Ok(datagrams) = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).await else {
                continue;
            };
            ports.push(port);
            let sink = Arc::clone(&seen);
            serving.spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    sink.add(row);
                    tokio::spawn(async move {
                        let mut head = [0; 4096];
                        if stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                            stream.write_all(ANSWER).await.ok();
                        }
                    });
                }
            });
            let sink = Arc::clone(&seen);
            serving.spawn(async move {
                while datagrams.recv_from(&mut [0; 2048]).await.is_ok() {
                    sink.add(row);
                }
            });
        }
        Self {
            below,
            ports,
            seen,
            _serving: serving,
        }
    }

    pub fn port(&self, row: usize) -> u16 {
        self.ports[row]
    }

    /// The rows that arrived, once they are this many or the time is over.
    pub async fn until(&self, enough: usize, limit: Duration) -> BTreeSet<usize> {
        let waiting = async {
            loop {
                let came = self.seen.came.notified();
                if self.seen.rows.lock().unwrap().len() >= enough {
                    return;
                }
                came.await;
            }
        };
        time::timeout(limit, waiting).await.ok();
        self.seen.rows.lock().unwrap().clone()
    }
}

impl Seen {
    fn add(&self, row: usize) {
        self.rows.lock().unwrap().insert(row);
        self.came.notify_waiters();
    }
}
