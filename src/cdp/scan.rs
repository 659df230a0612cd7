//! Finds a session's live secrets in what would go to the agent and blanks
//! them in place: plain, URL-encoded, JSON-escaped and base64 in its three
//! alignments. Linear in the message, whatever the number of secrets.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use data_encoding::{BASE64, BASE64URL};
use url::form_urlencoded;

use crate::model::secret::Secret;

/// Values shorter than this are not looked for: they would be found everywhere.
pub const SHORTEST: usize = 8;

/// A search for one set of secrets.
#[derive(Debug, Default)]
pub struct Scanner(Option<Patterns>);

struct Patterns {
    search: AhoCorasick,
    fillers: Vec<u8>,
}

impl std::fmt::Debug for Patterns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} patterns", self.fillers.len())
    }
}

impl Scanner {
    /// A search for these values. A set that cannot be searched for gives
    /// `None`, and then nothing may be sent.
    pub fn new<'a>(secrets: impl Iterator<Item = &'a Secret>) -> Option<Self> {
        let mut patterns = BTreeSet::new();
        for secret in secrets.filter(|secret| secret.expose().len() >= SHORTEST) {
            forms(secret.expose(), &mut patterns);
        }
        if patterns.is_empty() {
            return Some(Self(None));
        }
        let (texts, fillers): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            // A tenth of a DFA's memory, for each session; most bytes are passed
            // over by the prefilter in either.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .dense_depth(1)
            .build(texts)
            .ok()?;
        Some(Self(Some(Patterns { search, fillers })))
    }

    /// Blanks every occurrence, keeping all lengths; answers how many there were.
    pub fn blank(&self, message: &mut [u8]) -> u64 {
        let Some(patterns) = &self.0 else {
            return 0;
        };
        let mut found = 0;
        let mut from = 0;
        while let Some(hit) = message
            .get(from..)
            .and_then(|rest| patterns.search.find(rest))
        {
            let filler = patterns
                .fillers
                .get(hit.pattern().as_usize())
                .copied()
                .unwrap_or(b'*');
            if let Some(place) = message.get_mut(from + hit.start()..from + hit.end()) {
                place.fill(filler);
            }
            from += hit.end();
            found += 1;
        }
        found
    }
}

fn forms(value: &str, patterns: &mut BTreeSet<(Vec<u8>, u8)>) {
    let mut plain = |text: &str| {
        patterns.insert((text.as_bytes().to_vec(), b'*'));
    };
    plain(value);
    let form: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    plain(&form);
    plain(&form.replace('+', "%20"));
    plain(&form.to_ascii_lowercase());
    let unescaped: String = form_urlencoded::parse(format!("v={value}").as_bytes())
        .map(|(_, v)| v.into_owned())
        .collect();
    if unescaped.len() >= SHORTEST {
        plain(&unescaped);
    }
    if let Ok(json) = serde_json::to_string(value) {
        plain(json.trim_matches('"'));
        plain(&json.trim_matches('"').replace('/', "\\/"));
        // A JSON text inside a JSON text.
        if let Ok(nested) = serde_json::to_string(json.trim_matches('"')) {
            plain(nested.trim_matches('"'));
        }
    }
    for shift in 0..3 {
        for encoding in [BASE64, BASE64URL] {
            if let Some(core) = base64_core(value.as_bytes(), shift, &encoding) {
                patterns.insert((core.into_bytes(), b'A'));
            }
        }
    }
}

/// The base64 characters that depend on `value` alone when it begins at
/// `shift` bytes into a group of three.
fn base64_core(value: &[u8], shift: usize, encoding: &data_encoding::Encoding) -> Option<String> {
    let mut padded = vec![0; shift];
    padded.extend_from_slice(value);
    let text = encoding.encode(&padded);
    let first = match shift {
        0 => 0,
        1 => 2,
        _ => 3,
    };
    // Whole groups only: the last one mixes with what follows.
    let last = padded.len() / 3 * 4;
    text.get(first..last)
        .filter(|core| core.len() >= SHORTEST)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner(values: &[&str]) -> Scanner {
        let secrets: Vec<_> = values
            .iter()
            .map(|v| Secret::new((*v).to_owned()))
            .collect();
        Scanner::new(secrets.iter()).unwrap()
    }

    #[test]
    fn every_form_is_found_and_lengths_stay() {
        let value = "s3cr3t+/\"value=42";
        let scanner = scanner(&[value]);
        let mut texts = vec![
            value.to_owned(),
            serde_json::to_string(value).unwrap(),
            serde_json::to_string(&serde_json::to_string(value).unwrap()).unwrap(),
            form_urlencoded::byte_serialize(value.as_bytes()).collect(),
        ];
        for before in ["", "x", "xy"] {
            for after in ["", "q", "qr"] {
                let whole = format!("{before}{value}{after}");
                texts.push(BASE64.encode(whole.as_bytes()));
                texts.push(BASE64URL.encode(whole.as_bytes()));
            }
        }
        for text in texts {
            let mut message = format!("head {text} tail").into_bytes();
            let length = message.len();
            assert!(scanner.blank(&mut message) >= 1, "{text}");
            assert_eq!(message.len(), length);
            assert_eq!(scanner.blank(&mut message), 0);
        }
    }

    #[test]
    fn nothing_else_is_touched() {
        let scanner = scanner(&["0123456789abcdef", "short"]);
        let mut message = b"short 0123456789abcde 0123456789abcdeF".to_vec();
        let before = message.clone();
        assert_eq!(scanner.blank(&mut message), 0);
        assert_eq!(message, before);
    }
}
