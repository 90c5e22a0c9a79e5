use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::sync::LazyLock;

/// Entries of at least 8 characters, most common first. Shorter ones are not needed: no policy lets them pass.
static SHORT: &[u8] = include_bytes!("../../data/common-passwords.txt.gz");

/// Entries of at least 15 characters, most common first: of those, a list of what is common at any length has next to none.
static LONG: &[u8] = include_bytes!("../../data/common-passwords-long.txt.gz");

/// The sorted 64-bit digests of the folded entries: 93 kB, where the strings in a set would be ten times that. A chance match
/// refuses one good password in 2^50; nobody gains by forging one.
static DIGESTS: LazyLock<Box<[u64]>> = LazyLock::new(|| {
    let mut digests: Vec<u64> =
        published_lists().lines().map(|entry| digest(&super::context::fold(entry))).collect();
    digests.sort_unstable();
    digests.into_boxed_slice()
});

/// Whether `folded` (see [`fold`](super::context::fold)) is on a list of common passwords, with or without space around it, or
/// only says something short or common again and again.
pub(super) fn is_common(folded: &str) -> bool {
    [folded, folded.trim()].into_iter().any(|text| {
        is_listed(text) || unit(text).is_some_and(|unit| unit.chars().count() < UNIT_MIN || is_listed(unit))
    })
}

/// Shorter text that is repeated would not even be a short password.
const UNIT_MIN: usize = 8;

fn is_listed(folded: &str) -> bool {
    DIGESTS.binary_search(&digest(folded)).is_ok()
}

/// The shortest text that `text` is a repetition of, if it is one.
fn unit(text: &str) -> Option<&str> {
    let ends = text.char_indices().map(|(end, _)| end).skip(1).take_while(|end| *end <= text.len() / 2);
    let mut units = ends.filter(|end| text.len().is_multiple_of(*end)).filter_map(|end| text.get(..end));
    units.find(|unit| text.as_bytes().chunks(unit.len()).all(|chunk| chunk == unit.as_bytes()))
}

fn digest(folded: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    folded.hash(&mut hasher);
    hasher.finish()
}

/// Both lists as published: see `data/README.md` and NOTICE.
#[expect(clippy::expect_used, reason = "the embedded files are part of the program; a test reads them")]
pub(super) fn published_lists() -> String {
    let mut text = String::new();
    for list in [SHORT, LONG] {
        flate2::read::GzDecoder::new(list)
            .read_to_string(&mut text)
            .expect("the embedded list is valid gzip and UTF-8");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_hold_the_3000_most_common_of_each_minimum_length() {
        // A1: with a second factor 8 characters are enough, alone it takes 15.
        let lists = published_lists();
        assert_eq!(lists.lines().next(), Some("123456789"));
        assert!(lists.lines().all(|entry| entry.chars().count() >= 8));
        assert_eq!(lists.lines().count(), 8_354 + 3_312);
        assert!(
            lists.lines().filter(|entry| entry.chars().count() >= 15 && entry.is_ascii()).count() >= 3_312
        );
    }

    #[test]
    fn repetitions_of_something_short_or_common_are_common() {
        for text in [
            "aaaaaaaaaaaaaaa",
            "passwordpassword",
            "abc abc abc abc ",
            "123123123123123",
            " sunshinesunshine",
            "äöäöäöäöäöäöäöäö",
        ] {
            assert!(is_common(text), "{text}");
        }
        // What stands twice is not on a list.
        assert!(!is_common("lantern quarry lantern quarry "));
        assert!(!is_common("aaaaaaaaaaaaaab"));
    }

    #[test]
    fn uncommon_text_is_not_on_it() {
        assert!(is_common("password1") && is_common(" password1 "));
        assert!(!is_common("quarry moss lantern") && !is_common("") && !is_common("pass word1"));
    }
}
