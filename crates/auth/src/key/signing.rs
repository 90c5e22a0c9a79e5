use std::fmt;

use ring::{
    hmac,
    rand::SystemRandom,
    signature::{self, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use zeroize::Zeroizing;

use super::{KeyError, Kid, SigningAlgorithm, VerifyingKey, der, pem, pem::PemKey};

/// A key that signs with exactly one algorithm.
///
/// It is parsed and checked when it is made, so signing neither parses nor fails for reasons that could have been
/// found at the start.
pub struct SigningKey {
    verifying: VerifyingKey,
    material: Material,
}

enum Material {
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair, &'static dyn signature::RsaEncoding),
    Hmac(hmac::Key),
}

impl SigningKey {
    /// Makes a new Ed25519 key and returns it with its PKCS#8 form, which is what a store seals and keeps.
    ///
    /// # Errors
    /// [`KeyError::RandomnessUnavailable`].
    pub fn generate_ed25519() -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| KeyError::RandomnessUnavailable)?;
        let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
        Ok((Self::ed25519_from_pkcs8(&pkcs8)?, pkcs8))
    }

    /// Reads an Ed25519 key from PKCS#8 (RFC 8410 §7), with or without its public half. It is named by the thumbprint
    /// of its public key.
    ///
    /// # Errors
    /// [`KeyError::Rejected`] when it is damaged or of another kind.
    pub fn ed25519_from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| KeyError::Rejected)?;
        let public_key = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Rejected)?;
        Ok(Self { verifying: VerifyingKey::ed25519(public_key), material: Material::Ed25519(pair) })
    }

    /// A shared secret for `HS256`, of at least 32 bytes (RFC 7518 §3.2). It is named by a value derived from it.
    ///
    /// # Errors
    /// [`KeyError::SecretTooShort`].
    pub fn hs256(secret: &[u8]) -> Result<Self, KeyError> {
        let (verifying, key) = VerifyingKey::hmac(secret)?;
        Ok(Self { verifying, material: Material::Hmac(key) })
    }

    /// Reads the private key for `algorithm` from a PEM text: `PRIVATE KEY` (PKCS#8) or `RSA PRIVATE KEY` (PKCS#1).
    /// Line breaks may be written as `\n`. The key is named by its thumbprint (RFC 7638), so every process that is
    /// given the same key gives it the same name.
    ///
    /// RSA keys have 2,048 to 4,096 bits and a public exponent of at least 65,537.
    ///
    /// # Errors
    /// [`KeyError::PemInvalid`] and [`KeyError::AlgorithmMismatch`] for another kind of text or key,
    /// [`KeyError::RsaTooSmall`] under 2,048 bits, [`KeyError::Rejected`] when it is damaged.
    pub fn from_pem(algorithm: SigningAlgorithm, pem: &str) -> Result<Self, KeyError> {
        let encoding: &'static dyn signature::RsaEncoding = match algorithm {
            SigningAlgorithm::EdDsa => {
                return match pem::parse(pem)? {
                    PemKey::Pkcs8(der) if der::rsa_pkcs8(&der).is_some() => {
                        Err(KeyError::AlgorithmMismatch(algorithm))
                    }
                    PemKey::Pkcs8(der) => Self::ed25519_from_pkcs8(&der),
                    PemKey::RsaPrivate(_) => Err(KeyError::AlgorithmMismatch(algorithm)),
                    PemKey::Spki(_) | PemKey::RsaPublic(_) => Err(KeyError::PemInvalid),
                };
            }
            SigningAlgorithm::Hs256 => return Err(KeyError::AlgorithmMismatch(algorithm)),
            SigningAlgorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
            SigningAlgorithm::Ps256 => &signature::RSA_PSS_SHA256,
        };
        let private_key = match pem::parse(pem)? {
            PemKey::Pkcs8(der) => {
                let inner = der::rsa_pkcs8(&der).ok_or(KeyError::AlgorithmMismatch(algorithm))?;
                Zeroizing::new(inner.to_vec())
            }
            PemKey::RsaPrivate(der) => der,
            PemKey::Spki(_) | PemKey::RsaPublic(_) => return Err(KeyError::PemInvalid),
        };
        let modulus = der::rsa_private_modulus(&private_key).ok_or(KeyError::Rejected)?;
        super::public::check_rsa_bits(modulus)?;
        let pair = RsaKeyPair::from_der(&private_key).map_err(|_| KeyError::Rejected)?;
        let verifying = VerifyingKey::rsa(algorithm, pair.public_key().as_ref())?;
        Ok(Self { verifying, material: Material::Rsa(pair, encoding) })
    }

    /// The same key under another name.
    #[must_use]
    pub fn with_kid(mut self, kid: Kid) -> Self {
        self.verifying = self.verifying.with_kid(kid);
        self
    }

    /// The key's name.
    #[must_use]
    pub fn kid(&self) -> &Kid {
        self.verifying.kid()
    }

    /// The only algorithm the key is for.
    #[must_use]
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.verifying.algorithm()
    }

    /// The half that checks what this key signs.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// Signs `message`.
    ///
    /// # Errors
    /// [`KeyError::RandomnessUnavailable`], for RSA only: its blinding needs randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.material {
            Material::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Material::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Material::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(*encoding, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| KeyError::RandomnessUnavailable)?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", self.kid())
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}
