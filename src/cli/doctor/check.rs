//! The checks. None of them changes anything on disk.

use std::{
    fs::{self, File},
    io::{self, Read},
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::Path,
};

use nix::unistd::{AccessFlags, access, geteuid};

use super::{super::scratch::ScratchFolder, Finding};
use crate::{
    browser::{cell::passable, probe::probe},
    clock::{Clock, boot_id},
    config::{Config, Isolation},
    model::time::Timestamp,
    serve,
};

/// Long before this release: a clock that says less was never set.
const CLOCK_FLOOR: &str = "2026-01-01T00:00:00Z";

/// Every check, in the order in which one builds on another.
pub(super) async fn all(config: &Config) -> Vec<Finding> {
    let running = serve::is_running(&config.data_dir);
    let mut findings = vec![clock(), boot()];
    findings.push(folder(&config.data_dir));
    findings.push(store(&config.data_dir.join("hallpass.db"), running));
    findings.extend(key(&config.vault.key_file, &config.data_dir));
    findings.push(token(
        &config.data_dir.join(super::super::context::TOKEN_FILE),
    ));
    findings.push(listen(config, running));
    findings.extend(browser(config).await);
    findings.push(isolation(config));
    findings
}

/// How many sessions a browser has: what is true of one may not be of the other.
fn isolation(config: &Config) -> Finding {
    let detail = match config.cell.isolation {
        Isolation::Process => "process: one browser for each session".to_owned(),
        Isolation::Shared => format!(
            "shared: up to {} sessions in one browser, which end together if it does",
            config.cell.share
        ),
    };
    Finding::holds("isolation", detail)
}

/// What a browser in a cell of its own shows: executable, sandbox, layers.
async fn browser(config: &Config) -> Vec<Finding> {
    let made =
        ScratchFolder::make("doctor").and_then(|folder| Ok((folder, std::env::current_exe()?)));
    let (folder, launcher) = match made {
        Ok(made) => made,
        Err(error) => {
            return vec![Finding::fails(
                "browser",
                format!("no cell can be tried: {error}"),
                "make the temporary folder writable",
            )];
        }
    };
    probe(config.browser.path.as_deref(), &launcher, folder.path())
        .await
        .into_iter()
        .map(|finding| {
            let mend = finding.mend.unwrap_or_default();
            // Older kernels lack these layers, and the broker starts without them.
            let optional = finding.name.starts_with("landlock");
            match (finding.holds, optional) {
                (true, _) => Finding::holds(finding.name, finding.detail),
                (false, true) => Finding::warning(finding.name, finding.detail, mend),
                (false, false) => Finding::fails(finding.name, finding.detail, mend),
            }
        })
        .collect()
}

fn clock() -> Finding {
    let now = Clock.now().wall;
    let floor = Timestamp::parse(CLOCK_FLOOR).unwrap_or(Timestamp(0));
    // An unreadable clock reads as the end of time.
    if now < floor || now.0 == i64::MAX {
        return Finding::fails(
            "clock",
            format!("the clock says {now}"),
            "set the clock and keep it set (NTP): windows are measured by it",
        );
    }
    Finding::holds("clock", format!("{now}"))
}

fn boot() -> Finding {
    match boot_id() {
        Ok(_) if Clock.now().boot.0 > 0 => Finding::holds(
            "boot clock",
            "windows end by it even when the clock is set back",
        ),
        Ok(_) => Finding::fails(
            "boot clock",
            "the kernel does not tell the time since boot",
            "run on Linux 2.6.39 or later",
        ),
        Err(error) => Finding::fails(
            "boot clock",
            format!("the kernel does not name this boot: {error}"),
            "make /proc/sys/kernel/random/boot_id readable",
        ),
    }
}

/// A user that owns no folder.
const NOBODY: u32 = u32::MAX - 1;

/// Cells of a broker that is root run as users of their own, who must reach
/// their profiles. The data folder itself is made passable by the broker.
fn folder(path: &Path) -> Finding {
    let what = "data folder";
    let shown = path.display();
    if let (true, Some(above)) = (geteuid().is_root(), path.parent().and_then(nearest)) {
        if let Err(error) = passable(above, NOBODY) {
            return Finding::fails(
                what,
                format!("cells cannot reach {shown}: {error}"),
                "make each folder above it passable (`chmod o+x`), or name another with `--data-dir`",
            );
        }
    }
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match nearest(path) {
                Some(parent) if access(parent, AccessFlags::W_OK).is_ok() && parent.is_dir() => {
                    Finding::holds(
                        what,
                        format!("{shown} is not there yet; `hallpass serve` makes it"),
                    )
                }
                _ => Finding::fails(
                    what,
                    format!("{shown} is not there and cannot be made"),
                    "name another folder with `--data-dir`, or make it writable",
                ),
            };
        }
        Err(error) => {
            return Finding::fails(
                what,
                format!("{shown} cannot be read: {error}"),
                "name another folder with `--data-dir`, or correct who owns it",
            );
        }
    };
    let mode = metadata.mode() & 0o777;
    if !metadata.is_dir() {
        return Finding::fails(
            what,
            format!("{shown} is no folder"),
            "name a folder with `--data-dir`",
        );
    }
    if mode & 0o066 != 0 {
        return Finding::fails(
            what,
            format!("{shown} is open to other users (mode {mode:03o})"),
            format!("run `chmod go-rw {shown}`"),
        );
    }
    if access(
        path,
        AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK,
    )
    .is_err()
    {
        return Finding::fails(
            what,
            format!("{shown} cannot be written to"),
            "correct who owns it, or whether its disk is mounted read-only",
        );
    }
    Finding::holds(what, format!("{shown}, private and writable"))
}

