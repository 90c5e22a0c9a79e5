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
const WEAK_PKCS1: &str = include_str!("keys/weak_1024.pkcs1.pem");
const WEAK_SPKI: &str = include_str!("keys/weak_1024.spki.pem");

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
        &SigningKey::hs256(&secret).unwrap(),
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
fn a_pem_in_one_line_with_escaped_line_breaks_is_the_same_key() {
    for (algorithm, pem) in [(SigningAlgorithm::Rs256, RSA_PKCS1), (SigningAlgorithm::EdDsa, ED25519_PKCS8)] {
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
    ] {
        let refused = SigningKey::from_pem(algorithm, pem);
        assert!(matches!(refused, Err(KeyError::AlgorithmMismatch(_))), "{algorithm}");
    }
    for (algorithm, pem) in [
        (SigningAlgorithm::EdDsa, RSA_SPKI),
        (SigningAlgorithm::EdDsa, RSA_PKCS1_PUBLIC),
        (SigningAlgorithm::Rs256, ED25519_SPKI),
        (SigningAlgorithm::Hs256, RSA_SPKI),
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
    for pem in [RSA_PKCS1, RSA_PKCS8] {
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
    let key = SigningKey::hs256(secret).unwrap();
    let text = format!("{key:?} {:?}", key.verifying_key());
    assert!(text.contains("Hs256") && !text.contains("canary"), "{text}");
    let key = SigningKey::from_pem(SigningAlgorithm::Rs256, RSA_PKCS1).unwrap();
    assert!(format!("{key:?}").len() < 100);
}
