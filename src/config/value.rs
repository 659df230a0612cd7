//! Single values, each checked where it is read, in the file and in the
//! environment alike.

use std::{net::IpAddr, path::PathBuf, str::FromStr};

use serde::Deserialize;
use url::{Host, Url};

use super::Span;
use crate::model::origin::Origin;

/// An absolute path.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct AbsolutePath(pub(super) PathBuf);

/// Scheme, host and port under which agents reach the broker.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct BaseUrl(pub(super) Url);

/// The value of an `Origin` header.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct HeaderOrigin(pub(super) String);

/// A host name, lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct HostName(pub(super) String);

/// At least one address.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Vec<IpAddr>")]
pub(super) struct Addresses(pub(super) Vec<IpAddr>);

/// Browsers started ahead of need.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct Warm(pub(super) usize);

/// Sessions at once of one browser.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct Share(pub(super) u32);

/// A user id to run browsers as.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct CellUid(pub(super) u32);

/// Sessions at once.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct SessionsMax(pub(super) u32);

/// Things of one session at once.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct AtOnce(pub(super) u32);

/// Length of a window.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Span")]
pub(super) struct WindowLength(pub(super) Span);

/// Size of a trace's file.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct SegmentBytes(pub(super) u64);

type Reason = String;

impl TryFrom<String> for AbsolutePath {
    type Error = Reason;

    fn try_from(text: String) -> Result<Self, Reason> {
        let path = PathBuf::from(&text);
        if path.is_absolute() && !text.contains('\0') {
            Ok(Self(path))
        } else {
            Err(format!(
                "`{text}` is not an absolute path: begin it with `/`"
            ))
        }
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = Reason;

    fn try_from(text: String) -> Result<Self, Reason> {
        text.parse::<Origin>()
            .map_err(|error| error.to_string())
            .and_then(|origin| Url::parse(&origin.to_string()).map_err(|error| error.to_string()))
            .map(Self)
    }
}

impl TryFrom<String> for HeaderOrigin {
    type Error = Reason;

    fn try_from(text: String) -> Result<Self, Reason> {
        let extension = text
            .strip_prefix("chrome-extension://")
            .is_some_and(|id| id.len() == 32 && id.bytes().all(|b| (b'a'..=b'p').contains(&b)));
        if extension {
            return Ok(Self(text));
        }
        match text.parse::<Origin>() {
            Ok(origin) => Ok(Self(origin.to_string())),
            Err(_) => Err(format!(
                "`{text}` is not an origin: expected `https://host`, `http://host:port` or `chrome-extension://` and an extension's id"
            )),
        }
    }
}

impl TryFrom<String> for HostName {
    type Error = Reason;

    fn try_from(text: String) -> Result<Self, Reason> {
        match Host::parse(&text) {
            Ok(Host::Domain(name)) => Ok(Self(name.trim_end_matches('.').to_owned())),
            _ => Err(format!("`{text}` is not a host name")),
        }
    }
}

impl TryFrom<Vec<IpAddr>> for Addresses {
    type Error = Reason;

    fn try_from(addresses: Vec<IpAddr>) -> Result<Self, Reason> {
        if addresses.is_empty() {
            return Err("a host needs at least one address".to_owned());
        }
        Ok(Self(addresses))
    }
}

impl TryFrom<Span> for WindowLength {
    type Error = Reason;

    fn try_from(span: Span) -> Result<Self, Reason> {
        if (Span::seconds(1)..=Span::seconds(7 * 86_400)).contains(&span) {
            Ok(Self(span))
        } else {
            Err(format!("`{span}` is out of range: expected `1s` to `7d`"))
        }
    }
}

macro_rules! in_range {
    ($($name:ident, $low:literal, $high:literal;)*) => {$(
        impl TryFrom<i64> for $name {
            type Error = Reason;

            fn try_from(number: i64) -> Result<Self, Reason> {
                ($low..=$high)
                    .contains(&number)
                    .then(|| number.try_into().ok().map(Self))
                    .flatten()
                    .ok_or_else(|| {
                        format!("`{number}` is out of range: expected {} to {}", $low, $high)
                    })
            }
        }

        impl FromStr for $name {
            type Err = Reason;

            fn from_str(text: &str) -> Result<Self, Reason> {
                text.parse::<i64>()
                    .map_err(|_| format!("`{text}` is not a whole number"))?
                    .try_into()
            }
        }
    )*};
}

in_range! {
    Warm, 0, 64;
    Share, 1, 64;
    CellUid, 1000, 4_294_967_293_i64;
    SessionsMax, 1, 10_000;
    AtOnce, 1, 100_000;
    SegmentBytes, 4096, 4_294_967_296_i64;
}

macro_rules! from_text {
    ($($name:ident)*) => {$(
        impl FromStr for $name {
            type Err = Reason;

            fn from_str(text: &str) -> Result<Self, Reason> {
                text.to_owned().try_into()
            }
        }
    )*};
}

from_text!(AbsolutePath BaseUrl HeaderOrigin HostName);

impl FromStr for WindowLength {
    type Err = Reason;

    fn from_str(text: &str) -> Result<Self, Reason> {
        text.parse::<Span>()
            .map_err(|error| error.to_string())?
            .try_into()
    }
}
