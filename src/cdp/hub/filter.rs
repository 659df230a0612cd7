//! Target filters, as `Target.setAutoAttach` and `setDiscoverTargets` take them.

use serde::Deserialize;

/// The first entry that names the type, or no type, decides.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Filter(Vec<Entry>);

#[derive(Debug, Clone, Deserialize)]
struct Entry {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    exclude: bool,
}

impl Filter {
    pub(super) fn admits(&self, kind: &str) -> bool {
        self.0
            .iter()
            .find(|entry| entry.kind.as_deref().is_none_or(|known| known == kind))
            .is_some_and(|entry| !entry.exclude)
    }
}

impl Default for Filter {
    /// Everything but browsers and tabs.
    fn default() -> Self {
        let entry = |kind: Option<&str>| Entry {
            kind: kind.map(str::to_owned),
            exclude: kind.is_some(),
        };
        Self(vec![
            entry(Some("browser")),
            entry(Some("tab")),
            entry(None),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_that_matches_decides() {
        let filter: Filter =
            serde_json::from_str(r#"[{"type":"page","exclude":true},{}]"#).unwrap();
        assert!(!filter.admits("page"));
        assert!(filter.admits("tab"));
        assert!(Filter::default().admits("page"));
        assert!(!Filter::default().admits("tab"));
        assert!(!serde_json::from_str::<Filter>("[]").unwrap().admits("page"));
    }
}
