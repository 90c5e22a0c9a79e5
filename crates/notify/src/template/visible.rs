use crate::plain;

/// Whether anything of `text` can be seen.
pub(super) fn in_text(text: &str) -> bool {
    text.chars().any(is_visible)
}

/// Whether any text of `html` can be seen, which passed the [rules](super::check): `<` begins a tag, `&` an entity, and there are no
/// comments. What styles hide counts as seen.
pub(super) fn in_html(html: &str) -> bool {
    let mut in_title = false;
    html.split('<').enumerate().any(|(at, piece)| {
        // What stands before the first tag is in none.
        let (tag, text) = if at == 0 { ("", piece) } else { piece.split_once('>').unwrap_or((piece, "")) };
        let name = tag.split(|c: char| c != '/' && !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "title" => in_title = true,
            "/title" => in_title = false,
            _ => {}
        }
        !in_title && in_text(&text.replace("&nbsp;", " "))
    })
}

/// Not a space, and none of the signs that have no shape of their own (`Default_Ignorable_Code_Point` of Unicode, and the braille
/// pattern without dots).
fn is_visible(c: char) -> bool {
    !c.is_whitespace()
        && !plain::is_unseen(c)
        && !matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fff8}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_signs_without_shape_are_not_seen() {
        for nothing in [
            "",
            " \t\r\n",
            "\u{a0}\u{3000}",
            "\u{200b}",
            "\u{ad}\u{2060}\u{fe0f}",
            "\u{3164} \u{2800}",
            "\u{e0041}",
        ] {
            assert!(!in_text(nothing) && !in_html(nothing), "{nothing:?}");
        }
        for something in ["t", ".", "\u{200b}ß", "🦀", "é"] {
            assert!(in_text(something) && in_html(something), "{something:?}");
        }
    }

    #[test]
    fn html_is_seen_by_its_text() {
        for nothing in [
            "<p></p>",
            "<!doctype html><html><head><title>Hello</title></head><body><br/> </body></html>",
            "<p class=\"a\">&nbsp;\u{200b}</p>",
            "<TITLE lang=\"en\">a <b>b</b></TITLE>",
            "<hr",
        ] {
            assert!(!in_html(nothing), "{nothing}");
        }
        for something in ["<p>a</p>", "a<br>", "<br>a", "<title>a</title>b", "&lt;", "<p>&nbsp;&mdash;</p>"] {
            assert!(in_html(something), "{something}");
        }
    }
}
