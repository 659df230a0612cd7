//! Getting a Chromium through the system's own package manager.

use std::{io, path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use super::discover::{self, Browser, DiscoverError};

/// `(program of the manager, where it lives, what to run)`; the first one that
/// is there counts.
const MANAGERS: &[(&str, &[&str], &str)] = &[
    (
        "apt-get",
        &["/usr/bin/apt-get"],
        "apt-get update && apt-get install -y --no-install-recommends chromium-headless-shell",
    ),
    ("dnf", &["/usr/bin/dnf"], "dnf install -y chromium-headless"),
    ("apk", &["/sbin/apk", "/usr/sbin/apk"], "apk add chromium"),
    (
        "pacman",
        &["/usr/bin/pacman"],
        "pacman -S --noconfirm chromium",
    ),
    (
        "brew",
        &["/opt/homebrew/bin/brew", "/usr/local/bin/brew"],
        "brew install --cask chromium",
    ),
];

const APT: &[&[&str]] = &[
    &["update"],
    &[
        "install",
        "-y",
        "--no-install-recommends",
        "chromium-headless-shell",
    ],
];

/// Why no browser was installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It takes the administrator, or a manager that is not driven from here.
    #[error("cannot install a browser from here; run `{command}`")]
    ByHand {
        /// What to run.
        command: String,
    },
    /// The package manager failed.
    #[error("`{command}` failed ({status}): {last}")]
    Failed {
        /// What was run.
        command: String,
        /// How it ended.
        status: String,
        /// The last line it said.
        last: String,
    },
    /// The package manager could not be run.
    #[error("cannot run the package manager")]
    Io(#[from] io::Error),
    /// Installed, and still none is found.
    #[error("the package was installed, but no browser was found")]
    Discover(#[from] DiscoverError),
}

/// What a person runs on this system to get a browser.
#[must_use]
pub fn command() -> String {
    command_among(
        |path| Path::new(path).exists(),
        nix::unistd::geteuid().is_root(),
    )
}

/// Installs a browser, unless one is there already, and finds it. `progress` is
/// given one line at a time.
///
/// # Errors
/// This is not root, there is no `apt-get`, or it failed.
pub async fn install(mut progress: impl FnMut(&str)) -> Result<Browser, InstallError> {
    match discover::discover(None).await {
        Err(DiscoverError::NoneFound) => {}
        settled => return Ok(settled?),
    }
    let apt = Path::new("/usr/bin/apt-get");
    if !apt.exists() || !nix::unistd::geteuid().is_root() {
        return Err(InstallError::ByHand { command: command() });
    }
    for arguments in APT {
        run(apt, arguments, &mut progress).await?;
    }
    Ok(discover::discover(None).await?)
}

fn command_among(exists: impl Fn(&str) -> bool, root: bool) -> String {
    let Some((name, _, command)) = MANAGERS
        .iter()
        .find(|(_, places, _)| places.iter().any(|place| exists(place)))
    else {
        return "the package manager of this system (package chromium)".to_owned();
    };
    if root || *name == "brew" {
        (*command).to_owned()
    } else {
        format!("sudo sh -c '{command}'")
    }
}

async fn run(
    program: &Path,
    arguments: &[&str],
    progress: &mut impl FnMut(&str),
) -> Result<(), InstallError> {
    let command = format!("{} {}", program.display(), arguments.join(" "));
    progress(&command);
    let mut child = Command::new(program)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut out = child.stdout.take().map(|pipe| BufReader::new(pipe).lines());
    let mut err = child.stderr.take().map(|pipe| BufReader::new(pipe).lines());
    let mut last = String::new();
    while out.is_some() || err.is_some() {
        let line = tokio::select! {
            line = next(&mut out) => line?,
            line = next(&mut err) => line?,
        };
        if let Some(line) = line {
            progress(&line);
            last = line;
        }
    }
    let status = child.wait().await?;
    if status.success() {
        return Ok(());
    }
    Err(InstallError::Failed {
        command,
        status: status.to_string(),
        last,
    })
}

async fn next<R: tokio::io::AsyncRead + Unpin>(
    lines: &mut Option<tokio::io::Lines<BufReader<R>>>,
) -> io::Result<Option<String>> {
    let Some(open) = lines else {
        return std::future::pending().await;
    };
    let line = open.next_line().await?;
    if line.is_none() {
        *lines = None;
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_manager_has_its_own_command() {
        for (there, root, expected) in [
            ("/usr/bin/apt-get", true, "apt-get update &&"),
            ("/usr/bin/apt-get", false, "sudo sh -c 'apt-get update &&"),
            ("/usr/bin/dnf", true, "dnf install"),
            ("/sbin/apk", true, "apk add"),
            ("/usr/bin/pacman", false, "sudo sh -c 'pacman -S"),
            ("/opt/homebrew/bin/brew", false, "brew install"),
            ("nothing", true, "the package manager of this system"),
        ] {
            let command = command_among(|path| path == there, root);
            assert!(command.starts_with(expected), "{command}");
        }
    }

    #[tokio::test]
    async fn a_failing_manager_is_told_with_its_last_words() {
        let mut seen = Vec::new();
        let error = run(
            Path::new("/bin/sh"),
            &["-c", "echo one; echo two >&2; exit 3"],
            &mut |line: &str| seen.push(line.to_owned()),
        )
        .await
        .unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        assert!(seen.contains(&"one".to_owned()) && seen.contains(&"two".to_owned()));
    }
}
