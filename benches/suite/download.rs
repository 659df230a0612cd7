//! A large file over loopback: directly, through a relay that does nothing,
//! and through a session's egress proxy. Once by a page, and once by a client that
//! does so little that what stands in between is most of what is measured.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use futures_util::future::BoxFuture;
use hallpass::{
    browser::discover::Browser,
    clock::Clock,
    egress::{Connection, ConnectionLog, Egress, Ended, Gate, Limits, RecordUnavailable, Resolver},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    Group, Scale,
    cdp::Cdp,
    lease,
    relay::Relay,
    runtime,
    table::{Samples, Unit},
    world,
};

const WHAT: &str = "download of 64 MiB";
const BY_PAGE: &str = "64 MiB fetched by a page";
const SMALL: &str = "request for 1 KiB on a kept connection";
const VARIANTS: &[&str] = &["relay", "direct", "egress, forwarded", "egress, tunnelled"];
const PAGE_VARIANTS: &[&str] = &["direct", "egress, forwarded"];
const SMALL_VARIANTS: &[&str] = &["relay", "direct", "egress, forwarded"];

pub const GROUP: Group = Group {
    name: "download",
    rows: &[
        (BY_PAGE, PAGE_VARIANTS),
        (WHAT, VARIANTS),
        (SMALL, SMALL_VARIANTS),
    ],
    run,
};

/// A record that is made at once: what it costs is measured elsewhere.
#[derive(Debug)]
struct Unread;

impl ConnectionLog for Unread {
    fn connection(&self, _: Connection) -> BoxFuture<'_, Result<(), RecordUnavailable>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn ended(&self, _: Ended) {}
}

fn run(scale: Scale) -> Vec<Samples> {
    let large = scale.of(1 << 20, 64 << 20);
    let servers = runtime();
    let site = servers.block_on(serve(large));
    let relay = Relay::tcp(site);
    let proxy = runtime();
    let resolver = Resolver::new(std::collections::HashMap::new()).unwrap();
    let listener = proxy
        .block_on(Egress::new(resolver, Limits::default()).listen())
        .unwrap();
    assert!(listener.open(Gate {
        leases: lease::leases(1, &format!("http://{site}")),
        authority: lease::authority(),
        record: Arc::new(Unread),
        clock: Clock,
    }));
    let port = SocketAddr::from(([127, 0, 0, 1], listener.port()));
    let browser = world::browser();
    let samples = world::run(async {
        let mut all = by_page(&browser, site, port, scale.of(1, 15)).await;
        let mut raw = Samples::each(WHAT, VARIANTS, Unit::Milliseconds);
        for _ in 0..scale.of(1, 15) {
            for samples in &mut raw {
                let mut socket = match samples.variant {
                    "relay" => connect(relay.address).await,
                    "direct" => connect(site).await,
                    _ => connect(port).await,
                };
                let mut target = "/large".to_owned();
                match samples.variant {
                    "egress, forwarded" => target = format!("http://{site}/large"),
                    "egress, tunnelled" => {
                        let hello = format!("CONNECT {site} HTTP/1.1\r\nHost: {site}\r\n\r\n");
                        socket.write_all(hello.as_bytes()).await.unwrap();
                        assert!(head(&mut socket).await.starts_with("HTTP/1.1 200"));
                    }
                    _ => {}
                }
                let begun = Instant::now();
                get(&mut socket, &target, site, large).await;
                samples.time(begun.elapsed());
            }
        }
        let mut small = Samples::each(SMALL, SMALL_VARIANTS, Unit::Microseconds);
        let mut sockets = [
            (connect(relay.address).await, "/small".to_owned()),
            (connect(site).await, "/small".to_owned()),
            (connect(port).await, format!("http://{site}/small")),
        ];
        for _ in 0..scale.of(10, 2_000) {
            for ((socket, target), samples) in sockets.iter_mut().zip(&mut small) {
                let begun = Instant::now();
                get(socket, target, site, 1 << 10).await;
                samples.time(begun.elapsed());
            }
        }
        all.extend(raw);
        all.extend(small);
        all
    });
    drop(listener);
    proxy.shutdown_background();
    servers.shutdown_background();
    samples
}

/// The same browser, with and without the proxy in between.
async fn by_page(
    browser: &Browser,
    site: SocketAddr,
    proxy: SocketAddr,
    rounds: usize,
) -> Vec<Samples> {
    const FETCH: &str = "fetch('/large', {cache: 'no-store'}).then(async answer => {
        let bytes = 0;
        for await (const part of answer.body) bytes += part.length;
        return bytes;
    })";
    let chromium = world::plain(browser).await;
    let through = json!({
        "proxyServer": format!("http://{proxy}"), "proxyBypassList": "<-loopback>",
    });
    let mut all = Samples::each(BY_PAGE, PAGE_VARIANTS, Unit::Milliseconds);
    let mut pages = [
        Cdp::new_page(&chromium.cdp_url).await,
        Cdp::new_page_in(&chromium.cdp_url, through).await,
    ];
    for page in &mut pages {
        page.load(&format!("http://{site}/small")).await;
        page.evaluate(FETCH).await;
    }
    for _ in 0..rounds {
        for (page, samples) in pages.iter_mut().zip(&mut all) {
            let begun = Instant::now();
            let bytes = page.evaluate(FETCH).await;
            samples.time(begun.elapsed());
            assert!(bytes.as_u64() >= Some(1 << 20), "{bytes}");
        }
    }
    all
}

/// A server that does as little as can be: `/large` and `/small`.
async fn serve(large: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let block: Arc<[u8]> = vec![b'x'; 1 << 20].into();
        while let Ok((mut socket, _)) = listener.accept().await {
            socket.set_nodelay(true).unwrap();
            let block = block.clone();
            tokio::spawn(async move {
                loop {
                    let request = head(&mut socket).await;
                    let mut left = match request.split(' ').nth(1) {
                        Some("/large") => large,
                        Some("/small") => 1 << 10,
                        _ => return,
                    };
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n");
                    let mut out = answer.into_bytes();
                    let first = left.min(1 << 10);
                    out.extend_from_slice(&block[..first]);
                    left -= first;
                    if socket.write_all(&out).await.is_err() {
                        return;
                    }
                    while left > 0 {
                        let part = left.min(block.len());
                        if socket.write_all(&block[..part]).await.is_err() {
                            return;
                        }
                        left -= part;
                    }
                }
            });
        }
    });
    address
}

async fn connect(to: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(to).await.unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

async fn get(socket: &mut TcpStream, target: &str, host: SocketAddr, size: usize) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 1 << 18];
    let mut filled = 0;
    let body = loop {
        let read = socket.read(&mut buffer[filled..]).await.unwrap();
        assert!(read > 0, "the answer broke off");
        filled += read;
        if let Some(end) = memchr::memmem::find(&buffer[..filled], b"\r\n\r\n") {
            assert!(buffer.starts_with(b"HTTP/1.1 200"), "{target} was refused");
            break end + 4;
        }
    };
    let mut got = filled - body;
    while got < size {
        let read = socket.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the answer broke off");
        got += read;
    }
    assert_eq!(got, size);
}

/// A head of a request or an answer, read byte by byte: nothing after it is lost.
async fn head(socket: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => text.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(text).unwrap()
}
