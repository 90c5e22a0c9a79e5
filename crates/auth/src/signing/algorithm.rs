use crate::SigningAlgorithm;

/// What the HTTP Signature Algorithms registry calls an algorithm (RFC 9421 §6.2); `None` for one that it does not have.
pub(super) fn registered_name(algorithm: SigningAlgorithm) -> Option<&'static str> {
    match algorithm {
        SigningAlgorithm::EdDsa => Some("ed25519"),
        SigningAlgorithm::Es256 => Some("ecdsa-p256-sha256"),
        SigningAlgorithm::Es384 => Some("ecdsa-p384-sha384"),
        SigningAlgorithm::Ps512 => Some("rsa-pss-sha512"),
        SigningAlgorithm::Rs256 => Some("rsa-v1_5-sha256"),
        SigningAlgorithm::Hs256 => Some("hmac-sha256"),
        SigningAlgorithm::Ps256
        | SigningAlgorithm::Ps384
        | SigningAlgorithm::Hs384
        | SigningAlgorithm::Hs512 => None,
    }
}
