//! Names to addresses, once for each connection.

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use tokio::{net::lookup_host, sync::OwnedSemaphorePermit};
use url::Host;

use super::target::canonical;
use crate::model::origin::is_loopback_host;

/// Turns names into addresses: `localhost` by itself, the operator's own hosts
/// from the configuration, everything else by the system's resolver.
#[derive(Debug, Clone)]
pub struct Resolver {
    hosts: Arc<HashMap<String, Vec<IpAddr>>>,
    source: Source,
}

/// Why a table of hosts is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostsError {
    /// The key is no host name.
    #[error("`{0}` is not a host name: give a bare name such as `app.test`")]
    Name(String),
    /// Names on this machine are not to be moved elsewhere.
    #[error("`{0}` always means this machine and cannot be given another address")]
    Localhost(String),
    /// A name with nothing behind it.
    #[error("`{0}` has no address")]
    Empty(String),
}

#[derive(Clone)]
enum Source {
    System,
    #[cfg(test)]
    Script(Script),
}

/// Answers one after the other, whatever the name.
#[cfg(test)]
pub(super) type Script = Arc<std::sync::Mutex<std::collections::VecDeque<Vec<IpAddr>>>>;

// === impl Resolver ===

impl Resolver {
    /// A resolver with these hosts beside what the system knows.
    ///
    /// # Errors
    /// See [`HostsError`].
    pub fn new(hosts: HashMap<String, Vec<IpAddr>>) -> Result<Self, HostsError> {
        let mut table = HashMap::with_capacity(hosts.len());
        for (name, addresses) in hosts {
            let Ok(host @ Host::Domain(_)) = Host::parse(&name).map(canonical) else {
                return Err(HostsError::Name(name));
            };
            if is_loopback_host(&host) {
                return Err(HostsError::Localhost(name));
            }
            if addresses.is_empty() {
                return Err(HostsError::Empty(name));
            }
            table.insert(host.to_string(), addresses);
        }
        Ok(Self {
            hosts: Arc::new(table),
            source: Source::System,
        })
    }

    #[cfg(test)]
    pub(super) fn scripted(script: Script) -> Self {
        Self {
            source: Source::Script(script),
            ..Self::new(HashMap::new()).unwrap()
        }
    }

    /// The addresses of a host, IPv4 addresses mapped into IPv6 as such. An
    /// address is its own answer; no name server hears of it. The system's
    /// lookup cannot be called off, so it keeps `place` for as long as it lasts.
    ///
    /// # Errors
    /// The name does not resolve.
    pub(super) async fn resolve(
        &self,
        host: &Host,
        port: u16,
        place: &Arc<OwnedSemaphorePermit>,
    ) -> io::Result<Vec<IpAddr>> {
        let name = match host {
            Host::Ipv4(address) => return Ok(vec![IpAddr::V4(*address)]),
            Host::Ipv6(address) => return Ok(vec![IpAddr::V6(*address).to_canonical()]),
            Host::Domain(_) if is_loopback_host(host) => {
                return Ok(vec![
                    IpAddr::V4(Ipv4Addr::LOCALHOST),
                    IpAddr::V6(Ipv6Addr::LOCALHOST),
                ]);
            }
            Host::Domain(name) => name,
        };
        let found = match self.hosts.get(name) {
            Some(addresses) => addresses.clone(),
            None => self.look_up(name, port, place).await?,
        };
        let mut addresses: Vec<IpAddr> = Vec::with_capacity(found.len());
        for address in found.iter().map(IpAddr::to_canonical) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }

    async fn look_up(
        &self,
        name: &str,
        port: u16,
        place: &Arc<OwnedSemaphorePermit>,
    ) -> io::Result<Vec<IpAddr>> {
        match &self.source {
            Source::System => {
                let place = place.clone();
                let name = name.to_owned();
                tokio::spawn(async move {
                    let found = lookup_host((name.as_str(), port)).await?;
                    let addresses = found.map(|address| address.ip()).collect();
                    drop(place);
                    Ok(addresses)
                })
                .await
                .map_err(io::Error::other)?
            }
            #[cfg(test)]
            Source::Script(answers) => answers
                .lock()
                .unwrap()
                .pop_front()
                .ok_or_else(|| io::ErrorKind::NotFound.into()),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            #[cfg(test)]
            Self::Script(_) => "Script",
        })
    }
}
