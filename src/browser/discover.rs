//! Which browser to use.
//!
//! In this order: the configured path, `HALLPASS_BROWSER`, then on `PATH`
//! `chromium-headless-shell`, `chrome-headless-shell`, `chromium`,
//! `chromium-browser`, `google-chrome`. What is named explicitly is used or
//! refused, never passed over for another.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{io::AsyncReadExt, process::Command, time::timeout};

use super::install;

const NAMES: &[&str] = &[
    "chromium-headless-shell",
    "chrome-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
];

/// Where packages put the real binary behind a shell wrapper.
const LAYOUTS: &[(&str, &[&str])] = &[
    (
        "/usr/bin/chromium-headless-shell",
        &["/usr/lib/chromium/chromium-headless-shell"],
    ),
    (
        "/usr/bin/chromium",
        &["/usr/lib/chromium/chromium", "/usr/lib/chromium/chrome"],
    ),
    (
        "/usr/bin/chromium-browser",
        &[
            "/usr/lib64/chromium-browser/chromium-browser",
            "/usr/lib/chromium-browser/chromium-browser",
            "/usr/lib/chromium/chromium",
        ],
    ),
    (
        "/opt/google/chrome/google-chrome",
        &["/opt/google/chrome/chrome"],
    ),
];

const PATIENCE: Duration = Duration::from_secs(20);
const NOBODY: u32 = 65534;

/// Which of Chromium's two shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `chromium-headless-shell`: smaller, starts faster, no browser UI.
    HeadlessShell,
    /// The full browser, run with `--headless=new`.
    Chromium,
}

/// A browser that answered with its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Browser {
    /// The binary itself, or a wrapper of an unknown package.
    pub path: PathBuf,
    /// Its shape.
    pub kind: Kind,
    /// Four numbers, such as `156.0.8078.79`.
    pub version: String,
}

/// Why there is no browser.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// Nothing configured and nothing on `PATH`.
    #[error(
        "no Chromium was found on PATH; install one with `{}`, or name one with HALLPASS_BROWSER",
        install::command()
    )]
    NoneFound,
    /// What was named is not there.
    #[error("there is no browser at `{}`; correct the path, or install one with `{}`", path.display(), install::command())]
    Missing {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It may not be run.
    #[error("`{}` is not an executable file; name the browser's binary", path.display())]
    NotExecutable {
        /// The path.
        path: PathBuf,
    },
    /// It could not be run, or did not answer in time.
    #[error("`{}` did not answer `--version`; run it by hand to see why", path.display())]
    NoAnswer {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It says it is something else.
    #[error("`{}` is not a Chromium: it answered `{answer}` to `--version`", path.display())]
    NotChromium {
        /// The path.
        path: PathBuf,
        /// The start of what it said.
        answer: String,
    },
}

/// Finds the browser; see the module for the order.
///
/// # Errors
/// None is there, or the one that was named cannot be used.
pub async fn discover(configured: Option<&Path>) -> Result<Browser, DiscoverError> {
    let named = std::env::var_os("HALLPASS_BROWSER").filter(|text| !text.is_empty());
    let path = std::env::var_os("PATH").unwrap_or_default();
    discover_among(configured, named.as_deref().map(Path::new), &path).await
}

/// [`discover`] with the environment as arguments: `named` stands for
/// `HALLPASS_BROWSER`, `search` for `PATH`.
///
/// # Errors
/// As [`discover`].
pub async fn discover_among(
    configured: Option<&Path>,
    named: Option<&Path>,
    search: &OsStr,
) -> Result<Browser, DiscoverError> {
    if let Some(path) = configured.or(named) {
        return inspect(path).await;
    }
    for name in NAMES {
        let found = std::env::split_paths(search)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(name))
            .find(|path| is_executable(path));
        if let Some(path) = found {
            return inspect(&path).await;
        }
    }
    Err(DiscoverError::NoneFound)
}

/// Whether the kernel runs the file itself, without an interpreter named in it.
#[must_use]
pub fn is_binary(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok_and(|()| magic == *b"\x7fELF")
}

async fn inspect(path: &Path) -> Result<Browser, DiscoverError> {
    let path = path
        .canonicalize()
        .map_err(|source| DiscoverError::Missing {
            path: path.to_owned(),
            source,
        })?;
    if !is_executable(&path) {
        return Err(DiscoverError::NotExecutable { path });
    }
    let path = behind_wrapper(path);
    let answer = timeout(PATIENCE, ask_version(&path))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|source| DiscoverError::NoAnswer {
            path: path.clone(),
            source,
        })?;
    let Some(version) = parse_version(&answer) else {
        let answer = answer
            .chars()
            .filter(|c| !c.is_control())
            .take(80)
            .collect();
        return Err(DiscoverError::NotChromium { path, answer });
    };
    let headless = |part: &OsStr| part.to_string_lossy().contains("headless");
    let kind = if path.file_name().is_some_and(headless) {
        Kind::HeadlessShell
    } else {
        Kind::Chromium
    };
    Ok(Browser {
        path,
        kind,
        version,
    })
}

fn behind_wrapper(path: PathBuf) -> PathBuf {
    if is_binary(&path) {
        return path;
    }
    LAYOUTS
        .iter()
        .filter(|(wrapper, _)| path == Path::new(wrapper))
        .flat_map(|(_, binaries)| binaries.iter().map(Path::new))
        .find(|binary| is_executable(binary) && is_binary(binary))
        .map_or(path, Path::to_owned)
}

// Asked as nobody and with nothing in the environment: until it has answered,
// it is some program.
async fn ask_version(path: &Path) -> io::Result<String> {
    let mut command = Command::new(path);
    command
        .arg("--version")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child = command.spawn()?;
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(4096).read_to_end(&mut answer).await?;
    }
    child.wait().await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

// `Chromium 156.0.8078.79 built on …`, `Google Chrome 156.0.8078.79`,
// `Google Chrome for Testing 156.0.8078.79`, `HeadlessChrome …`.
fn parse_version(answer: &str) -> Option<String> {
    let line = answer.lines().find(|line| line.contains("Chrom"))?;
    let mut words = line.split_ascii_whitespace();
    let first = words.next()?;
    if !["Chromium", "Google", "Chrome", "HeadlessChrome"].contains(&first) {
        return None;
    }
    words
        .find(|word| {
            word.split('.').count() == 4
                && word
                    .split('.')
                    .all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        })
        .map(str::to_owned)
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests;
