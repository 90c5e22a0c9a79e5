//! How long a text is on its way to a phone.

/// How many parts a message may have.
const PARTS_MAX: usize = 10;
/// How many characters of the GSM alphabet one of several parts has: 160 less the 7 that say which part it is (3GPP TS 23.040
/// §9.2.3.24.1).
const GSM_UNITS: usize = 153;
/// How many units of UTF-16 one of several parts has otherwise: 70 less 3.
const UTF16_UNITS: usize = 67;

/// The GSM alphabet (3GPP TS 23.038 §6.2.1) without those that are in ASCII at another place or not at all.
const GSM: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Those of its extension (§6.2.1.1): two characters each.
const GSM_TWICE: &str = "^{}\\[~]|€";

/// Whether `text` is of the GSM alphabet alone. One other character makes a message of UTF-16.
pub(super) fn is_gsm(text: &str) -> bool {
    text.chars().all(|c| GSM.contains(c) || GSM_TWICE.contains(c))
}

/// `text` with an ellipsis where ten parts end.
pub(super) fn shortened(text: &str) -> String {
    let text = text.trim();
    // An ellipsis of the alphabet, or it would make the message one of UTF-16.
    if is_gsm(text) {
        let units = |c| if GSM_TWICE.contains(c) { 2 } else { 1 };
        cut(text, PARTS_MAX * GSM_UNITS, units, "...")
    } else {
        cut(text, PARTS_MAX * UTF16_UNITS, char::len_utf16, "…")
    }
}

fn cut(text: &str, most: usize, units: impl Fn(char) -> usize, ellipsis: &str) -> String {
    if text.chars().map(&units).sum::<usize>() <= most {
        return text.to_owned();
    }
    let mut left = most - ellipsis.chars().count();
    let end = text.char_indices().find_map(|(at, c)| match left.checked_sub(units(c)) {
        Some(rest) => {
            left = rest;
            None
        }
        None => Some(at),
    });
    format!("{}{ellipsis}", text.get(..end.unwrap_or(text.len())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_of_phones_is_known() {
        assert_eq!(GSM.chars().count() + GSM_TWICE.chars().count(), 127 + 9);
        assert!(is_gsm("Ihr Code für 5 € ist {12}: äöüß"));
        for other in ["ç", "`", "…", "\t", "ő", "🦀"] {
            assert!(!is_gsm(other), "{other}");
        }
    }

    #[test]
    fn texts_are_cut_to_ten_parts_of_their_encoding() {
        assert_eq!(shortened(" code 1234\n"), "code 1234");
        for (one, most, kept, ellipsis) in
            [("ä", 1_530, 1_527, "..."), ("€", 765, 763, "..."), ("ő", 670, 669, "…"), ("🦀", 335, 334, "…")]
        {
            let whole = one.repeat(most);
            assert_eq!(shortened(&whole), whole);
            assert_eq!(shortened(&one.repeat(most + 1)), format!("{}{ellipsis}", one.repeat(kept)), "{one}");
        }
    }
}
