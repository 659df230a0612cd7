//! Installs what tests need, once, under `target/test-tools/`; versions are
//! pinned by committed files and the folder's name is the pin's hash, so that a
//! changed pin installs afresh. Parallel test binaries wait for each other.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use sha2::{Digest as _, Sha256};

/// Oldest major version of Node.js that the pinned clients run on.
const NODE_MAJOR: u32 = 20;

/// A program on the `PATH`.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The full browser (`chromium`), installed if need be.
pub fn chromium() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| from_apt("chromium")).clone()
}

/// The browser without a window (`chromium-headless-shell`), installed if need be.
pub fn headless_shell() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND
        .get_or_init(|| from_apt("chromium-headless-shell"))
        .clone()
}

/// Node.js, new enough.
pub fn node() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let hint = format!("install Node.js {NODE_MAJOR} or newer and npm");
            let node = find("node").unwrap_or_else(|| panic!("`node` is missing: {hint}"));
            let version = output(Command::new(&node).arg("--version"));
            let major = version
                .trim_start_matches('v')
                .split('.')
                .next()
                .and_then(|number| number.parse::<u32>().ok());
            assert!(
                major.is_some_and(|major| major >= NODE_MAJOR),
                "`node` is {}: {hint}",
                version.trim()
            );
            node
        })
        .clone()
}

/// A folder in which `clients/` and `examples/` see the pinned npm packages.
///
/// Both are links into the source tree; run Node with `--preserve-symlinks`.
pub fn npm_workspace() -> PathBuf {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    READY
        .get_or_init(|| {
            node();
            let pins = source("tests/clients/package-lock.json");
            once("npm", &pins, |folder| {
                let npm = find("npm").unwrap_or_else(|| {
                    panic!(
                        "`npm` is missing: install it beside Node.js, e.g. `apt-get install npm`"
                    )
                });
                for file in ["package.json", "package-lock.json"] {
                    fs::copy(source("tests/clients").join(file), folder.join(file)).unwrap();
                }
                run(Command::new(npm)
                    .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                    .current_dir(folder));
                for (link, to) in [("clients", "tests/clients"), ("examples", "examples")] {
                    std::os::unix::fs::symlink(source(to), folder.join(link)).unwrap();
                }
            })
        })
        .clone()
}

/// A Python that has the pinned Django.
pub fn python() -> PathBuf {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    READY
        .get_or_init(|| environment("python", "tests/apps/requirements.txt"))
        .clone()
}

/// A Python that has the pinned Playwright, without browsers.
pub fn python_client() -> PathBuf {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    READY
        .get_or_init(|| environment("python-client", "tests/clients/requirements.txt"))
        .clone()
}

/// A file or folder of the source tree.
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

// A Python with the packages that the file pins; answers its interpreter.
fn environment(kind: &str, pins: &str) -> PathBuf {
    let pins = source(pins);
    let folder = once(kind, &pins, |folder| {
        let system = find("python3").unwrap_or_else(|| {
            panic!("`python3` is missing: install Python 3.10 or newer with its venv module")
        });
        run(Command::new(system).args(["-m", "venv"]).arg(folder));
        run(Command::new(folder.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .arg("--requirement")
            .arg(&pins));
    });
    folder.join("bin/python")
}

fn from_apt(package: &str) -> PathBuf {
    if let Some(found) = find(package) {
        return found;
    }
    let hint = format!("`{package}` is missing: run `apt-get install {package}` as root");
    assert!(nix::unistd::geteuid().is_root(), "{hint}");
    let apt = find("apt-get").unwrap_or_else(|| panic!("{hint}, or your system's equivalent"));
    let _lock = lock("apt");
    if find(package).is_none() {
        say(&format!("installing {package} by apt-get"));
        run(Command::new(&apt).args(["update", "--quiet"]));
        run(Command::new(&apt)
            .args([
                "install",
                "--yes",
                "--quiet",
                "--no-install-recommends",
                package,
            ])
            .env("DEBIAN_FRONTEND", "noninteractive"));
    }
    find(package).unwrap_or_else(|| panic!("{hint}"))
}

// The marker is written last: a folder without it is a broken attempt.
fn once(kind: &str, pins: &Path, install: impl FnOnce(&Path)) -> PathBuf {
    let pinned = fs::read(pins).unwrap_or_else(|error| panic!("{}: {error}", pins.display()));
    let digest = Sha256::digest(&pinned);
    let hash = data_encoding::HEXLOWER.encode(digest.get(..6).unwrap());
    let folder = home().join(format!("{kind}-{hash}"));
    let marker = folder.join("installed");
    let _lock = lock(kind);
    if !marker.exists() {
        say(&format!("installing into {}", folder.display()));
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        install(&folder);
        fs::write(marker, b"").unwrap();
    }
    folder
}

fn lock(name: &str) -> File {
    let path = home().join(format!("{name}.lock"));
    let file = File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.lock().unwrap();
    file
}

fn home() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("test-tools");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn run(command: &mut Command) {
    let result = command
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        result.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&result.stdout),
        String::from_utf8_lossy(&result.stderr)
    );
}

fn output(command: &mut Command) -> String {
    let result = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    String::from_utf8_lossy(&result.stdout).into_owned()
}

// Not `eprintln!`: the test harness would hold it back until a test fails.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "test tools: {what}");
}
