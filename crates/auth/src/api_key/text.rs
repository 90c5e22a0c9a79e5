use std::fmt;

use ring::rand::{SecureRandom as _, SystemRandom};
use stylobate_core::ApiKeyId;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::checksum::crc32;
use crate::{KeyError, pepper::Pepper};

/// What finds API keys in texts, for scanners of leaked secrets: an extended regular expression.
///
/// The last 6 characters are the CRC-32 of everything before them, as a number in base 62 (digits, capitals, small letters):
/// a scanner that computes it reports no false positives.
pub const API_KEY_PATTERN: &str = "sb_(live|test)_[0-9A-Za-z]{22}_[0-9A-Za-z]{49}";

/// Where a key is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ApiKeyEnvironment {
    /// In production: `sb_live_…`.
    Live,
    /// Elsewhere: `sb_test_…`.
    Test,
}

impl ApiKeyEnvironment {
    fn prefix(self) -> &'static str {
        match self {
            Self::Live => "sb_live_",
            Self::Test => "sb_test_",
        }
    }

    /// What every text of the key begins with. It is no secret, and names the key.
    pub(super) fn visible(self, id: ApiKeyId) -> String {
        let mut text = self.prefix().to_owned();
        push_number(&mut text, id.as_uuid().as_u128(), ID_CHARS);
        text
    }
}

/// An API key in clear: it goes to whoever will use it, once, and is stored nowhere. `Debug` prints `[redacted]`; there is no
/// `Display` and no `Serialize`.
#[derive(Clone)]
pub struct ApiKeySecret(Zeroizing<String>);

/// A key that somebody presented, as far as its text alone tells: of this environment and without a typing error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct PresentedKey {
    pub(super) id: ApiKeyId,
    pub(super) digest: [u8; 32],
}

const PREFIX_CHARS: usize = 8;
/// 62²² is more than 2¹²⁸.
const ID_CHARS: usize = 22;
/// 62⁴³ is more than 2²⁵⁶.
const SECRET_CHARS: usize = 43;
/// 62⁶ is more than 2³².
const CHECKSUM_CHARS: usize = 6;
/// Everything but the checksum.
const BODY_CHARS: usize = PREFIX_CHARS + ID_CHARS + 1 + SECRET_CHARS;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl ApiKeySecret {
    /// How many characters every key has.
    pub const CHARS: usize = BODY_CHARS + CHECKSUM_CHARS;

    /// Makes a secret for the key `id`.
    pub(super) fn generate(environment: ApiKeyEnvironment, id: ApiKeyId) -> Result<Self, KeyError> {
        let mut text = Zeroizing::new(String::with_capacity(Self::CHARS));
        text.push_str(environment.prefix());
        push_number(&mut text, id.as_uuid().as_u128(), ID_CHARS);
        text.push('_');
        push_random(&mut text, SECRET_CHARS)?;
        let checksum = crc32(text.as_bytes());
        push_number(&mut text, u128::from(checksum), CHECKSUM_CHARS);
        Ok(Self(text))
    }

    /// The text that goes to whoever will use the key. Whoever calls this must neither store nor print it.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    pub(super) fn digest(&self, pepper: &Pepper) -> [u8; 32] {
        digest(pepper, self.0.as_bytes().get(..BODY_CHARS).unwrap_or_default())
    }
}

impl PresentedKey {
    /// Reads a key of `environment`; `None` for anything that was not made as one.
    pub(super) fn parse(pepper: &Pepper, environment: ApiKeyEnvironment, text: &str) -> Option<Self> {
        if text.len() != ApiKeySecret::CHARS || !text.starts_with(environment.prefix()) {
            return None;
        }
        let bytes = text.as_bytes();
        let (body, checksum) = bytes.split_at_checked(BODY_CHARS)?;
        let (id, secret) = body.get(PREFIX_CHARS..)?.split_at_checked(ID_CHARS)?;
        let is_sound = secret.first() == Some(&b'_')
            && secret.iter().skip(1).all(u8::is_ascii_alphanumeric)
            && number(checksum)? == u128::from(crc32(body));
        if !is_sound {
            return None;
        }
        let id = ApiKeyId::from_uuid(Uuid::from_u128(number(id)?));
        Some(Self { id, digest: digest(pepper, body) })
    }
}

/// The environment and the id are in it: a secret is good for one key of one installation.
fn digest(pepper: &Pepper, body: &[u8]) -> [u8; 32] {
    pepper.digest("api-key", body)
}

/// Writes `value` in base 62, the highest digit first, with leading zeros.
fn push_number(text: &mut String, mut value: u128, chars: usize) {
    let mut digits = [b'0'; ID_CHARS];
    for digit in digits.iter_mut().rev().take(chars) {
        *digit = *ALPHABET.get((value % 62) as usize).unwrap_or(&b'0');
        value /= 62;
    }
    text.extend(digits.iter().skip(ID_CHARS - chars).map(|digit| char::from(*digit)));
}

/// Reads what [`push_number`] writes; `None` for other characters and for numbers that are too large.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'a'..=b'z' => digit - b'a' + 36,
            _ => return None,
        };
        value.checked_mul(62)?.checked_add(u128::from(digit))
    })
}

