use std::{fmt, str::FromStr};

use super::KeyError;

/// A signature algorithm for tokens (RFC 7518 §3, RFC 8037 §3.1). There is no `none` here, in any spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum SigningAlgorithm {
    /// Ed25519 (`EdDSA`). The default: small, fast, nothing to configure.
    #[default]
    EdDsa,
    /// ECDSA with P-256 and SHA-256 (`ES256`), for consumers without EdDSA.
    Es256,
    /// ECDSA with P-384 and SHA-384 (`ES384`).
    Es384,
    /// RSASSA-PSS with SHA-256 (`PS256`), with the same keys as `RS256`.
    Ps256,
    /// RSASSA-PSS with SHA-384 (`PS384`).
    Ps384,
    /// RSASSA-PSS with SHA-512 (`PS512`).
    Ps512,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (`RS256`), for consumers that know nothing else.
    Rs256,
    /// HMAC with SHA-256 (`HS256`). Whoever can verify can also sign: for a single service only.
    Hs256,
    /// HMAC with SHA-384 (`HS384`).
    Hs384,
    /// HMAC with SHA-512 (`HS512`).
    Hs512,
}

/// What kind of key an algorithm needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Ed25519,
    Ec,
    Rsa,
    Hmac,
}

impl SigningAlgorithm {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::EdDsa,
        Self::Es256,
        Self::Es384,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Rs256,
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
    ];

    /// The value of `alg`, exactly as RFC 7518 and RFC 8037 spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    /// Whether the key is a secret that signer and verifier share.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        matches!(self.family(), Family::Hmac)
    }

    /// Whether the platform makes such keys itself. Others come from an operator: RSA keys take seconds to make, and a
    /// shared secret that nobody knows could not be shared.
    #[must_use]
    pub const fn is_generated(self) -> bool {
        matches!(self.family(), Family::Ed25519 | Family::Ec)
    }

    /// The shortest secret of an HMAC: as long as the digest (RFC 7518 §3.2). `None` for the others.
    #[must_use]
    pub const fn secret_bytes_min(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            _ => None,
        }
    }

    pub(super) const fn family(self) -> Family {
        match self {
            Self::EdDsa => Family::Ed25519,
            Self::Es256 | Self::Es384 => Family::Ec,
            Self::Ps256 | Self::Ps384 | Self::Ps512 | Self::Rs256 => Family::Rsa,
            Self::Hs256 | Self::Hs384 | Self::Hs512 => Family::Hmac,
        }
    }
}

impl fmt::Display for SigningAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SigningAlgorithm {
    type Err = KeyError;

    /// Reads the exact spelling: `alg` is case-sensitive (RFC 7515 §4.1.1).
    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text).ok_or(KeyError::AlgorithmUnknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_spellings_are_algorithms() {
        for algorithm in
            ["EdDSA", "ES256", "ES384", "PS256", "PS384", "PS512", "RS256", "HS256", "HS384", "HS512"]
        {
            assert_eq!(algorithm.parse::<SigningAlgorithm>().unwrap().to_string(), algorithm);
        }
        for other in
            ["none", "None", "NONE", "nOnE", "", " ", "hs256", "eddsa", "HS256 ", "ES256K", "RS1", "RS384"]
        {
            assert!(other.parse::<SigningAlgorithm>().is_err(), "{other}"); // C2
        }
    }

    #[test]
    fn a_shared_secret_is_never_generated() {
        for algorithm in SigningAlgorithm::ALL {
            assert_eq!(algorithm.is_symmetric(), algorithm.secret_bytes_min().is_some(), "{algorithm}");
            assert!(!(algorithm.is_symmetric() && algorithm.is_generated()), "{algorithm}");
        }
    }
}
