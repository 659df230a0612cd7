//! What the operator sets: flags before environment before file before
//! defaults. Everything is checked before any port is bound.

mod environment;
mod file;
mod span;
mod value;

use std::{
    collections::BTreeMap,
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    num::NonZeroU64,
    path::{Path, PathBuf},
};

pub use environment::{ELSEWHERE, VARIABLES, Variable};

pub use span::{Span, SpanError};
use url::Url;

use crate::{broker::quota::QuotaLimits, policy::classify::SiteRule};

/// Everything that can be set, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where state, keys and traces are kept.
    pub data_dir: PathBuf,
    /// Where the broker listens.
    pub listen: SocketAddr,
    /// How agents reach it, where that is not `listen`: scheme, host and port.
    pub public_url: Option<Url>,
    /// Values of `Origin` headers that are let in; none by default.
    pub allowed_origins: Vec<String>,
    /// Which browser.
    pub browser: BrowserConfig,
    /// How browsers are confined.
    pub cell: CellConfig,
    /// Sessions.
    pub session: SessionConfig,
    /// Windows.
    pub window: WindowConfig,
    /// Connections.
    pub egress: EgressConfig,
    /// Sealing.
    pub vault: VaultConfig,
    /// Policies.
    pub policy: PolicyConfig,
    /// Requests that wait for a person.
    pub hold: HoldConfig,
    /// What one agent may have at most.
    pub agent: AgentConfig,
    /// Traces.
    pub trace: TraceConfig,
}

/// Which browser.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrowserConfig {
    /// Executable; looked for where absent.
    pub path: Option<PathBuf>,
    /// What it is; told by the executable where absent.
    pub kind: Option<BrowserKind>,
}

/// Kinds of browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BrowserKind {
    /// Chromium.
    Chromium,
    /// Chrome, Chrome for Testing.
    Chrome,
    /// `chrome-headless-shell`.
    HeadlessShell,
}

/// How many sessions share a browser process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// One session a process.
    Process,
    /// Several sessions a process, each with contexts of its own.
    Shared,
}

/// Something that must hold on this machine, or the broker does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Requirement {
    /// Landlock confines the browser's files and ports.
    Landlock,
    /// A seccomp filter confines its system calls.
    Seccomp,
    /// It runs as a user of its own.
    User,
    /// Its own sandbox is on.
    Sandbox,
}

/// How browsers are confined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellConfig {
    /// Sessions a process.
    pub isolation: Isolation,
    /// Most sessions at once of one process that is shared.
    pub share: u32,
    /// Browsers kept started ahead of need.
    pub warm: usize,
    /// What must hold.
    pub require: Vec<Requirement>,
    /// First and last user id to run browsers as, where the broker is root.
    pub uids: Option<(u32, u32)>,
    /// The `hallpass` program, which becomes the browser; this program where
    /// absent. For programs that embed the broker; not in the file.
    pub launcher: Option<PathBuf>,
}

/// Sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    /// How long an agent may be disconnected.
    pub grace: Span,
    /// Sessions at once.
    pub max: u32,
    /// Connections of one session at once.
    pub connections: u32,
    /// Contexts of one session at once, its first among them.
    pub contexts: u32,
    /// Pages of one session, from which on no client is given another.
    pub pages: u32,
    /// Commands of one connection that wait for their replies.
    pub commands: u32,
}

/// Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowConfig {
    /// Longest.
    pub cap: Span,
    /// Where a request names no length.
    pub default: Span,
}

/// Connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressConfig {
    /// Names that resolve to these addresses and nothing else.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
}

/// Sealing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultConfig {
    /// Key that wraps the vault's key.
    pub key_file: PathBuf,
}

/// Policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyConfig {
    /// Cedar policies in place of those that ship.
    pub bundle: Option<PathBuf>,
    /// What requests of single sites are, whatever their names say.
    pub sites: Vec<SiteRule>,
}

