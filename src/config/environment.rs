//! The environment: one variable for each key of the file.

use std::{collections::BTreeMap, fmt::Display, net::IpAddr, str::FromStr};

use serde::{Deserialize, de::value::StrDeserializer};

use super::{ConfigError, file::FileConfig, value};

/// A variable and the key of the file that it stands for.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Name of the variable.
    pub name: &'static str,
    /// Key in the file.
    pub key: &'static str,
    set: fn(&mut FileConfig, &str) -> Result<(), String>,
}

/// Every variable that stands for a key. Lists are separated by commas;
/// `HALLPASS_EGRESS_HOSTS` is `name=address+address,name=address`.
pub const VARIABLES: &[Variable] = &[
    variable("HALLPASS_DATA_DIR", "data_dir", |c, t| {
        one(&mut c.data_dir, t)
    }),
    variable("HALLPASS_LISTEN", "listen", |c, t| one(&mut c.listen, t)),
    variable("HALLPASS_PUBLIC_URL", "public_url", |c, t| {
        one(&mut c.public_url, t)
    }),
    variable("HALLPASS_ALLOWED_ORIGINS", "allowed_origins", |c, t| {
        c.allowed_origins = Some(list(t, read)?);
        Ok(())
    }),
    variable("HALLPASS_BROWSER_PATH", "browser.path", |c, t| {
        one(&mut c.browser.path, t)
    }),
    variable("HALLPASS_BROWSER_KIND", "browser.kind", |c, t| {
        named(&mut c.browser.kind, t)
    }),
    variable("HALLPASS_CELL_ISOLATION", "cell.isolation", |c, t| {
        named(&mut c.cell.isolation, t)
    }),
    variable("HALLPASS_CELL_SHARE", "cell.share", |c, t| {
        one(&mut c.cell.share, t)
    }),
    variable("HALLPASS_CELL_WARM", "cell.warm", |c, t| {
        one(&mut c.cell.warm, t)
    }),
    variable("HALLPASS_CELL_REQUIRE", "cell.require", |c, t| {
        c.cell.require = Some(list(t, name)?);
        Ok(())
    }),
    variable("HALLPASS_CELL_UID_FIRST", "cell.uid_first", |c, t| {
        one(&mut c.cell.uid_first, t)
    }),
    variable("HALLPASS_CELL_UID_LAST", "cell.uid_last", |c, t| {
        one(&mut c.cell.uid_last, t)
    }),
    variable("HALLPASS_SESSION_GRACE", "session.grace", |c, t| {
        one(&mut c.session.grace, t)
    }),
    variable("HALLPASS_SESSION_MAX", "session.max", |c, t| {
        one(&mut c.session.max, t)
    }),
    variable(
        "HALLPASS_SESSION_CONNECTIONS",
        "session.connections",
        |c, t| one(&mut c.session.connections, t),
    ),
    variable("HALLPASS_SESSION_CONTEXTS", "session.contexts", |c, t| {
        one(&mut c.session.contexts, t)
    }),
    variable("HALLPASS_SESSION_PAGES", "session.pages", |c, t| {
        one(&mut c.session.pages, t)
    }),
    variable("HALLPASS_SESSION_COMMANDS", "session.commands", |c, t| {
        one(&mut c.session.commands, t)
    }),
    variable("HALLPASS_WINDOW_CAP", "window.cap", |c, t| {
        one(&mut c.window.cap, t)
    }),
    variable("HALLPASS_WINDOW_DEFAULT", "window.default", |c, t| {
        one(&mut c.window.default, t)
    }),
    variable("HALLPASS_EGRESS_HOSTS", "egress.hosts", |c, t| {
        c.egress.hosts = Some(hosts(t)?);
        Ok(())
    }),
    variable("HALLPASS_VAULT_KEY_FILE", "vault.key_file", |c, t| {
        one(&mut c.vault.key_file, t)
    }),
    variable("HALLPASS_POLICY_BUNDLE", "policy.bundle", |c, t| {
        one(&mut c.policy.bundle, t)
    }),
    variable("HALLPASS_HOLD_PATIENCE", "hold.patience", |c, t| {
        one(&mut c.hold.patience, t)
    }),
    variable("HALLPASS_HOLD_DEADLINE", "hold.deadline", |c, t| {
        one(&mut c.hold.deadline, t)
    }),
    variable("HALLPASS_HOLD_MAX", "hold.max", |c, t| {
        one(&mut c.hold.max, t)
    }),
    variable("HALLPASS_AGENT_SESSIONS", "agent.sessions", |c, t| {
        one(&mut c.agent.sessions, t)
    }),
    variable("HALLPASS_AGENT_WINDOWS", "agent.windows", |c, t| {
        one(&mut c.agent.windows, t)
    }),
    variable(
        "HALLPASS_AGENT_REQUESTS_PER_HOUR",
        "agent.requests_per_hour",
        |c, t| one(&mut c.agent.requests_per_hour, t),
    ),
    variable(
        "HALLPASS_AGENT_BYTES_PER_HOUR",
        "agent.bytes_per_hour",
        |c, t| one(&mut c.agent.bytes_per_hour, t),
    ),
    variable("HALLPASS_AGENT_HOLDS", "agent.holds", |c, t| {
        one(&mut c.agent.holds, t)
    }),
    variable(
        "HALLPASS_TRACE_SEGMENT_BYTES",
        "trace.segment_bytes",
        |c, t| one(&mut c.trace.segment_bytes, t),
    ),
];

