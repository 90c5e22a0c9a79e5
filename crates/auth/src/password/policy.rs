use unicode_normalization::char::is_public_assigned;

#[cfg(feature = "zxcvbn")]
use super::strength;
use super::{BreachIndex, ContextWords, Password, PasswordError, common, context};

/// What a new password must be. Checking a password never asks it, so that older, shorter ones still prove who somebody
/// is; the mounted sign-in lets those who have one change it before anything else (428).
#[derive(Debug, Clone)]
pub struct PasswordPolicy {
    floor: usize,
    min_chars: usize,
    breaches: Option<BreachIndex>,
    #[cfg(feature = "breach-range")]
    breach_range: Option<super::BreachRange>,
    #[cfg(feature = "zxcvbn")]
    strength_min: u8,
}

/// Why a password may not be set. The messages are for the person who chose it and never repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyViolation {
    /// Fewer characters than the policy's minimum.
    #[error("must have at least {min_chars} characters")]
    TooShort {
        /// The minimum, in characters.
        min_chars: usize,
    },
    /// More than [`Password::BYTES_MAX`] bytes in its one Unicode form. What is longer already as received is
    /// [`PasswordError::TooLong`].
    #[error("must have at most 1024 bytes")]
    TooLong,
    /// On the list of common passwords.
    #[error("is one of the most common passwords")]
    Common,
    /// Contains a word that belongs to the account or the service.
    #[error("must not contain your name, your e-mail address or the name of the service")]
    ContextWord,
    /// Known from a breach ([`PasswordPolicy::breaches`], `PasswordPolicy::breach_range`).
    #[error("is known from a data breach")]
    Breached,
    /// Estimated to be guessed too soon (`PasswordPolicy::strength_min`).
    #[error("is too easy to guess")]
    TooWeak,
    /// Contains a code point that Unicode has not assigned: its one form could change with the next version, and the password would
    /// no longer match (UAX #15 §12.1, stabilised strings; NIST SP 800-63B-4 §3.1.1.2).
    #[error("contains a character that is not supported yet")]
    UnassignedCharacter,
}

impl PolicyViolation {
    /// A stable code programs may match on.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooShort { .. } => "too_short",
            Self::TooLong => "too_long",
            Self::Common => "common",
            Self::ContextWord => "context_word",
            Self::Breached => "breached",
            Self::TooWeak => "too_weak",
            Self::UnassignedCharacter => "unassigned_character",
        }
    }
}

impl PasswordPolicy {
    /// The least number of characters where the password is the only factor (NIST SP 800-63B-4 §3.1.1.2).
    pub const ALONE_CHARS_MIN: usize = 15;
    /// The least number of characters where another factor is asked for as well (same section).
    pub const WITH_MFA_CHARS_MIN: usize = 8;
    /// The highest minimum: every password of 64 characters has to be acceptable (same section).
    pub const CHARS_MIN_CEILING: usize = 64;

    /// For passwords that are the only factor: at least [`Self::ALONE_CHARS_MIN`] characters.
    #[must_use]
    pub fn alone() -> Self {
        Self::with_floor(Self::ALONE_CHARS_MIN)
    }

    /// For passwords of accounts that another factor protects: at least [`Self::WITH_MFA_CHARS_MIN`] characters.
    #[must_use]
    pub fn with_mfa() -> Self {
        Self::with_floor(Self::WITH_MFA_CHARS_MIN)
    }

    fn with_floor(floor: usize) -> Self {
        Self {
            floor,
            min_chars: floor,
            breaches: None,
            #[cfg(feature = "breach-range")]
            breach_range: None,
            #[cfg(feature = "zxcvbn")]
            strength_min: 0,
        }
    }

    /// Raises the minimum to `min_chars`.
    ///
    /// # Errors
    /// [`PasswordError::MinimumOutOfRange`] below the policy's own floor or above [`Self::CHARS_MIN_CEILING`].
    pub fn min_chars(mut self, min_chars: usize) -> Result<Self, PasswordError> {
        if !(self.floor..=Self::CHARS_MIN_CEILING).contains(&min_chars) {
            return Err(PasswordError::MinimumOutOfRange {
                asked: min_chars,
                floor: self.floor,
                ceiling: Self::CHARS_MIN_CEILING,
            });
        }
        self.min_chars = min_chars;
        Ok(self)
    }

