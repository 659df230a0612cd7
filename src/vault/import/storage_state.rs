//! What Playwright's `storageState()` writes.

use serde_json::value::RawValue;
use url::Host;

use super::{
    Document, ImportError, Parsed,
    collector::Collector,
    fields::{Fields, read_all},
};
use crate::model::{
    cookie::{CookieAttributes, PartitionKey},
    origin::{Origin, registrable_domain},
    time::Timestamp,
};

const FIELDS: [&str; 10] = [
    "name",
    "value",
    "domain",
    "path",
    "expires",
    "httpOnly",
    "secure",
    "sameSite",
    "partitionKey",
    "_crHasCrossSiteAncestor",
];

pub(super) fn parse(bytes: &[u8], now: Timestamp) -> Result<Parsed, ImportError> {
    let document = Document::read(bytes)?;
    let mut collector = Collector::new(now);
    read_all(&document.cookies, &mut collector, read);
    Ok(collector.finish(document.skipped_storage()))
}

/// `origins` beside the cookies, or a session cookie written as -1.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    if serde_json::from_slice::<Fields<'_>>(bytes).is_ok_and(|f| f.has("origins")) {
        return true;
    }
    let session = |raw: &&RawValue| {
        Fields::read(raw).is_ok_and(|fields| fields.seconds("expires") == Some(Ok(SESSION)))
    };
    Document::read(bytes).is_ok_and(|document| document.cookies.iter().any(session))
}

const SESSION: Timestamp = Timestamp(-1_000_000);

fn read(fields: &Fields<'_>) -> Result<CookieAttributes, String> {
    fields.only(&FIELDS)?;
    let domain = fields.text("domain")?.into_owned();
    let expires = fields.seconds("expires").transpose()?;
    Ok(CookieAttributes {
        name: fields.text("name")?.into_owned(),
        path: fields.text("path")?.into_owned(),
        secure: fields.flag("secure")?.unwrap_or(false),
        http_only: fields.flag("httpOnly")?.unwrap_or(false),
        same_site: fields.same_site()?,
        partition_key: partition_key(fields, &domain)?,
        expires: expires.filter(|at| *at != SESSION),
        host_only: !domain.starts_with('.'),
        domain,
    })
}

/// Playwright writes the site as text and the ancestor bit, where it knows it,
/// in a field of its own. Under a top-level site other than the cookie's own the
/// bit can only be set.
fn partition_key(fields: &Fields<'_>, domain: &str) -> Result<Option<PartitionKey>, String> {
    let Some(site) = fields.optional_text("partitionKey")? else {
        return Ok(None);
    };
    let top: Origin = site
        .parse()
        .map_err(|_| "its `partitionKey` is not a site such as `https://example.com`".to_owned())?;
    let own = Host::parse(domain.trim_start_matches('.'))
        .map(|host| registrable_domain(&host))
        .unwrap_or_default();
    Ok(Some(PartitionKey {
        has_cross_site_ancestor: fields
            .flag("_crHasCrossSiteAncestor")?
            .unwrap_or(own != registrable_domain(top.host())),
        top_level_site: site.into_owned(),
    }))
}
