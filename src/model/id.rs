//! Typed identifiers that a person can tell apart: `ses_…`, `del_…`, `agt_…`.
//!
//! An id is a kind prefix and a UUID in lower-case base32 without padding (26
//! characters). UUID version 7 sorts by creation time. Nothing here draws
//! randomness: the shell hands a fresh [`Uuid`] to `from_uuid`.

use std::{fmt, str::FromStr};

use data_encoding::{Encoding, Specification};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::LazyLock;
use uuid::Uuid;

/// Why a text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {article} id: expected `{prefix}_` and 26 characters from a-z and 2-7")]
pub struct IdError {
    text: String,
    article: &'static str,
    prefix: &'static str,
}

static BASE32: LazyLock<Option<Encoding>> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification
        .symbols
        .push_str("abcdefghijklmnopqrstuvwxyz234567");
    specification.encoding().ok()
});

fn encode(prefix: &str, uuid: Uuid) -> String {
    let body = BASE32
        .as_ref()
        .map_or_else(|| uuid.simple().to_string(), |e| e.encode(uuid.as_bytes()));
    format!("{prefix}_{body}")
}

fn decode(prefix: &str, text: &str) -> Option<Uuid> {
    let body = text.strip_prefix(prefix)?.strip_prefix('_')?;
    let bytes = BASE32.as_ref()?.decode(body.as_bytes()).ok()?;
    Uuid::from_slice(&bytes).ok()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal, $article:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// The text before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id of a UUID drawn elsewhere.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&encode($prefix, self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                decode($prefix, text).map(Self).ok_or_else(|| IdError {
                    text: text.chars().take(64).collect(),
                    article: $article,
                    prefix: $prefix,
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// An agent: a workload with an identity of its own, never a person.
    AgentId, "agt", "an agent";
    /// A person: lender, approver, reviewer or administrator.
    PersonId, "per", "a person";
    /// One lent cookie, sealed in the vault.
    CredentialId, "crd", "a credential";
    /// What a person grants an agent.
    DelegationId, "del", "a delegation";
    /// One isolated browser context for one agent.
    SessionId, "ses", "a session";
    /// One confined Chromium process.
    CellId, "cel", "a cell";
    /// One trace: of a session, or of the broker itself.
    TraceId, "trc", "a trace";
    /// A paused request that waits for a person.
    HoldId, "hld", "a hold";
    /// A stop on an agent, a person or an origin.
    LockId, "lck", "a lock";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_names_its_kind() {
        let id = SessionId::from_uuid(Uuid::from_u128(7));
        let text = id.to_string();
        assert_eq!(text.len(), 30);
        assert_eq!(text.parse(), Ok(id));
        assert!(text.parse::<AgentId>().is_err());
    }

    #[test]
    fn foreign_text_is_refused() {
        for text in [
            "",
            "ses_",
            "ses_zz",
            "ses_AAAAAAAAAAAAAAAAAAAAAAAAAA",
            "ses",
        ] {
            assert!(text.parse::<SessionId>().is_err(), "{text}");
        }
    }
}
