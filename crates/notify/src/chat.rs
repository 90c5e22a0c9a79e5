//! Chats, each in its own format. Whatever a message says is shown as text: it formats nothing, calls nobody and hides no link
//! behind other words.

pub(crate) mod discord;
pub(crate) mod mattermost;
pub(crate) mod slack;
pub(crate) mod teams;
pub(crate) mod telegram;

/// What a chat is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChatText<'a> {
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
}

impl ChatText<'_> {
    /// Title and text in one, up to `chars_max` characters.
    fn joined(&self, chars_max: usize) -> String {
        let text = self.text.trim();
        let whole = if text.is_empty() { self.title.to_owned() } else { format!("{}\n\n{text}", self.title) };
        shortened(&whole, chars_max)
    }
}

/// The first `chars_max` UTF-16 code units, which is how most chats count, with an ellipsis where something is missing.
fn shortened(text: &str, chars_max: usize) -> String {
    if text.encode_utf16().count() <= chars_max {
        return text.to_owned();
    }
    let mut room = chars_max.saturating_sub(1);
    let mut short = String::new();
    for one in text.chars() {
        match room.checked_sub(one.len_utf16()) {
            Some(left) => room = left,
            None => break,
        }
        short.push(one);
    }
    short.push('…');
    short
}

/// Puts something that is not seen behind what would begin a mention.
fn unmentioned(text: &str) -> String {
    text.replace('@', "@\u{200b}")
}

#[cfg(test)]
pub(crate) mod samples {
    /// What would do something in one chat or another.
    pub(crate) const TRICKS: &str = "<!channel> <!here> <@U123> @all @channel @everyone [home](https://evil.test) \
         ![x](https://evil.test/x.png) <https://evil.test|bank> <script>alert(1)</script> & \"quoted\" \\ \u{1F600}";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_end_with_an_ellipsis() {
        let text = ChatText { title: "title", text: " text " };
        assert_eq!(text.joined(100), "title\n\ntext");
        assert_eq!((text.joined(11), text.joined(10)), ("title\n\ntext".into(), "title\n\nte…".into()));
        assert_eq!(ChatText { title: "title", text: "\n" }.joined(100), "title");
        // Two units each: none is cut in half.
        let faces = "\u{1F600}".repeat(10);
        assert_eq!(shortened(&faces, 20), faces);
        assert_eq!(shortened(&faces, 19), format!("{}…", "\u{1F600}".repeat(9)));
        assert_eq!((shortened("ab", 0), shortened("ab", 1)), ("…".into(), "…".into()));
    }
}
