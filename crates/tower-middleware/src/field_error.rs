use serde_path_to_error::{Path, Segment};
use stylobate_core::FieldProblem;

/// Names of fields come from callers when they are unknown; longer ones are cut, in characters.
const FIELD_CHARS_MAX: usize = 100;

/// Says which field is wrong and how, without repeating its value.
///
/// serde tells the kind of failure only in words, whose beginnings are part of its interface (`serde::de::Error`).
pub(crate) fn field_problem(path: &Path, message: &str) -> FieldProblem {
    let path = path_text(path);
    if let Some(name) = quoted(message, "missing field ") {
        return FieldProblem::new(child(&path, name), "required", "is required");
    }
    if let Some(name) = quoted(message, "unknown field ") {
        return FieldProblem::new(child(&path, name), "unknown", "is not a known field");
    }
    if let Some(name) = quoted(message, "duplicate field ") {
        return FieldProblem::new(child(&path, name), "duplicate", "is given more than once");
    }
    let code = if message.starts_with("invalid type: ") { "invalid_type" } else { "invalid" };
    FieldProblem::new(path, code, sentence(message))
}

/// What the field should have been. Values stand before `, expected`; what follows it comes from the type.
fn sentence(message: &str) -> String {
    let by_serde = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant "];
    if by_serde.iter().any(|start| message.starts_with(start)) {
        let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
        // What serde makes of a type without words of its own is the type's name.
        let expected =
            expected.map(|expected| if expected.starts_with("struct ") { "an object" } else { expected });
        let is_named = |expected: &&str| {
            !["tuple ", "unit ", "enum ", "newtype "].iter().any(|start| expected.starts_with(start))
        };
        let expected = expected.filter(is_named);
        return expected.map_or("is not valid".into(), |expected| format!("expected {expected}"));
    }
    // A type's own message. One with quotes may repeat the value.
    let quotes = ['`', '"', '\'', '\u{2018}', '\u{201c}'];
    if message.is_empty() || message.len() > 200 || message.contains(quotes) {
        return "is not valid".into();
    }
    message.to_owned()
}

fn quoted<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    let rest = message.strip_prefix(start)?.strip_prefix('`')?;
    // `missing field `a`` ends there; `unknown field `a`, expected …` goes on. A name may itself hold a backtick.
    let end = rest
        .find("`, expected ")
        .or_else(|| rest.find("`, there are no fields"))
        .or_else(|| rest.rfind('`'))?;
    rest.get(..end)
}

/// The place, with dots: `address.lines.0`.
fn path_text(path: &Path) -> String {
    let mut text = String::new();
    for segment in path {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.clone(),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(&part);
    }
    cut(text)
}

/// `name` below `path`; serde_path_to_error already stands at the name when it knows the key it was reading.
fn child(path: &str, name: &str) -> String {
    let stands_there = path == name || path.strip_suffix(name).is_some_and(|before| before.ends_with('.'));
    let text = match path {
        path if stands_there => path.to_owned(),
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    cut(text)
}

fn cut(text: String) -> String {
    if text.len() <= FIELD_CHARS_MAX { text } else { text.chars().take(FIELD_CHARS_MAX).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_type_of_ours_is_named() {
        for (message, said) in [
            ("invalid type: null, expected struct ResetInput", "expected an object"),
            ("invalid type: integer `7`, expected struct ResetInput", "expected an object"),
            ("invalid type: null, expected tuple struct Pair", "is not valid"),
            ("invalid type: map, expected unit struct Nothing", "is not valid"),
            ("invalid type: null, expected enum Order", "is not valid"),
            ("invalid type: null, expected a string", "expected a string"),
            ("invalid type: sequence, expected a map", "expected a map"),
            ("invalid value: integer `300`, expected u8", "expected u8"),
        ] {
            assert_eq!(sentence(message), said, "{message}");
        }
    }
}
