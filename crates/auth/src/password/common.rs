use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::sync::LazyLock;

/// 8,354 entries of at least 8 characters, most common first (see `data/README.md` and NOTICE). Shorter ones are not needed: no
/// policy lets them pass.
static PUBLISHED: &[u8] = include_bytes!("../../data/common-passwords.txt.gz");

/// The sorted 64-bit digests of the folded entries: 67 kB, where the strings in a set would be ten times that. A chance match
/// refuses one good password in 2^51; nobody gains by forging one.
static DIGESTS: LazyLock<Box<[u64]>> = LazyLock::new(|| {
    let mut digests: Vec<u64> =
        published_list().lines().map(|entry| digest(&super::context::fold(entry))).collect();
    digests.sort_unstable();
    digests.into_boxed_slice()
});

/// Whether `folded` (see [`fold`](super::context::fold)) is on the list of common passwords, with or without space around it.
pub(super) fn is_common(folded: &str) -> bool {
    DIGESTS.binary_search(&digest(folded)).is_ok() || DIGESTS.binary_search(&digest(folded.trim())).is_ok()
}

fn digest(folded: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    folded.hash(&mut hasher);
    hasher.finish()
}

/// The list as published.
#[expect(clippy::expect_used, reason = "the embedded file is part of the program; a test reads it")]
pub(super) fn published_list() -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(PUBLISHED)
        .read_to_string(&mut text)
        .expect("the embedded list is valid gzip and UTF-8");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_more_than_the_3000_most_common_of_an_allowed_length() {
        let list = published_list();
        assert_eq!(list.lines().count(), 8_354);
        assert!(list.lines().all(|entry| entry.chars().count() >= 8));
        assert_eq!(list.lines().next(), Some("123456789"));
        assert_eq!(list.lines().filter(|entry| entry.chars().count() >= 15).count(), 48);
    }

    #[test]
    fn uncommon_text_is_not_on_it() {
        assert!(is_common("password1") && is_common(" password1 "));
        assert!(!is_common("quarry moss lantern") && !is_common("") && !is_common("pass word1"));
    }
}
