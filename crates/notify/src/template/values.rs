use std::collections::BTreeMap;

use minijinja::Value;
use serde_json::Value as Json;

use crate::plain;

/// How many bytes of text the values of one message may have.
const BYTES_MAX: usize = 256 * 1_024;
/// How deep they may lie in each other.
const DEPTH_MAX: usize = 16;

/// Where a value is taken apart: no value and no template has it. Links leave it out, texts have a space there.
pub(super) const SEAM: char = '\u{1f}';

/// What a template sees of `json`: texts on one line, without control or direction characters, and with nothing that a mail program
/// would make a link of by itself, so that nobody's name leads anywhere. Where `sample` has a dot within a name, the value is an
/// address or the like and keeps its dots.
pub(super) fn seen(json: &Json, sample: &Json) -> Result<Value, &'static str> {
    Reader { left: BYTES_MAX }.read(json, Some(sample), 0)
}

struct Reader {
    left: usize,
}

impl Reader {
    fn read(&mut self, json: &Json, sample: Option<&Json>, depth: usize) -> Result<Value, &'static str> {
        if depth > DEPTH_MAX {
            return Err("lie too deep in each other");
        }
        Ok(match json {
            Json::Null => Value::from(()),
            Json::Bool(flag) => Value::from(*flag),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(whole), _) => Value::from(whole),
                (None, Some(large)) => Value::from(large),
                (None, None) => Value::from(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => {
                self.spend(text.len())?;
                let keeps_dots =
                    sample.and_then(Json::as_str).is_some_and(|sample| seams(sample, false).next().is_some());
                Value::from(taken_apart(&plain::one_line(text), keeps_dots))
            }
            Json::Array(items) => {
                self.spend(items.len())?;
                let sample = sample.and_then(|sample| sample.get(0));
                let items = items.iter().map(|item| self.read(item, sample, depth + 1));
                items.collect::<Result<Vec<_>, _>>()?.into()
            }
            Json::Object(fields) => {
                let mut seen = BTreeMap::new();
                for (name, value) in fields {
                    self.spend(name.len() + 1)?;
                    let sample = sample.and_then(|sample| sample.get(name));
                    seen.insert(plain::one_line(name), self.read(value, sample, depth + 1)?);
                }
                Value::from(seen)
            }
        })
    }

    fn spend(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.left = self.left.checked_sub(bytes).ok_or("are longer than 256 KiB")?;
        Ok(())
    }
}

fn taken_apart(text: &str, keeps_dots: bool) -> String {
    let mut apart = String::with_capacity(text.len());
    let mut taken = 0;
    for at in seams(text, keeps_dots) {
        apart.push_str(text.get(taken..at).unwrap_or_default());
        apart.push(SEAM);
        taken = at;
    }
    apart.push_str(text.get(taken..).unwrap_or_default());
    apart
}

/// Behind the colon of `://`, and behind dots in the midst of a word with a letter after them: every host with a name has one before
/// its last label.
fn seams(text: &str, keeps_dots: bool) -> impl Iterator<Item = usize> {
    let mut before = ' ';
    text.char_indices().filter_map(move |(at, c)| {
        let rest = text.get(at + c.len_utf8()..).unwrap_or_default();
        let is_dot =
            c == '.' && !keeps_dots && !before.is_whitespace() && rest.starts_with(char::is_alphabetic);
        before = c;
        (is_dot || (c == ':' && rest.starts_with("//"))).then_some(at + 1)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(text: &str, sample: &str) -> String {
        seen(&json!({ "a": [text] }), &json!({ "a": [sample] }))
            .unwrap()
            .get_attr("a")
            .unwrap()
            .get_item_by_index(0)
            .unwrap()
            .to_string()
            .replace(SEAM, " ")
    }

    #[test]
    fn texts_come_on_one_line_and_without_addresses() {
        for (text, expected) in [
            ("Ada\r\nBcc: x", "Ada Bcc: x"),
            ("a\u{2028}b\u{202e}c\u{7f}d\u{1f}e", "a b c d e"),
            ("see https://evil.test", "see https: //evil. test"),
            ("www.evil.test/reset", "www. evil. test/reset"),
            ("evil.test", "evil. test"),
            ("eve@evil.XN--P1AI", "eve@evil. XN--P1AI"),
            ("4.evil.test:80", "4. evil. test:80"),
            ("пример.рф", "пример. рф"),
            // What people are called.
            ("J.R.R. Tolkien", "J. R. R. Tolkien"),
            ("Dr. Ada Lovelace, .NET, v1.2 …", "Dr. Ada Lovelace, .NET, v1.2 …"),
            ("Zoë 🦀", "Zoë 🦀"),
        ] {
            assert_eq!(shown(text, "Ada"), expected);
        }
    }

    #[test]
    fn a_value_whose_sample_has_dots_keeps_its_own() {
        assert_eq!(shown("role.created", "user.created"), "role.created");
        assert_eq!(shown("ada@example.org", "grace@example.com"), "ada@example.org");
        assert_eq!(shown("db-1.example.org https://x", "host.example"), "db-1.example.org https: //x");
        for sample in ["192.0.2.1", "1.0", "The end.", ""] {
            assert_eq!(shown("evil.test", sample), "evil. test", "{sample}");
        }
    }

    #[test]
    fn a_megabyte_and_a_tower_are_refused() {
        assert_eq!(
            seen(&json!({ "a": "x".repeat(1 << 20) }), &Json::Null).unwrap_err(),
            "are longer than 256 KiB"
        );
        assert_eq!(seen(&json!(vec![0; 1 << 20]), &Json::Null).unwrap_err(), "are longer than 256 KiB");
        let tower = (0..40).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(seen(&tower, &Json::Null).unwrap_err(), "lie too deep in each other");
    }
}
