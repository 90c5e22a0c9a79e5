//! Keys through the public door: published vectors, every form of PEM, weak keys.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use stylobate_auth::{KeyError, SigningAlgorithm, SigningKey, VerifyingKey};

mod kek;
#[cfg(feature = "sql")]
mod store;

pub(crate) const RSA_PKCS1: &str = include_str!("keys/rfc7515_a2.pkcs1.pem");
pub(crate) const RSA_PKCS8: &str = include_str!("keys/rfc7515_a2.pkcs8.pem");
pub(crate) const RSA_SPKI: &str = include_str!("keys/rfc7515_a2.spki.pem");
pub(crate) const RSA_PKCS1_PUBLIC: &str = include_str!("keys/rfc7515_a2.pkcs1pub.pem");
pub(crate) const ED25519_PKCS8: &str = include_str!("keys/rfc8037_a1.pkcs8.pem");
pub(crate) const ED25519_SPKI: &str = include_str!("keys/rfc8037_a1.spki.pem");
pub(crate) const P256_PKCS8: &str = include_str!("keys/rfc7515_a3.pkcs8.pem");
pub(crate) const P256_SEC1: &str = include_str!("keys/rfc7515_a3.sec1.pem");
pub(crate) const P256_SPKI: &str = include_str!("keys/rfc7515_a3.spki.pem");
pub(crate) const P384_PKCS8: &str = include_str!("keys/rfc6979_a26.pkcs8.pem");
pub(crate) const P384_SEC1: &str = include_str!("keys/rfc6979_a26.sec1.pem");
pub(crate) const P384_SPKI: &str = include_str!("keys/rfc6979_a26.spki.pem");
const WEAK_PKCS1: &str = include_str!("keys/weak_1024.pkcs1.pem");
const WEAK_SPKI: &str = include_str!("keys/weak_1024.spki.pem");

/// At least as long as the longest digest.
pub(crate) const SECRET: &[u8] = b"a shared secret of more than sixty-four bytes, which HS512 asks for";

/// The test key of an algorithm: of an RSA algorithm always the same one.
pub(crate) fn key_for(algorithm: SigningAlgorithm) -> SigningKey {
    let pem = match algorithm {
        SigningAlgorithm::Hs256 | SigningAlgorithm::Hs384 | SigningAlgorithm::Hs512 => {
            return SigningKey::hmac(algorithm, SECRET).unwrap();
        }
        SigningAlgorithm::EdDsa => ED25519_PKCS8,
        SigningAlgorithm::Es256 => P256_PKCS8,
        SigningAlgorithm::Es384 => P384_PKCS8,
        _ => RSA_PKCS8,
    };
    SigningKey::from_pem(algorithm, pem).unwrap()
}

/// The payload of RFC 7515 appendices A.1 and A.2, encoded.
const RFC_7515_PAYLOAD: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn bytes(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// Signs what the vector signs, expects the vector's signature, and checks it with the public half.
fn passes_vector(key: &SigningKey, signed: &str, signature: &str) {
    assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap()), signature);
    assert!(key.verifying_key().verify(signed.as_bytes(), &bytes(signature)));
    assert!(!key.verifying_key().verify(b"something else", &bytes(signature)));
    assert!(!key.verifying_key().verify(signed.as_bytes(), b""));
}

