//! `hallpass delegation request`

use std::str::FromStr;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use serde_json::json;

use super::{
    super::{
        context::Context,
        failure::{Exit, Failure},
        time,
    },
    show,
};
use crate::{
    config::Span,
    model::{
        delegation::Delivery,
        id::CredentialId,
        origin::{Origin, OriginPattern},
        scope::{Budget, Method, PathPattern, Scope, Unknown, Writes},
    },
    service::{AgentRef, CookieRef, DelegationInfo, NamedCookie, NewDelegation},
};

/// What is asked for.
#[derive(Debug, Clone, Args)]
pub struct RequestArgs {
    /// Name or id of the agent that may use it.
    #[arg(long)]
    agent: String,
    /// What for, in words that an approver understands.
    #[arg(long)]
    purpose: String,
    /// A cookie to lend, by name and origin or by credential id; `,jar` puts it
    /// into the browser's jar, for sockets and page scripts.
    #[arg(long = "cookie", value_name = "NAME@ORIGIN[,jar]")]
    cookies: Vec<CookieArg>,
    /// Where pages may go; the cookies' own origins unless said.
    #[arg(long = "origin", value_name = "URL")]
    origins: Vec<OriginPattern>,
    /// A path on those origins, `/exact` or `/folder/*`; all unless said.
    #[arg(long = "path", value_name = "PATH")]
    paths: Vec<PathPattern>,
    /// A method; GET, HEAD and OPTIONS unless said.
    #[arg(long = "method", value_name = "METHOD")]
    methods: Vec<Method>,
    /// Length of the window, such as `15m`; the configured one unless said.
    #[arg(long = "for", value_name = "LENGTH", conflicts_with = "until")]
    length: Option<Span>,
    /// When the window begins, such as `14:00`; now unless said.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// When the window ends, such as `14:15`.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// A further origin that pages may load from, without credentials.
    #[arg(long = "load", value_name = "URL")]
    load: Vec<OriginPattern>,
    /// A further origin that pages may connect to, without credentials.
    #[arg(long = "connect", value_name = "URL")]
    connect: Vec<OriginPattern>,
    /// Hosts that pages need and that are not named are proposed to you, as a request
    /// of their own. They are refused until you agree.
    #[arg(long)]
    propose: bool,
    /// A private address range that names in scope may resolve to.
    #[arg(long = "allow-address", value_name = "CIDR")]
    addresses: Vec<IpNet>,
    /// What becomes of requests that do more than read, where a cookie is lent:
    /// each waits for a person, or they go.
    #[arg(long, value_enum, default_value = "hold")]
    writes: WritesArg,
    /// Most requests under it.
    #[arg(long, value_name = "N")]
    max_requests: Option<u64>,
    /// Most requests under it that do more than read.
    #[arg(long, value_name = "N")]
    max_writes: Option<u64>,
    /// Most bytes over its connections, both ways together.
    #[arg(long, value_name = "N")]
    max_bytes: Option<u64>,
    /// Agree at once: the session lent is your own.
    #[arg(long)]
    approve: bool,
}

/// What becomes of requests that do more than read.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum WritesArg {
    /// Each waits for a person.
    Hold,
    /// They go.
    Allow,
}

/// A cookie as the command line names it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CookieArg(CookieRef);

/// Why a text names no cookie.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no cookie: write `NAME@https://host`, or a credential's id; `,jar` may follow"
)]
struct CookieArgError(String);

/// Asks, and agrees at once where told to.
pub(super) async fn run(args: &RequestArgs, context: &Context) -> Result<Exit, Failure> {
    let new = args.delegation(context)?;
    let client = context.client()?;
    let mut delegation: DelegationInfo = client.post("/v1/delegations", &new).await?;
    if args.approve {
        let id = delegation.delegation.id;
        let path = format!("/v1/delegations/{id}/approve");
        delegation = client
            .post(&path, &json!(null))
            .await
            .map_err(|failure: Failure| Failure {
                what: format!(
                    "delegation {id} is requested, but not approved: {}",
                    failure.what
                ),
                ..failure
            })?;
    }
    context.show(&delegation, show::one)?;
    Ok(Exit::Done)
}

