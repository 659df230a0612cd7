//! The configuration file as written: every key may be absent.

use std::{collections::BTreeMap, net::SocketAddr, ops::Range, path::Path};

use serde::Deserialize;

use super::{BrowserKind, ConfigError, Isolation, Requirement, Span, value};
use crate::policy::classify::SiteRule;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileConfig {
    pub(super) data_dir: Option<value::AbsolutePath>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) public_url: Option<value::BaseUrl>,
    pub(super) allowed_origins: Option<Vec<value::HeaderOrigin>>,
    #[serde(default)]
    pub(super) browser: BrowserSection,
    #[serde(default)]
    pub(super) cell: CellSection,
    #[serde(default)]
    pub(super) session: SessionSection,
    #[serde(default)]
    pub(super) window: WindowSection,
    #[serde(default)]
    pub(super) egress: EgressSection,
    #[serde(default)]
    pub(super) vault: VaultSection,
    #[serde(default)]
    pub(super) policy: PolicySection,
    #[serde(default)]
    pub(super) hold: HoldSection,
    #[serde(default)]
    pub(super) agent: AgentSection,
    #[serde(default)]
    pub(super) trace: TraceSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BrowserSection {
    pub(super) path: Option<value::AbsolutePath>,
    pub(super) kind: Option<BrowserKind>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CellSection {
    pub(super) isolation: Option<Isolation>,
    pub(super) share: Option<value::Share>,
    pub(super) warm: Option<value::Warm>,
    pub(super) require: Option<Vec<Requirement>>,
    pub(super) uid_first: Option<value::CellUid>,
    pub(super) uid_last: Option<value::CellUid>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionSection {
    pub(super) grace: Option<Span>,
    pub(super) max: Option<value::SessionsMax>,
    pub(super) connections: Option<value::AtOnce>,
    pub(super) contexts: Option<value::AtOnce>,
    pub(super) pages: Option<value::AtOnce>,
    pub(super) commands: Option<value::AtOnce>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WindowSection {
    pub(super) cap: Option<value::WindowLength>,
    pub(super) default: Option<value::WindowLength>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EgressSection {
    pub(super) hosts: Option<BTreeMap<value::HostName, value::Addresses>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VaultSection {
    pub(super) key_file: Option<value::AbsolutePath>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicySection {
    pub(super) bundle: Option<value::AbsolutePath>,
    #[serde(default)]
    pub(super) sites: Vec<SiteRule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HoldSection {
    pub(super) patience: Option<Span>,
    pub(super) deadline: Option<Span>,
    pub(super) max: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentSection {
    pub(super) sessions: Option<u32>,
    pub(super) windows: Option<u32>,
    pub(super) requests_per_hour: Option<u64>,
    pub(super) bytes_per_hour: Option<u64>,
    pub(super) holds: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TraceSection {
    pub(super) segment_bytes: Option<value::SegmentBytes>,
}

pub(super) fn parse(path: &Path, text: &str) -> Result<FileConfig, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().unwrap_or(0..0);
        let (line, column) = position(text, &at);
        ConfigError::File {
            path: path.to_owned(),
            line,
            column,
            key: key_at(text, line),
            reason: error.message().trim().replace('\n', "; "),
        }
    })
}

fn position(text: &str, at: &Range<usize>) -> (usize, usize) {
    let before = text.get(..at.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

// For the message alone: the parser tells where an error is, not in which key.
fn key_at(text: &str, line: usize) -> String {
    let header = |line: &str| {
        let name = line.trim().strip_prefix('[')?.split_once(']')?.0;
        Some(name.trim().to_owned())
    };
    let lines: Vec<&str> = text.lines().take(line).collect();
    let section = lines
        .iter()
        .rev()
        .find_map(|line| header(line))
        .unwrap_or_default();
    let key = lines
        .iter()
        .rev()
        .take_while(|line| header(line).is_none())
        .find_map(|line| Some(line.split_once('=')?.0.trim()))
        .filter(|key| !key.starts_with('#'))
        .unwrap_or_default();
    match (section.as_str(), key) {
        ("", "") => "(no key)".to_owned(),
        ("", key) => key.to_owned(),
        (section, "") => section.to_owned(),
        (section, key) => format!("{section}.{key}"),
    }
}
