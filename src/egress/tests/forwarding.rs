use std::sync::Arc;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::support::{
    Book, HOUR, Session, authority, head, hosts, lease, limits, origins, rest, send, soon,
};
use crate::{
    broker::lease::Leases,
    clock::Clock,
    egress::{Egress, Gate},
    model::{action::Rule, delegation::CloseReason},
};

async fn site() -> (TcpListener, String, Session) {
    let (site, origin) = listen().await;
    let session = Session::covering(std::slice::from_ref(&origin)).await;
    (site, origin, session)
}

#[tokio::test]
async fn large_bodies_stream_both_ways_and_are_counted() {
    const SIZE: usize = 8 << 20;
    let (site, origin, session) = site().await;
    let server = tokio::spawn(async move {
        let (mut socket, _) = site.accept().await.unwrap();
        let (_, request) = head(&mut socket).await;
        let mut body = vec![0; SIZE];
        socket.read_exact(&mut body).await.unwrap();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
        socket.write_all(answer.as_bytes()).await.unwrap();
        socket.write_all(&body).await.unwrap();
        request
    });
    let mut socket = TcpStream::connect(("127.0.0.1", session.listener.port()))
        .await
        .unwrap();
    let request = format!(
        "POST {origin}/upload?x=1 HTTP/1.1\r\nHost: evil.test\r\nContent-Length: {SIZE}\r\nProxy-Connection: keep-alive\r\nX-Keep: 1\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let body: Vec<u8> = (0..=252).cycle().take(SIZE).collect();
    socket.write_all(&body).await.unwrap();
    let (status, _) = head(&mut socket).await;
    assert_eq!(status, 200);
    let mut back = vec![0; SIZE];
    soon(socket.read_exact(&mut back)).await.unwrap();
    assert!(back == body);
    let request = server.await.unwrap().to_ascii_lowercase();
    assert!(
        request.starts_with("post /upload?x=1 http/1.1\r\n"),
        "{request}"
    );
    let host = origin.strip_prefix("http://").unwrap();
    assert!(request.contains(&format!("host: {host}\r\n")), "{request}");
    assert!(request.contains("x-keep: 1\r\n"), "{request}");
    assert!(
        !request.contains("evil.test") && !request.contains("proxy-"),
        "{request}"
    );
    let ended = session.book.ended(1).await;
    assert!(ended[0].sent > SIZE as u64 && ended[0].received > SIZE as u64);
    assert_eq!(ended[0].how, "closed");
}

#[tokio::test]
async fn an_answer_streams_as_it_comes_and_both_connections_are_used_again() {
    let (site, origin, session) = site().await;
    let mut client = client(&session).await;
    ask(&mut client, &origin).await;
    let (mut socket, _) = soon(site.accept()).await.unwrap();
    for round in 0..3 {
        if round > 0 {
            ask(&mut client, &origin).await;
        }
        head(&mut socket).await;
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nKeep-Alive: 5\r\n\r\none")
            .await
            .unwrap();
        let (status, answer) = head(&mut client).await;
        assert_eq!(status, 200);
        assert!(
            !answer.to_ascii_lowercase().contains("keep-alive:"),
            "{answer}"
        );
        let mut part = [0; 3];
        soon(client.read_exact(&mut part)).await.unwrap();
        assert_eq!(&part, b"one");
        socket.write_all(b"two").await.unwrap();
        soon(client.read_exact(&mut part)).await.unwrap();
        assert_eq!(&part, b"two");
    }
    drop(client);
    let ended = session.book.ended(1).await;
    assert_eq!((ended.len(), session.book.connections().len()), (1, 1));
    assert!(rest(&mut socket).await.is_empty());
}

#[tokio::test]
async fn a_connection_is_kept_for_one_place_and_one_client() {
    let sites = [listen().await, listen().await];
    let origins = [&sites[0].1, &sites[1].1].map(Clone::clone);
    let session = Session::covering(&origins).await;
    let mut client = client(&session).await;
    let mut first = answered(&sites[0].0, &mut client, &origins[0]).await;
    // Another place ends it.
    let mut second = answered(&sites[1].0, &mut client, &origins[1]).await;
    assert!(rest(&mut first).await.is_empty());
    // Another of the browser's connections has its own.
    let mut other = self::client(&session).await;
    let mut third = answered(&sites[1].0, &mut other, &origins[1]).await;
    // What changes something goes where nothing was sent before.
    let post = format!(
        "POST {}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        origins[1]
    );
    other.write_all(post.as_bytes()).await.unwrap();
    let mut fourth = answer(&sites[1].0, &mut other).await;
    assert!(rest(&mut third).await.is_empty());
    // So does a tunnel on the same one.
    let host = origins[1].strip_prefix("http://").unwrap();
    let connect = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    other.write_all(connect.as_bytes()).await.unwrap();
    let _tunnelled = soon(sites[1].0.accept()).await.unwrap();
    assert_eq!(head(&mut other).await.0, 200);
    assert!(rest(&mut fourth).await.is_empty());
    drop(client);
    assert!(rest(&mut second).await.is_empty());
    assert_eq!(session.book.connections().len(), 5);
}

#[tokio::test]
async fn each_request_on_a_kept_connection_is_decided_anew() {
    let (site, origin) = listen().await;
    let lent = lease(origins(std::slice::from_ref(&origin)), HOUR);
    let egress = Egress::new(hosts(&[]), limits());
    let session = Session::over(&egress, vec![lent.clone()]).await;
    let mut client = client(&session).await;
    let mut socket = answered(&site, &mut client, &origin).await;
    lent.close(CloseReason::Revoked);
    ask(&mut client, &origin).await;
    // Refused, or cut by who looks after it: it does not arrive.
    assert!(matches!(head(&mut client).await.0, 403 | 0));
    assert!(rest(&mut socket).await.is_empty());
}

#[tokio::test]
async fn a_window_that_opens_counts_from_the_next_request_on() {
    let (site, origin) = listen().await;
    let scope = || origins(std::slice::from_ref(&origin));
    let egress = Egress::new(hosts(&[]), limits());
    let listener = egress.listen().await.unwrap();
    let (book, leases) = (Book::new(), Arc::new(Leases::default()));
    let (before, after) = (lease(scope(), HOUR), lease(scope(), HOUR));
    leases.add(before);
    assert!(listener.open(Gate {
        leases: leases.clone(),
        authority: authority(),
        record: book.clone(),
        clock: Clock,
    }));
    let session = Session { listener, book };
    let mut client = client(&session).await;
    let mut first = answered(&site, &mut client, &origin).await;
    leases.add(after.clone());
    let _second = answered(&site, &mut client, &origin).await;
    assert!(rest(&mut first).await.is_empty());
    assert!(after.used().bytes > 0);
}

#[tokio::test]
async fn what_a_site_closes_under_a_request_is_closed_under_the_browser() {
    let (site, origin, session) = site().await;
    let mut client = client(&session).await;
    let mut socket = answered(&site, &mut client, &origin).await;
    ask(&mut client, &origin).await;
    head(&mut socket).await;
    drop(socket);
    // No answer of ours, by which a browser could not tell that it should try again.
    assert!(rest(&mut client).await.is_empty());
    let ended = session.book.ended(1).await;
    assert!(ended[0].how.starts_with("failed"), "{}", ended[0].how);
}

async fn listen() -> (TcpListener, String) {
    let site = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", site.local_addr().unwrap());
    (site, origin)
}

async fn client(session: &Session) -> TcpStream {
    TcpStream::connect(("127.0.0.1", session.listener.port()))
        .await
        .unwrap()
}

async fn ask(client: &mut TcpStream, origin: &str) {
    let request = format!("GET {origin}/ HTTP/1.1\r\nHost: x\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
}

/// Has a new connection to the site answer one request, and leaves it open.
async fn answered(site: &TcpListener, client: &mut TcpStream, origin: &str) -> TcpStream {
    ask(client, origin).await;
    answer(site, client).await
}

/// The same for a request that is under way.
async fn answer(site: &TcpListener, client: &mut TcpStream) -> TcpStream {
    let (mut socket, _) = soon(site.accept()).await.unwrap();
    head(&mut socket).await;
    socket
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(head(client).await.0, 204);
    socket
}

#[tokio::test]
async fn a_body_has_one_length_only() {
    let (site, origin, session) = site().await;
    let port = session.listener.port();
    let request = format!(
        "POST {origin}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    );
    let asked = tokio::spawn(async move { send(port, request.as_bytes()).await });
    let accepted = tokio::select! {
        accepted = soon(site.accept()) => accepted.unwrap().0,
        // Refusing such a request is as good.
        reply = asked => { assert_eq!(reply.unwrap().status, 400); return; }
    };
    let mut socket = accepted;
    let (_, head) = head(&mut socket).await;
    let head = head.to_ascii_lowercase();
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    assert!(!head.contains("content-length"), "{head}");
    let mut body = [0; 15];
    soon(socket.read_exact(&mut body)).await.unwrap();
    assert_eq!(&body, b"5\r\nhello\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_client_that_expects_continue_gets_it() {
    let (site, origin, session) = site().await;
    let server = tokio::spawn(async move {
        let (mut socket, _) = site.accept().await.unwrap();
        head(&mut socket).await;
        let mut body = [0; 4];
        socket.read_exact(&mut body).await.unwrap();
        socket
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .await
            .unwrap();
        body
    });
    let request = format!(
        "POST {origin}/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    );
    let mut reply = send(session.listener.port(), request.as_bytes()).await;
    assert_eq!(reply.status, 100);
    reply.socket.write_all(b"body").await.unwrap();
    assert_eq!(head(&mut reply.socket).await.0, 204);
    assert_eq!(&server.await.unwrap(), b"body");
}

#[tokio::test]
async fn what_is_no_proxy_request_is_refused() {
    let (site, origin, session) = site().await;
    let host = origin.strip_prefix("http://").unwrap().to_owned();
    for (target, more, status) in [
        ("/".to_owned(), "", 400),
        ("*".to_owned(), "", 400),
        (format!("https://{host}/"), "", 400),
        (format!("ws://{host}/"), "", 400),
        (format!("ftp://{host}/"), "", 400),
        (format!("http://user:secret@{host}/"), "", 400),
        ("http://127.0.0.1:0/".to_owned(), "", 400),
        (
            format!("{origin}/socket"),
            "Connection: upgrade\r\nUpgrade: websocket\r\n",
            400,
        ),
        ("http://evil.test/?token=secret".to_owned(), "", 403),
        (format!("http://{host}1/"), "", 400),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
        let reply = send(session.listener.port(), request.as_bytes()).await;
        assert_eq!(reply.status, status, "{target}");
        if status == 403 || more.is_empty() && target == "/" {
            assert!(
                reply.head.contains("application/problem+json"),
                "{}",
                reply.head
            );
            let problem = reply.problem().await;
            assert_eq!(problem["status"], status);
            assert!(
                problem["detail"].as_str().unwrap().contains("What to do"),
                "{problem}"
            );
        }
    }
    assert_eq!(session.book.connections().len(), 10);
    assert_eq!(session.book.rules().len(), 10);
    let told = format!("{:?}", session.book.connections());
    assert!(!told.contains("secret"), "{told}");
    drop(session);
    let none = tokio::select! { biased; a = site.accept() => Some(a), () = std::future::ready(()) => None };
    assert!(none.is_none());
}

#[tokio::test]
async fn clear_text_to_a_secure_origin_is_refused() {
    let site = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = site.local_addr().unwrap();
    let session = Session::covering(&[format!("https://{host}")]).await;
    let request = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let reply = send(session.listener.port(), request.as_bytes()).await;
    assert_eq!(reply.status, 403);
    assert_eq!(session.book.rules(), [Rule::OriginOutOfScope]);
}

#[tokio::test]
async fn origins_that_pages_may_load_from_are_reached() {
    let (site, origin) = listen().await;
    let egress = Egress::new(hosts(&[]), limits());
    let scope = json!({ "origins": ["https://app.test"], "load": [origin] });
    let session = Session::over(&egress, vec![lease(scope, HOUR)]).await;
    answered(&site, &mut client(&session).await, &origin).await;
}

#[tokio::test]
async fn a_site_that_breaks_off_or_is_away_is_told_of() {
    let (site, origin, session) = site().await;
    let request = format!("GET {origin}/ HTTP/1.1\r\nHost: x\r\n\r\n");
    let port = session.listener.port();
    let bytes = request.clone();
    let asked = tokio::spawn(async move { send(port, bytes.as_bytes()).await });
    drop(soon(site.accept()).await.unwrap());
    assert_eq!(asked.await.unwrap().status, 502);
    drop(site);
    assert_eq!(send(port, request.as_bytes()).await.status, 502);
    let tunnel = session
        .connect(origin.strip_prefix("http://").unwrap())
        .await;
    assert_eq!(tunnel.status, 502);
    let ended = session.book.ended(3).await;
    assert!(ended[0].how.starts_with("failed"), "{ended:?}");
    assert!(
        ended[1..].iter().all(|e| e.how.starts_with("unreachable")),
        "{ended:?}"
    );
    let unknown = Session::covering(
        &origins(&["http://nowhere.invalid".to_owned()])["origins"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o.as_str().unwrap().to_owned())
            .collect::<Vec<_>>(),
    )
    .await;
    let mut reply = unknown.connect("nowhere.invalid:80").await;
    assert_eq!(reply.status, 502);
    assert_eq!(unknown.book.rules(), [Rule::NameUnresolved]);
    rest(&mut reply.socket).await;
}
