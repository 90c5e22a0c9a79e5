use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{digest, hmac, signature};

use super::{HMAC_SECRET_BYTES_MIN, KeyError, Kid, SigningAlgorithm, der, pem, pem::PemKey};

/// The smallest RSA modulus (RFC 7518 §3.3).
const RSA_BITS_MIN: usize = 2_048;
/// The largest RSA modulus that ring checks signatures with.
const RSA_BITS_MAX: usize = 8_192;

/// A key that checks signatures of exactly one algorithm. It never signs anything.
#[derive(Clone)]
pub struct VerifyingKey {
    kid: Kid,
    algorithm: SigningAlgorithm,
    /// The RFC 7638 thumbprint of a public key; of an HMAC key a value derived from it.
    thumbprint: [u8; 32],
    material: Material,
}

#[derive(Clone)]
enum Material {
    Public(signature::UnparsedPublicKey<Box<[u8]>>),
    Hmac(hmac::Key),
}

impl VerifyingKey {
    /// An Ed25519 public key (RFC 8032 §5.1.5), named by its thumbprint.
    #[must_use]
    pub fn ed25519(public_key: &[u8; 32]) -> Self {
        let x = BASE64_URL_SAFE_NO_PAD.encode(public_key);
        // The required members in lexicographic order (RFC 8037 appendix A.3).
        let thumbprint = sha256(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#).as_bytes());
        Self::public(SigningAlgorithm::EdDsa, &signature::ED25519, public_key, thumbprint)
    }

    /// Reads the public key for `algorithm` from a PEM text: `PUBLIC KEY` (RFC 5280) or `RSA PUBLIC KEY` (PKCS#1).
    /// Line breaks may be written as `\n`. The key is named by its thumbprint (RFC 7638).
    ///
    /// # Errors
    /// [`KeyError::PemInvalid`] and [`KeyError::AlgorithmMismatch`] for another kind of text or key,
    /// [`KeyError::RsaTooSmall`] under 2,048 bits, [`KeyError::Rejected`] when it is damaged.
    pub fn from_pem(algorithm: SigningAlgorithm, pem: &str) -> Result<Self, KeyError> {
        match (algorithm, pem::parse(pem)?) {
            (SigningAlgorithm::Hs256, _) => Err(KeyError::AlgorithmMismatch(algorithm)),
            (_, PemKey::Pkcs8(_) | PemKey::RsaPrivate(_)) => Err(KeyError::PemInvalid),
            (SigningAlgorithm::EdDsa, PemKey::Spki(spki)) => spki
                .strip_prefix(&der::ED25519_SPKI_PREFIX)
                .and_then(|key| key.try_into().ok())
                .map(Self::ed25519)
                .ok_or(KeyError::AlgorithmMismatch(algorithm)),
            (SigningAlgorithm::EdDsa, PemKey::RsaPublic(_)) => Err(KeyError::AlgorithmMismatch(algorithm)),
            (SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256, PemKey::Spki(spki)) => {
                let public_key = der::rsa_spki(&spki).ok_or(KeyError::AlgorithmMismatch(algorithm))?;
                Self::rsa(algorithm, public_key)
            }
            (SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256, PemKey::RsaPublic(public_key)) => {
                Self::rsa(algorithm, &public_key)
            }
        }
    }

    /// An RSA public key as PKCS#1 DER.
    pub(super) fn rsa(algorithm: SigningAlgorithm, public_key: &[u8]) -> Result<Self, KeyError> {
        let (modulus, exponent) = der::rsa_public_key(public_key).ok_or(KeyError::Rejected)?;
        check_rsa_bits(modulus)?;
        let is_even = |number: &[u8]| number.last().is_none_or(|byte| byte % 2 == 0);
        // An exponent of 1 would make every message its own signature; ring takes at most 33 bits.
        if is_even(modulus) || is_even(exponent) || exponent == [1] || exponent.len() > 5 {
            return Err(KeyError::Rejected);
        }
        let (e, n) = (BASE64_URL_SAFE_NO_PAD.encode(exponent), BASE64_URL_SAFE_NO_PAD.encode(modulus));
        let thumbprint = sha256(format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#).as_bytes());
        let scheme: &'static signature::RsaParameters = match algorithm {
            SigningAlgorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            SigningAlgorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            SigningAlgorithm::EdDsa | SigningAlgorithm::Hs256 => {
                return Err(KeyError::AlgorithmMismatch(algorithm));
            }
        };
        Ok(Self::public(algorithm, scheme, public_key, thumbprint))
    }

    /// An HMAC key: the one kind whose verifier could also sign, so it is only made from a signing key.
    pub(super) fn hmac(secret: &[u8]) -> Result<(Self, hmac::Key), KeyError> {
        if secret.len() < HMAC_SECRET_BYTES_MIN {
            return Err(KeyError::SecretTooShort);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        // The name must not tell more about the secret than a signature does, so it is one.
        let tag = hmac::sign(&key, b"stylobate:key-id");
        let mut thumbprint = [0; 32];
        thumbprint.copy_from_slice(tag.as_ref());
        let kid = Kid::from_thumbprint(&thumbprint);
        let material = Material::Hmac(key.clone());
        Ok((Self { kid, algorithm: SigningAlgorithm::Hs256, thumbprint, material }, key))
    }

    fn public(
        algorithm: SigningAlgorithm,
        scheme: &'static dyn signature::VerificationAlgorithm,
        public_key: &[u8],
        thumbprint: [u8; 32],
    ) -> Self {
        let kid = Kid::from_thumbprint(&thumbprint);
        let material = Material::Public(signature::UnparsedPublicKey::new(scheme, public_key.into()));
        Self { kid, algorithm, thumbprint, material }
    }

    /// The same key under another name.
    #[must_use]
    pub fn with_kid(mut self, kid: Kid) -> Self {
        self.kid = kid;
        self
    }

    /// The key's name.
    #[must_use]
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The only algorithm the key is for.
    #[must_use]
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    /// Whether `signature` is this key's signature of `message`.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Public(key) => key.verify(message, signature).is_ok(),
            // Constant time, and only for a tag of full length.
            Material::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }

    /// The public key's bytes as its algorithm defines them; empty for an HMAC key, which has no public half.
    #[cfg(feature = "sql")]
    pub(super) fn public_key(&self) -> &[u8] {
        match &self.material {
            Material::Public(key) => key.as_ref(),
            Material::Hmac(_) => &[],
        }
    }
}

/// Two keys are the same when name, algorithm and key material are.
impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.kid == other.kid && self.algorithm == other.algorithm && self.thumbprint == other.thumbprint
    }
}

impl Eq for VerifyingKey {}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Holds the size of an RSA modulus (big-endian, without leading zeros) against the bounds.
pub(super) fn check_rsa_bits(modulus: &[u8]) -> Result<(), KeyError> {
    let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
    match bits {
        ..RSA_BITS_MIN => Err(KeyError::RsaTooSmall),
        RSA_BITS_MIN..=RSA_BITS_MAX => Ok(()),
        _ => Err(KeyError::Rejected),
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ed25519_key_has_the_thumbprint_of_rfc_8037_appendix_a3() {
        let x = BASE64_URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let key = VerifyingKey::ed25519(&x.try_into().unwrap());
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(key.thumbprint);
        assert_eq!(thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(key.kid().as_str(), &thumbprint[..22]);
    }

    #[test]
    fn an_hmac_secret_under_32_bytes_is_no_key() {
        // C2: an empty secret is one of them.
        for length in [0, 1, 16, 31] {
            assert!(
                matches!(VerifyingKey::hmac(&vec![7; length]), Err(KeyError::SecretTooShort)),
                "{length}"
            );
        }
        assert!(VerifyingKey::hmac(&[7; 32]).is_ok());
    }
}
