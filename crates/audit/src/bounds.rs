//! How large the parts of a row may become, and which characters a database cannot hold.

use serde_json::{Map, Value};

/// One value of `changes` or `metadata`: long enough for a description, short enough that a row stays within a page or
/// two.
pub(crate) const VALUE_BYTES_MAX: usize = 4 * 1024;

/// The user agent, as in `RequestContext`.
pub(crate) const USER_AGENT_CHARS_MAX: usize = 512;

/// Ids and names: the longest of ours is a UUID; what callers attempted may be longer.
pub(crate) const NAME_CHARS_MAX: usize = 256;

/// At most `chars_max` characters of `text`, in a form both engines store.
pub(crate) fn bounded_text(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).map(storable).collect()
}

/// `changes` with each `before` and `after` within [`VALUE_BYTES_MAX`].
pub(crate) fn bounded_changes(changes: Value) -> Value {
    match changes {
        Value::Object(fields) => Value::Object(map_values(fields, bounded_fields)),
        other => bounded_value(other),
    }
}

/// `value` with each of its fields within [`VALUE_BYTES_MAX`]; anything but an object counts as one field.
pub(crate) fn bounded_fields(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(map_values(fields, bounded_value)),
        other => bounded_value(other),
    }
}

fn map_values(fields: Map<String, Value>, bound: impl Fn(Value) -> Value) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (bounded_text(&name, NAME_CHARS_MAX), bound(value))).collect()
}

fn bounded_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(truncated(&text)),
        Value::Object(_) | Value::Array(_) => {
            let value = storable_value(value);
            let text = value.to_string();
            // A container that is too large becomes the beginning of its JSON text.
            if text.len() > VALUE_BYTES_MAX { Value::String(truncated(&text)) } else { value }
        }
        small @ (Value::Null | Value::Bool(_) | Value::Number(_)) => small,
    }
}

fn truncated(text: &str) -> String {
    if text.len() <= VALUE_BYTES_MAX {
        return text.chars().map(storable).collect();
    }
    let (head, tail) = text.split_at(text.floor_char_boundary(VALUE_BYTES_MAX));
    let mut kept: String = head.chars().map(storable).collect();
    kept.push_str(&format!("…[{} bytes truncated]", tail.len()));
    kept
}

fn storable_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.chars().map(storable).collect()),
        Value::Array(items) => items.into_iter().map(storable_value).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name.chars().map(storable).collect::<String>(), storable_value(value)))
            .collect(),
        other => other,
    }
}

/// PostgreSQL holds no NUL, neither in text nor in jsonb, and a record that cannot be stored would refuse its change.
/// Every other control character is data.
fn storable(character: char) -> char {
    if character == '\0' { char::REPLACEMENT_CHARACTER } else { character }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_values_are_cut_at_a_character_and_say_so() {
        let text = "é".repeat(VALUE_BYTES_MAX);
        let Value::Object(fields) = bounded_fields(json!({ "note": text })) else { panic!("an object") };
        let note = fields["note"].as_str().unwrap();
        assert!(note.starts_with("éé") && note.ends_with("…[4096 bytes truncated]"), "{note}");
        assert!(note.len() < VALUE_BYTES_MAX + 64);
    }

    #[test]
    fn a_value_of_exactly_the_limit_stays_whole() {
        let text = "x".repeat(VALUE_BYTES_MAX);
        assert_eq!(bounded_fields(json!({ "note": text })), json!({ "note": text }));
    }

    #[test]
    fn large_containers_become_the_beginning_of_their_text() {
        let changes = json!({ "tags": { "before": [], "after": vec!["tag"; 2_000] } });
        let bounded = bounded_changes(changes);
        assert_eq!(bounded["tags"]["before"], json!([]));
        assert!(bounded["tags"]["after"].as_str().unwrap().starts_with("[\"tag\",\"tag\""));
    }

    #[test]
    fn nul_is_replaced_and_other_control_characters_stay() {
        assert_eq!(bounded_text("a\0b\u{7}\n", 9), "a\u{fffd}b\u{7}\n");
        assert_eq!(
            bounded_changes(json!({ "f\0": { "before": { "x\0": ["\0"] }, "after": "\0\u{1}" } })),
            json!({ "f\u{fffd}": { "before": { "x\u{fffd}": ["\u{fffd}"] }, "after": "\u{fffd}\u{1}" } })
        );
    }

    #[test]
    fn names_are_cut_by_characters() {
        assert_eq!(
            bounded_text(&"ü".repeat(600), USER_AGENT_CHARS_MAX).chars().count(),
            USER_AGENT_CHARS_MAX
        );
    }
}