// === impl RequestArgs ===

impl RequestArgs {
    fn delegation(&self, context: &Context) -> Result<NewDelegation, Failure> {
        let window = time::window(
            self.length,
            self.from.as_deref(),
            self.until.as_deref(),
            context.now(),
            &context.zone,
        )?;
        let Ok(agent) = self.agent.parse::<AgentRef>();
        Ok(NewDelegation {
            agent: Some(agent),
            lender: None,
            purpose: self.purpose.clone(),
            cookies: self.cookies.iter().map(|cookie| cookie.0.clone()).collect(),
            scope: self.scope()?,
            window,
        })
    }

    fn scope(&self) -> Result<Scope, Failure> {
        let mut origins = self.origins.clone();
        if origins.is_empty() {
            for cookie in &self.cookies {
                if let CookieRef::Named(named) = &cookie.0 {
                    let pattern = named.origin.to_string().parse().map_err(Failure::usage)?;
                    if !origins.contains(&pattern) {
                        origins.push(pattern);
                    }
                }
            }
        }
        if origins.is_empty() {
            return Err(Failure::usage("the scope names no origin")
                .advise("say where the agent may go with `--origin https://host`"));
        }
        let mut scope = Scope {
            load: self.load.clone(),
            connect: self.connect.clone(),
            addresses: self.addresses.clone(),
            writes: match self.writes {
                WritesArg::Hold => Writes::Hold,
                WritesArg::Allow => Writes::Allow,
            },
            unknown: if self.propose {
                Unknown::Propose
            } else {
                Unknown::Refuse
            },
            budget: Budget {
                requests: self.max_requests,
                writes: self.max_writes,
                bytes: self.max_bytes,
            },
            ..Scope::reading(origins)
        };
        if !self.paths.is_empty() {
            scope.paths.clone_from(&self.paths);
        }
        if !self.methods.is_empty() {
            scope.methods.clone_from(&self.methods);
        }
        Ok(scope)
    }
}

// === impl CookieArg ===

impl FromStr for CookieArg {
    type Err = CookieArgError;

    fn from_str(text: &str) -> Result<Self, CookieArgError> {
        let refused = || CookieArgError(text.to_owned());
        let (cookie, delivery) = match text.rsplit_once(',') {
            Some((cookie, "jar")) => (cookie, Delivery::Jar),
            Some((cookie, "wire")) => (cookie, Delivery::Wire),
            Some(_) => return Err(refused()),
            None => (text, Delivery::Wire),
        };
        let Some((name, origin)) = cookie.split_once('@') else {
            let credential: CredentialId = cookie.parse().map_err(|_| refused())?;
            return Ok(Self(CookieRef::Credential {
                credential,
                delivery,
            }));
        };
        let origin: Origin = origin.parse().map_err(|_| refused())?;
        // A cookie's origin may become the scope: one origin, never a pattern.
        if name.is_empty() || origin.to_string().contains('*') {
            return Err(refused());
        }
        Ok(Self(CookieRef::Named(NamedCookie {
            name: name.to_owned(),
            origin,
            delivery,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_named_by_name_and_origin() {
        let named = |text: &str| match text.parse::<CookieArg>().unwrap().0 {
            CookieRef::Named(named) => (named.name, named.origin.to_string(), named.delivery),
            CookieRef::Credential { .. } => panic!("{text}"),
        };
        let origin = || "https://app.example.com".to_owned();
        assert_eq!(
            named("sid@https://app.example.com"),
            ("sid".to_owned(), origin(), Delivery::Wire)
        );
        assert_eq!(
            named("sid@https://app.example.com,jar"),
            ("sid".to_owned(), origin(), Delivery::Jar)
        );
        for text in [
            "",
            "sid",
            "sid@",
            "@https://app.example.com",
            "sid@app.example.com",
            "sid@https://app.example.com/path",
            "sid@https://*.example.com",
            "sid@https://app.example.com,cookie",
        ] {
            assert!(text.parse::<CookieArg>().is_err(), "{text}");
        }
    }
}
