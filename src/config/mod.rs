//! What the operator sets: flags before environment before file before
//! defaults. Everything is checked before any port is bound.

mod span;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

pub use span::{Span, SpanError};
use url::Url;

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
    /// Many sessions a process; not built yet and refused.
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
    /// Browsers kept started ahead of need.
    pub warm: usize,
    /// What must hold.
    pub require: Vec<Requirement>,
    /// First and last user id to run browsers as, where the broker is root.
    pub uids: Option<(u32, u32)>,
}

/// Sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    /// How long an agent may be disconnected.
    pub grace: Span,
    /// Sessions at once.
    pub max: u32,
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
#[error("{0}")]
pub struct ConfigError(String);

impl Config {
    /// Reads file and environment and checks everything.
    ///
    /// `environment` is what the process was started with: pass
    /// [`std::env::vars_os`] mapped to text.
    ///
    /// # Errors
    /// The first thing that is not acceptable, with where it stands.
    pub fn load(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let _ = environment.into_iter();
        Err(ConfigError(format!("{flags:?}")))
    }

    /// Defaults with this data folder: what `demo` and tests run with.
    #[must_use]
    pub fn in_dir(data_dir: PathBuf) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7411)),
            public_url: None,
            allowed_origins: Vec::new(),
            browser: BrowserConfig::default(),
            cell: CellConfig {
                isolation: Isolation::Process,
                warm: 1,
                require: Vec::new(),
                uids: None,
            },
            session: SessionConfig {
                grace: Span::seconds(60),
                max: 16,
            },
            window: WindowConfig {
                cap: Span::seconds(8 * 3600),
                default: Span::seconds(15 * 60),
            },
            egress: EgressConfig::default(),
            vault: VaultConfig {
                key_file: data_dir.join("keys").join("vault.key"),
            },
            trace: TraceConfig {
                segment_bytes: 64 << 20,
            },
            data_dir,
        }
    }
}
