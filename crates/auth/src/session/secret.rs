use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest;
use zeroize::Zeroizing;

use crate::{KeyError, key::random};

/// What a session cookie carries: 256 random bits in base64url, 43 characters.
///
/// `Debug` prints `[redacted]`; there is no `Display` and no `Serialize`.
#[derive(Clone)]
pub struct SessionSecret(Zeroizing<String>);

/// By what a store finds a cookie session: the SHA-256 digest of its secret. The secret is stored nowhere, and nobody
/// finds 256 random bits by trying, so the digest needs no key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey([u8; 32]);

/// Keeps a digest of a session secret from ever being the digest of anything else.
const LABEL: &[u8] = b"stylobate:session-cookie\0";
/// Of 32 bytes in base64url without padding.
const CHARS: usize = 43;

impl SessionSecret {
    /// A new one.
    ///
    /// # Errors
    /// [`KeyError::RandomnessUnavailable`].
    pub fn generate() -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(random::<32>()?);
        Ok(Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))))
    }

    /// The text for the cookie. Whoever calls this must neither store nor print it.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }

    /// By what a store finds the session.
    #[must_use]
    pub fn key(&self) -> SessionKey {
        digest_of(self.0.as_bytes())
    }
}

impl SessionKey {
    /// The key for what a client presents as its cookie; `None` when it is no session secret of ours.
    #[must_use]
    pub fn of_presented(cookie: &str) -> Option<Self> {
        // Exactly one text stands for each secret: no other padding, alphabet or trailing bits.
        let mut bytes = Zeroizing::new([0_u8; 32]);
        let is_ours = cookie.len() == CHARS
            && URL_SAFE_NO_PAD.decode_slice(cookie, &mut *bytes).is_ok_and(|length| length == 32);
        is_ours.then(|| digest_of(cookie.as_bytes()))
    }

    /// The digest itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn digest_of(text: &[u8]) -> SessionKey {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(LABEL);
    context.update(text);
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    SessionKey(out)
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret([redacted])")
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey([digest])")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_secret_is_found_by_its_text_alone() {
        let (one, other) = (SessionSecret::generate().unwrap(), SessionSecret::generate().unwrap());
        assert_eq!(one.expose_secret().len(), CHARS);
        assert_eq!(SessionKey::of_presented(one.expose_secret()), Some(one.key()));
        assert_ne!(one.key(), other.key());
        assert_eq!(format!("{one:?}"), "SessionSecret([redacted])");
    }

    proptest! {
        #[test]
        fn fuzz_cookie_no_changed_character_finds_the_session(at in 0_usize..43, with in "[A-Za-z0-9_=. +/-]") {
            let secret = SessionSecret::generate().unwrap();
            let mut text = secret.expose_secret().to_owned();
            text.replace_range(at..=at, &with);
            let found = SessionKey::of_presented(&text) == Some(secret.key());
            prop_assert_eq!(found, text == secret.expose_secret());
        }

        #[test]
        fn fuzz_cookie_no_text_panics(text in any::<String>()) {
            let _ = SessionKey::of_presented(&text);
        }
    }
}
