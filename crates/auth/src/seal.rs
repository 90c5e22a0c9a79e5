//! Sealing with a local key: authenticated encryption of the few small secrets that live in the database.
//!
//! The format, version 1:
//!
//! ```text
//! 01 | key id (8 bytes) | nonce (24 bytes) | ciphertext and tag (16 bytes more than the plaintext)
//! ```
//!
//! XChaCha20-Poly1305 with random nonces (192 bits: no counter to keep, no realistic collision). The additional data is
//! version, key id and the caller's context, so none of them can be exchanged without the value failing to open.

mod kek;

use std::fmt;

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305,
    aead::{Aead as _, Payload},
};
use ring::hmac;
use stylobate_core::{BoxFuture, SealError, Sealer};

pub use kek::KeyEncryptionKey;

const VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 8;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES;
const NONCE_BYTES: usize = 24;

/// A [`Sealer`] whose key-encryption key is in this process.
pub struct LocalSealer {
    cipher: XChaCha20Poly1305,
    header: [u8; HEADER_BYTES],
}

impl LocalSealer {
    /// Seals and opens with `key`.
    #[must_use]
    pub fn new(key: &KeyEncryptionKey) -> Self {
        // Derived one way, so the id tells keys apart without telling anything about them.
        let id = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.bytes()), b"stylobate:kek-id");
        let mut header = [VERSION; HEADER_BYTES];
        for (place, byte) in header.iter_mut().skip(1).zip(id.as_ref()) {
            *place = *byte;
        }
        Self { cipher: XChaCha20Poly1305::new(key.bytes().into()), header }
    }

    /// Names the key in logs: 16 hexadecimal digits that do not allow to find it.
    #[must_use]
    pub fn key_id(&self) -> String {
        hex::encode(self.header.get(1..).unwrap_or_default())
    }

    fn additional_data(&self, context: &[u8]) -> Vec<u8> {
        [&self.header, context].concat()
    }

    fn seal_now(&self, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_BYTES] =
            crate::key::random().map_err(|error| SealError::Unavailable(error.to_string()))?;
        let aad = self.additional_data(context);
        let ciphertext = self
            .cipher
            .encrypt(&nonce.into(), Payload { msg: plaintext, aad: &aad })
            .map_err(|_| SealError::Unavailable("the value is too long to be sealed".to_owned()))?;
        Ok([&self.header[..], &nonce, &ciphertext].concat())
    }

    fn open_now(&self, sealed: &[u8], context: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, ciphertext) = sealed
            .strip_prefix(&self.header)
            .and_then(|rest| rest.split_first_chunk::<NONCE_BYTES>())
            .ok_or(SealError::Mismatch)?;
        let aad = self.additional_data(context);
        self.cipher
            .decrypt(&(*nonce).into(), Payload { msg: ciphertext, aad: &aad })
            .map_err(|_| SealError::Mismatch)
    }
}

impl Sealer for LocalSealer {
    fn seal<'a>(
        &'a self,
        plaintext: &'a [u8],
        context: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, SealError>> {
        let sealed = self.seal_now(plaintext, context);
        Box::pin(async move { sealed })
    }

    fn open<'a>(&'a self, sealed: &'a [u8], context: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, SealError>> {
        let opened = self.open_now(sealed, context);
        Box::pin(async move { opened })
    }
}

impl fmt::Debug for LocalSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSealer").field("key_id", &self.key_id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> LocalSealer {
        LocalSealer::new(&KeyEncryptionKey::generate().unwrap())
    }

    #[test]
    fn a_sealed_value_opens_for_its_context() {
        let sealer = sealer();
        for plaintext in [&b""[..], b"x", &[0xa5; 5_000]] {
            let sealed = sealer.seal_now(plaintext, b"table:row").unwrap();
            assert_eq!(sealer.open_now(&sealed, b"table:row").unwrap(), plaintext);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let sealer = sealer();
        let sealed = sealer.seal_now(b"the private half", b"row").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(sealer.open_now(&changed, b"row"), Err(SealError::Mismatch), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(
                sealer.open_now(&sealed[..length], b"row"),
                Err(SealError::Mismatch),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn a_value_moved_to_another_context_does_not_open() {
        let sealer = sealer();
        let sealed = sealer.seal_now(b"value", b"signing_keys:a").unwrap();
        for context in [&b""[..], b"signing_keys:b", b"signing_keys:a ", b"sealed_secrets:a"] {
            assert_eq!(sealer.open_now(&sealed, context), Err(SealError::Mismatch));
        }
    }

    #[test]
    fn another_key_does_not_open() {
        let (ours, theirs) = (sealer(), sealer());
        let sealed = ours.seal_now(b"value", b"row").unwrap();
        assert_eq!(theirs.open_now(&sealed, b"row"), Err(SealError::Mismatch));
        // Not even under our key id: the id only chooses, the tag decides.
        let mut renamed = sealed;
        renamed[..HEADER_BYTES].copy_from_slice(&theirs.header);
        assert_eq!(theirs.open_now(&renamed, b"row"), Err(SealError::Mismatch));
    }

    #[test]
    fn the_same_value_is_sealed_differently_each_time() {
        let sealer = sealer();
        assert_ne!(sealer.seal_now(b"value", b"row").unwrap(), sealer.seal_now(b"value", b"row").unwrap());
    }

    #[test]
    fn the_primitive_passes_the_vector_of_draft_irtf_cfrg_xchacha_appendix_a3_1() {
        let key: Vec<u8> = (0x80..=0x9f).collect();
        let nonce: Vec<u8> = (0x40..=0x57).collect();
        let aad = hex::decode("50515253c0c1c2c3c4c5c6c7").unwrap();
        let plaintext = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for \
                          the future, sunscreen would be it.";
        let cipher = XChaCha20Poly1305::new(key.as_slice().try_into().unwrap());
        let sealed = cipher
            .encrypt(nonce.as_slice().try_into().unwrap(), Payload { msg: plaintext, aad: &aad })
            .unwrap();
        let (ciphertext, tag) = sealed.split_at(sealed.len() - 16);
        assert!(
            hex::encode(ciphertext)
                .starts_with("bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb")
        );
        assert_eq!(hex::encode(tag), "c0875924c1c7987947deafd8780acf49");
    }

    #[test]
    fn debug_shows_neither_key_nor_more_than_its_id() {
        let key = KeyEncryptionKey::generate().unwrap();
        let sealer = LocalSealer::new(&key);
        let text = format!("{key:?} {sealer:?}");
        assert!(!text.contains(&hex::encode(key.bytes())), "{text}");
        assert!(text.contains("[redacted]") && text.contains(&sealer.key_id()), "{text}");
    }
}
