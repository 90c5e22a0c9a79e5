use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use ring::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use secrecy::{ExposeSecret as _, SecretString};

/// How secrets begin (Standard Webhooks, "Signature scheme").
const PREFIX: &str = "whsec_";
/// As many bytes as the digest has: more would be folded into as many.
const BYTES: usize = 32;
/// How many bytes a secret may have (Standard Webhooks, "Signature scheme").
const BYTES_RANGE: std::ops::RangeInclusive<usize> = 24..=64;

/// Base64 with or without its padding: senders differ.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A text that is no secret of webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a webhook secret: `whsec_` and 24 to 64 bytes in base64")]
pub struct SecretInvalid;

/// What sender and receiver of webhooks share, and sign and verify with.
#[derive(Clone)]
pub struct WebhookSecret {
    text: SecretString,
    key: hmac::Key,
}

impl WebhookSecret {
    /// Makes a new one of 32 random bytes; `None` when the system has no randomness to give.
    #[must_use]
    pub fn generate() -> Option<Self> {
        let mut bytes = [0; BYTES];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self::of(format!("{PREFIX}{}", STANDARD.encode(bytes)), &bytes))
    }

    /// Reads one: `whsec_`, which may be missing, and 24 to 64 bytes in base64.
    ///
    /// # Errors
    /// [`SecretInvalid`].
    pub fn parse(text: &str) -> Result<Self, SecretInvalid> {
        let bytes = LENIENT.decode(text.strip_prefix(PREFIX).unwrap_or(text)).map_err(|_| SecretInvalid)?;
        if !BYTES_RANGE.contains(&bytes.len()) {
            return Err(SecretInvalid);
        }
        Ok(Self::of(text.to_owned(), &bytes))
    }

    fn of(text: String, bytes: &[u8]) -> Self {
        Self { text: text.into(), key: hmac::Key::new(hmac::HMAC_SHA256, bytes) }
    }

    /// The secret itself: shown once, to whoever sets up the receiver, and sealed wherever it is kept.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    pub(super) fn key(&self) -> &hmac::Key {
        &self.key
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_is_read_as_it_is_written() {
        let (one, other) = (WebhookSecret::generate().unwrap(), WebhookSecret::generate().unwrap());
        assert_ne!(one.expose(), other.expose());
        assert!(one.expose().starts_with("whsec_") && WebhookSecret::parse(one.expose()).is_ok());
        assert!(!format!("{one:?}").contains(one.expose().trim_start_matches(PREFIX)));
    }

    #[test]
    fn secrets_have_24_to_64_bytes() {
        for (bytes, is_one) in [(0, false), (23, false), (24, true), (64, true), (65, false)] {
            let text = STANDARD.encode(vec![7; bytes]);
            for text in [text.clone(), format!("whsec_{text}"), text.trim_end_matches('=').to_owned()] {
                assert_eq!(WebhookSecret::parse(&text).is_ok(), is_one, "{bytes}: {text}");
            }
        }
        for wrong in ["whsec_", "whsec_%%%", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!", "secret"] {
            assert_eq!(WebhookSecret::parse(wrong).unwrap_err(), SecretInvalid, "{wrong}");
        }
    }
}
