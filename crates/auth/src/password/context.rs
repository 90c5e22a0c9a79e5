use unicode_normalization::UnicodeNormalization;

/// Words that anybody who knows the account or the service would try first (NIST SP 800-63B-4 §3.1.1.2, "context-specific words";
/// ASVS 6.1.2): username, parts of the e-mail address, name of the service.
///
/// A password may not contain such a word of 4 or more characters, whatever the case and width of its letters; from 6 characters on
/// not even with punctuation or space inside. A shorter word is refused only where the password is nothing but such words, digits
/// and punctuation, because `ann` occurs in many good sentences.
#[derive(Debug, Clone, Default)]
pub struct ContextWords {
    words: Vec<String>,
}

impl ContextWords {
    /// From this many characters on a word is refused wherever it stands.
    const CONTAINED_CHARS_MIN: usize = 4;
    /// From this many characters on a word is also looked for across punctuation.
    const SQUASHED_CHARS_MIN: usize = 6;

    /// No words yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the name a person signs in with, whole and by its parts.
    #[must_use]
    pub fn username(self, username: &str) -> Self {
        self.word(username)
    }

    /// Adds the parts of an e-mail address: the local part and the labels of the domain but the last, so that
    /// `anna.maria@mail.example.org` gives `annamaria`, `anna`, `maria`, `mail` and `example`.
    #[must_use]
    pub fn email(self, email: &str) -> Self {
        match email.rsplit_once('@') {
            Some((local, domain)) => {
                let host = domain.rsplit_once('.').map_or(domain, |(host, _top)| host);
                host.split('.').fold(self.word(local), Self::word)
            }
            None => self.word(email),
        }
    }

    /// Adds the name of the service or organisation, whole and by its parts.
    #[must_use]
    pub fn service(self, name: &str) -> Self {
        self.word(name)
    }

    /// Adds any other word, whole and by its parts: a given name, a product.
    #[must_use]
    pub fn word(mut self, word: &str) -> Self {
        let folded = fold(word);
        let parts = folded.split(|c: char| !c.is_alphanumeric()).map(str::to_owned);
        for word in parts.chain([squash(&folded)]) {
            // A single letter, and a word already there, say nothing.
            if word.chars().nth(1).is_some() && !self.words.contains(&word) {
                self.words.push(word);
            }
        }
        self
    }

    /// All words, folded.
    #[cfg(feature = "zxcvbn")]
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// Whether a folded password leans on one of the words.
    pub(super) fn is_in(&self, folded: &str) -> bool {
        let squashed = squash(folded);
        let contained = self.words.iter().any(|word| {
            let chars = word.chars().count();
            (chars >= Self::CONTAINED_CHARS_MIN && folded.contains(word.as_str()))
                || (chars >= Self::SQUASHED_CHARS_MIN && squashed.contains(word.as_str()))
        });
        contained || self.is_all_of(&squashed)
    }

    /// Whether nothing but digits is left once the words, longest first, are taken away.
    fn is_all_of(&self, squashed: &str) -> bool {
        let mut words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        words.sort_unstable_by_key(|word| std::cmp::Reverse(word.len()));
        // What is taken leaves a gap, so that the ends of two others never join to a word.
        let rest = words.iter().fold(squashed.to_owned(), |rest, word| rest.replace(word, " "));
        rest.contains(' ') && !rest.chars().any(char::is_alphabetic)
    }
}

/// Text as it is compared with words and lists, never as it is hashed: compatibility form, lower case.
pub(super) fn fold(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

fn squash(folded: &str) -> String {
    folded.chars().filter(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> ContextWords {
        ContextWords::new().username("anna.maria").email("bob@mail.example.org").service("Acme Cloud")
    }

    #[test]
    fn a_word_is_found_in_any_case_width_and_place() {
        for password in [
            "i am ANNA of the north",
            "Ａｎｎａ of the north",
            "my-maria-is-a-good-one",
            "example of a bad idea",
            "an acme product tonight",
            "a-n-n-a-m-a-r-i-a-sings",
            "bob2026bob2026!",
            "Bob Bob Bob Bob Bob",
        ] {
            assert!(about().is_in(&fold(password)), "{password}");
        }
    }

    #[test]
    fn short_words_and_common_syllables_do_not_spoil_a_sentence() {
        for password in [
            "a bobsleigh in the snow",
            "plan nature, ride home",
            "organ pipes at midnight",
            "20262026 20262026",
        ] {
            assert!(!about().is_in(&fold(password)), "{password}");
        }
        assert!(!ContextWords::new().is_in("20262026"));
        assert!(!ContextWords::new().word("").word("a").word("--").is_in("a quiet evening"));
    }
}