/// Requests that wait for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldConfig {
    /// How long a page is kept waiting before it is told to try again; shorter
    /// than clients wait for an answer, which for most is 30 seconds.
    pub patience: Span,
    /// How long a person may take before it is denied.
    pub deadline: Span,
    /// Most that wait in one session.
    pub max: u32,
}

/// What one agent may have at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentConfig {
    /// Sessions at once.
    pub sessions: u32,
    /// Delegations that are approved and not over.
    pub windows: u32,
    /// Requests with a window within an hour; 0 for no limit.
    pub requests_per_hour: u64,
    /// Bytes either way within an hour; 0 for no limit.
    pub bytes_per_hour: u64,
    /// Requests that wait for a person; 0 for no limit.
    pub holds: u32,
}

impl AgentConfig {
    /// What leases are limited by.
    #[must_use]
    pub fn quota(&self) -> QuotaLimits {
        QuotaLimits {
            requests: NonZeroU64::new(self.requests_per_hour),
            bytes: NonZeroU64::new(self.bytes_per_hour),
            holds: (self.holds > 0).then_some(self.holds as usize),
        }
    }
}

/// Traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceConfig {
    /// Size at which a trace goes on in a new file.
    pub segment_bytes: u64,
}

/// What the command line sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<SocketAddr>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file `{path}` cannot be read")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something in the file is not acceptable.
    #[error("`{path}`, line {line}, column {column}, key `{key}`: {reason}")]
    File {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// Key with its section.
        key: String,
        /// Why, and what is allowed.
        reason: String,
    },
    /// A variable's value is not acceptable.
    #[error("environment variable `{name}` (key `{key}`): {reason}")]
    Variable {
        /// Which variable.
        name: &'static str,
        /// The key that it stands for.
        key: &'static str,
        /// Why, and what is allowed.
        reason: String,
    },
    /// A variable that looks like ours and is none.
    #[error(
        "environment variable `{name}` is not known; unset it or correct its name (known: {})",
        known_variables()
    )]
    UnknownVariable {
        /// Its name.
        name: String,
    },
    /// A flag's value is not acceptable.
    #[error("`{flag}`: {reason}")]
    Flag {
        /// Which flag.
        flag: &'static str,
        /// Why, and what is allowed.
        reason: String,
    },
    /// Values that are acceptable alone, but not together or not yet.
    #[error("key `{key}`: {reason}")]
    Value {
        /// Key with its section.
        key: &'static str,
        /// Why, and what is allowed.
        reason: String,
    },
    /// There is no home folder to keep data in.
    #[error(
        "there is no place for the data folder: set `--data-dir`, `HALLPASS_DATA_DIR` or `data_dir` to an absolute path"
    )]
    NoDataDir,
}

// === impl Config ===

impl Config {
    /// Reads the file and the environment and checks everything; touches
    /// nothing else.
    ///
    /// The file is the one that the flag or `HALLPASS_CONFIG` names, else
    /// `hallpass.toml` in the user's configuration folder, if it is there.
    /// `environment` is what the process was started with.
    ///
    /// # Errors
    /// The first thing that is not acceptable, with where it stands.
    pub fn load(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let environment: BTreeMap<String, String> = environment.into_iter().collect();
        let places = Places::of(&environment);
        let mut read = match flags
            .config
            .clone()
            .or_else(|| environment.get("HALLPASS_CONFIG").map(PathBuf::from))
        {
            Some(path) => read_file(path)?,
            None => match places.config.map(|folder| folder.join("hallpass.toml")) {
                Some(path) if path.exists() => read_file(path)?,
                _ => file::FileConfig::default(),
            },
        };
        environment::apply(&mut read, environment)?;
        if let Some(path) = &flags.data_dir {
            let path = std::path::absolute(path).map_err(|error| ConfigError::Flag {
                flag: "--data-dir",
                reason: error.to_string(),
            })?;
            read.data_dir = Some(value::AbsolutePath(path));
        }
        if flags.listen.is_some() {
            read.listen = flags.listen;
        }
        let data_dir = read
            .data_dir
            .take()
            .map(|path| path.0)
            .or(places.data)
            .ok_or(ConfigError::NoDataDir)?;
        Self::resolve(read, data_dir)
    }

