//! JSON as tokens and key sets have it: read once, borrowed from the text, and refused when a name occurs twice.

use std::{borrow::Cow, cell::Cell, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::TokenError;

/// A value. Texts without escapes are borrowed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    /// A whole number beyond `i64`.
    Large(u64),
    Float(f64),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// An object whose names are distinct.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

/// Objects up to this size are searched for repeated names one by one, which is faster than hashing them.
const FEW: usize = 32;

/// One bit of 64 for a name: names with different bits differ. The names of claims are short and similar, so it takes
/// their length and both ends.
fn trace(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let at = |place: usize| bytes.get(place).copied().map_or(0, u32::from);
    let mixed = at(0).wrapping_mul(7)
        ^ at(1).wrapping_mul(13)
        ^ at(2).wrapping_mul(29)
        ^ at(bytes.len().saturating_sub(1));
    1 << (mixed.wrapping_add(bytes.len() as u32) & 63)
}

impl<'a> Json<'a> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same as a [`Value`], which owns its texts.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::from(*value),
            Self::Integer(value) => Value::from(*value),
            Self::Large(value) => Value::from(*value),
            Self::Float(value) => Value::from(*value),
            Self::Text(text) => Value::from(text.as_ref()),
            Self::Array(items) => Value::Array(items.iter().map(Json::to_value).collect()),
            Self::Object(object) => Value::Object(
                object.iter().map(|(name, value)| (name.to_owned(), value.to_value())).collect::<Map<_, _>>(),
            ),
        }
    }
}

impl<'a> Object<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Json<'a>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }
}

/// Reads a JSON object in which no object, at any depth, has a name twice. RFC 7519 §4 leaves it open which of two
/// equal names counts, which is how one token can mean two things to two readers.
pub(crate) fn object(json: &[u8]) -> Result<Object<'_>, TokenError> {
    let repeated = Cell::new(false);
    // Checked once for all texts in it, which costs less than each by itself.
    let json = str::from_utf8(json).map_err(|_| TokenError::Malformed)?;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = Distinct { repeated: &repeated }.deserialize(&mut deserializer);
    if repeated.get() {
        return Err(TokenError::NameRepeated);
    }
    match value.and_then(|value| deserializer.end().map(|()| value)) {
        Ok(Json::Object(object)) => Ok(object),
        _ => Err(TokenError::Malformed),
    }
}

#[derive(Clone, Copy)]
struct Distinct<'r> {
    repeated: &'r Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Distinct<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Distinct<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated names")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(i64::try_from(value).map_or(Json::Large(value), Json::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Json::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            read.push(item);
        }
        Ok(Json::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let mut read: Vec<(Cow<'de, str>, Json<'de>)> = Vec::with_capacity(16);
        let mut many = HashSet::new();
        let mut traces = 0;
        while let Some(Name(name)) = members.next_key::<Name<'de>>()? {
            let trace = trace(&name);
            let is_known = if read.len() < FEW {
                traces & trace != 0 && read.iter().any(|(known, _)| *known == name)
            } else {
                if many.is_empty() {
                    many.extend(read.iter().map(|(known, _)| known.clone()));
                }
                !many.insert(name.clone())
            };
            traces |= trace;
            if is_known {
                self.repeated.set(true);
                return Err(A::Error::custom("a name occurs twice"));
            }
            read.push((name, members.next_value_seed(self)?));
        }
        Ok(Json::Object(Object(read)))
    }
}

/// A name, borrowed when it has no escapes. (`Cow` by itself is always read as owned.)
struct Name<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(value.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_are_refused_at_every_depth_and_in_every_spelling() {
        let many = (0..40).map(|n| format!("\"n{n}\":1,")).collect::<String>();
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1},{"c":[{"d":null,"d":null}]}]}"#,
            r#"{"a":1,"\u0061":2}"#,
            &format!("{{{many}\"n1\":1}}"),
            &format!("{{{many}\"n39\":1}}"),
            &format!("{{{many}\"\\u006e39\":1}}"),
        ] {
            assert!(matches!(object(json.as_bytes()), Err(TokenError::NameRepeated)), "{json}");
        }
        assert!(object(br#"{"a":{"b":1},"c":{"b":2},"A":[{"a":1},{"a":2}]}"#).is_ok());
        assert!(object(format!("{{{many}\"n40\":1}}").as_bytes()).is_ok());
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
        assert!(matches!(object(b"{\"\xff\":1}"), Err(TokenError::Malformed)));
    }

    #[test]
    fn a_value_is_the_one_that_serde_json_reads() {
        let text = r#"{"a":[null,true,-1,18446744073709551615,1.5,"\u00e9","x"],"b":{"c":{}}}"#;
        let ours = Json::Object(object(text.as_bytes()).unwrap()).to_value();
        assert_eq!(ours, serde_json::from_str::<Value>(text).unwrap());
    }
}
