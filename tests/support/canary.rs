//! Servers on loopback that count what reaches them: HTTP with programmable
//! routes and a WebSocket echo, and bare TCP.

use std::{
    convert::Infallible,
    future::Future,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{self, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::Notify, time};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};
use tokio_util::task::AbortOnDropHandle;

/// One request that arrived.
#[derive(Debug, Clone)]
pub struct Hit {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Its sender had closed or reset the connection before this was read: it
    /// lay here already by then, however late this server came to it.
    pub lay: bool,
}

pub type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;
type Routes = dyn Fn(&Hit) -> Reply + Send + Sync;

/// Longest time to wait for a request.
const LIMIT: Duration = Duration::from_secs(20);
/// Between two pieces of an endless answer.
const PACE: Duration = Duration::from_millis(20);

/// An HTTP server that remembers each request. A WebSocket handshake on any
/// path is a hit too, and what is then sent is echoed.
#[derive(Debug)]
pub struct Canary {
    pub address: SocketAddr,
    seen: Arc<Seen>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    hits: Mutex<Vec<Hit>>,
    came: Notify,
    connections: AtomicUsize,
    /// Connections that are there now.
    connected: AtomicUsize,
    /// Sockets and endless answers that are open.
    open: Mutex<Vec<(usize, Hit)>>,
    next: AtomicUsize,
}

/// Marks an answer that does not end by itself.
#[derive(Debug, Clone, Copy)]
struct Endless;

/// Marks an answer that is held back.
#[derive(Debug, Clone, Copy)]
struct After(Duration);

/// Counts a connection for as long as it lives.
struct Connected(Arc<Seen>);

/// Counts a socket or endless answer for as long as it lives.
struct Open(Arc<Seen>, usize);

/// Counts connections to a port and closes each.
#[derive(Debug)]
pub struct TcpCounter {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _serving: AbortOnDropHandle<()>,
}

// === impl Hit ===

impl Hit {
    /// A header's text; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Method, host, path and query.
    pub fn line(&self) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!(
            "{} {}{}{mark}{}",
            self.method,
            self.header("host"),
            self.path,
            self.query
        )
    }

    /// The value of a cookie that arrived.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.header("cookie")
            .split("; ")
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(known, value)| (known == name).then_some(value))
    }
}

// === impl Canary ===

