use serde_json::{Value, json};

use super::{ChatText, unformatted};

/// Discord refuses what is longer.
const CHARS_MAX: usize = 2_000;
/// `SUPPRESS_EMBEDS`: no previews of links.
const FLAGS: u32 = 1 << 2;

/// A webhook's payload. Nobody is called and nothing formatted, whatever the text says; a link has no other words than itself.
pub(crate) fn body(text: &ChatText<'_>) -> Value {
    // Escapes need room too. In `<` and `>` stand times, and names of people and channels.
    let text = unformatted(&text.joined(CHARS_MAX * 3 / 4)).replace('<', "\\<");
    json!({
        "content": super::shortened(&text, CHARS_MAX),
        "allowed_mentions": { "parse": [] },
        "flags": FLAGS,
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::samples::{LINES, TRICKS, is_text, read},
        *,
    };

    #[test]
    fn nobody_is_called_and_no_link_is_hidden() {
        let body = body(&ChatText { title: "title", text: TRICKS });
        assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
        let text = body["content"].as_str().unwrap();
        assert!(text.contains("\\[home](https://evil.test)") && !text.contains(" [home]"), "{text}");
    }

    #[test]
    fn nothing_is_formatted() {
        let tricks = body(&ChatText { title: "**title**", text: TRICKS });
        let text = tricks["content"].as_str().unwrap();
        for trick in [" <", " *", " _", " ~", " |", " `", "**", "__", "~~", "||", "``"] {
            assert!(!text.contains(trick), "{trick} in {text}");
        }
        assert_eq!(read(text), format!("**title**\n\n{TRICKS}"));
        let lines = body(&ChatText { title: "# title", text: LINES });
        let text = lines["content"].as_str().unwrap();
        assert!(text.lines().all(is_text), "{text}");
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
