//! A proxy that lets everything through, for a cell that may reach nothing else.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream, lookup_host},
    task::JoinSet,
};
use url::{Host, Url};

/// Starts it; its port.
pub async fn start(tasks: &mut JoinSet<()>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    port
}

async fn serve(mut browser: TcpStream) -> Option<()> {
    let mut head = Vec::new();
    let end = loop {
        let mut piece = [0; 4096];
        let read = browser
            .read(&mut piece)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        head.extend(&piece[..read]);
        let found = head.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = found {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&head[..end]).into_owned();
    let (line, fields) = text.split_once("\r\n")?;
    let [method, target, _] = line.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    if method == "CONNECT" {
        let url = Url::parse(&format!("http://{target}/")).ok()?;
        let mut site = connect(&url).await?;
        browser
            .write_all(b"HTTP/1.1 200 Connected\r\n\r\n")
            .await
            .ok()?;
        site.write_all(&head[end..]).await.ok()?;
        copy_bidirectional(&mut browser, &mut site).await.ok()?;
    } else {
        let url = Url::parse(target).ok()?;
        let mut site = connect(&url).await?;
        let query = url.query().map(|query| format!("?{query}"));
        let path = format!("{}{}", url.path(), query.unwrap_or_default());
        // One request a connection: the next may be for another site.
        let request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{fields}")
            .replace("Proxy-Connection: keep-alive\r\n", "");
        site.write_all(request.as_bytes()).await.ok()?;
        site.write_all(&head[end..]).await.ok()?;
        copy_bidirectional(&mut browser, &mut site).await.ok()?;
    }
    Some(())
}

async fn connect(url: &Url) -> Option<TcpStream> {
    let port = url.port_or_known_default()?;
    let addresses: Vec<SocketAddr> = match url.host()? {
        Host::Domain(name) if name.trim_end_matches('.').ends_with("localhost") => {
            vec![(Ipv4Addr::LOCALHOST, port).into()]
        }
        Host::Domain(name) => lookup_host((name, port)).await.ok()?.collect(),
        Host::Ipv4(address) => vec![(address, port).into()],
        Host::Ipv6(address) => vec![(address, port).into()],
    };
    TcpStream::connect(&addresses[..]).await.ok()
}
