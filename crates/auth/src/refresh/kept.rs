//! The answer of a refresh, kept for the client that asks for it again.
//!
//! ```text
//! 01 | nonce (24 bytes) | ciphertext and tag of the successor's text
//! ```
//!
//! XChaCha20-Poly1305 under HMAC-SHA256(presented token, label | idempotency key). The additional data is the version and
//! what the answer belongs to: session, generation and digest of the presented token.

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305,
    aead::{Aead as _, Payload},
};
use ring::hmac;
use zeroize::Zeroizing;

use super::{IdempotencyKey, RefreshToken};
use crate::KeyError;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const LABEL: &[u8] = b"stylobate:refresh-answer\0";

/// Seals `successor` for whoever presents `presented` again with `key`.
pub(crate) fn seal(
    key: &IdempotencyKey,
    presented: &RefreshToken,
    successor: &RefreshToken,
) -> Result<Vec<u8>, KeyError> {
    let nonce: [u8; NONCE_BYTES] = crate::key::random()?;
    let aad = additional_data(presented);
    let payload = Payload { msg: successor.expose_secret().as_bytes(), aad: &aad };
    // A text of a hundred bytes is never too long for the cipher.
    let ciphertext = cipher(key, presented)
        .encrypt(&nonce.into(), payload)
        .map_err(|_| KeyError::RandomnessUnavailable)?;
    Ok([&[VERSION][..], &nonce, &ciphertext].concat())
}

/// The text of the successor, when `key` and `presented` are those it was sealed for.
pub(crate) fn open(
    key: &IdempotencyKey,
    presented: &RefreshToken,
    sealed: &[u8],
) -> Option<Zeroizing<String>> {
    let (nonce, ciphertext) = sealed.strip_prefix(&[VERSION])?.split_first_chunk::<NONCE_BYTES>()?;
    let aad = additional_data(presented);
    let payload = Payload { msg: ciphertext, aad: &aad };
    let text = cipher(key, presented).decrypt(&(*nonce).into(), payload).ok()?;
    String::from_utf8(text).ok().map(Zeroizing::new)
}

/// Both parts have more than 128 random bits, and neither is in the database.
fn cipher(key: &IdempotencyKey, presented: &RefreshToken) -> XChaCha20Poly1305 {
    let mut context =
        hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, presented.expose_secret().as_bytes()));
    context.update(LABEL);
    context.update(key.expose());
    let mut derived = Zeroizing::new([0_u8; 32]);
    derived.copy_from_slice(context.sign().as_ref());
    XChaCha20Poly1305::new((&*derived).into())
}

fn additional_data(presented: &RefreshToken) -> Vec<u8> {
    let (session, presented) = (presented.session().as_uuid(), presented.presented());
    [&[VERSION][..], session.as_bytes(), &presented.generation.to_be_bytes(), &presented.hash].concat()
}

#[cfg(test)]
mod tests {
    use stylobate_core::SessionId;

    use super::*;
    use crate::{key::PlatformSecret, pepper::Pepper};

    fn token(generation: i64) -> RefreshToken {
        let session = SessionId::new(chrono::DateTime::from_timestamp(1_772_366_400, 0).unwrap());
        RefreshToken::issue(&Pepper::new(&PlatformSecret::from_bytes([7; 32])), session, generation).unwrap()
    }

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::parse(text).unwrap()
    }

    #[test]
    fn only_the_same_key_and_token_open_the_answer() {
        let (one, other) = (key("jgOXjkDVQ928k2iUpX-TJA"), key("kgOXjkDVQ928k2iUpX-TJA"));
        let (presented, successor) = (token(3), token(4));
        let sealed = seal(&one, &presented, &successor).unwrap();
        assert_eq!(open(&one, &presented, &sealed).unwrap().as_str(), successor.expose_secret());
        assert!(open(&other, &presented, &sealed).is_none());
        assert!(open(&one, &token(3), &sealed).is_none());
        assert!(!String::from_utf8_lossy(&sealed).contains(&successor.expose_secret()[..20]));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (key, presented) = (key("jgOXjkDVQ928k2iUpX-TJA"), token(0));
        let sealed = seal(&key, &presented, &token(1)).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key, &presented, &changed).is_none(), "bit {bit}");
        }
        assert!(open(&key, &presented, b"").is_none());
    }
}