/// Variables that something other than the configuration reads: where the file
/// is, what is logged, and what the command line's client calls with.
pub const ELSEWHERE: &[&str] = &[
    "HALLPASS_BROWSER",
    "HALLPASS_CONFIG",
    "HALLPASS_LOG",
    "HALLPASS_URL",
    "HALLPASS_TOKEN",
];

const fn variable(
    name: &'static str,
    key: &'static str,
    set: fn(&mut FileConfig, &str) -> Result<(), String>,
) -> Variable {
    Variable { name, key, set }
}

/// Lays the environment over the file.
pub(super) fn apply(
    config: &mut FileConfig,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    for (name, text) in environment {
        if !name.starts_with("HALLPASS_") || ELSEWHERE.contains(&name.as_str()) {
            continue;
        }
        let Some(variable) = VARIABLES.iter().find(|variable| variable.name == name) else {
            return Err(ConfigError::UnknownVariable { name });
        };
        (variable.set)(config, &text).map_err(|reason| ConfigError::Variable {
            name: variable.name,
            key: variable.key,
            reason,
        })?;
    }
    Ok(())
}

fn one<T: FromStr<Err: Display>>(place: &mut Option<T>, text: &str) -> Result<(), String> {
    *place = Some(read(text)?);
    Ok(())
}

fn named<'de, T: Deserialize<'de>>(place: &mut Option<T>, text: &'de str) -> Result<(), String> {
    *place = Some(name(text)?);
    Ok(())
}

fn read<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| format!("{error}"))
}

// One of the names that a value has in the file, too.
fn name<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, String> {
    T::deserialize(StrDeserializer::<serde::de::value::Error>::new(text))
        .map_err(|error| error.to_string())
}

fn list<'a, T>(
    text: &'a str,
    read: impl Fn(&'a str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let parts = text.split(',').map(str::trim);
    parts.filter(|part| !part.is_empty()).map(read).collect()
}

fn hosts(text: &str) -> Result<BTreeMap<value::HostName, value::Addresses>, String> {
    list(text, |entry| {
        let (host, addresses) = entry.split_once('=').ok_or_else(|| {
            format!("`{entry}` is no entry: expected `name=address` or `name=address+address`")
        })?;
        let addresses: Vec<IpAddr> = addresses
            .split('+')
            .map(|address| {
                address
                    .trim()
                    .parse()
                    .map_err(|_| format!("`{address}` is not an IP address"))
            })
            .collect::<Result<_, String>>()?;
        Ok((read(host.trim())?, addresses.try_into()?))
    })
    .map(|entries| entries.into_iter().collect())
}
