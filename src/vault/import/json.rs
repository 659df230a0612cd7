//! Hallpass's own JSON: every attribute can be said, and what is not said has
//! one meaning.

use std::borrow::Cow;

use super::{
    Document, ImportError, Parsed,
    collector::Collector,
    fields::{Fields, read_all},
};
use crate::model::{cookie::CookieAttributes, time::Timestamp};

const FIELDS: [&str; 10] = [
    "name",
    "value",
    "domain",
    "hostOnly",
    "path",
    "secure",
    "httpOnly",
    "sameSite",
    "partitionKey",
    "expires",
];

pub(super) fn parse(bytes: &[u8], now: Timestamp) -> Result<Parsed, ImportError> {
    let document = Document::read(bytes)?;
    let mut collector = Collector::new(now);
    read_all(&document.cookies, &mut collector, read);
    Ok(collector.finish(document.skipped_storage()))
}

fn read(fields: &Fields<'_>) -> Result<CookieAttributes, String> {
    fields.only(&FIELDS)?;
    let domain = fields.text("domain")?.into_owned();
    Ok(CookieAttributes {
        name: fields.text("name")?.into_owned(),
        host_only: fields.flag("hostOnly")?.unwrap_or(!domain.starts_with('.')),
        domain,
        path: fields
            .optional_text("path")?
            .map_or_else(|| "/".to_owned(), Cow::into_owned),
        secure: fields.flag("secure")?.unwrap_or(false),
        http_only: fields.flag("httpOnly")?.unwrap_or(false),
        same_site: fields.same_site()?,
        partition_key: fields.optional("partitionKey", "a partition key")?,
        expires: expires(fields)?,
    })
}

/// RFC 3339 text, or seconds since 1970.
fn expires(fields: &Fields<'_>) -> Result<Option<Timestamp>, String> {
    match fields.optional_text("expires") {
        Ok(None) => Ok(None),
        Ok(Some(text)) => Timestamp::parse(&text)
            .map(Some)
            .map_err(|_| "its `expires` is not a time such as `2026-11-24T09:15:00Z`".to_owned()),
        Err(_) => fields.seconds("expires").transpose(),
    }
}