    /// Refuses passwords that are known from breaches (ASVS 6.2.12). When the index cannot be read, the password passes this rule and
    /// the log has an error: nobody could change a password otherwise.
    #[must_use]
    pub fn breaches(mut self, index: BreachIndex) -> Self {
        self.breaches = Some(index);
        self
    }

    /// Refuses passwords that a service knows from breaches (ASVS 6.2.12), asked after everything else, of passwords that nothing else
    /// is wrong with. Only [`PasswordHasher::judge`](crate::PasswordHasher::judge) asks, and so [`Auth`](crate::Auth);
    /// [`check`](Self::check) waits for nobody. When there is no answer, the password passes this rule and the log has a warning, once a
    /// minute.
    #[cfg(feature = "breach-range")]
    #[must_use]
    pub fn breach_range(mut self, range: super::BreachRange) -> Self {
        self.breach_range = Some(range);
        self
    }

    /// Whether the service that is asked knows the password.
    #[cfg(feature = "breach-range")]
    pub(super) async fn is_in_range(&self, password: &Password) -> bool {
        match &self.breach_range {
            Some(range) => range.refuses(password).await,
            None => false,
        }
    }

    /// Refuses passwords that zxcvbn scores below `score`: 1 takes more than 10^3 guesses, 2 more than 10^6, 3 more than 10^8, 4 more than
    /// 10^10. Default 0, which refuses nothing; 3 is what its authors advise. Only the first 64 characters are looked at, because the
    /// time grows faster than the length.
    ///
    /// # Errors
    /// [`PasswordError::StrengthOutOfRange`] above 4.
    #[cfg(feature = "zxcvbn")]
    pub fn strength_min(mut self, score: u8) -> Result<Self, PasswordError> {
        if score > strength::SCORE_MAX {
            return Err(PasswordError::StrengthOutOfRange { asked: score });
        }
        self.strength_min = score;
        Ok(self)
    }

    /// Whether judging takes longer than a reactor may be held up: it reads a file, or estimates.
    pub(super) fn takes_long(&self) -> bool {
        #[cfg(feature = "zxcvbn")]
        if self.strength_min > 0 {
            return true;
        }
        self.breaches.is_some()
    }

    fn is_breached(&self, password: &Password) -> bool {
        let Some(index) = &self.breaches else { return false };
        index.contains(password).unwrap_or_else(|error| {
            tracing::error!(
                code = error.code(),
                "the breach index cannot be read; a password was not looked up"
            );
            false
        })
    }

    /// Judges a password about to be set. Characters are Unicode code points of the one form (same section).
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn check(&self, password: &Password, about: &ContextWords) -> Result<(), Vec<PolicyViolation>> {
        let text = password.expose_secret();
        let folded = zeroize::Zeroizing::new(context::fold(text));
        let mut violations = Vec::new();
        if text.chars().count() < self.min_chars {
            violations.push(PolicyViolation::TooShort { min_chars: self.min_chars });
        }
        if text.len() > Password::BYTES_MAX {
            violations.push(PolicyViolation::TooLong);
        }
        if common::is_common(&folded) {
            violations.push(PolicyViolation::Common);
        }
        if about.is_in(&folded) {
            violations.push(PolicyViolation::ContextWord);
        }
        if self.is_breached(password) {
            violations.push(PolicyViolation::Breached);
        }
        #[cfg(feature = "zxcvbn")]
        if self.strength_min > 0 && strength::score(text, about) < self.strength_min {
            violations.push(PolicyViolation::TooWeak);
        }
        if !text.chars().all(is_public_assigned) {
            violations.push(PolicyViolation::UnassignedCharacter);
        }
        if violations.is_empty() { Ok(()) } else { Err(violations) }
    }
}

impl Default for PasswordPolicy {
    /// [`PasswordPolicy::alone`], the stricter one.
    fn default() -> Self {
        Self::alone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(policy: PasswordPolicy, text: &str) -> Vec<&'static str> {
        let result = policy.check(&Password::new(text).unwrap(), &ContextWords::new().username("margaret"));
        result.err().unwrap_or_default().iter().map(PolicyViolation::code).collect()
    }

    // A1: 100 % of the published common passwords of an allowed length are refused (11,666 with MFA, 3,360 of them long enough alone).
    #[test]
    fn every_common_password_of_an_allowed_length_is_refused() {
        for entry in common::published_lists().lines() {
            for spelling in [entry.to_owned(), entry.to_uppercase()] {
                assert!(codes(PasswordPolicy::with_mfa(), &spelling).contains(&"common"), "{spelling}");
                assert!(!codes(PasswordPolicy::alone(), &spelling).is_empty(), "{spelling}");
            }
        }
    }