#[test]
fn ed25519_signs_as_rfc_8037_appendix_a4_and_verifies_as_a5() {
    let key = SigningKey::from_pem(SigningAlgorithm::EdDsa, ED25519_PKCS8).unwrap();
    passes_vector(
        &key,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
}

#[test]
fn hs256_signs_as_rfc_7515_appendix_a1() {
    let secret =
        bytes("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
    passes_vector(
        &SigningKey::hmac(stylobate_auth::SigningAlgorithm::Hs256, &secret).unwrap(),
        &format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{RFC_7515_PAYLOAD}"),
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    );
}

#[test]
fn rs256_signs_as_rfc_7515_appendix_a2_from_both_forms_of_private_key() {
    for pem in [RSA_PKCS1, RSA_PKCS8] {
        passes_vector(
            &SigningKey::from_pem(SigningAlgorithm::Rs256, pem).unwrap(),
            &format!("eyJhbGciOiJSUzI1NiJ9.{RFC_7515_PAYLOAD}"),
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdb\
             F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383\
             LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWy\
             wlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        );
    }
}

#[test]
fn es256_verifies_as_rfc_7515_appendix_a3() {
    let signed = format!("eyJhbGciOiJFUzI1NiJ9.{RFC_7515_PAYLOAD}");
    let signature =
        bytes("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
    for pem in [P256_PKCS8, P256_SEC1] {
        let key = SigningKey::from_pem(SigningAlgorithm::Es256, pem).unwrap();
        assert!(key.verifying_key().verify(signed.as_bytes(), &signature));
        assert!(!key.verifying_key().verify(b"something else", &signature));
        // A.3.1 again, with a nonce of our own: the length is what the RFC prescribes.
        let own = key.sign(signed.as_bytes()).unwrap();
        assert_eq!(own.len(), 64);
        assert!(key.verifying_key().verify(signed.as_bytes(), &own));
    }
}

#[test]
fn es384_verifies_as_rfc_6979_appendix_a26() {
    // The signature of "sample" with SHA-384: r and s side by side.
    let r =
        "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46";
    let s =
        "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8";
    let signature = hex(&format!("{r}{s}"));
    for pem in [P384_PKCS8, P384_SEC1] {
        let key = SigningKey::from_pem(SigningAlgorithm::Es384, pem).unwrap();
        assert!(key.verifying_key().verify(b"sample", &signature));
        assert!(!key.verifying_key().verify(b"test", &signature));
        assert_eq!(key.sign(b"sample").unwrap().len(), 96);
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn an_ecdsa_signature_in_der_is_none() {
    // RFC 7518 §3.4: fixed length, so that a signature has one spelling.
    let key = key_for(SigningAlgorithm::Es256);
    let signature = key.sign(b"message").unwrap();
    let integer = |half: &[u8]| {
        let zeros = half.iter().take_while(|byte| **byte == 0).count();
        let half = &half[zeros..];
        let sign: &[u8] = if half[0] >= 0x80 { &[0] } else { &[] };
        [&[0x02, u8::try_from(half.len() + sign.len()).unwrap()], sign, half].concat()
    };
    let body = [integer(&signature[..32]), integer(&signature[32..])].concat();
    let der = [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat();
    assert!(key.verifying_key().verify(b"message", &signature));
    assert!(!key.verifying_key().verify(b"message", &der));
    // CVE-2022-21449: zeros satisfy the bare equation.
    assert!(!key.verifying_key().verify(b"message", &[0; 64]));
}

#[test]
fn keys_are_generated_for_three_algorithms_and_come_back_from_pkcs8() {
    for algorithm in SigningAlgorithm::ALL {
        let made = SigningKey::generate(algorithm);
        if !algorithm.is_generated() {
            assert!(matches!(made, Err(KeyError::NotGenerated(_))), "{algorithm}");
            continue;
        }
        let (key, pkcs8) = made.unwrap();
        let again = SigningKey::from_pkcs8(algorithm, &pkcs8).unwrap();
        assert_eq!(again.verifying_key(), key.verifying_key());
        assert!(key.verifying_key().verify(b"message", &again.sign(b"message").unwrap()));
        for other in SigningAlgorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            let refused = SigningKey::from_pkcs8(other, &pkcs8);
            assert!(matches!(refused, Err(KeyError::AlgorithmMismatch(_))), "{algorithm} as {other}"); // C1
        }
    }
}

#[test]
fn a_signature_of_one_algorithm_is_none_of_any_other() {
    // C1
    for one in SigningAlgorithm::ALL {
        let signature = key_for(one).sign(b"message").unwrap();
        for other in SigningAlgorithm::ALL {
            let verifies = key_for(other).verifying_key().verify(b"message", &signature);
            assert_eq!(verifies, one == other, "{one} as {other}");
        }
    }
}

#[test]
fn a_sec1_key_needs_its_public_half_and_its_curve() {
    assert!(matches!(
        SigningKey::from_pem(SigningAlgorithm::Es384, P256_SEC1),
        Err(KeyError::AlgorithmMismatch(_))
    ));
    assert!(matches!(
        SigningKey::from_pem(SigningAlgorithm::Es256, P384_PKCS8),
        Err(KeyError::AlgorithmMismatch(_))
    ));
    let body: String = P256_SEC1.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::prelude::BASE64_STANDARD.decode(body).unwrap();
    // The private half and the curve alone: everything before the tag of the public half.
    let mut bare = der[..der.iter().rposition(|byte| *byte == 0xa1).unwrap()].to_vec();
    bare[1] = u8::try_from(bare.len() - 2).unwrap();
    let pem = format!(
        "-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----\n",
        base64::prelude::BASE64_STANDARD.encode(&bare)
    );
    assert!(matches!(SigningKey::from_pem(SigningAlgorithm::Es256, &pem), Err(KeyError::Rejected)));
}

#[test]
fn hmac_secrets_are_at_least_as_long_as_the_digest() {
    // A7, RFC 7518 §3.2
    for (algorithm, least) in
        [(SigningAlgorithm::Hs256, 32), (SigningAlgorithm::Hs384, 48), (SigningAlgorithm::Hs512, 64)]
    {
        let short = SigningKey::hmac(algorithm, &SECRET[..least - 1]);
        assert!(matches!(short, Err(KeyError::SecretTooShort)), "{algorithm}");
        assert!(SigningKey::hmac(algorithm, &SECRET[..least]).is_ok(), "{algorithm}");
    }
    assert!(matches!(SigningKey::hmac(SigningAlgorithm::EdDsa, SECRET), Err(KeyError::AlgorithmMismatch(_))));
}

#[test]
fn a_pem_in_one_line_with_escaped_line_breaks_is_the_same_key() {
    for (algorithm, pem) in [
        (SigningAlgorithm::Rs256, RSA_PKCS1),
        (SigningAlgorithm::EdDsa, ED25519_PKCS8),
        (SigningAlgorithm::Es256, P256_SEC1),
    ] {
        let key = SigningKey::from_pem(algorithm, pem).unwrap();
        let inline = SigningKey::from_pem(algorithm, &pem.trim_end().replace('\n', "\\n")).unwrap();
        assert_eq!(inline.verifying_key(), key.verifying_key());
    }
}

#[test]
fn public_halves_alone_verify_under_the_same_name() {
    for (algorithm, private, publics) in [
        (SigningAlgorithm::Rs256, RSA_PKCS8, &[RSA_SPKI, RSA_PKCS1_PUBLIC][..]),
        (SigningAlgorithm::Ps256, RSA_PKCS8, &[RSA_SPKI, RSA_PKCS1_PUBLIC]),
        (SigningAlgorithm::Ps384, RSA_PKCS8, &[RSA_SPKI, RSA_PKCS1_PUBLIC]),
        (SigningAlgorithm::Ps512, RSA_PKCS8, &[RSA_SPKI, RSA_PKCS1_PUBLIC]),
        (SigningAlgorithm::Es256, P256_SEC1, &[P256_SPKI]),
        (SigningAlgorithm::Es384, P384_PKCS8, &[P384_SPKI]),
        (SigningAlgorithm::EdDsa, ED25519_PKCS8, &[ED25519_SPKI]),
    ] {
        let private = SigningKey::from_pem(algorithm, private).unwrap();
        let signature = private.sign(b"message").unwrap();
        for public in publics {
            let public = VerifyingKey::from_pem(algorithm, public).unwrap();
            assert_eq!(&public, private.verifying_key());
            assert!(public.verify(b"message", &signature));
        }
    }
}

#[test]
fn a_signature_of_one_rsa_scheme_is_none_of_the_other() {
    let [pkcs1, pss] = [SigningAlgorithm::Rs256, SigningAlgorithm::Ps256]
        .map(|algorithm| SigningKey::from_pem(algorithm, RSA_PKCS8).unwrap());
    let signature = pkcs1.sign(b"message").unwrap();
    assert!(pkcs1.verifying_key().verify(b"message", &signature));
    assert!(!pss.verifying_key().verify(b"message", &signature));
}

#[test]
fn rsa_keys_under_2048_bits_are_refused() {
    // A7
    let weak = SigningKey::from_pem(SigningAlgorithm::Rs256, WEAK_PKCS1);
    assert!(matches!(weak, Err(KeyError::RsaTooSmall)));
    let weak = VerifyingKey::from_pem(SigningAlgorithm::Rs256, WEAK_SPKI);
    assert!(matches!(weak, Err(KeyError::RsaTooSmall)));
}

#[test]
fn a_key_of_another_kind_is_refused() {
    // C1: the algorithm is fixed when the key is made, and has to fit it.
    for (algorithm, pem) in [
        (SigningAlgorithm::EdDsa, RSA_PKCS8),
        (SigningAlgorithm::EdDsa, RSA_PKCS1),
        (SigningAlgorithm::Rs256, ED25519_PKCS8),
        (SigningAlgorithm::Hs256, RSA_PKCS8),
        (SigningAlgorithm::Hs256, ED25519_PKCS8),
        (SigningAlgorithm::EdDsa, P256_PKCS8),
        (SigningAlgorithm::EdDsa, P256_SEC1),
        (SigningAlgorithm::Es256, ED25519_PKCS8),
        (SigningAlgorithm::Es256, RSA_PKCS8),
        (SigningAlgorithm::Es256, RSA_PKCS1),
        (SigningAlgorithm::Ps512, P384_SEC1),
        (SigningAlgorithm::Hs512, P256_PKCS8),
    ] {
        let refused = SigningKey::from_pem(algorithm, pem);
        assert!(matches!(refused, Err(KeyError::AlgorithmMismatch(_))), "{algorithm}");
    }
    for (algorithm, pem) in [
        (SigningAlgorithm::EdDsa, RSA_SPKI),
        (SigningAlgorithm::EdDsa, RSA_PKCS1_PUBLIC),
        (SigningAlgorithm::Rs256, ED25519_SPKI),
        (SigningAlgorithm::Hs256, RSA_SPKI),
        (SigningAlgorithm::Es256, P384_SPKI),
        (SigningAlgorithm::Es384, P256_SPKI),
        (SigningAlgorithm::Es256, RSA_PKCS1_PUBLIC),
        (SigningAlgorithm::EdDsa, P256_SPKI),
        (SigningAlgorithm::Rs256, P256_SPKI),
        (SigningAlgorithm::Hs384, P384_SPKI),
    ] {
        let refused = VerifyingKey::from_pem(algorithm, pem);
        assert!(matches!(refused, Err(KeyError::AlgorithmMismatch(_))), "{algorithm}");
    }
}

#[test]
fn private_and_public_texts_are_not_taken_for_each_other() {
    for pem in [RSA_SPKI, RSA_PKCS1_PUBLIC] {
        assert!(matches!(SigningKey::from_pem(SigningAlgorithm::Rs256, pem), Err(KeyError::PemInvalid)));
    }
    for pem in [RSA_PKCS1, RSA_PKCS8, P256_SEC1] {
        assert!(matches!(VerifyingKey::from_pem(SigningAlgorithm::Rs256, pem), Err(KeyError::PemInvalid)));
    }
}

#[test]
fn a_damaged_key_is_refused() {
    let mut lines: Vec<&str> = RSA_PKCS1.lines().collect();
    lines.swap(5, 9);
    assert!(SigningKey::from_pem(SigningAlgorithm::Rs256, &lines.join("\n")).is_err());
    lines.remove(7);
    assert!(SigningKey::from_pem(SigningAlgorithm::Rs256, &lines.join("\n")).is_err());
}

#[test]
fn debug_shows_name_and_algorithm_and_nothing_else() {
    let secret = b"canary-canary-canary-canary-canary";
    let key = SigningKey::hmac(stylobate_auth::SigningAlgorithm::Hs256, secret).unwrap();
    let text = format!("{key:?} {:?}", key.verifying_key());
    assert!(text.contains("Hs256") && !text.contains("canary"), "{text}");
    let key = SigningKey::from_pem(SigningAlgorithm::Rs256, RSA_PKCS1).unwrap();
    assert!(format!("{key:?}").len() < 100);
}
