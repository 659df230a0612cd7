//! From a permit to a connected socket: resolve once, check every address,
//! record, connect to what was checked.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio::{net::TcpStream, sync::Semaphore, time::timeout};

use super::{Shared, exchange::Exchange};
use crate::model::action::{Refusal, Rule};

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum DialError {
    /// Refused; still to be recorded.
    Refused(Refusal),
    /// Every address was tried, and is on record as failed.
    Unreachable(String),
}

/// Connects an admitted exchange.
pub(super) async fn dial(
    shared: &Shared,
    dials: &Arc<Semaphore>,
    exchange: &Exchange,
) -> Result<TcpStream, DialError> {
    let limits = &shared.limits;
    let refuse = |rule| DialError::Refused(refusal(exchange, rule));
    let Ok(Ok(place)) = timeout(limits.connect, dials.clone().acquire_owned()).await else {
        return Err(refuse(Rule::LimitReached));
    };
    let place = Arc::new(place);
    let to = &exchange.endpoint().to;
    let resolved = timeout(
        limits.lookup,
        shared.resolver.resolve(&to.host, to.port, &place),
    )
    .await;
    let Ok(Ok(addresses)) = resolved else {
        return Err(refuse(Rule::NameUnresolved));
    };
    if addresses.is_empty() {
        return Err(refuse(Rule::NameUnresolved));
    }
    let mut failure = None;
    for address in addresses {
        if !exchange.allows_address(address) || shared.is_own(address, to.port) {
            continue;
        }
        exchange.begin(address).await.map_err(DialError::Refused)?;
        // Recording and an earlier address took time.
        exchange.decide().map_err(|refusal| {
            exchange.ended("refused");
            DialError::Refused(refusal)
        })?;
        match connect(shared, address, to.port).await {
            Ok(socket) => return Ok(socket),
            Err(error) => {
                let how = format!("unreachable: {error}");
                exchange.failed(&how);
                failure = Some(how);
            }
        }
    }
    Err(failure.map_or_else(|| refuse(Rule::AddressRefused), DialError::Unreachable))
}

/// A refusal of what the exchange is about.
pub(super) fn refusal(exchange: &Exchange, rule: Rule) -> Refusal {
    let endpoint = exchange.endpoint();
    Refusal {
        delegation: Some(endpoint.delegation),
        ..Refusal::new(
            rule,
            format!("a connection to {}:{}", endpoint.to.host, endpoint.to.port),
        )
    }
}

async fn connect(shared: &Shared, address: IpAddr, port: u16) -> std::io::Result<TcpStream> {
    let socket = timeout(
        shared.limits.connect,
        TcpStream::connect(SocketAddr::new(address, port)),
    )
    .await??;
    socket.set_nodelay(true)?;
    Ok(socket)
}
