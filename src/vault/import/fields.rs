//! The fields of one JSON cookie, each once, read one by one: the reasons are
//! ours, because a JSON library's own would quote what it read.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::collector::{About, Collector, seconds};
use crate::model::{
    cookie::{CookieAttributes, SameSite},
    secret::Secret,
    time::Timestamp,
};

/// One JSON object, its values not yet read.
pub(super) struct Fields<'a>(Vec<(String, &'a RawValue)>);

/// What reads the fields that only one format has.
pub(super) type Read = fn(&Fields<'_>) -> Result<CookieAttributes, String>;

// === impl Fields ===

impl<'a> Fields<'a> {
    pub(super) fn read(raw: &'a RawValue) -> Result<Self, &'static str> {
        serde_json::from_str(raw.get()).map_err(|_| "it is not an object, or has a field twice")
    }

    /// Refuses a field that is not in the list: it could narrow what the rest says.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), String> {
        match self
            .0
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()))
        {
            None => Ok(()),
            Some((name, _)) => {
                let plain = name.len() <= 32
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                let shown = if plain { name.as_str() } else { "…" };
                Err(format!("it has a field `{shown}`, which is not known"))
            }
        }
    }

    /// A text that must be there.
    pub(super) fn text(&self, field: &str) -> Result<Cow<'a, str>, String> {
        let raw = self
            .get(field)
            .ok_or_else(|| format!("it has no `{field}`"))?;
        string(raw).ok_or_else(|| format!("its `{field}` is not a text"))
    }

    /// `true` or `false`; `None` if absent.
    pub(super) fn flag(&self, field: &str) -> Result<Option<bool>, String> {
        self.optional(field, "`true` or `false`")
    }

    /// A text, or `None` if absent or `null`.
    pub(super) fn optional_text(&self, field: &str) -> Result<Option<Cow<'a, str>>, String> {
        match self.get(field) {
            None => Ok(None),
            Some(raw) => string(raw)
                .map(Some)
                .ok_or_else(|| format!("its `{field}` is not a text")),
        }
    }

    /// Whatever a type reads, or `None` if absent or `null`.
    pub(super) fn optional<T: Deserialize<'a>>(
        &self,
        field: &str,
        expected: &str,
    ) -> Result<Option<T>, String> {
        self.get(field)
            .map(|raw| serde_json::from_str(raw.get()))
            .transpose()
            .map_err(|_| format!("its `{field}` is not {expected}"))
    }

    pub(super) fn same_site(&self) -> Result<Option<SameSite>, String> {
        self.optional("sameSite", "`Strict`, `Lax` or `None`")
    }

    /// Seconds since 1970 as a number; `None` if absent or `null`.
    pub(super) fn seconds(&self, field: &str) -> Option<Result<Timestamp, String>> {
        self.get(field)
            .map(|raw| seconds(raw.get()).ok_or_else(|| format!("its `{field}` is not a time")))
    }

    /// Whether it is there, `null` or not.
    pub(super) fn has(&self, field: &str) -> bool {
        self.0.iter().any(|(name, _)| name == field)
    }

    fn get(&self, field: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .find(|(name, _)| name == field)
            .map(|(_, raw)| *raw)
            .filter(|raw| raw.get() != "null")
    }
}

/// Reads every cookie of a list into the collector.
pub(super) fn read_all(list: &[&RawValue], collector: &mut Collector, read: Read) {
    for (index, raw) in list.iter().enumerate() {
        let position = index + 1;
        let fields = match Fields::read(raw) {
            Ok(fields) => fields,
            Err(reason) => {
                collector.refuse(position, About::default(), reason);
                continue;
            }
        };
        let value = fields.text("value").map(|v| Secret::new(v.into_owned()));
        let secret = value.clone().ok();
        match read(&fields).and_then(|attributes| Ok((attributes, value?))) {
            Ok((attributes, value)) => collector.offer(position, attributes, value),
            Err(reason) => {
                let (name, domain) = (fields.text("name").ok(), fields.text("domain").ok());
                let about = About {
                    name: name.as_deref(),
                    domain: domain.as_deref(),
                    value: secret.as_ref().map(Secret::expose),
                };
                collector.refuse(position, about, &reason);
            }
        }
    }
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    // Borrowed where nothing is escaped, so that a value is copied once, into a
    // place that is zeroed.
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(raw.get())
        .ok()
        .map(|text| text.0)
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields: Vec<(String, &'de RawValue)> = Vec::new();
                while let Some((name, raw)) = map.next_entry::<String, &'de RawValue>()? {
                    if fields.len() >= 64 || fields.iter().any(|(other, _)| *other == name) {
                        return Err(A::Error::custom("a field twice, or too many"));
                    }
                    fields.push((name, raw));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Each)
    }
}
