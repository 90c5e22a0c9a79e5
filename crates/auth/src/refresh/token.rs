use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use stylobate_core::SessionId;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Presented;
use crate::{
    KeyError,
    key::random,
    pepper::{self, Pepper},
};

/// A refresh token in clear: a secret that goes to its client once and is stored nowhere.
///
/// The text is `sbr_` (so that scanners for leaked secrets find it) and, in base64url, 16 bytes of session id, 8 of
/// generation, 32 random ones and 16 of tag. `Debug` prints `[redacted]`; there is no `Display` and no `Serialize`.
#[derive(Clone)]
pub struct RefreshToken {
    text: Zeroizing<String>,
    session: SessionId,
    generation: i64,
    hash: [u8; 32],
}

const PREFIX: &str = "sbr_";
const SIGNED_BYTES: usize = 16 + 8 + 32;
const TAG_BYTES: usize = 16;
const BYTES: usize = SIGNED_BYTES + TAG_BYTES;
/// 72 bytes are 96 characters without padding.
const TEXT_BYTES: usize = PREFIX.len() + BYTES / 3 * 4;

impl RefreshToken {
    /// Makes the token of `generation`.
    pub(crate) fn issue(pepper: &Pepper, session: SessionId, generation: i64) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES));
        bytes.extend_from_slice(session.as_uuid().as_bytes());
        bytes.extend_from_slice(&generation.to_be_bytes());
        bytes.extend_from_slice(&*Zeroizing::new(random::<32>()?));
        let tag = tag(pepper, &bytes);
        bytes.extend_from_slice(&tag);
        let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(&*bytes, &mut text);
        Ok(Self { text, session, generation, hash: hash(pepper, &bytes) })
    }

    /// Reads a token that we made; `None` for anything else.
    pub(crate) fn parse(pepper: &Pepper, text: &str) -> Option<Self> {
        if text.len() != TEXT_BYTES {
            return None;
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?);
        let (signed, presented_tag) = bytes.split_at_checked(SIGNED_BYTES)?;
        if !pepper::equal(&tag(pepper, signed), presented_tag) {
            return None;
        }
        let (session, rest) = signed.split_first_chunk::<16>()?;
        let (generation, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            text: Zeroizing::new(text.to_owned()),
            session: SessionId::from_uuid(Uuid::from_bytes(*session)),
            generation: i64::from_be_bytes(*generation),
            hash: hash(pepper, &bytes),
        })
    }

    /// The text that goes to the client. Whoever calls this must neither store nor print it.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.text
    }

    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        self.hash
    }

    pub(crate) fn presented(&self) -> Presented {
        Presented { generation: self.generation, hash: self.hash, is_repeat: false }
    }
}

fn tag(pepper: &Pepper, signed: &[u8]) -> [u8; TAG_BYTES] {
    let digest = pepper.digest("refresh-token-tag", signed);
    let mut tag = [0; TAG_BYTES];
    tag.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    tag
}

fn hash(pepper: &Pepper, bytes: &[u8]) -> [u8; 32] {
    pepper.digest("refresh-token", bytes)
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken([redacted])")
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

    fn session() -> SessionId {
        SessionId::new(DateTime::from_timestamp(1_772_366_400, 0).unwrap())
    }

    #[test]
    fn a_token_survives_the_wire() {
        let (pepper, session) = (pepper(1), session());
        let issued = RefreshToken::issue(&pepper, session, 7).unwrap();
        assert_eq!(issued.expose_secret().len(), 100);
        let read = RefreshToken::parse(&pepper, issued.expose_secret()).unwrap();
        assert_eq!((read.session(), read.presented()), (session, issued.presented()));
        assert_ne!(RefreshToken::issue(&pepper, session, 7).unwrap().hash(), issued.hash());
    }

    #[test]
    fn a_token_of_another_installation_is_refused() {
        let issued = RefreshToken::issue(&pepper(1), session(), 0).unwrap();
        assert!(RefreshToken::parse(&pepper(2), issued.expose_secret()).is_none());
    }

    #[test]
    fn debug_does_not_show_the_token() {
        let issued = RefreshToken::issue(&pepper(1), session(), 0).unwrap();
        assert_eq!(format!("{issued:?}"), "RefreshToken([redacted])");
    }

    proptest! {
        #[test]
        fn no_changed_character_passes(at in 0_usize..100, with in "[A-Za-z0-9_=. -]") {
            let pepper = pepper(1);
            let issued = RefreshToken::issue(&pepper, session(), 3).unwrap();
            let mut text = issued.expose_secret().to_owned();
            text.replace_range(at..=at, &with);
            prop_assert_eq!(RefreshToken::parse(&pepper, &text).is_some(), text == issued.expose_secret());
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            prop_assert!(RefreshToken::parse(&pepper(1), &text).is_none());
        }
    }
}
