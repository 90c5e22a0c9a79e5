//! The little DER (X.690) needed to tell keys apart before ring parses them in full.

/// `SEQUENCE { OBJECT IDENTIFIER 1.3.101.112 }` and the head of the BIT STRING: all that surrounds the 32 bytes of an
/// Ed25519 public key in a SubjectPublicKeyInfo (RFC 8410 §4, §10.1).
pub(super) const ED25519_SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// `SEQUENCE { OBJECT IDENTIFIER rsaEncryption, NULL }` without its own head (RFC 8017 appendix A.1).
const RSA_ALGORITHM: [u8; 13] =
    [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

const OCTET_STRING: u8 = 0x04;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// Takes one value of type `tag` off the front of `input`; `None` unless its length is definite, minimal and there.
fn take<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (&first, rest) = input.split_first()?;
    if first != tag {
        return None;
    }
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        // A key of 8192 bits stays far under 65,536 bytes: two length bytes suffice.
        0x81 => {
            let (&byte, rest) = rest.split_first()?;
            (byte >= 0x80).then_some((usize::from(byte), rest))?
        }
        0x82 => {
            let (bytes, rest) = rest.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*bytes));
            (length >= 0x100).then_some((length, rest))?
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some(value)
}

/// A positive INTEGER without its sign byte.
fn take_positive<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    match take(input, INTEGER)? {
        [0, rest @ ..] => rest.first().filter(|byte| **byte >= 0x80).map(|_| rest),
        value => value.first().filter(|byte| (1..0x80).contains(*byte)).map(|_| value),
    }
}

/// The modulus and exponent of an RSAPublicKey (RFC 8017 appendix A.1.1), big-endian without leading zeros.
pub(super) fn rsa_public_key(mut input: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut key = take(&mut input, SEQUENCE).filter(|_| input.is_empty())?;
    let modulus = take_positive(&mut key)?;
    let exponent = take_positive(&mut key)?;
    key.is_empty().then_some((modulus, exponent))
}

/// The RSAPublicKey inside a SubjectPublicKeyInfo (RFC 5280 §4.1) whose algorithm is rsaEncryption.
pub(super) fn rsa_spki(mut input: &[u8]) -> Option<&[u8]> {
    let mut info = take(&mut input, SEQUENCE).filter(|_| input.is_empty())?;
    if take(&mut info, SEQUENCE)? != RSA_ALGORITHM {
        return None;
    }
    let bits = take(&mut info, BIT_STRING).filter(|_| info.is_empty())?;
    // The first byte counts unused bits; a DER structure has none.
    match bits {
        [0, key @ ..] => Some(key),
        _ => None,
    }
}

/// The RSAPrivateKey inside a PKCS#8 structure (RFC 5958 §2) whose algorithm is rsaEncryption.
pub(super) fn rsa_pkcs8(mut input: &[u8]) -> Option<&[u8]> {
    let mut info = take(&mut input, SEQUENCE).filter(|_| input.is_empty())?;
    take(&mut info, INTEGER)?;
    if take(&mut info, SEQUENCE)? != RSA_ALGORITHM {
        return None;
    }
    take(&mut info, OCTET_STRING)
}

/// The modulus of an RSAPrivateKey (RFC 8017 appendix A.1.2).
pub(super) fn rsa_private_modulus(mut input: &[u8]) -> Option<&[u8]> {
    let mut key = take(&mut input, SEQUENCE).filter(|_| input.is_empty())?;
    take(&mut key, INTEGER)?;
    take_positive(&mut key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_are_not_minimal_or_not_there_are_refused() {
        for bytes in [
            &[0x30][..],
            &[0x30, 0x80],
            &[0x30, 0x05, 0x02],
            &[0x30, 0x81, 0x03, 0x02, 0x01, 0x01],
            &[0x30, 0x82, 0x00, 0x03, 0x02, 0x01, 0x01],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[],
        ] {
            assert_eq!(rsa_public_key(bytes), None, "{bytes:02x?}");
        }
    }

    #[test]
    fn integers_must_be_positive_and_minimal() {
        let key = |modulus: &[u8]| {
            let mut body = vec![INTEGER, u8::try_from(modulus.len()).unwrap()];
            body.extend_from_slice(modulus);
            body.extend_from_slice(&[INTEGER, 1, 3]);
            let mut der = vec![SEQUENCE, u8::try_from(body.len()).unwrap()];
            der.extend(body);
            der
        };
        assert_eq!(rsa_public_key(&key(&[0, 0x81])), Some((&[0x81][..], &[3][..])));
        for modulus in [&[][..], &[0], &[0, 1], &[0x81]] {
            assert_eq!(rsa_public_key(&key(modulus)), None, "{modulus:02x?}");
        }
    }
}
