use serde_json::{Value, json};

use super::ChatText;

/// Slack cuts what is longer than 40,000; nobody reads that much.
const CHARS_MAX: usize = 3_000;

/// An incoming webhook's payload. `&`, `<` and `>` are what Slack's format consists of; without `link_names`, `@all` is text.
pub(crate) fn body(text: &ChatText<'_>) -> Value {
    let escaped = text.joined(CHARS_MAX).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({ "text": escaped, "mrkdwn": false, "unfurl_links": false, "unfurl_media": false })
}

#[cfg(test)]
mod tests {
    use super::{super::samples::TRICKS, *};

    #[test]
    fn nothing_is_formatted_and_nobody_called() {
        let body = body(&ChatText { title: "A & B", text: TRICKS });
        let text = body["text"].as_str().unwrap();
        assert!(text.starts_with("A &amp; B\n\n&lt;!channel&gt; &lt;!here&gt; &lt;@U123&gt; @all"), "{text}");
        assert!(!text.contains(['<', '>']) && text.contains("&lt;https://evil.test|bank&gt;"));
        assert_eq!((&body["mrkdwn"], &body["unfurl_links"]), (&json!(false), &json!(false)));
        assert!(body.get("link_names").is_none());
    }
}
