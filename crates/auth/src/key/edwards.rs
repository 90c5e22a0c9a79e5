//! Points that no honest Ed25519 key is: with them, signatures can be made without a private key.

/// The prime 2^255 - 19 begins with this byte and ends with `7f`; all between are `ff`. Numbers are little-endian.
const PRIME_FIRST: u8 = 0xed;

/// The heights (y) of the eight points whose order is 1, 2, 4 or 8, without their signs: 0, 1, -1, and the two of order 8.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = [0xff; 32];
        minus_one[0] = PRIME_FIRST - 1;
        minus_one[31] = 0x7f;
        minus_one
    },
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// Whether a public key is written in the one way there is (RFC 8032 §5.1.3) and generates more than eight points. Whether it
/// lies on the curve is checked at each use: a point beside it verifies nothing.
pub(super) fn is_sound(public_key: &[u8; 32]) -> bool {
    let mut height = *public_key;
    // The highest bit is the sign.
    height[31] &= 0x7f;
    let [first, between @ .., last] = &height;
    let is_canonical = *last < 0x7f || between.iter().any(|byte| *byte != 0xff) || *first < PRIME_FIRST;
    is_canonical && !SMALL_ORDER.contains(&height)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

    use super::*;
    use crate::{KeyError, VerifyingKey};

    #[test]
    fn points_of_small_order_are_no_keys_in_any_spelling() {
        for mut height in SMALL_ORDER {
            for sign in [0, 0x80] {
                height[31] = (height[31] & 0x7f) | sign;
                assert!(!is_sound(&height), "{height:02x?}");
            }
        }
        // The prime and the eighteen numbers above it are 0 to 18 written otherwise.
        for first in PRIME_FIRST..=0xff {
            for last in [0x7f, 0xff] {
                let mut height = [0xff; 32];
                (height[0], height[31]) = (first, last);
                assert!(!is_sound(&height), "{height:02x?}");
            }
        }
        let mut below = [0xff; 32];
        (below[0], below[31]) = (PRIME_FIRST - 2, 0x7f);
        assert!(is_sound(&below));
    }

    /// What the check keeps out: one signature that fits every message.
    #[test]
    fn a_point_of_order_one_verifies_what_nobody_signed() {
        let forged = [&SMALL_ORDER[1][..], &[0; 32]].concat();
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, SMALL_ORDER[1]);
        assert!(key.verify(b"anything", &forged).is_ok());
        let x = BASE64_URL_SAFE_NO_PAD.encode(SMALL_ORDER[1]);
        let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"{x}"}}"#);
        assert!(matches!(VerifyingKey::from_jwk(jwk.as_bytes()), Err(KeyError::Rejected)));
    }
}
