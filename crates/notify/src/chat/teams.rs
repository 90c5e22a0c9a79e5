use serde_json::{Value, json};

use super::{ChatText, shortened};

/// Teams takes 28 KB in all.
const CHARS_MAX: usize = 3_000;

/// A card for a workflow that posts what it gets. `TextRun` shows text as it is; `TextBlock` would read Markdown.
pub(crate) fn body(text: &ChatText<'_>) -> Value {
    let title = json!({ "type": "TextRun", "text": shortened(text.title, 300), "weight": "Bolder" });
    let lines = shortened(text.text.trim(), CHARS_MAX);
    // A line of text is a block of its own: runs know no line breaks.
    let mut blocks = vec![block(title)];
    let lines = lines.lines().filter(|line| !line.trim().is_empty());
    blocks.extend(lines.take(60).map(|line| block(json!({ "type": "TextRun", "text": line }))));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": blocks,
            },
        }],
    })
}

fn block(run: Value) -> Value {
    json!({ "type": "RichTextBlock", "inlines": [run] })
}

#[cfg(test)]
mod tests {
    use super::{super::samples::TRICKS, *};

    #[test]
    fn text_is_text() {
        let text = format!("{TRICKS}\n\nsecond\n");
        let body = body(&ChatText { title: "title", text: &text });
        let blocks = body["attachments"][0]["content"]["body"].as_array().unwrap();
        assert_eq!(blocks.len(), 3);
        assert!(blocks.iter().all(|block| block["type"] == "RichTextBlock"));
        assert_eq!(blocks[1]["inlines"][0], json!({ "type": "TextRun", "text": TRICKS }));
        assert_eq!(blocks[2]["inlines"][0]["text"], "second");
    }

    #[test]
    fn a_card_stays_below_what_teams_takes() {
        let long = "\u{1F600}\n".repeat(20_000);
        let body = body(&ChatText { title: &long, text: &long });
        assert!(body.to_string().len() < 28_000);
    }
}
