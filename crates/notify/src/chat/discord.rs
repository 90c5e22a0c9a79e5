use serde_json::{Value, json};

use super::ChatText;

/// Discord refuses what is longer.
const CHARS_MAX: usize = 2_000;
/// `SUPPRESS_EMBEDS`: no previews of links.
const FLAGS: u32 = 1 << 2;

/// A webhook's payload. Nobody is called, whatever the text says; a link has no other words than itself.
pub(crate) fn body(text: &ChatText<'_>) -> Value {
    // Escapes need room too.
    let text = text.joined(CHARS_MAX * 3 / 4).replace('\\', "\\\\").replace('[', "\\[");
    json!({
        "content": super::shortened(&text, CHARS_MAX),
        "allowed_mentions": { "parse": [] },
        "flags": FLAGS,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::samples::TRICKS, *};

    #[test]
    fn nobody_is_called_and_no_link_is_hidden() {
        let body = body(&ChatText { title: "title", text: TRICKS });
        assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
        let text = body["content"].as_str().unwrap();
        assert!(text.contains("\\[home](https://evil.test)") && !text.contains(" [home]"), "{text}");
    }

    #[test]
    fn long_texts_are_taken() {
        for one in ["x", "[", "\\", "\u{1F600}"] {
            let long = one.repeat(5_000);
            let body = body(&ChatText { title: "title", text: &long });
            assert!(body["content"].as_str().unwrap().encode_utf16().count() <= CHARS_MAX, "{one}");
        }
    }
}
