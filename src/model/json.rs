//! Arguments of commands, read for what a parser might read in two ways.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Keys of one object that are compared one by one; more are hashed.
const FEW: usize = 16;

/// Nesting that Chromium still reads; source: its parser of inspector messages,
/// `third_party/inspector_protocol/crdtp/json.cc`.
pub const DEEPEST: usize = 300;

/// Checks that `text` is one object, no deeper than [`DEEPEST`], and that no
/// object in it has a key twice: two parsers may take different ones.
///
/// # Errors
/// It is not; in words for the client's author.
pub fn unambiguous(text: &str) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    // Its own limit is lower than what clients send: their values are nested in
    // descriptions of values. Ours takes its place.
    reader.disable_recursion_limit();
    reader.deserialize_map(Object)?;
    reader.end()
}

/// The whole.
struct Object;

/// Any value so deep in it, looked through.
struct Looked {
    depth: usize,
}

struct Key<'a>(Cow<'a, str>);

struct KeyVisitor;

/// Looks through the rest of an object.
fn keys_once<'de, A: MapAccess<'de>>(mut map: A, depth: usize) -> Result<(), A::Error> {
    let inner = deeper(depth)?;
    let mut few: Vec<Cow<'de, str>> = Vec::new();
    let mut many: HashSet<Cow<'de, str>> = HashSet::new();
    while let Some(Key(key)) = map.next_key()? {
        let twice = if many.is_empty() {
            few.contains(&key)
        } else {
            many.contains(&key)
        };
        if twice {
            let key: String = key.chars().take(64).collect();
            return Err(A::Error::custom(format_args!(
                "the key `{key}` stands twice"
            )));
        }
        map.next_value_seed(Looked { depth: inner })?;
        if many.is_empty() && few.len() < FEW {
            few.push(key);
        } else {
            many.extend(few.drain(..));
            many.insert(key);
        }
    }
    Ok(())
}

fn deeper<E: Error>(depth: usize) -> Result<usize, E> {
    if depth == DEEPEST {
        return Err(E::custom(format_args!("it is nested over {DEEPEST} deep")));
    }
    Ok(depth + 1)
}

impl<'de> DeserializeSeed<'de> for Looked {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl<'de> Visitor<'de> for Object {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        keys_once(map, 0)
    }
}

impl<'de> Visitor<'de> for Looked {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        keys_once(map, self.depth)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let depth = deeper(self.depth)?;
        while items.next_element_seed(Looked { depth })?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::unambiguous;

    #[test]
    fn a_key_stands_once_at_every_depth() {
        for text in [
            "{}",
            r#"{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}],"d":null,"e":-1.5e300,"f":"\u0061"}"#,
        ] {
            unambiguous(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":1,"c":2,"b":3}}"#,
            r#"{"a":[[1,{"b":1,"b":2}]]}"#,
            "[]",
            "1",
            "{",
            r#"{"a":1} {}"#,
        ] {
            assert!(unambiguous(text).is_err(), "{text}");
        }
        let error = unambiguous(r#"{"url":1,"url":2}"#).unwrap_err();
        assert!(error.to_string().contains("`url` stands twice"), "{error}");
    }

    #[test]
    fn many_keys_are_compared_too() {
        let mut text = String::from("{");
        for number in 0..1000 {
            write!(text, "\"k{number}\":{number},").unwrap();
        }
        unambiguous(&format!("{text}\"k1000\":1}}")).unwrap();
        for twice in [0, 15, 16, 17, 999] {
            assert!(unambiguous(&format!("{text}\"k{twice}\":1}}")).is_err());
        }
    }

    #[test]
    fn depth_has_an_end() {
        let nested = |depth: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            format!("{{\"a\":{open}1{close}}}")
        };
        unambiguous(&nested(299)).unwrap();
        let error = unambiguous(&nested(300)).unwrap_err();
        assert!(error.to_string().contains("deep"), "{error}");
        unambiguous(&nested(1_000_000)).unwrap_err();
    }

    fn object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        let inner = leaf.prop_recursive(4, 64, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
                prop::collection::hash_map(".{0,3}", inner, 0..20)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::hash_map(".{0,3}", inner, 0..40)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        /// What a parser wrote has each key once.
        #[test]
        fn what_is_clear_passes(value in object()) {
            prop_assert!(unambiguous(&value.to_string()).is_ok());
        }
    }
}
