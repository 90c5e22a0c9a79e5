//! What JSON can say and nobody here can keep.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// How the names begin that serde_json keeps for itself: a value that is written with one of them is read as something else, or not
/// at all.
const RESERVED: &str = "$serde_json::private::";

/// Something of a body that is JSON and is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit {
    /// The names on the way to it, joined by dots.
    pub(super) place: String,
    pub(super) message: &'static str,
}

/// The first text or name that cannot be kept. What is not JSON has none: whoever reads it says so.
pub(super) fn find(bytes: &[u8]) -> Option<Unfit> {
    if !may_be_unfit(bytes) {
        return None;
    }
    let mut walk = Walk::default();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let _ = Step(&mut walk).deserialize(&mut json);
    let message = walk.message?;
    walk.place.reverse();
    Some(Unfit { place: walk.place.join(".").replace('\0', ""), message })
}

/// Only an escape says NUL, and any letter of a name may be one.
fn may_be_unfit(bytes: &[u8]) -> bool {
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    holds(br"\u00") || holds(RESERVED.as_bytes())
}

/// What was found, and the names on the way to it from the innermost.
#[derive(Default)]
struct Walk {
    message: Option<&'static str>,
    place: Vec<String>,
}

impl Walk {
    /// PostgreSQL takes no NUL in texts, and nothing sound contains one.
    fn check_text<E: Error>(&mut self, text: &str) -> Result<(), E> {
        self.refuse_if(text.contains('\0'), "must not hold NUL")
    }

    fn check_name<E: Error>(&mut self, name: &str) -> Result<(), E> {
        self.check_text(name)?;
        self.refuse_if(name.starts_with(RESERVED), "has a name that is reserved")
    }

    fn refuse_if<E: Error>(&mut self, is_unfit: bool, message: &'static str) -> Result<(), E> {
        if !is_unfit {
            return Ok(());
        }
        self.message = Some(message);
        Err(E::custom(message))
    }
}

/// One value of the body.
struct Step<'a>(&'a mut Walk);

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
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

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.check_text(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for index in 0_usize.. {
            match items.next_element_seed(Step(self.0)) {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(error) => {
                    self.0.place.push(index.to_string());
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(name) = entries.next_key::<String>()? {
            let checked = self.0.check_name(&name).and_then(|()| entries.next_value_seed(Step(self.0)));
            if let Err(error) = checked {
                self.0.place.push(name);
                return Err(error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str) -> Option<(String, &'static str)> {
        find(body.as_bytes()).map(|unfit| (unfit.place, unfit.message))
    }

    #[test]
    fn what_cannot_be_kept_is_found_wherever_it_stands_and_however_it_is_written() {
        let (nul, reserved) = ("must not hold NUL", "has a name that is reserved");
        for (body, place, message) in [
            (r#"{"a":"\u0000"}"#, "a", nul),
            (r#"{"a":[1,{"b":"x\u0000"}]}"#, "a.1.b", nul),
            (r#"{"a\u0000":1}"#, "a", nul),
            (r#""\u0000""#, "", nul),
            (
                r#"{"a":[{"$serde_json::private::RawValue":"boo"}]}"#,
                "a.0.$serde_json::private::RawValue",
                reserved,
            ),
            (r#"{"\u0024serde_json::private::Number":"1"}"#, "$serde_json::private::Number", reserved),
            (r#"{"$serde_json\u003a:private::Other":1}"#, "$serde_json::private::Other", reserved),
            (
                r#"{"a":{"$serde_json::private::RawValue":"boo"},"b":"\u0000"}"#,
                "a.$serde_json::private::RawValue",
                reserved,
            ),
        ] {
            assert_eq!(found(body), Some((place.to_owned(), message)), "{body}");
        }
    }

    #[test]
    fn what_only_looks_so_is_kept() {
        for body in [
            r#"{"a":"\\u0000"}"#,
            r#"{"a":"$serde_json::private::RawValue","b":"\u00e4","c":[1,-1,1.5,true,null]}"#,
            r#"{"b":{"private":"\u0024"}}"#,
            "{}",
            r#"{"a":"\u0000"#,
        ] {
            assert_eq!(found(body), None, "{body}");
        }
    }
}
