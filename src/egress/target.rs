//! Where a proxy request wants to go, parsed by the URL standard: every
//! spelling of a host becomes one value before anything is decided.

use hyper::Uri;
use url::Host;

use crate::model::{
    action::ConnectAction,
    origin::{Origin, Scheme},
};

/// Why a proxy request names no target. The text itself is not repeated: it
/// may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TargetError {
    #[error("a request that names no target: send `CONNECT host:port` or an absolute http URL")]
    NoTarget,
    #[error("a request for another scheme than http: reach https and wss through `CONNECT`")]
    Scheme,
    #[error("a target with a user name: leave out everything before the `@`")]
    UserInfo,
    #[error("a target whose host is not one")]
    Host,
    #[error("a target whose port is not one from 1 to 65535")]
    Port,
    #[error("a request to switch protocols: reach WebSockets through `CONNECT`")]
    Upgrade,
}

/// The target of `CONNECT`: host and port, both mandatory.
pub(super) fn of_connect(uri: &Uri) -> Result<ConnectAction, TargetError> {
    let authority = uri.authority().ok_or(TargetError::NoTarget)?.as_str();
    if uri.scheme().is_some() || uri.path_and_query().is_some() {
        return Err(TargetError::NoTarget);
    }
    parse(authority, None)
}

/// The target of a request in absolute form: `http` alone.
pub(super) fn of_absolute(uri: &Uri) -> Result<ConnectAction, TargetError> {
    let scheme = uri.scheme_str().ok_or(TargetError::NoTarget)?;
    if scheme != "http" {
        return Err(TargetError::Scheme);
    }
    parse(
        uri.authority().ok_or(TargetError::NoTarget)?.as_str(),
        Some(80),
    )
}

/// The host as decisions see it: no trailing dot, and an IPv4 address that is
/// mapped into IPv6 as the IPv4 address that it reaches.
pub(super) fn canonical(host: Host) -> Host {
    match host {
        Host::Ipv6(address) => address
            .to_ipv4_mapped()
            .map_or(Host::Ipv6(address), Host::Ipv4),
        other => Origin::new(Scheme::Https, other, 443).host().clone(),
    }
}

fn parse(authority: &str, default_port: Option<u16>) -> Result<ConnectAction, TargetError> {
    if authority.contains('@') {
        return Err(TargetError::UserInfo);
    }
    let after_host = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match authority.get(after_host..).and_then(|rest| rest.find(':')) {
        Some(colon) => {
            let (host, port) = authority
                .split_at_checked(after_host + colon)
                .ok_or(TargetError::Host)?;
            (host, Some(port.get(1..).unwrap_or_default()))
        }
        None => (authority, None),
    };
    let port = match port {
        Some(digits) => port_of(digits)?,
        None => default_port.ok_or(TargetError::Port)?,
    };
    let host = Host::parse(host).map_err(|_| TargetError::Host)?;
    Ok(ConnectAction {
        host: canonical(host),
        port,
    })
}

// `u16::from_str` alone would take `+80`.
fn port_of(digits: &str) -> Result<u16, TargetError> {
    if digits.is_empty() || digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(TargetError::Port);
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(TargetError::Port),
        Ok(port) => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(text: &str) -> Option<String> {
        let action = of_connect(&text.parse().ok()?).ok()?;
        Some(format!("{}:{}", action.host, action.port))
    }

    #[test]
    fn every_spelling_of_a_host_is_one_host() {
        for text in [
            "127.0.0.1:80",
            "127.1:80",
            "2130706433:80",
            "0x7f000001:80",
            "0x7f.1:80",
            "0177.0.0.1:80",
            "127.0.0.1.:80",
            "[::ffff:127.0.0.1]:80",
            "[::FFFF:7f00:1]:80",
        ] {
            assert_eq!(connect(text).as_deref(), Some("127.0.0.1:80"), "{text}");
        }
        for (text, expected) in [
            ("App.TEST:443", "app.test:443"),
            ("app.test.:443", "app.test:443"),
            ("xn--bcher-kva.example:443", "xn--bcher-kva.example:443"),
            ("[0:0::1]:443", "[::1]:443"),
            ("app.test:00443", "app.test:443"),
        ] {
            assert_eq!(connect(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_names_no_target_is_refused() {
        for text in [
            "app.test",
            "app.test:",
            "app.test:0",
            "app.test:+80",
            "app.test:65536",
            "app.test:000443",
            "app.test:80:81",
            "user@app.test:80",
            "app.test:80@evil.test:80",
            "[::1:80",
            "[::1]x:80",
            "::1:80",
            "1.2.3.4.5:80",
            "256.256.256.256:80",
            ":80",
            "/path",
            "http://app.test:80/",
            "*",
        ] {
            assert_eq!(connect(text), None, "{text}");
        }
    }

    #[test]
    fn absolute_form_is_for_http_alone() {
        let absolute = |text: &str| of_absolute(&text.parse::<Uri>().unwrap());
        assert_eq!(
            absolute("http://App.test/x?y").map(|a| (a.host.to_string(), a.port)),
            Ok(("app.test".to_owned(), 80))
        );
        assert_eq!(absolute("http://0x7f.1:8080/").map(|a| a.port), Ok(8080));
        for (text, error) in [
            ("/x", TargetError::NoTarget),
            ("*", TargetError::NoTarget),
            ("https://app.test/", TargetError::Scheme),
            ("ws://app.test/", TargetError::Scheme),
            ("ftp://app.test/", TargetError::Scheme),
            ("http://u:p@app.test/", TargetError::UserInfo),
            ("http://app.test:0/", TargetError::Port),
            ("http://app.test:/", TargetError::Port),
        ] {
            assert_eq!(absolute(text), Err(error), "{text}");
        }
    }
}
