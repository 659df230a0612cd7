//! What clients are told that they may call: `json/protocol`, made of the
//! method table.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::table::{self, Kind, Verdict};

/// The protocol as Chromium writes it, with what is not refused and the reason
/// of its row as description. Parameters are Chromium's own and left out.
#[must_use]
pub fn protocol() -> Value {
    let mut domains: BTreeMap<&str, [Vec<Value>; 2]> = BTreeMap::new();
    for row in table::rows().filter(|row| row.verdict != Verdict::Refuse) {
        let Some((domain, name)) = row.name.split_once('.') else {
            continue;
        };
        let [commands, events] = domains.entry(domain).or_default();
        let list = match row.kind {
            Kind::Method => commands,
            Kind::Event => events,
        };
        list.push(json!({ "name": name, "description": row.reason }));
    }
    let domains: Vec<Value> = domains
        .into_iter()
        .map(|(domain, [commands, events])| {
            json!({ "domain": domain, "commands": commands, "events": events })
        })
        .collect();
    json!({ "version": { "major": "1", "minor": "3" }, "domains": domains })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_not_refused_is_offered_and_nothing_else() {
        let protocol = protocol();
        let mut offered = 0;
        for domain in protocol["domains"].as_array().unwrap() {
            for (list, find) in [
                ("commands", table::method as fn(&str) -> _),
                ("events", table::event),
            ] {
                for entry in domain[list].as_array().unwrap() {
                    let name = format!(
                        "{}.{}",
                        domain["domain"].as_str().unwrap(),
                        entry["name"].as_str().unwrap()
                    );
                    assert_ne!(find(&name).unwrap().verdict, Verdict::Refuse, "{name}");
                    offered += 1;
                }
            }
        }
        let not_refused = table::rows().filter(|row| row.verdict != Verdict::Refuse);
        assert_eq!(offered, not_refused.count());
        assert!(!protocol.to_string().contains("\"setRemoteLocations\""));
    }
}