    /// Defaults with this data folder, an absolute path: what `demo` and tests
    /// run with.
    #[must_use]
    pub fn in_dir(data_dir: PathBuf) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7411)),
            public_url: None,
            allowed_origins: Vec::new(),
            browser: BrowserConfig::default(),
            cell: CellConfig {
                isolation: Isolation::Process,
                share: 8,
                warm: 1,
                require: Vec::new(),
                uids: None,
                launcher: None,
            },
            session: SessionConfig {
                grace: Span::seconds(60),
                max: 16,
                connections: 16,
                contexts: 64,
                pages: 256,
                commands: 10_000,
            },
            window: WindowConfig {
                cap: Span::seconds(8 * 3600),
                default: Span::seconds(15 * 60),
            },
            egress: EgressConfig::default(),
            vault: VaultConfig {
                key_file: data_dir.join("keys").join("vault.key"),
            },
            policy: PolicyConfig::default(),
            hold: HoldConfig {
                patience: Span::seconds(20),
                deadline: Span::seconds(300),
                max: 32,
            },
            agent: AgentConfig {
                sessions: 16,
                windows: 64,
                requests_per_hour: 200_000,
                bytes_per_hour: 64 << 30,
                holds: 128,
            },
            trace: TraceConfig {
                segment_bytes: 64 << 20,
            },
            data_dir,
        }
    }

    fn resolve(read: file::FileConfig, data_dir: PathBuf) -> Result<Self, ConfigError> {
        let default = Self::in_dir(data_dir);
        let cell = read.cell;
        let config = Self {
            listen: read.listen.unwrap_or(default.listen),
            public_url: read.public_url.map(|url| url.0),
            allowed_origins: read
                .allowed_origins
                .unwrap_or_default()
                .into_iter()
                .map(|origin| origin.0)
                .collect(),
            browser: BrowserConfig {
                path: read.browser.path.map(|path| path.0),
                kind: read.browser.kind,
            },
            cell: CellConfig {
                isolation: cell.isolation.unwrap_or(default.cell.isolation),
                share: cell.share.map_or(default.cell.share, |share| share.0),
                warm: cell.warm.map_or(default.cell.warm, |warm| warm.0),
                require: cell.require.unwrap_or_default(),
                uids: uids(cell.uid_first, cell.uid_last)?,
                launcher: None,
            },
            session: session(&read.session, default.session),
            window: WindowConfig {
                cap: read.window.cap.map_or(default.window.cap, |cap| cap.0),
                default: read
                    .window
                    .default
                    .map_or(default.window.default, |span| span.0),
            },
            egress: EgressConfig {
                hosts: read
                    .egress
                    .hosts
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(host, addresses)| (host.0, addresses.0))
                    .collect(),
            },
            vault: VaultConfig {
                key_file: read
                    .vault
                    .key_file
                    .map_or(default.vault.key_file, |path| path.0),
            },
            policy: PolicyConfig {
                bundle: read.policy.bundle.map(|path| path.0),
                sites: read.policy.sites,
            },
            hold: HoldConfig {
                patience: read.hold.patience.unwrap_or(default.hold.patience),
                deadline: read.hold.deadline.unwrap_or(default.hold.deadline),
                max: read.hold.max.unwrap_or(default.hold.max),
            },
            agent: AgentConfig {
                sessions: read.agent.sessions.unwrap_or(default.agent.sessions),
                windows: read.agent.windows.unwrap_or(default.agent.windows),
                requests_per_hour: read
                    .agent
                    .requests_per_hour
                    .unwrap_or(default.agent.requests_per_hour),
                bytes_per_hour: read
                    .agent
                    .bytes_per_hour
                    .unwrap_or(default.agent.bytes_per_hour),
                holds: read.agent.holds.unwrap_or(default.agent.holds),
            },
            trace: TraceConfig {
                segment_bytes: read
                    .trace
                    .segment_bytes
                    .map_or(default.trace.segment_bytes, |bytes| bytes.0),
            },
            data_dir: default.data_dir,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, reason| Err(ConfigError::Value { key, reason });
        let WindowConfig { cap, default } = self.window;
        if default > cap {
            return refuse(
                "window.default",
                format!("`{default}` is longer than `window.cap`, which is `{cap}`"),
            );
        }
        if let Some((first, last)) = self.cell.uids
            && last - first + 1 < self.session.max
        {
            return refuse(
                "cell.uid_last",
                format!(
                    "`cell.uid_first` to `cell.uid_last` are {} user ids, fewer than `session.max`, which is {}",
                    last - first + 1,
                    self.session.max
                ),
            );
        }
        Ok(())
    }
}

