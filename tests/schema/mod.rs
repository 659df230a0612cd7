//! Checks a value against a schema of the document: the part of JSON Schema
//! that the document uses, and a panic on any other part.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use serde_json::Value;

/// Asserts that `value` is as the named schema says.
pub(crate) fn check(document: &Value, name: &str, value: &Value) {
    let schema = &document["components"]["schemas"][name];
    assert!(schema.is_object(), "no schema {name}");
    if let Err(fault) = matches(document, schema, value, name) {
        panic!("{fault}\nin {value:#}");
    }
}

fn matches(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let fault = |what: &str| Err(format!("{at}: {what}"));
    for keyword in schema.as_object().unwrap().keys() {
        let known = [
            "$ref",
            "additionalProperties",
            "anyOf",
            "description",
            "enum",
            "format",
            "items",
            "minimum",
            "properties",
            "required",
            "type",
        ];
        assert!(known.contains(&keyword.as_str()), "{at}: keyword {keyword}");
    }
    if let Some(target) = schema["$ref"].as_str() {
        let schema = document.pointer(target.strip_prefix('#').unwrap()).unwrap();
        return matches(document, schema, value, at);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let faults: Vec<String> = choices
            .iter()
            .filter_map(|choice| matches(document, choice, value, at).err())
            .collect();
        return if faults.len() < choices.len() {
            Ok(())
        } else {
            fault(&faults.join(" and "))
        };
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return fault("not one of the words");
    }
    let right = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some(other) => panic!("{at}: type {other}"),
        None => true,
    };
    if !right {
        return fault(&format!("not of type {}", schema["type"]));
    }
    if let Some(minimum) = schema["minimum"].as_i64()
        && value.as_i64().is_some_and(|number| number < minimum)
    {
        return fault("below the minimum");
    }
    if let Some(items) = value.as_array() {
        for (index, item) in items.iter().enumerate() {
            matches(document, &schema["items"], item, &format!("{at}[{index}]"))?;
        }
    }
    let (Some(members), Some(properties)) = (value.as_object(), schema["properties"].as_object())
    else {
        return Ok(());
    };
    for name in schema["required"].as_array().unwrap() {
        if !members.contains_key(name.as_str().unwrap()) {
            return fault(&format!("lacks {name}"));
        }
    }
    for (name, member) in members {
        let Some(schema) = properties.get(name) else {
            return fault(&format!("has {name}, which is not documented"));
        };
        matches(document, schema, member, &format!("{at}.{name}"))?;
    }
    Ok(())
}