impl Canary {
    /// A server on a free port of 127.0.0.1.
    pub async fn start(routes: impl Fn(&Hit) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST.into(), routes).await
    }

    /// A server on a free port of any loopback address.
    pub async fn start_on(
        address: IpAddr,
        routes: impl Fn(&Hit) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let routes: Arc<Routes> = Arc::new(routes);
        let seen = Arc::new(Seen::default());
        let sink = Arc::clone(&seen);
        let (address, serving) = accept(address, move |stream| {
            sink.connections.fetch_add(1, Ordering::SeqCst);
            let (routes, sink) = (Arc::clone(&routes), Arc::clone(&sink));
            async move {
                let _connected = Connected::new(&sink);
                let (stream, line) = line(stream);
                let service = service_fn(move |request| {
                    let line = Arc::clone(&line);
                    answer(request, line, Arc::clone(&routes), Arc::clone(&sink))
                });
                // A client that goes away in the middle is no failure of the server.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            }
        })
        .await;
        Self {
            address,
            seen,
            _serving: serving,
        }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same server by a name that resolves to loopback, such as `desk.localhost`.
    pub fn origin_as(&self, host: &str) -> String {
        format!("http://{host}:{}", self.address.port())
    }

    /// All requests so far, oldest first.
    pub fn hits(&self) -> Vec<Hit> {
        self.seen.hits.lock().unwrap().clone()
    }

    /// Requests for one path so far.
    pub fn hits_on(&self, path: &str) -> Vec<Hit> {
        let mut hits = self.hits();
        hits.retain(|hit| hit.path == path);
        hits
    }

    /// Waits until what came so far is enough.
    pub async fn until(&self, enough: impl Fn(&[Hit]) -> bool) -> Vec<Hit> {
        self.try_until(enough).await.unwrap_or_else(|| {
            let came: Vec<String> = self.hits().iter().map(Hit::line).collect();
            panic!("not what was waited for within {LIMIT:?}: {came:#?}")
        })
    }

    /// The same; none if it never was enough.
    pub async fn try_until(&self, enough: impl Fn(&[Hit]) -> bool) -> Option<Vec<Hit>> {
        let waiting = async {
            loop {
                let came = self.seen.came.notified();
                let hits = self.hits();
                if enough(&hits) {
                    return hits;
                }
                came.await;
            }
        };
        time::timeout(LIMIT, waiting).await.ok()
    }

    /// `WebSocket`s and endless answers that are open.
    pub fn open(&self) -> Vec<Hit> {
        let open = self.seen.open.lock().unwrap();
        open.iter().map(|(_, hit)| hit.clone()).collect()
    }

    /// Waits until no such `WebSocket` or endless answer is open.
    pub async fn until_closed(&self, which: impl Fn(&Hit) -> bool) {
        let waiting = async {
            loop {
                let came = self.seen.came.notified();
                if !self.open().iter().any(&which) {
                    return;
                }
                came.await;
            }
        };
        time::timeout(LIMIT, waiting).await.unwrap_or_else(|_| {
            let open: Vec<String> = self.open().iter().map(Hit::line).collect();
            panic!("still open after {LIMIT:?}: {open:#?}")
        });
    }

    /// Connections so far, whether or not a request came over them.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Waits until no connection is left: whatever was sent has arrived. Answers
    /// whether it came to that.
    pub async fn until_left(&self) -> bool {
        let waiting = async {
            loop {
                let came = self.seen.came.notified();
                tokio::pin!(came);
                came.as_mut().enable();
                if self.seen.connected.load(Ordering::SeqCst) == 0 {
                    return;
                }
                came.await;
            }
        };
        time::timeout(LIMIT, waiting).await.is_ok()
    }

    /// Forgets all hits and connections.
    pub fn reset(&self) {
        self.seen.hits.lock().unwrap().clear();
        self.seen.connections.store(0, Ordering::SeqCst);
    }
}

// === impl Connected ===

impl Connected {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.connected.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(seen))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connected.fetch_sub(1, Ordering::SeqCst);
        self.0.came.notify_waiters();
    }
}

// === impl Open ===

impl Open {
    fn new(seen: &Arc<Seen>, hit: Hit) -> Self {
        let id = seen.next.fetch_add(1, Ordering::SeqCst);
        seen.open.lock().unwrap().push((id, hit));
        Self(Arc::clone(seen), id)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.lock().unwrap().retain(|(id, _)| *id != self.1);
        self.0.came.notify_waiters();
    }
}

// === impl TcpCounter ===

impl TcpCounter {
    /// A counter on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let (address, serving) = accept(Ipv4Addr::LOCALHOST.into(), move |stream| {
            count.fetch_add(1, Ordering::SeqCst);
            drop(stream);
            std::future::ready(())
        })
        .await;
        Self {
            address,
            connections,
            _serving: serving,
        }
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A page.
pub fn html(body: impl Into<Bytes>) -> Reply {
    typed("text/html; charset=utf-8", body)
}

/// Plain text.
pub fn text(body: impl Into<Bytes>) -> Reply {
    typed("text/plain; charset=utf-8", body)
}

/// Any media type.
pub fn typed(media: &'static str, body: impl Into<Bytes>) -> Reply {
    let body = Full::new(body.into()).boxed_unsync();
    with(Response::new(body), "content-type", media)
}

/// Sends `piece` again and again until the client is gone.
pub fn endless(media: &'static str, piece: &'static str) -> Reply {
    let pieces = stream::unfold((), move |()| async move {
        time::sleep(PACE).await;
        Some((Ok(Frame::data(Bytes::from(piece))), ()))
    });
    let mut reply = Response::new(StreamBody::new(pieces).boxed_unsync());
    reply.extensions_mut().insert(Endless);
    with(reply, "content-type", media)
}

