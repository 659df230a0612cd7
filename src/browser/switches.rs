//! The switches that Chromium is started with: data, each with its reason.

use std::path::Path;

use super::discover::Kind;

/// Whether Chromium's own sandbox is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sandbox {
    /// As Chromium intends.
    #[default]
    On,
    /// `--no-sandbox`. Logged as an error at every launch.
    OffForDevelopment,
}

/// What the list depends on.
#[derive(Debug, Clone, Copy)]
pub struct Switchboard<'a> {
    /// Which browser.
    pub kind: Kind,
    /// Its profile folder.
    pub profile: &'a Path,
    /// A loopback port whose proxy refuses everything.
    pub deny_port: u16,
    /// Chromium's own sandbox.
    pub sandbox: Sandbox,
}

/// Switches that no cell is ever started with, as name prefixes.
/// (`--no-sandbox` is not here: [`Sandbox::OffForDevelopment`] may ask for it.)
pub const FORBIDDEN: &[&str] = &[
    "--allow-file-access-from-files",
    "--allow-running-insecure-content",
    "--auto-",
    "--disable-namespace-sandbox",
    "--disable-seccomp-filter-sandbox",
    "--disable-setuid-sandbox",
    "--disable-site-isolation-trials",
    "--disable-web-security",
    "--enable-automation",
    "--enable-logging",
    "--ignore-certificate-errors",
    "--load-extension",
    "--no-proxy-server",
    "--no-zygote",
    "--proxy-auto-detect",
    "--proxy-pac-url",
    "--remote-allow-origins",
    "--remote-debugging-address",
    "--remote-debugging-port",
    "--single-process",
];

/// `(switch, why)`, for both kinds.
const COMMON: &[(&str, &str)] = &[
    ("--remote-debugging-pipe", "no debugging port exists"),
    (
        "--proxy-bypass-list=<-loopback>",
        "loopback goes through the proxy too",
    ),
    (
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        "no name is resolved here",
    ),
    (
        "--webrtc-ip-handling-policy=disable_non_proxied_udp",
        "no datagrams: the name that Chromium obeys",
    ),
    (
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
        "no datagrams: the name that the shell obeys",
    ),
    ("--disable-quic", "proxies see TCP alone"),
    (
        "--no-startup-window",
        "no context before the interceptor is there",
    ),
    (
        "--site-per-process",
        "each site in processes of its own; the shell does not by itself",
    ),
    ("--no-first-run", "no first-run pages"),
    ("--no-default-browser-check", "no question to the desktop"),
    ("--no-service-autorun", "no service of its own"),
    ("--no-pings", "no hyperlink auditing"),
    (
        "--disable-background-networking",
        "no traffic of the browser's own",
    ),
    ("--disable-component-update", "no downloaded code"),
    ("--disable-sync", "no account traffic"),
    ("--disable-default-apps", "nothing preinstalled"),
    ("--disable-extensions", "nothing beside the pages"),
    (
        "--disable-component-extensions-with-background-pages",
        "nothing beside the pages",
    ),
    ("--disable-domain-reliability", "no reports to the maker"),
    (
        "--disable-client-side-phishing-detection",
        "no reports to the maker",
    ),
    ("--disable-breakpad", "no minidump holds a cookie"),
    (
        "--disable-crash-reporter",
        "no minidump holds a cookie: the name that the shell obeys",
    ),
    ("--metrics-recording-only", "no metrics are sent"),
    (
        "--disable-field-trial-config",
        "the same behaviour every time",
    ),
    (
        "--log-level=2",
        "errors only: what a page prints is for its agent, not for the broker",
    ),
    ("--disable-search-engine-choice-screen", "no dialogs"),
    ("--disable-prompt-on-repost", "no dialogs"),
    (
        "--disable-popup-blocking",
        "as in the browsers that automation tools start",
    ),
    (
        "--disable-background-timer-throttling",
        "nobody looks at any of the pages",
    ),
    (
        "--disable-backgrounding-occluded-windows",
        "nobody looks at any of the pages",
    ),
    (
        "--disable-renderer-backgrounding",
        "nobody looks at any of the pages",
    ),
    ("--mute-audio", "nobody listens"),
    ("--password-store=basic", "no desktop keyring"),
    ("--use-mock-keychain", "no desktop keyring"),
    (
        "--disable-features=MediaRouter,DialMediaRouteProvider,OptimizationHints,NetworkTimeServiceQuerying,AimEnabled,PreconnectToSearch,Translate,AutofillServerCommunication,DnsOverHttps,HttpsUpgrades",
        "no traffic of the browser's own, no casting",
    ),
    (
        "--enable-features=SkipListAccountsWithoutGaiaCookies",
        "no account traffic",
    ),
];

/// The whole list for one cell.
#[must_use]
pub fn switches(board: &Switchboard<'_>) -> Vec<String> {
    let mut list: Vec<String> = COMMON
        .iter()
        .map(|(switch, _)| (*switch).to_owned())
        .collect();
    if board.kind == Kind::Chromium {
        list.push("--headless=new".to_owned());
    }
    // A proxy on the browser itself: contexts that nobody gave one, and the
    // browser's own traffic, meet a refusal.
    list.push(format!(
        "--proxy-server=http://127.0.0.1:{}",
        board.deny_port
    ));
    list.push(format!("--user-data-dir={}", board.profile.display()));
    if board.sandbox == Sandbox::OffForDevelopment {
        list.push("--no-sandbox".to_owned());
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(kind: Kind, sandbox: Sandbox) -> Vec<String> {
        switches(&Switchboard {
            kind,
            profile: Path::new("/data/cells/cel_x/profile"),
            deny_port: 4711,
            sandbox,
        })
    }

    #[test]
    fn no_forbidden_switch_is_ever_there() {
        for kind in [Kind::HeadlessShell, Kind::Chromium] {
            for sandbox in [Sandbox::On, Sandbox::OffForDevelopment] {
                for switch in list(kind, sandbox) {
                    assert!(
                        !FORBIDDEN
                            .iter()
                            .any(|forbidden| switch.starts_with(forbidden)),
                        "{switch}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_sandbox_goes_only_when_asked() {
        for kind in [Kind::HeadlessShell, Kind::Chromium] {
            assert!(!list(kind, Sandbox::On).contains(&"--no-sandbox".to_owned()));
            assert!(list(kind, Sandbox::OffForDevelopment).contains(&"--no-sandbox".to_owned()));
        }
    }

    #[test]
    fn what_contains_is_there_for_both_kinds() {
        for kind in [Kind::HeadlessShell, Kind::Chromium] {
            let list = list(kind, Sandbox::On);
            for needed in [
                "--remote-debugging-pipe",
                "--proxy-server=http://127.0.0.1:4711",
                "--proxy-bypass-list=<-loopback>",
                "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
                "--webrtc-ip-handling-policy=disable_non_proxied_udp",
                "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
                "--user-data-dir=/data/cells/cel_x/profile",
            ] {
                assert!(list.iter().any(|switch| switch == needed), "{needed}");
            }
        }
    }

    #[test]
    fn each_is_given_once_so_that_none_overrides_another() {
        for kind in [Kind::HeadlessShell, Kind::Chromium] {
            let list = list(kind, Sandbox::OffForDevelopment);
            let mut names: Vec<_> = list.iter().map(|s| s.split('=').next().unwrap()).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }
}
