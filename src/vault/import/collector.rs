//! What all formats share: the rule for one cookie, and the last of equals wins.

use std::collections::HashMap;

use super::{ImportedCookie, Parsed, RefusedCookie, SkippedStorage};
use crate::model::{
    cookie::{CookieAttributes, CookieError, PartitionKey},
    secret::Secret,
    time::Timestamp,
};

/// Cookies taken and refused so far.
pub(super) struct Collector {
    now: Timestamp,
    taken: Vec<Option<(usize, ImportedCookie)>>,
    places: HashMap<Identity, usize>,
    refused: Vec<RefusedCookie>,
}

/// What is known of a cookie when it is refused.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct About<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) domain: Option<&'a str>,
    /// To keep it out of everything that is told.
    pub(super) value: Option<&'a str>,
}

/// RFC 6265bis, section 5.7, step 23: two cookies with the same of these are one.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    name: String,
    domain: String,
    host_only: bool,
    path: String,
    partition: Option<PartitionKey>,
}

impl Collector {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            now,
            taken: Vec::new(),
            places: HashMap::new(),
            refused: Vec::new(),
        }
    }

    /// Takes a cookie if a browser would keep it.
    pub(super) fn offer(&mut self, position: usize, attributes: CookieAttributes, value: Secret) {
        let (name, domain) = (attributes.name.clone(), attributes.domain.clone());
        let about = About {
            name: Some(&name),
            domain: Some(&domain),
            value: Some(value.expose()),
        };
        if let Some(expired) = attributes.expires.filter(|at| *at <= self.now) {
            let reason = format!("it expired at {expired}: sign in again and export it anew");
            return self.refuse(position, about, &reason);
        }
        let attributes = match attributes.validated(value.expose()) {
            Ok(attributes) => attributes,
            // A file with its columns mixed up may have the value there.
            Err(CookieError::Domain(_)) => {
                return self.refuse(position, about, "its domain is not a host name or address");
            }
            Err(error) => return self.refuse(position, about, &error.to_string()),
        };
        let identity = Identity {
            name: attributes.name.clone(),
            domain: attributes.domain.clone(),
            host_only: attributes.host_only,
            path: attributes.path.clone(),
            partition: attributes.partition_key.clone(),
        };
        let earlier = self.places.insert(identity, self.taken.len());
        if let Some((earlier, replaced)) =
            earlier.and_then(|place| self.taken.get_mut(place)?.take())
        {
            let about = About {
                value: Some(replaced.value.expose()),
                ..about
            };
            let reason =
                format!("number {position} sets the same cookie again, and the last one counts");
            self.refuse(earlier, about, &reason);
        }
        let cookie = ImportedCookie { attributes, value };
        self.taken.push(Some((position, cookie)));
    }

    /// Reports a cookie that is not taken. Whatever would show its value is
    /// left out.
    pub(super) fn refuse(&mut self, position: usize, about: About<'_>, reason: &str) {
        // Shorter values turn up in any sentence by chance.
        let shows = |text: &str| {
            about
                .value
                .is_some_and(|value| value.len() >= 6 && text.contains(value))
        };
        let told = |text: Option<&str>| {
            text.filter(|text| !shows(text))
                .map(|text| text.chars().take(128).collect())
        };
        self.refused.push(RefusedCookie {
            position,
            name: told(about.name),
            domain: told(about.domain),
            reason: if shows(reason) {
                "it is not a cookie that a browser would keep".to_owned()
            } else {
                reason.to_owned()
            },
        });
    }

    pub(super) fn finish(mut self, storage: Vec<SkippedStorage>) -> Parsed {
        self.refused.sort_by_key(|refused| refused.position);
        Parsed {
            cookies: self
                .taken
                .into_iter()
                .flatten()
                .map(|(_, cookie)| cookie)
                .collect(),
            refused: self.refused,
            storage,
        }
    }
}

/// Seconds since 1970, whole or with a fraction, as written in a file.
pub(super) fn seconds(text: &str) -> Option<Timestamp> {
    const LAST: i64 = 253_402_300_799; // the end of the year 9999
    if let Ok(whole) = text.parse::<i64>() {
        return (-LAST..=LAST)
            .contains(&whole)
            .then(|| Timestamp(whole.saturating_mul(1_000_000)));
    }
    let float: f64 = text.parse().ok()?;
    let span = std::time::Duration::try_from_secs_f64(float.abs()).ok()?;
    let micros = i64::try_from(span.as_micros()).ok()?;
    (span.as_secs() <= LAST.unsigned_abs()).then_some(Timestamp(if float < 0.0 {
        -micros
    } else {
        micros
    }))
}
