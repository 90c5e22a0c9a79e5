//! The little DER (X.690) needed to tell keys apart before ring parses them in full.

/// `SEQUENCE { OBJECT IDENTIFIER 1.3.101.112 }` and the head of the BIT STRING: all that surrounds the 32 bytes of an
/// Ed25519 public key in a SubjectPublicKeyInfo (RFC 8410 §4, §10.1).
pub(super) const ED25519_SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// `SEQUENCE { OBJECT IDENTIFIER rsaEncryption, NULL }` without its own head (RFC 8017 appendix A.1).
const RSA_ALGORITHM: [u8; 13] =
    [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// `OBJECT IDENTIFIER id-ecPublicKey` (RFC 5480 §2.1.1).
const EC_PUBLIC_KEY: [u8; 9] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// `OBJECT IDENTIFIER secp256r1` (RFC 5480 §2.1.1.1).
pub(super) const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// `OBJECT IDENTIFIER secp384r1` (RFC 5480 §2.1.1.1).
pub(super) const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// The tags `[0]` and `[1]` of an ECPrivateKey.
const PARAMETERS: u8 = 0xa0;
const PUBLIC_KEY: u8 = 0xa1;

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

/// Writes an RSAPublicKey; `None` when it would be longer than any key that is accepted.
pub(super) fn write_rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    for number in [modulus, exponent] {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let number = number.get(zeros..)?;
        // The sign bit of a positive INTEGER is clear.
        let sign: &[u8] = if number.first()? & 0x80 == 0 { &[] } else { &[0] };
        put(&mut body, INTEGER, &[sign, number].concat())?;
    }
    let mut key = Vec::new();
    put(&mut key, SEQUENCE, &body)?;
    Some(key)
}

fn put(output: &mut Vec<u8>, tag: u8, value: &[u8]) -> Option<()> {
    output.push(tag);
    match u16::try_from(value.len()).ok()?.to_be_bytes() {
        [0, length @ ..=0x7f] => output.push(length),
        [0, length] => output.extend([0x81, length]),
        [high, low] => output.extend([0x82, high, low]),
    }
    output.extend_from_slice(value);
    Some(())
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

/// The point inside a SubjectPublicKeyInfo whose algorithm is id-ecPublicKey on `curve` (RFC 5480 §2).
pub(super) fn ec_spki<'a>(mut input: &'a [u8], curve: &[u8]) -> Option<&'a [u8]> {
    let mut info = take(&mut input, SEQUENCE).filter(|_| input.is_empty())?;
    if take(&mut info, SEQUENCE)?.strip_prefix(&EC_PUBLIC_KEY)? != curve {
        return None;
    }
    let point = take(&mut info, BIT_STRING).filter(|_| info.is_empty())?;
    point.strip_prefix(&[0])
}

/// Whether a PKCS#8 structure (RFC 5958 §2) holds a key of `curve`.
pub(super) fn is_ec_pkcs8(mut input: &[u8], curve: &[u8]) -> bool {
    let mut algorithm = || {
        let mut info = take(&mut input, SEQUENCE)?;
        take(&mut info, INTEGER)?;
        take(&mut info, SEQUENCE)?.strip_prefix(&EC_PUBLIC_KEY)
    };
    algorithm() == Some(curve)
}

/// What an ECPrivateKey says (RFC 5915 §3).
pub(super) struct EcPrivateKey<'a> {
    pub(super) secret: &'a [u8],
    /// The curve; PKCS#8 leaves it out, as it names it elsewhere.
    pub(super) curve: Option<&'a [u8]>,
    /// The public point; it may be left out.
    pub(super) point: Option<&'a [u8]>,
}

/// Takes an ECPrivateKey apart.
pub(super) fn ec_private_key(mut input: &[u8]) -> Option<EcPrivateKey<'_>> {
    let mut key = take(&mut input, SEQUENCE).filter(|_| input.is_empty())?;
    if take(&mut key, INTEGER)? != [1] {
        return None;
    }
    let secret = take(&mut key, OCTET_STRING)?;
    let curve = take(&mut key, PARAMETERS);
    let point = match take(&mut key, PUBLIC_KEY) {
        Some(mut wrapped) => Some(take(&mut wrapped, BIT_STRING)?.strip_prefix(&[0])?),
        None => None,
    };
    key.is_empty().then_some(EcPrivateKey { secret, curve, point })
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
    fn a_written_key_is_read_back() {
        for length in [1, 0x7f, 0x80, 0x100, 1_024] {
            let modulus = vec![0x81; length];
            let der = write_rsa_public_key(&[&[0, 0], modulus.as_slice()].concat(), &[1, 0, 1]).unwrap();
            assert_eq!(rsa_public_key(&der), Some((modulus.as_slice(), &[1, 0, 1][..])), "{length}");
        }
        assert_eq!(write_rsa_public_key(&[0], &[3]), None);
        assert_eq!(write_rsa_public_key(&vec![1; 70_000], &[3]), None);
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