fn store(path: &Path, running: bool) -> Finding {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let what = "store";
    let shown = path.display();
    let mut head = [0; 16];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    match read {
        Ok(()) if &head == MAGIC => match private(path) {
            Ok(()) => {
                let used = if running { ", in use by a broker" } else { "" };
                Finding::holds(what, format!("{shown}{used}"))
            }
            Err(mode) => exposed(what, path, mode),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::holds(
            what,
            format!("{shown} is not there yet; `hallpass serve` makes it"),
        ),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Finding::fails(
            what,
            format!("{shown} cannot be read: {error}"),
            "run this as the user who runs the broker",
        ),
        Ok(()) | Err(_) => Finding::fails(
            what,
            format!("{shown} is damaged or no Hallpass store"),
            "restore it from a backup, or move it away to begin anew",
        ),
    }
}

fn key(path: &Path, data_dir: &Path) -> Vec<Finding> {
    let what = "vault key";
    let shown = path.display();
    let mut findings = Vec::new();
    match fs::metadata(path) {
        Ok(_) => match private(path) {
            Ok(()) => findings.push(Finding::holds(what, format!("{shown}, private"))),
            Err(mode) => findings.push(exposed(what, path, mode)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let store = data_dir.join("hallpass.db");
            findings.push(if store.exists() {
                Finding::fails(
                    what,
                    format!("{shown} is missing, though there is a store that it opens"),
                    "bring the key file back, or name it as `key_file` under `[vault]`; without it the vault stays shut",
                )
            } else {
                Finding::holds(what, format!("{shown} is not there yet; `hallpass serve` makes it"))
            });
        }
        Err(error) => findings.push(Finding::fails(
            what,
            format!("{shown} cannot be read: {error}"),
            "run this as the user who runs the broker",
        )),
    }
    if path.starts_with(data_dir) {
        findings.push(Finding::warning(
            "key apart",
            "the vault's key lies beside the database",
            "whoever copies the data folder can open the vault: keep the key elsewhere, with `key_file` under `[vault]`",
        ));
    }
    findings
}

fn token(path: &Path) -> Finding {
    let what = "operator token";
    match (path.exists(), private(path)) {
        (false, _) => Finding::holds(
            what,
            format!(
                "{} is not there yet; `hallpass serve` makes it",
                path.display()
            ),
        ),
        (true, Ok(())) => Finding::holds(what, format!("{}, private", path.display())),
        (true, Err(mode)) => exposed(what, path, mode),
    }
}

fn listen(config: &Config, running: bool) -> Finding {
    let what = "port";
    let address = config.listen;
    if running {
        let at =
            serve::announced(&config.data_dir).map_or_else(String::new, |url| format!(" at {url}"));
        return Finding::holds(what, format!("a broker runs on this data folder{at}"));
    }
    match TcpListener::bind(address) {
        Ok(_) if !address.ip().is_loopback() && config.public_url.is_none() => Finding::warning(
            what,
            format!("{address} is reachable from other machines, in clear text"),
            "listen on 127.0.0.1 behind a proxy that speaks TLS, and set `public_url`",
        ),
        Ok(_) => Finding::holds(what, format!("{address} is free")),
        Err(error) => Finding::fails(
            what,
            format!("{address} cannot be listened on: {error}"),
            "stop the program that has it, or choose another with `listen`",
        ),
    }
}

fn private(path: &Path) -> Result<(), u32> {
    match fs::metadata(path).map(|metadata| metadata.mode() & 0o777) {
        Ok(mode) if mode & 0o077 != 0 => Err(mode),
        _ => Ok(()),
    }
}

fn exposed(what: &'static str, path: &Path, mode: u32) -> Finding {
    let shown = path.display();
    Finding::fails(
        what,
        format!("{shown} is open to other users (mode {mode:03o})"),
        format!("run `chmod go-rwx {shown}`"),
    )
}

fn nearest(path: &Path) -> Option<&Path> {
    path.ancestors().find(|ancestor| ancestor.exists())
}
