use std::{fmt, str::FromStr};

use super::KeyError;

/// A signature algorithm for tokens (RFC 7518 §3, RFC 8037 §3.1). There is no `none` here, in any spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SigningAlgorithm {
    /// Ed25519 (`EdDSA`). The default: small, fast, nothing to configure.
    #[default]
    EdDsa,
    /// HMAC with SHA-256 (`HS256`). Whoever can verify can also sign: for a single service only.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (`RS256`), for consumers that know nothing else.
    Rs256,
    /// RSASSA-PSS with SHA-256 (`PS256`), with the same keys as `RS256`.
    Ps256,
}

impl SigningAlgorithm {
    /// The value of `alg`, exactly as RFC 7518 and RFC 8037 spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
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
        [Self::EdDsa, Self::Hs256, Self::Rs256, Self::Ps256]
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or(KeyError::AlgorithmUnknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_spellings_are_algorithms() {
        for algorithm in ["EdDSA", "HS256", "RS256", "PS256"] {
            assert_eq!(algorithm.parse::<SigningAlgorithm>().unwrap().to_string(), algorithm);
        }
        for other in ["none", "None", "NONE", "nOnE", "", " ", "hs256", "eddsa", "HS256 ", "ES256", "RS1"] {
            assert!(other.parse::<SigningAlgorithm>().is_err(), "{other}"); // C2
        }
    }
}
