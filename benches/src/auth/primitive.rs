//! The bare primitives with their keys, and how long a call of something takes.

use std::{hint::black_box, time::Instant};

use base64::Engine as _;
use ring::{hmac, signature};
use stylobate_auth::{SigningAlgorithm, SigningKey};

use crate::Result;

/// How long a contender works in a round.
pub(super) const ROUND_US: f64 = 20_000.0;

const RSA: &str = include_str!("../../../crates/auth/tests/it/keys/rfc7515_a2.pkcs8.pem");
pub(super) const RSA_PUBLIC: &str = include_str!("../../../crates/auth/tests/it/keys/rfc7515_a2.spki.pem");
const P256: &str = include_str!("../../../crates/auth/tests/it/keys/rfc7515_a3.pkcs8.pem");
pub(super) const P256_PUBLIC: &str = include_str!("../../../crates/auth/tests/it/keys/rfc7515_a3.spki.pem");
const P384: &str = include_str!("../../../crates/auth/tests/it/keys/rfc6979_a26.pkcs8.pem");
pub(super) const P384_PUBLIC: &str = include_str!("../../../crates/auth/tests/it/keys/rfc6979_a26.spki.pem");
const ED25519: &str = include_str!("../../../crates/auth/tests/it/keys/rfc8037_a1.pkcs8.pem");
pub(super) const ED25519_PUBLIC: &str =
    include_str!("../../../crates/auth/tests/it/keys/rfc8037_a1.spki.pem");
pub(super) const SECRET: &[u8] = b"a shared secret of more than sixty-four bytes, which HS512 asks for";

/// The primitive with its key as ring takes it, which is how our verifiers keep it too.
pub(super) enum Primitive {
    Public(signature::UnparsedPublicKey<Vec<u8>>),
    Hmac(hmac::Key),
}

impl Primitive {
    pub(super) fn new(algorithm: SigningAlgorithm) -> Result<Self> {
        let scheme: &'static dyn signature::VerificationAlgorithm = match algorithm {
            SigningAlgorithm::Hs256 => return Ok(Self::Hmac(hmac::Key::new(hmac::HMAC_SHA256, SECRET))),
            SigningAlgorithm::Hs384 => return Ok(Self::Hmac(hmac::Key::new(hmac::HMAC_SHA384, SECRET))),
            SigningAlgorithm::Hs512 => return Ok(Self::Hmac(hmac::Key::new(hmac::HMAC_SHA512, SECRET))),
            SigningAlgorithm::EdDsa => &signature::ED25519,
            SigningAlgorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            SigningAlgorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
            SigningAlgorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            SigningAlgorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            SigningAlgorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            SigningAlgorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        };
        let pem = match algorithm {
            SigningAlgorithm::EdDsa => ED25519_PUBLIC,
            SigningAlgorithm::Es256 => P256_PUBLIC,
            SigningAlgorithm::Es384 => P384_PUBLIC,
            _ => RSA_PUBLIC,
        };
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let spki = base64::prelude::BASE64_STANDARD.decode(body)?;
        // In each of these the key itself is the end of the structure; its head has a fixed length for its kind.
        let head = match algorithm {
            SigningAlgorithm::EdDsa => 12,
            SigningAlgorithm::Es256 => 26,
            SigningAlgorithm::Es384 => 23,
            _ => 24,
        };
        let key = spki.get(head..).ok_or("the key is too short")?.to_vec();
        Ok(Self::Public(signature::UnparsedPublicKey::new(scheme, key)))
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let (message, signature) = (black_box(message), black_box(signature));
        match self {
            Self::Public(key) => key.verify(message, signature).is_ok(),
            Self::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

/// The other half of the same key.
pub(super) fn signing_key(algorithm: SigningAlgorithm) -> Result<SigningKey> {
    Ok(match algorithm {
        SigningAlgorithm::EdDsa => SigningKey::from_pem(algorithm, ED25519)?,
        SigningAlgorithm::Es256 => SigningKey::from_pem(algorithm, P256)?,
        SigningAlgorithm::Es384 => SigningKey::from_pem(algorithm, P384)?,
        _ if algorithm.is_symmetric() => SigningKey::hmac(algorithm, SECRET)?,
        _ => SigningKey::from_pem(algorithm, RSA)?,
    })
}

/// Microseconds of one call.
pub(super) fn time(calls: usize, call: &dyn Fn(usize) -> bool) -> f64 {
    let begun = Instant::now();
    let good = (0..calls).filter(|n| call(*n)).count();
    let took = begun.elapsed().as_secs_f64() * 1e6 / calls as f64;
    if good == calls { took } else { f64::NAN }
}

/// How many calls take about this long.
pub(super) fn calls_in(us: f64, call: &dyn Fn(usize) -> bool) -> usize {
    let one = time(64, call).max(0.05);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let calls = (us / one) as usize;
    calls.max(16)
}
