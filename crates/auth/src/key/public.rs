use std::{fmt, sync::Arc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{digest, hmac, signature};

use super::{Jwk, KeyError, Kid, SigningAlgorithm, algorithm::Family, der, edwards, pem, pem::PemKey};

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
    /// The header of the tokens that this key signs, encoded: always the same text.
    header: Arc<str>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Public(signature::UnparsedPublicKey<Box<[u8]>>),
    Hmac(hmac::Key),
}

impl VerifyingKey {
    /// An Ed25519 public key (RFC 8032 §5.1.5), named by its thumbprint.
    ///
    /// # Errors
    /// [`KeyError::Rejected`] for a point of small order, under which signatures can be made without a private key, and for one that is
    /// not written in the one way of RFC 8032 §5.1.3.
    pub fn ed25519(public_key: &[u8; 32]) -> Result<Self, KeyError> {
        if !edwards::is_sound(public_key) {
            return Err(KeyError::Rejected);
        }
        let x = BASE64_URL_SAFE_NO_PAD.encode(public_key);
        // The required members in lexicographic order (RFC 8037 appendix A.3).
        let thumbprint = sha256(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#).as_bytes());
        Ok(Self::public(SigningAlgorithm::EdDsa, &signature::ED25519, public_key, thumbprint))
    }

    /// Reads the public key for `algorithm` from a PEM text: `PUBLIC KEY` (RFC 5280) or `RSA PUBLIC KEY` (PKCS#1).
    /// Line breaks may be written as `\n`. The key is named by its thumbprint (RFC 7638).
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
            (_, PemKey::Pkcs8(_) | PemKey::RsaPrivate(_) | PemKey::EcPrivate(_)) => Err(KeyError::PemInvalid),
            (Family::Ed25519, PemKey::Spki(spki)) => {
                let key = spki.strip_prefix(&der::ED25519_SPKI_PREFIX).and_then(|key| key.try_into().ok());
                key.map(Self::ed25519).ok_or(mismatch)?
            }
            (Family::Ec, PemKey::Spki(spki)) => {
                let curve = Curve::of(algorithm).ok_or(KeyError::AlgorithmMismatch(algorithm))?;
                Self::ec(algorithm, der::ec_spki(&spki, curve.oid).ok_or(mismatch)?)
            }
            (Family::Rsa, PemKey::Spki(spki)) => Self::rsa(algorithm, der::rsa_spki(&spki).ok_or(mismatch)?),
            (Family::Rsa, PemKey::RsaPublic(public_key)) => Self::rsa(algorithm, &public_key),
            (Family::Ed25519 | Family::Ec, PemKey::RsaPublic(_)) | (Family::Hmac, _) => Err(mismatch),
        }
    }

    /// An RSA public key as PKCS#1 DER.
    pub(super) fn rsa(algorithm: SigningAlgorithm, public_key: &[u8]) -> Result<Self, KeyError> {
        let scheme: &'static signature::RsaParameters = match algorithm {
            SigningAlgorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            SigningAlgorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            SigningAlgorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            SigningAlgorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            _ => return Err(KeyError::AlgorithmMismatch(algorithm)),
        };
        let (modulus, exponent) = der::rsa_public_key(public_key).ok_or(KeyError::Rejected)?;
        check_rsa_bits(modulus)?;
        let is_even = |number: &[u8]| number.last().is_none_or(|byte| byte % 2 == 0);
        // An exponent of 1 would make every message its own signature; ring takes at most 33 bits.
        if is_even(modulus) || is_even(exponent) || exponent == [1] || exponent.len() > 5 {
            return Err(KeyError::Rejected);
        }
        let (e, n) = (BASE64_URL_SAFE_NO_PAD.encode(exponent), BASE64_URL_SAFE_NO_PAD.encode(modulus));
        let thumbprint = sha256(format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#).as_bytes());
        Ok(Self::public(algorithm, scheme, public_key, thumbprint))
    }

    /// A point of the algorithm's curve in the uncompressed form (SEC 1 §2.3.3). That it lies on the curve is checked at
    /// each use: a point beside it verifies nothing.
    pub(super) fn ec(algorithm: SigningAlgorithm, point: &[u8]) -> Result<Self, KeyError> {
        let curve = Curve::of(algorithm).ok_or(KeyError::AlgorithmMismatch(algorithm))?;
        let (x, y) = curve.coordinates(point).ok_or(KeyError::Rejected)?;
        let (x, y) = (BASE64_URL_SAFE_NO_PAD.encode(x), BASE64_URL_SAFE_NO_PAD.encode(y));
        let members = format!(r#"{{"crv":"{}","kty":"EC","x":"{x}","y":"{y}"}}"#, curve.name);
        // RFC 7518 §3.4: the signature is r and s side by side, each as long as the curve's order, and not their DER.
        Ok(Self::public(algorithm, curve.scheme, point, sha256(members.as_bytes())))
    }

    /// An HMAC key: the one kind whose verifier could also sign, so it is only made from a signing key.
    pub(super) fn hmac(algorithm: SigningAlgorithm, secret: &[u8]) -> Result<(Self, hmac::Key), KeyError> {
        let hash = match algorithm {
            SigningAlgorithm::Hs256 => hmac::HMAC_SHA256,
            SigningAlgorithm::Hs384 => hmac::HMAC_SHA384,
            SigningAlgorithm::Hs512 => hmac::HMAC_SHA512,
            _ => return Err(KeyError::AlgorithmMismatch(algorithm)),
        };
        if algorithm.secret_bytes_min().is_none_or(|least| secret.len() < least) {
            return Err(KeyError::SecretTooShort);
        }
        let key = hmac::Key::new(hash, secret);
        // The name must not tell more about the secret than a signature does, so it is one.
        let tag = hmac::sign(&key, b"stylobate:key-id");
        let thumbprint = *tag.as_ref().first_chunk::<32>().ok_or(KeyError::Rejected)?;
        Ok((Self::new(algorithm, thumbprint, Material::Hmac(key.clone())), key))
    }

    fn public(
        algorithm: SigningAlgorithm,
        scheme: &'static dyn signature::VerificationAlgorithm,
        public_key: &[u8],
        thumbprint: [u8; 32],
    ) -> Self {
        let material = Material::Public(signature::UnparsedPublicKey::new(scheme, public_key.into()));
        Self::new(algorithm, thumbprint, material)
    }

    fn new(algorithm: SigningAlgorithm, thumbprint: [u8; 32], material: Material) -> Self {
        let kid = Kid::from_thumbprint(&thumbprint);
        let header = crate::token::encoded_header(algorithm, &kid).into();
        Self { kid, algorithm, thumbprint, header, material }
    }

    /// The same key under another name.
    #[must_use]
    pub fn with_kid(mut self, kid: Kid) -> Self {
        self.header = crate::token::encoded_header(self.algorithm, &kid).into();
        self.kid = kid;
        self
    }

    /// The same key under its thumbprint (RFC 7638), which is its name unless it was given another.
    #[cfg(test)]
    pub(super) fn named_by_thumbprint(self) -> Self {
        let kid = Kid::from_thumbprint(&self.thumbprint);
        self.with_kid(kid)
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

    /// The key as a JSON Web Key (RFC 7517) for whoever checks its signatures; `None` for an HMAC key, which has no half
    /// that may be shown.
    #[must_use]
    pub fn to_jwk(&self) -> Option<Jwk> {
        let encode = |bytes: &[u8]| Some(BASE64_URL_SAFE_NO_PAD.encode(bytes));
        let key = self.public_key();
        let mut jwk = Jwk::for_signatures(self.algorithm, &self.kid);
        match self.algorithm.family() {
            Family::Ed25519 => {
                jwk.kty = "OKP".to_owned();
                jwk.crv = Some("Ed25519".to_owned());
                jwk.x = encode(key);
            }
            Family::Ec => {
                let curve = Curve::of(self.algorithm)?;
                let (x, y) = curve.coordinates(key)?;
                jwk.kty = "EC".to_owned();
                jwk.crv = Some(curve.name.to_owned());
                (jwk.x, jwk.y) = (encode(x), encode(y));
            }
            Family::Rsa => {
                let (modulus, exponent) = der::rsa_public_key(key)?;
                jwk.kty = "RSA".to_owned();
                (jwk.n, jwk.e) = (encode(modulus), encode(exponent));
            }
            Family::Hmac => return None,
        }
        Some(jwk)
    }

    /// The header of the tokens that this key signs, encoded.
    pub(crate) fn header(&self) -> &str {
        &self.header
    }

    /// The public key's bytes as its algorithm defines them; empty for an HMAC key, which has no public half.
    pub(super) fn public_key(&self) -> &[u8] {
        match &self.material {
            Material::Public(key) => key.as_ref(),
            Material::Hmac(_) => &[],
        }
    }
}

/// What an elliptic curve is called, and how it verifies.
pub(super) struct Curve {
    pub(super) name: &'static str,
    pub(super) oid: &'static [u8],
    pub(super) scalar_bytes: usize,
    scheme: &'static signature::EcdsaVerificationAlgorithm,
    pub(super) signing: &'static signature::EcdsaSigningAlgorithm,
}

impl Curve {
    /// The one curve of `algorithm` (RFC 7518 §3.4 ties them together).
    pub(super) fn of(algorithm: SigningAlgorithm) -> Option<Self> {
        match algorithm {
            SigningAlgorithm::Es256 => Some(Self {
                name: "P-256",
                oid: der::P256,
                scalar_bytes: 32,
                scheme: &signature::ECDSA_P256_SHA256_FIXED,
                signing: &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            }),
            SigningAlgorithm::Es384 => Some(Self {
                name: "P-384",
                oid: der::P384,
                scalar_bytes: 48,
                scheme: &signature::ECDSA_P384_SHA384_FIXED,
                signing: &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            }),
            _ => None,
        }
    }

    /// The two halves of an uncompressed point.
    fn coordinates<'a>(&self, point: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let both = point.strip_prefix(&[0x04]).filter(|both| both.len() == 2 * self.scalar_bytes)?;
        both.split_at_checked(self.scalar_bytes)
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
        let key = VerifyingKey::ed25519(&x.try_into().unwrap()).unwrap();
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(key.thumbprint);
        assert_eq!(thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(key.kid().as_str(), &thumbprint[..22]);
    }

    #[test]
    fn an_hmac_secret_shorter_than_its_digest_is_no_key() {
        // C2: an empty secret is one of them.
        for (algorithm, least) in
            [(SigningAlgorithm::Hs256, 32), (SigningAlgorithm::Hs384, 48), (SigningAlgorithm::Hs512, 64)]
        {
            for length in [0, 1, 16, 31, least - 1] {
                let refused = VerifyingKey::hmac(algorithm, &vec![7; length]);
                assert!(matches!(refused, Err(KeyError::SecretTooShort)), "{algorithm} {length}");
            }
            assert!(VerifyingKey::hmac(algorithm, &vec![7; least]).is_ok());
        }
    }
}