/// The reply, held back for a while.
pub fn after(delay: Duration, mut reply: Reply) -> Reply {
    reply.extensions_mut().insert(After(delay));
    reply
}

/// A file to download.
pub fn attachment(name: &str, body: impl Into<Bytes>) -> Reply {
    with(
        typed("application/octet-stream", body),
        "content-disposition",
        &format!("attachment; filename=\"{name}\""),
    )
}

/// `302 Found`.
pub fn redirect(to: &str) -> Reply {
    let reply = with(text(""), "location", to);
    status(StatusCode::FOUND, reply)
}

/// The reply under another status.
pub fn status(code: StatusCode, mut reply: Reply) -> Reply {
    *reply.status_mut() = code;
    reply
}

/// The reply with one more header line; `with(reply, "set-cookie", …)` may be repeated.
pub fn with(mut reply: Reply, name: &'static str, value: &str) -> Reply {
    let value = HeaderValue::from_str(value).expect("a header's value");
    reply.headers_mut().append(name, value);
    reply
}

/// `404 Not Found`.
pub fn not_found() -> Reply {
    status(StatusCode::NOT_FOUND, text("nothing here"))
}

async fn accept<F>(
    address: IpAddr,
    mut serve: impl FnMut(tokio::net::TcpStream) -> F + Send + 'static,
) -> (SocketAddr, AbortOnDropHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((address, 0))
        .await
        .expect("a free loopback port");
    let address = listener.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        // Dropping the set ends what still runs.
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream));
            while connections.try_join_next().is_some() {}
        }
    });
    (address, AbortOnDropHandle::new(accepting))
}

/// The stream, and what tells whether its other end is still there.
fn line(stream: tokio::net::TcpStream) -> (tokio::net::TcpStream, Arc<TcpStream>) {
    let stream = stream.into_std().expect("a stream of this runtime");
    let line = stream.try_clone().expect("a free descriptor");
    let stream = tokio::net::TcpStream::from_std(stream).expect("within the runtime");
    (stream, Arc::new(line))
}

fn is_left(line: &TcpStream) -> bool {
    match line.peek(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

async fn answer(
    mut request: Request<Incoming>,
    line: Arc<TcpStream>,
    routes: Arc<Routes>,
    seen: Arc<Seen>,
) -> Result<Reply, Infallible> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned();
    let upgrade = key.is_some().then(|| hyper::upgrade::on(&mut request));
    let (head, body) = request.into_parts();
    let hit = Hit {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default(),
        lay: is_left(&line),
    };
    seen.hits.lock().unwrap().push(hit.clone());
    seen.came.notify_waiters();
    let (Some(key), Some(upgrade)) = (key, upgrade) else {
        let reply = routes(&hit);
        if let Some(After(delay)) = reply.extensions().get() {
            time::sleep(*delay).await;
        }
        if reply.extensions().get::<Endless>().is_none() {
            return Ok(reply);
        }
        // Held for as long as the answer is being sent.
        let open = Open::new(&seen, hit);
        return Ok(reply.map(|body| {
            body.map_frame(move |frame| {
                let _open = &open;
                frame
            })
            .boxed_unsync()
        }));
    };
    tokio::spawn(async move {
        let _open = Open::new(&seen, hit);
        if let Ok(upgraded) = upgrade.await {
            let io = TokioIo::new(upgraded);
            echo(WebSocketStream::from_raw_socket(io, Role::Server, None).await).await;
        }
    });
    let reply = status(
        StatusCode::SWITCHING_PROTOCOLS,
        Response::new(Full::default().boxed_unsync()),
    );
    let reply = with(with(reply, "connection", "upgrade"), "upgrade", "websocket");
    Ok(with(
        reply,
        "sec-websocket-accept",
        &derive_accept_key(key.as_bytes()),
    ))
}

async fn echo<S>(mut socket: WebSocketStream<S>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}
