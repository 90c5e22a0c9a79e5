use serde_json::{Value, json};

use super::ChatText;

/// Telegram refuses what is longer.
const CHARS_MAX: usize = 4_096;

/// The parameters of `sendMessage`. Without `parse_mode` the text is text.
pub(crate) fn body(chat_id: &str, text: &ChatText<'_>) -> Value {
    json!({
        "chat_id": chat_id,
        "text": text.joined(CHARS_MAX),
        "link_preview_options": { "is_disabled": true },
    })
}

#[cfg(test)]
mod tests {
    use super::{super::samples::TRICKS, *};

    #[test]
    fn text_is_text() {
        let body = body("-100123", &ChatText { title: "title", text: TRICKS });
        assert_eq!(body["text"], format!("title\n\n{TRICKS}"));
        assert!(body.get("parse_mode").is_none());
        let long = "x".repeat(10_000);
        let body = super::body("1", &ChatText { title: "title", text: &long });
        assert_eq!(body["text"].as_str().unwrap().chars().count(), CHARS_MAX);
    }
}
