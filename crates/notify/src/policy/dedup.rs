use ring::digest::{Context, SHA256};
use serde_json::Value;

/// Names what is said to whom: two messages with the same digest say the same. Without `values` all of a kind do, as is right where
/// these hold codes: the digest of a short code tells the code to whoever tries them all.
pub(crate) fn digest(kind: &str, recipient: &[u8], values: Option<&Value>) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    // With its length before each part, none can pass for the beginning of the next.
    part(&mut context, kind.as_bytes());
    part(&mut context, recipient);
    if let Some(values) = values {
        value(&mut context, values);
    }
    context.finish().as_ref().to_vec()
}

/// Names an address without telling it, for what is counted and refused by address.
pub(crate) fn address_key(medium: &str, address: &str) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    part(&mut context, medium.as_bytes());
    part(&mut context, address.to_lowercase().as_bytes());
    context.finish().as_ref().to_vec()
}

fn part(context: &mut Context, bytes: &[u8]) {
    context.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    context.update(bytes);
}

/// A value in one form, whatever the order of its fields.
fn value(context: &mut Context, of: &Value) {
    match of {
        Value::Array(items) => {
            part(context, b"[");
            part(context, items.len().to_string().as_bytes());
            items.iter().for_each(|item| value(context, item));
        }
        Value::Object(fields) => {
            part(context, b"{");
            part(context, fields.len().to_string().as_bytes());
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            for (name, field) in fields {
                part(context, name.as_bytes());
                value(context, field);
            }
        }
        other => {
            part(context, b"=");
            part(context, other.to_string().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_says_something_else_has_another_digest() {
        let values = json!({ "a": 1, "b": [2, "x"] });
        let same = digest("alert", b"ada", Some(&values));
        assert_eq!(same, digest("alert", b"ada", Some(&json!({ "b": [2, "x"], "a": 1 }))));
        for (kind, recipient, values) in [
            ("alerta", "da", values.clone()),
            ("alert", "bob", values.clone()),
            ("alert", "ada", json!({ "a": 1 })),
            ("alert", "ada", json!({ "a": "1", "b": [2, "x"] })),
            ("alert", "ada", json!({ "a": 1, "b": ["x", 2] })),
            ("alert", "ada", json!({ "a": 1, "b": [2, ["x"]] })),
            ("alert", "ada", json!({ "a": 1, "b": { "2": "x" } })),
            ("alert", "ada", json!(null)),
        ] {
            assert_ne!(
                digest(kind, recipient.as_bytes(), Some(&values)),
                same,
                "{kind} {recipient} {values}"
            );
        }
        assert_ne!(digest("alert", b"ada", None), same);
    }

    #[test]
    fn an_address_is_the_same_however_it_is_capitalised() {
        assert_eq!(address_key("email", "Ada@Example.org"), address_key("email", "ada@example.org"));
        assert_ne!(address_key("email", "ada@example.org"), address_key("sms", "ada@example.org"));
        assert_ne!(address_key("email", "ada@example.org"), address_key("email", "bob@example.org"));
    }

    proptest! {
        #[test]
        fn texts_that_differ_differ(one: String, other: String) {
            let of = |text: &str| digest("kind", b"ada", Some(&json!({ "text": text })));
            prop_assert_eq!(of(&one) == of(&other), one == other);
            let split = |name: &str, text: &str| digest(name, text.as_bytes(), None);
            prop_assert_eq!(split(&one, &other) == split(&other, &one), one == other);
        }
    }
}
