//! What every request passes before a route sees it: whose host it names,
//! whether a web page sent it, and the headers that every answer carries.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use url::{Host, Url};

use super::problem::{Kind, Problem};

/// Which names this broker answers to and which web pages may call it.
#[derive(Debug, Clone)]
pub struct Borders {
    /// Host of the configured public URL, beside loopback names and addresses.
    pub public_host: Option<Host>,
    /// Origins of web pages that may call, e.g. a browser extension's.
    pub allowed_origins: Arc<[String]>,
}

/// Answers the problem or lets the request through, and dresses the answer.
pub(super) async fn check(
    State(borders): State<Borders>,
    request: Request,
    next: Next,
) -> Response {
    let checked = borders
        .check_host(&request)
        .and_then(|()| borders.check_origin(request.headers()));
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    dress(response.headers_mut());
    response
}

// === impl Borders ===

impl Borders {
    /// Borders of a public URL and a list of origins.
    #[must_use]
    pub fn new(public_url: Option<&Url>, allowed_origins: &[String]) -> Self {
        Self {
            public_host: public_url.and_then(Url::host).map(|host| host.to_owned()),
            allowed_origins: allowed_origins.into(),
        }
    }

    /// A page whose name was rebound to this machine sends its own name as the
    /// host: only loopback names, addresses and the public name are answered.
    fn check_host(&self, request: &Request) -> Result<(), Problem> {
        let mut named = request.headers().get_all(header::HOST).iter();
        let host = match (named.next(), named.next(), request.uri().authority()) {
            (Some(host), None, None) => host_of(host),
            // An absolute-form target must not name another host than the header.
            (Some(host), None, Some(target)) if host.as_bytes() == target.as_str().as_bytes() => {
                host_of(host)
            }
            (Some(_), None, Some(_)) => None,
            _ => {
                return Err(Problem::new(
                    Kind::HostMissing,
                    "the request must have exactly one `Host` header",
                ));
            }
        };
        let ours = host.as_ref().is_some_and(|host| {
            is_loopback(host) || self.public_host.as_ref().is_some_and(|known| known == host)
        });
        if ours {
            return Ok(());
        }
        Err(Problem::new(
            Kind::HostRefused,
            "the `Host` header names neither a loopback name or address nor the host of `public_url`",
        )
        .advise("call the broker by `127.0.0.1` or `localhost`, or set `public_url` in its configuration"))
    }

    /// Programs send no `Origin`; web pages always do.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let allowed = |origin: &HeaderValue| {
            self.allowed_origins
                .iter()
                .any(|known| known.as_bytes() == origin.as_bytes())
        };
        if headers.get_all(header::ORIGIN).iter().all(allowed) {
            return Ok(());
        }
        Err(Problem::new(
            Kind::OriginRefused,
            "the request carries an `Origin` header, so a web page sent it",
        )
        .advise("leave the header out, or add the origin to `allowed_origins` in the broker's configuration"))
    }
}

fn host_of(header: &HeaderValue) -> Option<Host> {
    let authority: Authority = header.to_str().ok()?.parse().ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    Host::parse(authority.host()).ok()
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn dress(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn check(headers: &[(&str, &str)], target: &str) -> Result<(), Kind> {
        let borders = Borders::new(
            Some(&Url::parse("https://broker.example.com/").unwrap()),
            &["chrome-extension://abc".to_owned()],
        );
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        borders
            .check_host(&request)
            .and_then(|()| borders.check_origin(request.headers()))
            .map_err(|problem| problem.kind)
    }

    #[test]
    fn only_this_brokers_names_are_answered() {
        for (host, expected) in [
            ("127.0.0.1:7777", Ok(())),
            ("127.8.0.1", Ok(())),
            ("[::1]:7777", Ok(())),
            ("LOCALHOST:1", Ok(())),
            ("desk.localhost", Ok(())),
            ("broker.example.com", Ok(())),
            ("broker.example.com:8443", Ok(())),
            ("evil.example.com", Err(Kind::HostRefused)),
            ("localhost.example.com", Err(Kind::HostRefused)),
            ("127.0.0.1.example.com", Err(Kind::HostRefused)),
            ("127.0.0.1@example.com", Err(Kind::HostRefused)),
            ("xlocalhost", Err(Kind::HostRefused)),
            ("10.0.0.1", Err(Kind::HostRefused)),
            ("0.0.0.0", Err(Kind::HostRefused)),
            ("", Err(Kind::HostRefused)),
        ] {
            assert_eq!(check(&[("host", host)], "/v1/agents"), expected, "{host}");
        }
    }

    #[test]
    fn a_request_names_its_host_once() {
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(check(&twice, "/"), Err(Kind::HostMissing));
        assert_eq!(check(&[], "/"), Err(Kind::HostMissing));
        let target = "http://evil.example.com/";
        assert_eq!(
            check(&[("host", "localhost")], target),
            Err(Kind::HostRefused)
        );
    }

    #[test]
    fn web_pages_are_refused_unless_listed() {
        for (origin, expected) in [
            ("chrome-extension://abc", Ok(())),
            ("null", Err(Kind::OriginRefused)),
            ("http://localhost", Err(Kind::OriginRefused)),
            ("chrome-extension://abcd", Err(Kind::OriginRefused)),
        ] {
            let headers = [("host", "localhost"), ("origin", origin)];
            assert_eq!(check(&headers, "/"), expected, "{origin}");
        }
        let both = [
            ("host", "localhost"),
            ("origin", "chrome-extension://abc"),
            ("origin", "https://evil.example.com"),
        ];
        assert_eq!(check(&both, "/"), Err(Kind::OriginRefused));
    }
}
