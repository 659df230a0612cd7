//! A `CONNECT` tunnel: the first bytes say what it is, then bytes go both ways
//! until a side ends, nothing permits it any more, or it is cut.

use std::{io, sync::Arc};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Host;

use super::{
    Limits,
    client_hello::{self, HANDSHAKE_RECORD},
    dial::refusal,
    exchange::Exchange,
    upstream::abort_on_close,
};
use crate::model::{
    action::{Refusal, Rule},
    origin::Scheme,
};

/// Bytes moved at once, each way: at first, and at most while much is to be moved.
const BUFFER: usize = 16 * 1024;
const MOST_BUFFER: usize = 256 * 1024;

/// Longest greeting that is read before it must be whole.
const GREETING: usize = 16 * 1024;

enum Over {
    Closed,
    Cut,
    Refused(Refusal),
    Failed(String),
}

/// Runs a tunnel to its end. Both sockets are gone before `exchange` is.
pub(super) async fn run(
    exchange: Arc<Exchange>,
    client: Upgraded,
    mut site: TcpStream,
    limits: Limits,
) {
    let Ok(parts) = client.downcast::<TokioIo<TcpStream>>() else {
        exchange.ended("failed: the client's socket is lost");
        return;
    };
    let mut client = parts.io.into_inner();
    let over = tokio::select! {
        biased;
        () = exchange.finish().cancelled() => Over::Cut,
        () = exchange.uncovered() => Over::Cut,
        over = relay(&exchange, &mut client, &parts.read_buf, &mut site, &limits) => over,
    };
    match &over {
        Over::Closed => exchange.ended("closed"),
        Over::Failed(how) => exchange.ended(how),
        Over::Cut | Over::Refused(_) => exchange.cut(),
    }
    if exchange.was_cut() {
        abort_on_close(&site);
        abort_on_close(&client);
    }
    drop(site);
    drop(client);
    if let Over::Refused(refusal) = over {
        let to = &exchange.endpoint().to;
        exchange.registry().refused(Some(to), &refusal).await;
    }
    drop(exchange);
}

async fn relay(
    exchange: &Exchange,
    client: &mut TcpStream,
    early: &[u8],
    site: &mut TcpStream,
    limits: &Limits,
) -> Over {
    let mut buffer = vec![0; early.len().max(GREETING)];
    let greeting = greet(exchange, client, early, &mut buffer);
    let filled = match timeout(limits.first_bytes, greeting).await {
        Ok(Ok(0)) => return Over::Closed,
        Ok(Ok(filled)) => filled,
        Ok(Err(over)) => return over,
        Err(_) => return Over::Failed("failed: the client said nothing".to_owned()),
    };
    let (mut client_in, mut client_out) = client.split();
    let (mut site_in, mut site_out) = site.split();
    let half = CancellationToken::new();
    let up = async {
        let first = buffer.get(..filled).unwrap_or_default();
        let count = |n| exchange.count_sent(n);
        count(first.len())?;
        site_out.write_all(first).await?;
        let end = pump(&mut client_in, &mut site_out, &mut buffer, count).await;
        half.cancel();
        end
    };
    let down = async {
        let mut buffer = vec![0; BUFFER];
        let count = |n| exchange.count_received(n);
        let end = pump(&mut site_in, &mut client_out, &mut buffer, count).await;
        half.cancel();
        end
    };
    tokio::select! {
        both = async { tokio::try_join!(up, down) } => match both {
            Ok(_) => Over::Closed,
            Err(error) => Over::Failed(format!("failed: {error}")),
        },
        () = idle_half(exchange, &half, limits) => {
            Over::Failed("failed: one side ended and the other fell silent".to_owned())
        }
    }
}

