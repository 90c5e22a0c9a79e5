#[cfg(feature = "sql")]
use ring::hmac;

#[cfg(feature = "sql")]
use crate::key::PlatformSecret;

/// Keys the digests of everything that is looked up by digest, so that a copy of the database alone lets nobody test
/// guesses against it. Each use has a label of its own: a digest of one is never a digest of another.
#[cfg(feature = "sql")]
#[derive(Clone)]
pub(crate) struct Pepper(hmac::Key);

#[cfg(feature = "sql")]
impl Pepper {
    pub(crate) fn new(secret: &PlatformSecret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
    }

    /// HMAC-SHA256 over `label`, a zero byte, and `data`. Labels contain no zero byte, so the pair is unambiguous.
    pub(crate) fn digest(&self, label: &'static str, data: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(label.as_bytes());
        context.update(&[0]);
        context.update(data);
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

/// Whether two byte strings are equal, in a time that depends on their lengths alone.
pub(crate) fn equal(one: &[u8], other: &[u8]) -> bool {
    // No early exit. What is compared are keyed digests, so even a leak of their common prefix would not help to forge.
    one.len() == other.len() && one.iter().zip(other).fold(0_u8, |sum, (a, b)| sum | (a ^ b)) == 0
}