fn session(read: &file::SessionSection, default: SessionConfig) -> SessionConfig {
    let at_once = |read: Option<value::AtOnce>, default| read.map_or(default, |most| most.0);
    SessionConfig {
        grace: read.grace.unwrap_or(default.grace),
        max: read.max.map_or(default.max, |max| max.0),
        connections: at_once(read.connections, default.connections),
        contexts: at_once(read.contexts, default.contexts),
        pages: at_once(read.pages, default.pages),
        commands: at_once(read.commands, default.commands),
    }
}

fn uids(
    first: Option<value::CellUid>,
    last: Option<value::CellUid>,
) -> Result<Option<(u32, u32)>, ConfigError> {
    let refuse = |key, reason: &str| {
        Err(ConfigError::Value {
            key,
            reason: reason.to_owned(),
        })
    };
    match (first, last) {
        (None, None) => Ok(None),
        (Some(first), Some(last)) if first.0 <= last.0 => Ok(Some((first.0, last.0))),
        (Some(_), Some(_)) => refuse("cell.uid_last", "it is below `cell.uid_first`"),
        (Some(_), None) => refuse("cell.uid_first", "it needs `cell.uid_last` beside it"),
        (None, Some(_)) => refuse("cell.uid_last", "it needs `cell.uid_first` beside it"),
    }
}

// === where things are ===

struct Places {
    config: Option<PathBuf>,
    data: Option<PathBuf>,
}

impl Places {
    fn of(environment: &BTreeMap<String, String>) -> Self {
        if nix::unistd::geteuid().is_root() {
            return Self {
                config: Some("/etc/hallpass".into()),
                data: Some("/var/lib/hallpass".into()),
            };
        }
        // The base directory standard says to ignore a path that is not absolute.
        let folder = |name: &str| {
            environment
                .get(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let home = folder("HOME");
        let below_home = |rest: &str| home.as_ref().map(|home| home.join(rest));
        Self {
            config: folder("XDG_CONFIG_HOME")
                .or_else(|| below_home(".config"))
                .map(|folder| folder.join("hallpass")),
            data: folder("XDG_DATA_HOME")
                .or_else(|| below_home(".local/share"))
                .map(|folder| folder.join("hallpass")),
        }
    }
}

fn read_file(path: PathBuf) -> Result<file::FileConfig, ConfigError> {
    match read_text(&path) {
        Ok(text) => file::parse(&path, &text),
        Err(source) => Err(ConfigError::Unreadable { path, source }),
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    const MOST: u64 = 1 << 20;
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(MOST + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MOST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

fn known_variables() -> String {
    let names = VARIABLES.iter().map(|variable| variable.name);
    let names: Vec<&str> = names.chain(ELSEWHERE.iter().copied()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