/// Writes characters of the alphabet, each as probable as any other.
fn push_random(text: &mut String, chars: usize) -> Result<(), KeyError> {
    let random = SystemRandom::new();
    let mut left = chars;
    while left > 0 {
        let mut bytes = Zeroizing::new([0_u8; 64]);
        random.fill(&mut *bytes).map_err(|_| KeyError::RandomnessUnavailable)?;
        // Six bits are below 64, and the two numbers beyond the alphabet are left out.
        for letter in bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 63))).take(left) {
            text.push(char::from(*letter));
            left -= 1;
        }
    }
    Ok(())
}

impl fmt::Debug for ApiKeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeySecret([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::key::PlatformSecret;

    fn pepper(byte: u8) -> Pepper {
        Pepper::new(&PlatformSecret::from_bytes([byte; 32]))
    }

    fn id() -> ApiKeyId {
        ApiKeyId::new(DateTime::from_timestamp(1_772_366_400, 0).unwrap())
    }

    fn parse(text: &str) -> Option<PresentedKey> {
        PresentedKey::parse(&pepper(1), ApiKeyEnvironment::Live, text)
    }

    /// With its right checksum.
    fn completed(body: &str) -> String {
        let mut text = body.to_owned();
        push_number(&mut text, u128::from(crc32(body.as_bytes())), CHECKSUM_CHARS);
        text
    }

    #[test]
    fn a_key_survives_the_wire() {
        let id = id();
        let made = ApiKeySecret::generate(ApiKeyEnvironment::Live, id).unwrap();
        assert_eq!(made.expose_secret().len(), 80);
        let read = parse(made.expose_secret()).unwrap();
        assert!(read.id == id && read.digest == made.digest(&pepper(1)));
        assert!(made.expose_secret().starts_with(&ApiKeyEnvironment::Live.visible(id)));
        let again = ApiKeySecret::generate(ApiKeyEnvironment::Live, id).unwrap();
        assert_ne!(again.digest(&pepper(1)), made.digest(&pepper(1)));
        assert_ne!(made.digest(&pepper(2)), made.digest(&pepper(1)));
    }

    #[test]
    fn the_format_is_what_was_published() {
        // Scanners elsewhere know it: these texts must be read as long as there are keys.
        let body = "sb_live_00000000000000000000z1_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg";
        let text = format!("{body}2iaB8H");
        assert_eq!(completed(body), text);
        let read = parse(&text).unwrap();
        assert_eq!(read.id.as_uuid().as_u128(), 61 * 62 + 1);
        // HMAC-SHA256 of `api-key`, a zero byte and the body, computed elsewhere.
        let digest = "3187e2c3054a7ebda48893915af180fd785ac998fb91f9440e6334fca9ddefd4";
        assert_eq!(hex::encode(read.digest), digest);
    }

    #[test]
    fn a_key_of_the_other_environment_is_none_here() {
        let made = ApiKeySecret::generate(ApiKeyEnvironment::Test, id()).unwrap();
        assert!(parse(made.expose_secret()).is_none());
        // Neither with the other name, though the checksum fits.
        let renamed = completed(&made.expose_secret().replace("sb_test_", "sb_live_")[..BODY_CHARS]);
        let renamed = parse(&renamed).unwrap();
        assert!(renamed.id == id() || renamed.digest != made.digest(&pepper(1)));
        assert_ne!(renamed.digest, made.digest(&pepper(1)));
    }

    #[test]
    fn an_id_beyond_its_range_and_foreign_characters_are_refused() {
        let secret = "a".repeat(SECRET_CHARS);
        for id in ["zzzzzzzzzzzzzzzzzzzzzz", "000000000000000000000-", "000000000000000000000é"] {
            assert!(parse(&completed(&format!("sb_live_{id}_{secret}"))).is_none(), "{id}");
        }
        let id = "0".repeat(ID_CHARS);
        for secret in ["-".repeat(SECRET_CHARS), "_".repeat(SECRET_CHARS)] {
            assert!(parse(&completed(&format!("sb_live_{id}_{secret}"))).is_none());
        }
        assert!(parse(&completed(&format!("sb_live_{id}_{secret}"))).is_some());
        assert!(parse(&completed(&format!("sb_live_{id}-{secret}"))).is_none());
    }

    #[test]
    fn the_largest_id_is_read() {
        let id = ApiKeyId::from_uuid(Uuid::max());
        let made = ApiKeySecret::generate(ApiKeyEnvironment::Live, id).unwrap();
        assert!(parse(made.expose_secret()).unwrap().id == id);
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let made = ApiKeySecret::generate(ApiKeyEnvironment::Live, id()).unwrap();
        assert_eq!(format!("{made:?}"), "ApiKeySecret([redacted])");
    }

    proptest! {
        #[test]
        fn no_typing_error_passes(at in 0_usize..80, with in "[A-Za-z0-9_=. -]") {
            let made = ApiKeySecret::generate(ApiKeyEnvironment::Live, id()).unwrap();
            let mut text = made.expose_secret().to_owned();
            text.replace_range(at..=at, &with);
            prop_assert_eq!(parse(&text).is_some(), text == made.expose_secret());
        }

        #[test]
        fn fuzz_api_key_arbitrary_text_is_refused_without_panic(text in any::<String>()) {
            prop_assert!(parse(&text).is_none());
        }

        #[test]
        fn fuzz_api_key_what_is_read_was_written_so(body in "sb_(live|test)_[0-9A-Za-z_é-]{20,24}_[0-9A-Za-z_-]{40,44}") {
            let text = completed(&body);
            if let Some(read) = parse(&text) {
                prop_assert!(text.starts_with(&ApiKeyEnvironment::Live.visible(read.id)));
                prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
            }
        }
    }
}
