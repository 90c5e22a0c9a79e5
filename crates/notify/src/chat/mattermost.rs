use serde_json::{Value, json};

use super::{ChatText, unformatted, unmentioned};

/// Mattermost takes 16,383; nobody reads that much.
const CHARS_MAX: usize = 3_000;

/// An incoming webhook's payload. Mattermost reads Markdown and the format of Slack, and calls whoever is behind an `@`.
pub(crate) fn body(text: &ChatText<'_>) -> Value {
    let text = unmentioned(&unformatted(&text.joined(CHARS_MAX)));
    // Slack's `<!channel>` and `<url|words>`, and HTML.
    json!({ "text": text.replace('<', "<\u{200b}") })
}

#[cfg(test)]
mod tests {
    use super::{
        super::samples::{LINES, TRICKS, is_text, read},
        *,
    };

    #[test]
    fn nothing_is_hidden_and_nobody_called() {
        let body = body(&ChatText { title: "title", text: TRICKS });
        let text = body["text"].as_str().unwrap();
        assert!(text.starts_with("title\n\n<\u{200b}!channel>"));
        for trick in ["@all", "@channel", "@here", "<!", "<@", "<https", "<script", " [home]", "![x]"] {
            assert!(!text.contains(trick), "{trick} in {text}");
        }
        assert!(text.contains("@\u{200b}all") && text.contains("\\[home](https://evil.test)"));
        assert_eq!(body.as_object().unwrap().len(), 1);
    }

    #[test]
    fn nothing_is_formatted() {
        let tricks = body(&ChatText { title: "**title**", text: TRICKS });
        let text = tricks["text"].as_str().unwrap();
        for trick in [" *", " _", " ~", " |", " `", "**", "__", "~~", "||", "``"] {
            assert!(!text.contains(trick), "{trick} in {text}");
        }
        assert_eq!(read(text).replace('\u{200b}', ""), format!("**title**\n\n{TRICKS}"));
        let lines = body(&ChatText { title: "# title", text: LINES });
        let text = lines["text"].as_str().unwrap();
        assert!(text.lines().all(is_text), "{text}");
    }
}
