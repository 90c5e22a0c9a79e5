use std::{cell::Cell, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::TokenError;

/// Reads a JSON object in which no object, at any depth, has a name twice. RFC 7519 §4 leaves it open which of two
/// equal names counts, which is how one token can mean two things to two readers.
///
/// Two passes, because a [`Value`] has already forgotten the first of two equal names.
pub(super) fn object(json: &[u8]) -> Result<Map<String, Value>, TokenError> {
    let repeated = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let names_are_distinct = DistinctNames { repeated: &repeated }.deserialize(&mut deserializer);
    if repeated.get() {
        return Err(TokenError::NameRepeated);
    }
    names_are_distinct.and_then(|()| deserializer.end()).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(json).map_err(|_| TokenError::Malformed)
}

#[derive(Clone, Copy)]
struct DistinctNames<'a> {
    repeated: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for DistinctNames<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DistinctNames<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated names")
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name) {
                self.repeated.set(true);
                return Err(A::Error::custom("a name occurs twice"));
            }
            members.next_value_seed(self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_are_refused_at_every_depth_and_in_every_spelling() {
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1},{"c":[{"d":null,"d":null}]}]}"#,
            r#"{"a":1,"\u0061":2}"#,
        ] {
            assert!(matches!(object(json.as_bytes()), Err(TokenError::NameRepeated)), "{json}");
        }
        assert!(object(br#"{"a":{"b":1},"c":{"b":2},"A":[{"a":1},{"a":2}]}"#).is_ok());
    }

    #[test]
    fn anything_but_one_object_is_malformed() {
        let deep = format!("{}{}", r#"{"a":"#.repeat(500), "}".repeat(500));
        for json in
            ["", "null", "[]", "1", "\"{}\"", "{", "{}{}", "{} x", "\u{feff}{}", r#"{"a":1e400}"#, &deep]
        {
            assert!(matches!(object(json.as_bytes()), Err(TokenError::Malformed)), "{json}");
        }
        assert!(matches!(object(b"{\"a\":\"\xff\"}"), Err(TokenError::Malformed)));
    }
}
