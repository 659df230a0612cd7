use std::{ffi::OsString, fs};

use super::*;

// Written by another process: were it open for writing here while another test
// forks, it could not be executed.
fn program(folder: &Path, name: &str, body: &str) -> PathBuf {
    let path = folder.join(name);
    let written = std::process::Command::new("sh")
        .args([
            "-c",
            "printf '#!/bin/sh\\n%s\\n' \"$2\" > \"$1\" && chmod 755 \"$1\"",
            "sh",
        ])
        .args([path.as_os_str(), OsStr::new(body)])
        .status()
        .unwrap();
    assert!(written.success());
    path
}

// Where an unprivileged user may run a program from.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn search(folder: &Path) -> OsString {
    folder.as_os_str().to_owned()
}

#[test]
fn versions_are_parsed_and_other_programs_are_not() {
    for (answer, version) in [
        (
            "Chromium 156.0.8078.79 built on Debian\n",
            Some("156.0.8078.79"),
        ),
        ("Google Chrome 156.0.1.2\n", Some("156.0.1.2")),
        ("Google Chrome for Testing 156.0.1.2", Some("156.0.1.2")),
        ("warning\nChromium 1.2.3.4", Some("1.2.3.4")),
        ("Chromium", None),
        ("Chromium 156", None),
        ("Chromium 1.2.3.x", None),
        ("Not Chromium 1.2.3.4", None),
        ("GNU bash 5.2.15.1", None),
        ("", None),
    ] {
        assert_eq!(parse_version(answer).as_deref(), version, "{answer}");
    }
}

#[tokio::test]
async fn the_order_is_configured_then_named_then_path() {
    let folder = folder();
    let at = |name: &str, version: &str| {
        program(folder.path(), name, &format!("echo Chromium {version}"))
    };
    let configured = at("configured", "1.0.0.1");
    let named = at("named", "1.0.0.2");
    at("chromium-browser", "1.0.0.4");
    let path = search(folder.path());

    let version = async |configured: Option<&Path>, named: Option<&Path>| {
        discover_among(configured, named, &path)
            .await
            .unwrap()
            .version
    };
    assert_eq!(version(Some(&configured), Some(&named)).await, "1.0.0.1");
    assert_eq!(version(None, Some(&named)).await, "1.0.0.2");
    assert_eq!(version(None, None).await, "1.0.0.4");

    at("chrome-headless-shell", "1.0.0.3");
    let shell = discover_among(None, None, &path).await.unwrap();
    assert_eq!(
        (shell.version.as_str(), shell.kind),
        ("1.0.0.3", Kind::HeadlessShell)
    );
}

#[tokio::test]
async fn what_is_named_is_never_passed_over_for_another() {
    let folder = folder();
    program(folder.path(), "chromium-browser", "echo Chromium 1.2.3.4");
    let path = search(folder.path());
    let missing = folder.path().join("gone");
    assert!(matches!(
        discover_among(Some(&missing), None, &path).await,
        Err(DiscoverError::Missing { .. })
    ));
    let text = folder.path().join("text");
    fs::write(&text, "Chromium 1.2.3.4").unwrap();
    assert!(matches!(
        discover_among(None, Some(&text), &path).await,
        Err(DiscoverError::NotExecutable { .. })
    ));
    let other = program(folder.path(), "other", "echo GNU ed 1.2.3.4");
    let error = discover_among(Some(&other), None, &path).await.unwrap_err();
    assert!(error.to_string().contains("`GNU ed 1.2.3.4`"), "{error}");
}

#[tokio::test]
async fn none_found_says_how_to_install_one() {
    let folder = folder();
    let error = discover_among(None, None, &search(folder.path()))
        .await
        .unwrap_err();
    assert!(matches!(error, DiscoverError::NoneFound));
    assert!(error.to_string().contains(&install::command()), "{error}");
}

#[tokio::test]
async fn an_unknown_wrapper_gets_nothing_of_our_environment() {
    let folder = folder();
    let wrapper = program(
        folder.path(),
        "odd",
        "[ -z \"$CARGO_MANIFEST_DIR\" ] && [ \"$(id -u)\" != 0 ] && echo Chromium 1.2.3.4",
    );
    let found = discover_among(Some(&wrapper), None, OsStr::new(""))
        .await
        .unwrap();
    assert_eq!(found.path, wrapper.canonicalize().unwrap());
}
