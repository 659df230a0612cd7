//! What kind of act a request is: by its method, by what its path, query and
//! fields are called, and by what its `GraphQL` document does. The words are
//! data, in `classes.tsv`; an operator adds rules for single sites.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{
    action::{Class, Destination, RequestAction, is_safe_method},
    body::{Content, Operation, operation},
    origin::{Origin, OriginPattern},
    scope::{Method, PathPattern},
};

/// The words, as they ship.
const WORDS: &str = include_str!("classes.tsv");

/// Names of query and body fields whose values say what is done.
const SAYS_WHAT: [&str; 9] = [
    "_method",
    "a",
    "act",
    "action",
    "cmd",
    "command",
    "do",
    "op",
    "operation",
];

/// Ends of names that are files for pages, whatever they are called.
const FILES: [&str; 20] = [
    "avif", "css", "gif", "ico", "jpeg", "jpg", "js", "json5", "map", "mjs", "mp3", "mp4", "otf",
    "png", "svg", "ttf", "wasm", "webm", "webp", "woff2",
];

/// Parts of paths under which `GraphQL` is spoken.
const GRAPHQL: [&str; 2] = ["graphql", "gql"];

static CLASSES: LazyLock<HashMap<&str, Class>> = LazyLock::new(|| {
    WORDS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (class, word) = line.split_once('\t')?;
            Some((word, Class::named(class)?))
        })
        .collect()
});

/// How requests are classified: the words, and rules for single sites.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Classes {
    sites: Vec<SiteRule>,
}

/// What requests of one site are, whatever the words say. A search that is sent
/// by `POST` is a read; a page that is only called after a destructive act is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteRule {
    /// Where.
    pub origin: OriginPattern,
    /// Which path or folder.
    pub path: PathPattern,
    /// Which methods; all unless named.
    #[serde(default)]
    pub methods: Vec<Method>,
    /// What they are.
    pub class: Class,
}

impl Classes {
    /// With rules for single sites; the first that fits decides.
    #[must_use]
    pub const fn with(sites: Vec<SiteRule>) -> Self {
        Self { sites }
    }

    /// What kind of act it is: what the first rule that fits says; else the gravest
    /// of what method, path, query and fields say.
    #[must_use]
    pub fn classify(&self, action: &RequestAction) -> Class {
        if let Some(class) = self.of_site(action) {
            return class;
        }
        let by_method = match action.method.as_str() {
            "DELETE" => Class::Destructive,
            method if is_safe_method(method) => Class::Read,
            _ => Class::Write,
        };
        let parts: Vec<Cow<'_, str>> = action
            .url
            .path()
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| percent_decode_str(part).decode_utf8_lossy())
            .collect();
        let by_operation = parts
            .iter()
            .any(|part| GRAPHQL.contains(&part.to_ascii_lowercase().as_str()))
            .then(|| by_operation(action, by_method))
            .flatten()
            .unwrap_or(by_method);
        by_operation
            .max(by_path(&parts, action.destination))
            .max(by_fields(action))
    }

    /// What a rule for its site says.
    #[must_use]
    pub fn of_site(&self, action: &RequestAction) -> Option<Class> {
        let rule = self.sites.iter().find(|rule| rule.fits(action))?;
        Some(rule.class)
    }

    /// What distinguishes these from others.
    pub(super) fn fingerprint(&self) -> Vec<u8> {
        let mut all = WORDS.as_bytes().to_vec();
        all.push(0);
        // What is written came from the same types.
        all.extend(serde_json::to_vec(&self.sites).unwrap_or_default());
        all
    }
}

impl SiteRule {
    fn fits(&self, action: &RequestAction) -> bool {
        let method = |rule: &Method| rule.as_str() == action.method;
        (self.methods.is_empty() || self.methods.iter().any(method))
            && Origin::of(&action.url).is_some_and(|origin| self.origin.covers(&origin))
            && self.path.covers(action.url.path())
    }
}

/// What a `GraphQL` request does, where its document is seen.
fn by_operation(action: &RequestAction, by_method: Class) -> Option<Class> {
    let in_query = || {
        let mut pairs = action.url.query_pairs();
        pairs
            .find(|(name, _)| name == "query")
            .map(|(_, text)| text)
    };
    match action.method.as_str() {
        "POST" => match (action.body.graphql()?, &action.body.content) {
            (Operation::Query | Operation::Subscription, _) => Some(Class::Read),
            (Operation::Mutation, Content::Json { text, .. }) => {
                Some(of_document(text).max(Class::Write))
            }
            (Operation::Mutation, _) => Some(Class::Write),
        },
        "GET" => {
            let document = in_query()?;
            (operation(&document) == Operation::Mutation)
                .then(|| of_document(&document).max(Class::Write))
        }
        _ => Some(by_method),
    }
}

/// The gravest of the names in a document that changes something.
fn of_document(document: &str) -> Class {
    document
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .map(words)
        .max()
        .unwrap_or(Class::Read)
}

fn by_path(parts: &[Cow<'_, str>], destination: Destination) -> Class {
    let ends_as_file = |name: &str| {
        name.rsplit_once('.')
            .is_some_and(|(_, end)| FILES.contains(&end.to_ascii_lowercase().as_str()))
    };
    if destination == Destination::Load && parts.last().is_some_and(|name| ends_as_file(name)) {
        return Class::Read;
    }
    parts
        .iter()
        .map(|part| words(part))
        .max()
        .unwrap_or(Class::Read)
}

/// Fields of query and body that say what is done.
fn by_fields(action: &RequestAction) -> Class {
    let says_what = |name: &str| SAYS_WHAT.contains(&name.to_ascii_lowercase().as_str());
    let in_query = action
        .url
        .query_pairs()
        .filter(|(name, _)| says_what(name))
        .map(|(_, value)| words(&value))
        .max();
    let in_form = SAYS_WHAT
        .iter()
        .flat_map(|name| action.body.values(name))
        .map(words)
        .max();
    let in_json = match &action.body.content {
        Content::Json { text, names, .. } if names.iter().any(|name| says_what(name)) => {
            let object: HashMap<String, Value> = serde_json::from_str(text).unwrap_or_default();
            object
                .iter()
                .filter(|(name, _)| says_what(name))
                .filter_map(|(_, value)| value.as_str().map(words))
                .max()
        }
        _ => None,
    };
    in_query.max(in_form).max(in_json).unwrap_or(Class::Read)
}

/// The gravest of: the whole, its first and last word, and words side by side.
fn words(text: &str) -> Class {
    let mut words: Vec<String> = Vec::new();
    let mut last_was_lower = false;
    for c in text.chars() {
        if !c.is_alphanumeric() {
            words.push(String::new());
            last_was_lower = false;
            continue;
        }
        // `deleteItem` is two words.
        if c.is_uppercase() && last_was_lower || words.is_empty() {
            words.push(String::new());
        }
        last_was_lower = c.is_lowercase();
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    let of = |word: &str| CLASSES.get(word).copied().unwrap_or(Class::Read);
    let ends = words
        .first()
        .into_iter()
        .chain(words.last())
        .map(|word| of(word));
    let together = words.windows(2).map(|words| of(&words.join("-")));
    let whole = of(&words.concat());
    ends.chain(together).fold(whole, Class::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_words_is_one() {
        let lines: Vec<&str> = WORDS
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        assert_eq!(
            lines.len(),
            CLASSES.len(),
            "a word stands twice or is no row"
        );
        for word in CLASSES.keys() {
            assert_eq!(*word, word.to_lowercase());
            assert!(word.split('-').count() <= 2, "{word}");
        }
    }
}
