//! Which lent cookies go along with a permitted request, and the `Cookie`
//! header that results.
//!
//! The browser's jar does not hold a cookie that is lent by the wire; a cookie
//! of the same name in there was planted, and would shadow the lent one. It is
//! left out wherever the lent one goes along.

use std::{cmp::Reverse, sync::Arc};

use super::lease::{Leases, LentCookie};
use crate::{
    model::{
        action::RequestAction, cookie::CookieUse, delegation::Delivery, secret::Secret, time::Now,
    },
    policy::Permit,
};

/// What a request is to carry instead of the browser's own `Cookie` header.
#[derive(Debug, Clone)]
pub struct Injection {
    /// The whole header's value: lent cookies, then the browser's own.
    pub header: Secret,
    /// The lent cookies in it, each name once, in the order of the header.
    pub cookies: Vec<Arc<LentCookie>>,
}

/// Adds what the permit lends to a request.
///
/// `own` is the value of the browser's `Cookie` header. `None` means that
/// nothing lent goes along and the request keeps its own header.
#[must_use]
pub fn inject(
    permit: &Permit,
    action: &RequestAction,
    own: Option<&str>,
    now: Now,
) -> Option<Injection> {
    let request = CookieUse {
        url: &action.url,
        site: action.site,
        partition: action.partition.as_ref(),
        at: now.wall,
    };
    let mut cookies: Vec<&Arc<LentCookie>> = permit
        .lending()
        .iter()
        .filter(|lease| lease.is_open(now))
        .flat_map(|lease| &lease.cookies)
        .filter(|cookie| {
            // One lent by the jar too: there it can be replaced or shadowed by
            // a page, here it cannot.
            !cookie.is_cleared() && cookie.attributes.is_sent(&request)
        })
        .collect();
    if cookies.is_empty() {
        return None;
    }
    // RFC 6265bis, section 5.8.3: longer paths first. The sort is stable.
    cookies.sort_by_key(|cookie| {
        let attributes = &cookie.attributes;
        Reverse((attributes.path.len(), attributes.domain.len()))
    });
    let mut first: Vec<&Arc<LentCookie>> = Vec::with_capacity(cookies.len());
    for cookie in cookies {
        if !first
            .iter()
            .any(|f| f.attributes.name == cookie.attributes.name)
        {
            first.push(cookie);
        }
    }
    let lent: Vec<(&str, Secret)> = first
        .iter()
        .map(|cookie| (cookie.attributes.name.as_str(), cookie.value()))
        .collect();
    Some(Injection {
        header: header(&lent, own.unwrap_or_default()),
        cookies: first.into_iter().cloned().collect(),
    })
}

/// Takes out of the browser's own header what was lent by the jar under a lease
/// that is over: the window ends at once, also where the jar is not yet cleared.
///
/// `None` means that there is nothing of the kind and the header may stay.
#[must_use]
pub fn strip(own: &str, leases: &Leases, now: Now) -> Option<Secret> {
    let (mut over, mut open): (Vec<Arc<LentCookie>>, Vec<Arc<LentCookie>>) = Default::default();
    leases.each(|lease| {
        let list = if lease.is_open(now) {
            &mut open
        } else {
            &mut over
        };
        list.extend(
            lease
                .cookies
                .iter()
                .filter(|cookie| cookie.delivery == Delivery::Jar)
                .cloned(),
        );
    });
    // A cookie may be lent twice; while one of its leases is open it may stay.
    over.retain(|cookie| !open.iter().any(|o| o.credential == cookie.credential));
    let is_over = |part: &str| {
        over.iter().any(|cookie| {
            part.split_once('=').is_some_and(|(name, value)| {
                name == cookie.attributes.name && value == cookie.value().expose()
            })
        })
    };
    if !parts(own).any(is_over) {
        return None;
    }
    let mut text = String::with_capacity(own.len() + 16);
    for part in parts(own).filter(|part| !is_over(part)) {
        push(&mut text, &[part]);
    }
    Some(Secret::new(text))
}

// === helpers ===

fn header(lent: &[(&str, Secret)], own: &str) -> Secret {
    // Room for all of it: a text that grows would leave copies behind.
    let room = lent
        .iter()
        .map(|(name, value)| name.len() + value.expose().len() + 3);
    let mut text = String::with_capacity(room.sum::<usize>() + 2 * own.len() + 2);
    for (name, value) in lent {
        push(&mut text, &[name, "=", value.expose()]);
    }
    for part in parts(own) {
        if !lent.iter().any(|(name, _)| reads_as(part, name)) {
            push(&mut text, &[part]);
        }
    }
    Secret::new(text)
}

fn push(text: &mut String, pieces: &[&str]) {
    if !text.is_empty() {
        text.push_str("; ");
    }
    text.extend(pieces.iter().copied());
}

fn parts(header: &str) -> impl Iterator<Item = &str> {
    header.split(';').map(str::trim).filter(|p| !p.is_empty())
}

/// Whether some server would read a cookie of that name in `part`: it is its
/// name, or follows a space or comma in its value, where lenient parsers begin
/// the next cookie.
fn reads_as(part: &str, name: &str) -> bool {
    part.split(|c: char| c.is_whitespace() || c == ',')
        .any(|piece| match piece.strip_prefix(name) {
            Some(rest) => rest.is_empty() || rest.starts_with('='),
            None => false,
        })
}

#[cfg(test)]
mod tests;
