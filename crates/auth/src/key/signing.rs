use std::fmt;

use ring::{
    hmac,
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use zeroize::Zeroizing;

use super::{
    KeyError, Kid, SigningAlgorithm, VerifyingKey, algorithm::Family, der, pem, pem::PemKey, public::Curve,
};

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
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair, &'static dyn signature::RsaEncoding),
    Hmac(hmac::Key),
}

impl SigningKey {
    fn generate_ed25519() -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| KeyError::RandomnessUnavailable)?;
        let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
        Ok((Self::ed25519_from_pkcs8(&pkcs8)?, pkcs8))
    }

    /// PKCS#8 (RFC 8410 §7), with or without the public half.
    fn ed25519_from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| KeyError::Rejected)?;
        let public_key = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Rejected)?;
        Ok(Self { verifying: VerifyingKey::ed25519(public_key)?, material: Material::Ed25519(pair) })
    }

    /// Makes a new key for `algorithm`, which is `EdDSA`, `ES256` or `ES384`, and returns it with its PKCS#8 form,
    /// which is what a store seals and keeps.
    ///
    /// # Errors
    /// [`KeyError::NotGenerated`] for the other algorithms, [`KeyError::RandomnessUnavailable`].
    pub fn generate(algorithm: SigningAlgorithm) -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        match algorithm.family() {
            Family::Ed25519 => Self::generate_ed25519(),
            Family::Ec => {
                let curve = Curve::of(algorithm).ok_or(KeyError::NotGenerated(algorithm))?;
                let document = EcdsaKeyPair::generate_pkcs8(curve.signing, &SystemRandom::new())
                    .map_err(|_| KeyError::RandomnessUnavailable)?;
                let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
                Ok((Self::from_pkcs8(algorithm, &pkcs8)?, pkcs8))
            }
            Family::Rsa | Family::Hmac => Err(KeyError::NotGenerated(algorithm)),
        }
    }

    /// Reads the key for `algorithm` from PKCS#8. It is named by the thumbprint of its public key.
    ///
    /// # Errors
    /// [`KeyError::AlgorithmMismatch`] when it is of another kind, [`KeyError::RsaTooSmall`] under 2,048 bits,
    /// [`KeyError::Rejected`] when it is damaged.
    pub fn from_pkcs8(algorithm: SigningAlgorithm, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let mismatch = KeyError::AlgorithmMismatch(algorithm);
        match algorithm.family() {
            Family::Ed25519 => {
                let is_other = der::rsa_pkcs8(pkcs8).is_some()
                    || [der::P256, der::P384].iter().any(|curve| der::is_ec_pkcs8(pkcs8, curve));
                if is_other { Err(mismatch) } else { Self::ed25519_from_pkcs8(pkcs8) }
            }
            Family::Ec => {
                let curve = Curve::of(algorithm).filter(|curve| der::is_ec_pkcs8(pkcs8, curve.oid));
                let curve = curve.ok_or(mismatch)?;
                let pair = EcdsaKeyPair::from_pkcs8(curve.signing, pkcs8, &SystemRandom::new());
                Self::ecdsa(algorithm, pair.map_err(|_| KeyError::Rejected)?)
            }
            Family::Rsa => Self::rsa(algorithm, der::rsa_pkcs8(pkcs8).ok_or(mismatch)?),
            Family::Hmac => Err(mismatch),
        }
    }

    /// A shared secret for `HS256`, `HS384` or `HS512`, at least as long as the digest: 32, 48 or 64 bytes (RFC 7518
    /// §3.2). It is named by a value derived from it.
    ///
    /// # Errors
    /// [`KeyError::SecretTooShort`], [`KeyError::AlgorithmMismatch`] for another algorithm.
    pub fn hmac(algorithm: SigningAlgorithm, secret: &[u8]) -> Result<Self, KeyError> {
        let (verifying, key) = VerifyingKey::hmac(algorithm, secret)?;
        Ok(Self { verifying, material: Material::Hmac(key) })
    }

    /// Reads the private key for `algorithm` from a PEM text: `PRIVATE KEY` (PKCS#8), `RSA PRIVATE KEY` (PKCS#1) or `EC
    /// PRIVATE KEY` (SEC 1, with its public half). Line breaks may be written as `\n`. The key is named by its
    /// thumbprint (RFC 7638), so every process that is given the same key gives it the same name.
    ///
    /// RSA keys have 2,048 to 4,096 bits and a public exponent of at least 65,537.
    ///
    /// # Errors
    /// [`KeyError::PemInvalid`] and [`KeyError::AlgorithmMismatch`] for another kind of text or key,
    /// [`KeyError::RsaTooSmall`] under 2,048 bits, [`KeyError::Rejected`] when it is damaged.
    pub fn from_pem(algorithm: SigningAlgorithm, pem: &str) -> Result<Self, KeyError> {
        let mismatch = KeyError::AlgorithmMismatch(algorithm);
        if algorithm.is_symmetric() {
            return Err(mismatch);
        }
        match (algorithm.family(), pem::parse(pem)?) {
            (_, PemKey::Spki(_) | PemKey::RsaPublic(_)) => Err(KeyError::PemInvalid),
            (_, PemKey::Pkcs8(der)) => Self::from_pkcs8(algorithm, &der),
            (Family::Rsa, PemKey::RsaPrivate(der)) => Self::rsa(algorithm, &der),
            (Family::Ec, PemKey::EcPrivate(der)) => Self::ec_from_sec1(algorithm, &der),
            (_, PemKey::RsaPrivate(_) | PemKey::EcPrivate(_)) => Err(mismatch),
        }
    }

    /// An RSAPrivateKey (RFC 8017 appendix A.1.2).
    fn rsa(algorithm: SigningAlgorithm, private_key: &[u8]) -> Result<Self, KeyError> {
        let encoding: &'static dyn signature::RsaEncoding = match algorithm {
            SigningAlgorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
            SigningAlgorithm::Ps256 => &signature::RSA_PSS_SHA256,
            SigningAlgorithm::Ps384 => &signature::RSA_PSS_SHA384,
            SigningAlgorithm::Ps512 => &signature::RSA_PSS_SHA512,
            _ => return Err(KeyError::AlgorithmMismatch(algorithm)),
        };
        let modulus = der::rsa_private_modulus(private_key).ok_or(KeyError::Rejected)?;
        super::public::check_rsa_bits(modulus)?;
        let pair = RsaKeyPair::from_der(private_key).map_err(|_| KeyError::Rejected)?;
        let verifying = VerifyingKey::rsa(algorithm, pair.public_key().as_ref())?;
        Ok(Self { verifying, material: Material::Rsa(pair, encoding) })
    }

    /// An ECPrivateKey (RFC 5915). Its public half has to be there: ring checks that both belong together.
    fn ec_from_sec1(algorithm: SigningAlgorithm, sec1: &[u8]) -> Result<Self, KeyError> {
        let mismatch = || KeyError::AlgorithmMismatch(algorithm);
        let curve = Curve::of(algorithm).ok_or_else(mismatch)?;
        let key = der::ec_private_key(sec1).ok_or(KeyError::Rejected)?;
        if key.curve.is_some_and(|oid| oid != curve.oid) || key.secret.len() != curve.scalar_bytes {
            return Err(mismatch());
        }
        let point = key.point.ok_or(KeyError::Rejected)?;
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(curve.signing, key.secret, point, &random);
        Self::ecdsa(algorithm, pair.map_err(|_| KeyError::Rejected)?)
    }

    fn ecdsa(algorithm: SigningAlgorithm, pair: EcdsaKeyPair) -> Result<Self, KeyError> {
        let verifying = VerifyingKey::ec(algorithm, pair.public_key().as_ref())?;
        Ok(Self { verifying, material: Material::Ecdsa(pair) })
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
    /// [`KeyError::RandomnessUnavailable`]: the blinding of RSA and the nonce of ECDSA need randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.material {
            Material::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Material::Ecdsa(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                Ok(signature.map_err(|_| KeyError::RandomnessUnavailable)?.as_ref().to_vec())
            }
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