    // A1: the minimum counts characters, not bytes.
    #[test]
    fn length_counts_characters_of_the_one_form() {
        assert_eq!(codes(PasswordPolicy::alone(), "quarry moss la"), ["too_short"]);
        assert!(codes(PasswordPolicy::alone(), "quarry moss lan").is_empty());
        assert_eq!(codes(PasswordPolicy::with_mfa(), "qarmosl"), ["too_short"]);
        assert!(codes(PasswordPolicy::with_mfa(), "qarmoslx").is_empty());
        assert_eq!(codes(PasswordPolicy::alone(), "äöüßéèêáàâôî"), ["too_short"], "24 bytes, 12 characters");
        assert_eq!(
            codes(PasswordPolicy::alone(), "a\u{308}qe\u{308}ru\u{308}so\u{308}ti\u{308}va\u{301}wxz"),
            ["too_short"],
            "14 characters, 20 code points as typed"
        );
        assert!(codes(PasswordPolicy::alone(), "漢字かな交じり文で書いた長い文").is_empty());
    }

    #[test]
    fn long_passwords_are_welcome() {
        let sentence = |bytes: usize| "quarry moss lantern by the long river ".repeat(30)[..bytes].to_owned();
        assert!(codes(PasswordPolicy::alone(), &sentence(64)).is_empty());
        assert!(codes(PasswordPolicy::alone(), &sentence(1024)).is_empty());
        assert_eq!(
            codes(PasswordPolicy::alone(), &format!("{}q", "\u{1d160}".repeat(255))),
            ["too_long"],
            "3072 bytes once normalised"
        );
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        assert_eq!(
            codes(PasswordPolicy::alone(), "margaret\u{378}"),
            ["too_short", "context_word", "unassigned_character"]
        );
        assert_eq!(codes(PasswordPolicy::alone(), "Ｐassword1"), ["too_short", "common"]);
        assert_eq!(codes(PasswordPolicy::alone(), ""), ["too_short"]);
    }

    #[test]
    fn the_minimum_can_be_raised_and_not_lowered() {
        assert_eq!(
            codes(PasswordPolicy::alone().min_chars(20).unwrap(), "quarry moss lantern"),
            ["too_short"]
        );
        assert!(PasswordPolicy::with_mfa().min_chars(12).is_ok());
        for (policy, asked) in
            [(PasswordPolicy::alone(), 14), (PasswordPolicy::with_mfa(), 7), (PasswordPolicy::alone(), 65)]
        {
            let refused = policy.min_chars(asked).unwrap_err();
            assert_eq!(refused.code(), "password_minimum_out_of_range");
        }
        let raised = PasswordPolicy::alone().min_chars(20).unwrap();
        assert!(raised.min_chars(16).is_ok(), "back to anything from the floor on");
    }
    #[cfg(feature = "zxcvbn")]
    #[test]
    fn what_is_long_and_easy_to_guess_is_refused_where_strength_is_asked() {
        let policy = || PasswordPolicy::alone().strength_min(3).unwrap();
        for easy in
            ["aaaaaaaaaaaaaaaaaaaa", "abcdefghijklmnopqrst", "12345678901234567890", "passwordpassword"]
        {
            assert!(codes(policy(), easy).contains(&"too_weak"), "{easy}");
            assert!(!codes(PasswordPolicy::alone(), easy).contains(&"too_weak"), "{easy}");
        }
        assert!(codes(policy(), "quarry moss lantern").is_empty());
        assert!(codes(policy(), &"quarry moss lantern ".repeat(50)).is_empty(), "of any length");
        assert_eq!(
            PasswordPolicy::alone().strength_min(5).unwrap_err().code(),
            "password_strength_out_of_range"
        );
    }

    #[test]
    fn what_is_known_from_a_breach_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("breaches.idx");
        // SHA-1 of `quarry moss lantern`.
        let list = b"60CDBEE96F265F53875F0F0D05D05EA02E7F484C:17\r\n";
        BreachIndex::build(list.as_slice(), &path, 1).unwrap();
        let policy = PasswordPolicy::alone().breaches(BreachIndex::open(&path).unwrap());
        assert_eq!(codes(policy.clone(), "quarry moss lantern"), ["breached"]);
        assert!(codes(policy, "quarry moss lanterns").is_empty());
    }
}
