//! Netscape's `cookies.txt`: domain, include-subdomains, path, secure, expiry,
//! name and value, with tabs between.

use super::{
    ImportError, Parsed,
    collector::{About, Collector, seconds},
};
use crate::model::{cookie::CookieAttributes, secret::Secret, time::Timestamp};

const HTTP_ONLY: &str = "#HttpOnly_";

pub(super) fn parse(bytes: &[u8], now: Timestamp) -> Result<Parsed, ImportError> {
    let mut collector = Collector::new(now);
    let mut any = false;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let position = index + 1;
        let whole = line.strip_suffix(b"\n");
        let line = whole.unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(line) = std::str::from_utf8(line) else {
            any |= whole.is_some() && line.contains(&b'\t');
            collector.refuse(position, About::default(), "the line is not UTF-8 text");
            continue;
        };
        let (line, http_only) = match line.strip_prefix(HTTP_ONLY) {
            Some(rest) => (rest, true),
            None if line.starts_with('#') || line.trim().is_empty() => continue,
            None => (line, false),
        };
        any |= line.contains('\t');
        if whole.is_none() {
            collector.refuse(
                position,
                About::default(),
                "the file ends within this line: it may be cut off; export it again, or end the line if it is whole",
            );
            continue;
        }
        match read(line, http_only) {
            Ok((attributes, value)) => collector.offer(position, attributes, value),
            Err(refusal) => collector.refuse(position, refusal.about, refusal.reason),
        }
    }
    let parsed = collector.finish(Vec::new());
    if !any && !parsed.refused.is_empty() {
        return Err(ImportError::NotCookiesTxt);
    }
    Ok(parsed)
}

/// A header that says so, or a first line with six tabs.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else {
            return false;
        };
        if line.starts_with("# Netscape HTTP Cookie File") || line.starts_with("# HTTP Cookie File")
        {
            return true;
        }
        let cookie = line.starts_with(HTTP_ONLY) || !line.starts_with('#');
        if cookie && !line.trim().is_empty() {
            return line.matches('\t').count() == 6;
        }
    }
    false
}

struct Refusal<'a> {
    about: About<'a>,
    reason: &'static str,
}

fn read(line: &str, http_only: bool) -> Result<(CookieAttributes, Secret), Refusal<'_>> {
    // Some writers drop the tab before an empty value.
    let empty = (line.matches('\t').count() == 5).then_some("");
    let fields: Vec<&str> = line.split('\t').chain(empty).collect();
    let &[domain, subdomains, path, secure, expires, name, value] = fields.as_slice() else {
        return Err(Refusal {
            about: About::default(),
            reason: "the line does not have seven fields with tabs between",
        });
    };
    let refuse = |reason| Refusal {
        about: About {
            name: Some(name),
            domain: Some(domain),
            value: Some(value),
        },
        reason,
    };
    let subdomains = flag(subdomains)
        .ok_or_else(|| refuse("its second field, include-subdomains, is not TRUE or FALSE"))?;
    let secure =
        flag(secure).ok_or_else(|| refuse("its fourth field, secure, is not TRUE or FALSE"))?;
    let expires =
        seconds(expires).ok_or_else(|| refuse("its fifth field, expiry, is not a time"))?;
    let attributes = CookieAttributes {
        name: name.to_owned(),
        domain: domain.to_owned(),
        host_only: !subdomains,
        path: path.to_owned(),
        secure,
        http_only,
        // The format has no field for it.
        same_site: None,
        partition_key: None,
        expires: (expires != Timestamp(0)).then_some(expires),
    };
    Ok((attributes, Secret::new(value.to_owned())))
}

fn flag(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}
