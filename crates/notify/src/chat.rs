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

/// Text that Markdown shows as it is: a backslash stands before what would format something. Links are left alone.
fn unformatted(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() + text.len() / 4);
    let (mut is_link, mut is_start, mut before) = (false, true, '\n');
    for (at, one) in text.char_indices() {
        let rest = text.get(at..).unwrap_or_default();
        is_link = match one {
            // No link has one of these.
            '\\' | '`' | '|' | '[' | '<' | '>' | '"' => false,
            one if one.is_whitespace() => false,
            _ => is_link || (!before.is_alphanumeric() && begins_link(rest)),
        };
        let mark = match one {
            '\\' | '`' | '|' | '[' => Some('\\'),
            '*' | '_' | '~' if !is_link => Some('\\'),
            // Headings, lists, quotes and rules are at the beginning of a line.
            '#' | '>' | '-' | '+' if is_start => Some('\\'),
            '.' if is_number(plain.rsplit('\n').next().unwrap_or_default()) => Some('\\'),
            // What underlines a heading knows no backslash.
            '=' if is_start => Some('\u{200b}'),
            _ => None,
        };
        plain.extend(mark);
        plain.push(one);
        is_start = one == '\n' || (is_start && one.is_whitespace());
        before = one;
    }
    plain
}

fn begins_link(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| host.starts_with(|first: char| first.is_alphanumeric()))
}

fn is_number(line: &str) -> bool {
    let number = line.trim_start();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Puts something that is not seen behind what would begin a mention.
fn unmentioned(text: &str) -> String {
    text.replace('@', "@\u{200b}")
}

#[cfg(test)]
pub(crate) mod samples {
    /// What would do something in one chat or another.
    pub(crate) const TRICKS: &str = "<!channel> <!here> <@U123> @all @channel @everyone [home](https://evil.test) \
         ![x](https://evil.test/x.png) <https://evil.test|bank> <script>alert(1)</script> & \"quoted\" \\ \u{1F600} \
         **bold** *slanted* __under__ _slanted_ ~~gone~~ ||hidden|| `code` ```code```";

    /// The same, each at the beginning of a line, where such things count.
    pub(crate) const LINES: &str = "# heading\n  ## heading\n-# small\n> quote\n>>> quote\n- one\n+ one\n* one\n12. one\n---\n===\n| a | b |";

    /// Whether nothing at the beginning of a line means anything.
    pub(crate) fn is_text(line: &str) -> bool {
        let line = line.trim_start();
        line.is_empty() || line.starts_with(['\\', '\u{200b}']) || line.starts_with("12\\.")
    }

    /// `text` without the backslashes of Markdown.
    pub(crate) fn read(text: &str) -> String {
        let (mut seen, mut chars) = (String::new(), text.chars());
        while let Some(one) = chars.next() {
            match one {
                '\\' => seen.extend(chars.next()),
                other => seen.push(other),
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_not_formatted_and_links_stay_whole() {
        for (text, unformatted_text) in [
            ("plain, 1.5 - 2 > 1 + 0 = #1!", "plain, 1.5 - 2 > 1 + 0 = #1!"),
            ("**a** _b_ ~~c~~ ||d|| `e`", "\\*\\*a\\*\\* \\_b\\_ \\~\\~c\\~\\~ \\|\\|d\\|\\| \\`e\\`"),
            ("a\\*b\\", "a\\\\\\*b\\\\"),
            ("see https://a.test/x_y?t=_b*~#_d, _c_", "see https://a.test/x_y?t=_b*~#_d, \\_c\\_"),
            ("(http://a.test/_b_)", "(http://a.test/_b_)"),
            ("[bank](https://a.test/_b_)", "\\[bank](https://a.test/_b_)"),
            ("https://a.test/|**b**", "https://a.test/\\|\\*\\*b\\*\\*"),
            ("https://a.test/[b](https://c.test)", "https://a.test/\\[b](https://c.test)"),
            ("https://**b** xhttps://a_b_", "https://\\*\\*b\\*\\* xhttps://a\\_b\\_"),
            ("# a\n  ## b\n-# c", "\\# a\n  \\## b\n\\-# c"),
            ("> a\n>>> b\n- c\n+ d\n* e", "\\> a\n\\>>> b\n\\- c\n\\+ d\n\\* e"),
            ("1. a\n 23. b\n4.5.6", "1\\. a\n 23\\. b\n4\\.5.6"),
            ("a\n---\nb\n ===", "a\n\\---\nb\n \u{200b}==="),
        ] {
            assert_eq!(unformatted(text), unformatted_text);
        }
    }

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
