//! Characters that texts of others must not bring along.

/// Whether `c` is none of the letters, signs and spaces of a line: a control character, a separator of lines, or one that changes
/// the direction of what follows (Unicode TR9 §2), by which a text looks like another one.
pub(crate) fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

/// `text` on one line: what is unseen becomes a space, and several spaces become one.
pub(crate) fn one_line(text: &str) -> String {
    if !text.contains(|c: char| is_unseen(c)) {
        return text.to_owned();
    }
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if !is_unseen(c) {
            line.push(c);
        } else if !line.ends_with(' ') {
            line.push(' ');
        }
    }
    line
}

/// At most `most` characters of `text`, with an ellipsis as the last when there are more.
pub(crate) fn at_most(text: &str, most: usize) -> String {
    match text.char_indices().nth(most.saturating_sub(1)) {
        Some((cut, last)) if cut + last.len_utf8() < text.len() => {
            format!("{}…", text.get(..cut).unwrap_or_default())
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(at_most("aëc", 3), "aëc");
        assert_eq!(at_most("aëcd", 3), "aë…");
        assert_eq!(at_most("", 3), "");
    }

    #[test]
    fn a_line_has_no_second_one() {
        assert_eq!(one_line("a\r\n\tb\u{0}c"), "a b c");
        assert_eq!(one_line("a  b"), "a  b");
    }
}
