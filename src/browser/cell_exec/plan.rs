//! What the launcher is told, and what it answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// One layer of the cell's confinement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Every descriptor beyond 0 to 4 is closed.
    Descriptors,
    /// Resource limits; no core dumps; the processor after the broker.
    Limits,
    /// A user and group of the cell's own. Needs root.
    User,
    /// No program it starts gains privileges.
    NoNewPrivileges,
    /// Landlock: files.
    LandlockFiles,
    /// Landlock: TCP to the listed ports only, nothing bound. Linux 6.7.
    LandlockNetwork,
    /// Landlock: no signals or abstract sockets to the outside. Linux 6.12.
    LandlockScope,
    /// Seccomp: no datagrams, no other socket families, no `io_uring`, no mounts.
    Syscalls,
}

/// Resource limits of each process of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Open files.
    pub files: u64,
    /// Processes and threads of the cell's user; set only with [`Layer::User`].
    pub processes: u64,
    /// Bytes of one written file.
    pub file_bytes: u64,
}

/// All that the launcher needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The broker's process: the launcher's parent.
    pub broker: u32,
    /// What to become.
    pub program: PathBuf,
    /// Its arguments, without its name.
    pub arguments: Vec<String>,
    /// The folder it may write: its home, with `tmp` in it.
    pub profile: PathBuf,
    /// Its user and group; none keeps the broker's.
    pub user: Option<u32>,
    /// Programs, or folders of programs, that it may execute (beside the dynamic
    /// loader).
    pub execute: Vec<PathBuf>,
    /// TCP ports it may connect to.
    pub connect: Vec<u16>,
    /// Layers to apply.
    pub layers: BTreeSet<Layer>,
    /// Layers without which it must not start.
    pub require: BTreeSet<Layer>,
    /// Resource limits.
    pub limits: Limits,
    /// `LANG`, such as `C.UTF-8`.
    pub language: String,
    /// `TZ`, such as `UTC`.
    pub timezone: String,
}

/// What was applied before Chromium began.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confinement {
    /// Layers that hold.
    pub applied: BTreeSet<Layer>,
    /// Layers that were asked for and do not hold, and why.
    pub missing: BTreeMap<Layer, String>,
    /// Landlock's version in this kernel; 0 where there is none.
    pub landlock_abi: u32,
}

/// The launcher's one line to the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It goes on to `exec`.
    Confined(Confinement),
    /// It does not, and why.
    Refused(String),
}

// === impl Layer ===

impl Layer {
    /// All of them, in the order in which they are applied.
    pub const ALL: [Self; 8] = [
        Self::Descriptors,
        Self::Limits,
        Self::User,
        Self::NoNewPrivileges,
        Self::LandlockFiles,
        Self::LandlockNetwork,
        Self::LandlockScope,
        Self::Syscalls,
    ];
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptors => "descriptors",
            Self::Limits => "limits",
            Self::User => "user",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::LandlockFiles => "landlock-files",
            Self::LandlockNetwork => "landlock-network",
            Self::LandlockScope => "landlock-scope",
            Self::Syscalls => "syscalls",
        })
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: 8192,
            processes: 4096,
            file_bytes: 4 << 30,
        }
    }
}

// === impl Plan ===

impl Plan {
    /// The whole environment of the browser.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let own = |folder: &str| self.profile.join(folder);
        vec![
            ("PATH", Path::new("/usr/bin:/bin").to_owned()),
            ("HOME", self.profile.clone()),
            ("LANG", PathBuf::from(&self.language)),
            ("TZ", PathBuf::from(&self.timezone)),
            // Through the working folder, which is the profile: Chromium binds a
            // socket in there, whose path may have 107 bytes.
            ("TMPDIR", Path::new("/proc/self/cwd/tmp").to_owned()),
            ("XDG_CACHE_HOME", own("xdg/cache")),
            ("XDG_CONFIG_HOME", own("xdg/config")),
            ("XDG_DATA_HOME", own("xdg/data")),
            ("XDG_STATE_HOME", own("xdg/state")),
            ("XDG_RUNTIME_DIR", own("xdg/runtime")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_reads_the_same_in_json_and_to_people() {
        for layer in Layer::ALL {
            let json = serde_json::to_string(&layer).unwrap();
            assert_eq!(json, format!("\"{layer}\""));
        }
    }
}
