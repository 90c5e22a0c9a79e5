/// Whether `text` looks like a language tag (BCP 47): up to 35 letters and digits in subtags of 1 to 8 with hyphens between them, first
/// a language of 2 to 8 letters.
pub(crate) fn is_locale(text: &str) -> bool {
    let is_subtag = |subtag: &str| {
        (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let language = text.split('-').next().unwrap_or_default();
    text.len() <= 35
        && text.split('-').all(is_subtag)
        && language.len() >= 2
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// A language tag as everybody writes it (RFC 5646 §2.1.1): `zh-Hant-TW` for `ZH_hant_tw`. `None` for what is none.
#[cfg(feature = "sql")]
pub(crate) fn canonical(text: &str) -> Option<String> {
    let text = text.replace('_', "-").to_ascii_lowercase();
    if !is_locale(&text) {
        return None;
    }
    let mut canonical = String::with_capacity(text.len());
    let mut follows_single = false;
    for subtag in text.split('-') {
        let is_first = canonical.is_empty();
        if !is_first {
            canonical.push('-');
        }
        let (head, tail) = subtag.split_at(1);
        match subtag.len() {
            2 if !is_first && !follows_single => canonical.push_str(&subtag.to_ascii_uppercase()),
            4 if !is_first && !follows_single && subtag.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                canonical.push_str(&head.to_ascii_uppercase());
                canonical.push_str(tail);
            }
            _ => canonical.push_str(subtag),
        }
        follows_single |= subtag.len() == 1;
    }
    Some(canonical)
}

/// Which of `there` somebody reads best who asks for `wanted`: the locale itself, its language, or the first.
pub(crate) fn best<'a>(
    wanted: Option<&str>,
    there: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let language = |locale: &str| locale.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    let wanted = wanted.map(|wanted| wanted.replace('_', "-"));
    let exact = |wanted: &String| there.clone().find(|locale| locale.eq_ignore_ascii_case(wanted));
    let near = |wanted: &String| there.clone().find(|locale| language(locale) == language(wanted));
    wanted.as_ref().and_then(|wanted| exact(wanted).or_else(|| near(wanted))).or_else(|| there.clone().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_locale_is_chosen() {
        let there = ["en", "de", "de-AT", "pt-BR"];
        let best = |wanted| best(wanted, there.into_iter()).unwrap();
        assert_eq!(best(Some("de-AT")), "de-AT");
        assert_eq!(best(Some("de_at")), "de-AT");
        assert_eq!(best(Some("de-CH")), "de");
        assert_eq!(best(Some("pt")), "pt-BR");
        assert_eq!((best(Some("fr")), best(Some("")), best(None)), ("en", "en", "en"));
    }

    #[test]
    fn a_locale_is_told_from_other_texts() {
        for good in ["en", "de-AT", "zh-Hant-TW", "es-419"] {
            assert!(is_locale(good), "{good}");
        }
        for wrong in [
            "",
            "e",
            "en_US",
            "../en",
            "en\n",
            "1en",
            "en-",
            "en--US",
            "e1",
            "en-languages",
            "aa-bb-cc-dd-ee-ff-gg-hh-ii-jj-kk-ll-mm",
        ] {
            assert!(!is_locale(wrong), "{wrong}");
        }
    }

    #[cfg(feature = "sql")]
    #[test]
    fn every_spelling_of_a_locale_is_one() {
        for (text, expected) in [
            ("EN", "en"),
            ("en_us", "en-US"),
            ("ZH-hANT_tw", "zh-Hant-TW"),
            ("es-419", "es-419"),
            ("DE-1996", "de-1996"),
            ("en-US-X-Twain", "en-US-x-twain"),
            ("en-u-CA-GREGory", "en-u-ca-gregory"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected));
            assert_eq!(canonical(expected).as_deref(), Some(expected));
        }
        assert_eq!((canonical("e"), canonical("en US"), canonical("en_")), (None, None, None));
    }
}
