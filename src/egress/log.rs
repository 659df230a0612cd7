//! What the proxy puts on record, and the sink it hands it to.

use std::{fmt, net::IpAddr};

use futures_util::future::BoxFuture;

use crate::{
    model::{action::Refusal, id::DelegationId},
    trace::record::Event,
};

/// The record does not accept entries; nothing may be connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection could not be put on record; check the trace store")]
pub struct RecordUnavailable;

/// Where a session's connections are recorded.
pub trait ConnectionLog: Send + Sync + fmt::Debug {
    /// Records a refusal, or an allow before anything is connected. Nothing
    /// goes out before the answer has come, and nothing at all on an error.
    fn connection(&self, connection: Connection) -> BoxFuture<'_, Result<(), RecordUnavailable>>;

    /// Records how an allowed connection ended: exactly once for each.
    fn ended(&self, ended: Ended);

    /// Takes note that a delegation's budget of bytes is used up: its window must
    /// close. The connection that used it up is cut already.
    fn used_up(&self, delegation: DelegationId) {
        let _ = delegation;
    }
}

/// One connection that was asked for, and what was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Host, as the URL standard writes it; empty where it was not understood.
    pub host: String,
    /// Port; 0 where it was not understood.
    pub port: u16,
    /// The address that is about to be connected to; absent on a refusal.
    pub address: Option<IpAddr>,
    /// The delegation that allowed it.
    pub delegation: Option<DelegationId>,
    /// Why it was refused; absent on an allow.
    pub refusal: Option<Refusal>,
}

/// How an allowed connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Bytes to the site.
    pub sent: u64,
    /// Bytes from the site.
    pub received: u64,
    /// `closed`, `cut` or an error.
    pub how: String,
}

impl From<Connection> for Event {
    fn from(connection: Connection) -> Self {
        Self::Connection {
            host: connection.host,
            port: connection.port,
            address: connection.address.map(|address| address.to_string()),
            delegation: connection.delegation,
            refusal: connection.refusal,
        }
    }
}

impl From<Ended> for Event {
    fn from(ended: Ended) -> Self {
        Self::ConnectionEnded {
            host: ended.host,
            port: ended.port,
            sent: ended.sent,
            received: ended.received,
            how: ended.how,
        }
    }
}