/// Reads the first bytes into `buffer` and decides by what they are. Answers
/// how many were read; 0 if the client left without a word.
async fn greet(
    exchange: &Exchange,
    client: &mut TcpStream,
    early: &[u8],
    buffer: &mut [u8],
) -> Result<usize, Over> {
    let failed = |error: io::Error| Over::Failed(format!("failed: {error}"));
    let malformed = || Over::Refused(refusal(exchange, Rule::Malformed));
    let mut filled = early.len();
    buffer
        .get_mut(..filled)
        .ok_or_else(malformed)?
        .copy_from_slice(early);
    loop {
        let seen = buffer.get(..filled).unwrap_or_default();
        match seen.first() {
            None => {}
            Some(&HANDSHAKE_RECORD) => match client_hello::read(seen) {
                Ok(Some(hello)) => {
                    check_name(exchange, hello.server_name)?;
                    exchange.decide_as(Scheme::Https).map_err(Over::Refused)?;
                    return Ok(filled);
                }
                Ok(None) if filled < GREETING => {}
                Ok(None) | Err(_) => return Err(malformed()),
            },
            Some(_) => {
                exchange.decide_as(Scheme::Http).map_err(Over::Refused)?;
                return Ok(filled);
            }
        }
        let room = buffer.get_mut(filled..).unwrap_or_default();
        match client.read(room).await.map_err(failed)? {
            0 if filled == 0 => return Ok(0),
            0 => return Err(malformed()),
            read => filled += read,
        }
    }
}

fn check_name(exchange: &Exchange, server_name: Option<String>) -> Result<(), Over> {
    let host = &exchange.endpoint().to.host;
    let agrees = match (host, &server_name) {
        (Host::Domain(host), Some(name)) => host.eq_ignore_ascii_case(name),
        (Host::Ipv4(_) | Host::Ipv6(_), None) => true,
        _ => false,
    };
    if agrees {
        Ok(())
    } else {
        let mut refusal = refusal(exchange, Rule::ServerNameMismatch);
        if let Some(Ok(Host::Domain(named))) = server_name.map(|name| Host::parse(&name)) {
            refusal.what = format!("{} under the name {named}", refusal.what);
        }
        Err(Over::Refused(refusal))
    }
}

/// Moves bytes until `from` ends. The buffer grows with what comes at once, and
/// shrinks again: a tunnel that is only kept open holds little.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    buffer: &mut Vec<u8>,
    count: impl Fn(usize) -> io::Result<()>,
) -> io::Result<()> {
    loop {
        let read = from.read(buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        count(read)?;
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
        if read == buffer.len() && read < MOST_BUFFER {
            *buffer = vec![0; read * 2];
        } else if read < buffer.len() / 8 && buffer.len() > BUFFER {
            *buffer = vec![0; buffer.len() / 2];
        }
    }
}

/// Returns when one side has ended and nothing moved for the limit's time.
async fn idle_half(exchange: &Exchange, half: &CancellationToken, limits: &Limits) {
    half.cancelled().await;
    let mut moved = exchange.moved();
    loop {
        sleep(limits.half_open).await;
        let now = exchange.moved();
        if now == moved {
            return;
        }
        moved = now;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[tokio::test]
    async fn a_piece_that_may_not_go_on_does_not() {
        for most in [BUFFER / 2, BUFFER * 30] {
            let ((mut client, mut near), (mut far, mut site)) = (pair().await, pair().await);
            let sending = tokio::spawn(async move {
                let block = vec![b'x'; 65_536];
                while client.write_all(&block).await.is_ok() {}
            });
            let reading = tokio::spawn(async move {
                let mut arrived = Vec::new();
                site.read_to_end(&mut arrived).await.map(|_| arrived.len())
            });
            let counted = Cell::new(0);
            let count = |bytes| {
                if counted.get() + bytes > most {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                counted.set(counted.get() + bytes);
                Ok(())
            };
            let (mut from, _) = near.split();
            let (_, mut to) = far.split();
            let over = pump(&mut from, &mut to, &mut vec![0; BUFFER], count).await;
            assert_eq!(over.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
            drop(near);
            drop(far);
            assert_eq!(reading.await.unwrap().unwrap(), counted.get());
            sending.await.unwrap();
        }
    }
}
