//! Canonical JSON (RFC 8785): one value, one text.
//!
//! Of numbers only whole ones are taken, and only those that every JSON reader
//! keeps exact (up to 2^53 − 1 either side of zero); a record needs no others.

use serde::Serialize;
use serde_json::{Map, Number, Value};

/// The greatest whole number that every JSON reader keeps exact: 2^53 − 1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Why a value has no canonical text here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// A number with a fraction or exponent.
    #[error("the number `{0}` is not whole; use an integer or a text")]
    Float(String),
    /// A whole number that a JSON reader may round.
    #[error("the number `{0}` is beyond 2^53 - 1; use a text")]
    TooGreat(String),
    /// The value is no JSON at all.
    #[error("the value cannot be written as JSON: {0}")]
    NotJson(String),
}

/// The canonical text of anything that serialises to JSON.
///
/// # Errors
/// See [`CanonicalError`].
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let value =
        serde_json::to_value(value).map_err(|error| CanonicalError::NotJson(error.to_string()))?;
    let mut out = Vec::with_capacity(512);
    write(&value, &mut out)?;
    Ok(out)
}

/// Appends the canonical text of `value` to `out`. After an error `out` holds a part of it.
///
/// # Errors
/// See [`CanonicalError`].
pub fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out)?,
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => write_object(members, out)?,
    }
    Ok(())
}

/// Bytes that `text` takes between its quotes.
#[must_use]
pub fn text_len(text: &str) -> usize {
    text.bytes().map(escaped_len).sum()
}

/// Bytes that one byte of a text takes when written.
pub(super) const fn escaped_len(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0c | b'\r' => 2,
        0..0x20 => 6,
        _ => 1,
    }
}

fn write_object(members: &Map<String, Value>, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    let mut members: Vec<(&String, &Value)> = members.iter().collect();
    // RFC 8785 sorts by UTF-16 code units, which is not the order of UTF-8 bytes.
    members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push(b'{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(name, out);
        out.push(b':');
        write(value, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_number(number: &Number, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    let (magnitude, negative) = match (number.as_u64(), number.as_i64()) {
        (Some(whole), _) => (whole, false),
        (None, Some(whole)) => (whole.unsigned_abs(), true),
        (None, None) => return Err(CanonicalError::Float(number.to_string())),
    };
    if magnitude > INTEGER_MAX {
        return Err(CanonicalError::TooGreat(number.to_string()));
    }
    if negative {
        out.push(b'-');
    }
    out.extend_from_slice(magnitude.to_string().as_bytes());
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                for nibble in [byte >> 4, byte & 15] {
                    out.extend(HEX.get(usize::from(nibble)));
                }
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(value: &Value) -> String {
        String::from_utf8(to_vec(value).unwrap()).unwrap()
    }

    #[test]
    fn members_are_sorted_by_utf16_code_units() {
        // The order of RFC 8785, section 3.2.3.
        let value = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis",
        });
        assert_eq!(
            text(&value),
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}"
        );
    }

    #[test]
    fn texts_are_escaped_as_the_standard_says() {
        for (value, expected) in [
            (
                json!("\u{20ac}$\u{f}\u{a}A'B\"\\\\\"/"),
                "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"",
            ),
            (
                json!("\u{8}\u{9}\u{c}\r\u{1f}\u{7f}\u{2028}"),
                "\"\\b\\t\\f\\r\\u001f\u{7f}\u{2028}\"",
            ),
            (
                json!({"b": [null, true, false, -1, 0], "a": {}}),
                "{\"a\":{},\"b\":[null,true,false,-1,0]}",
            ),
            (
                json!([INTEGER_MAX, -9_007_199_254_740_991_i64]),
                "[9007199254740991,-9007199254740991]",
            ),
        ] {
            assert_eq!(text(&value), expected);
        }
    }

    #[test]
    fn numbers_that_a_reader_may_change_are_refused() {
        for (value, expected) in [
            (json!(0.5), CanonicalError::Float("0.5".into())),
            (json!([1.0]), CanonicalError::Float("1.0".into())),
            (
                json!({"n": INTEGER_MAX + 1}),
                CanonicalError::TooGreat("9007199254740992".into()),
            ),
            (
                json!(i64::MIN),
                CanonicalError::TooGreat(i64::MIN.to_string()),
            ),
        ] {
            assert_eq!(to_vec(&value), Err(expected));
        }
    }

    proptest! {
        #[test]
        fn any_text_reads_back_and_its_length_is_foretold(name in any::<String>(), value in any::<String>()) {
            let object = json!({ name.clone(): value.clone() });
            let bytes = to_vec(&object).unwrap();
            prop_assert_eq!(bytes.len(), text_len(&name) + text_len(&value) + 7);
            prop_assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), object);
        }
    }
}
