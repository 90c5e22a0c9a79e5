use stylobate_core::SealError;

use super::SigningAlgorithm;

/// Keys could not be made, read or kept. All of these stop a start or a reload; none belongs to a caller's request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The name is none of the supported algorithms.
    #[error(
        "unknown signing algorithm; supported are EdDSA, ES256, ES384, PS256, PS384, PS512, RS256, HS256, HS384 and HS512"
    )]
    AlgorithmUnknown,
    /// The key is sound but made for another algorithm.
    #[error("the key does not fit the algorithm {0}")]
    AlgorithmMismatch(SigningAlgorithm),
    /// The HMAC secret is shorter than its digest (RFC 7518 §3.2).
    #[error("an HMAC secret is at least as long as its digest: 32, 48 or 64 bytes")]
    SecretTooShort,
    /// The RSA modulus has under 2,048 bits (RFC 7518 §3.3).
    #[error("an RSA key needs at least 2048 bits")]
    RsaTooSmall,
    /// The text is no PEM with a key of a known kind. Encrypted keys are not supported.
    #[error("not a PEM text with a supported key")]
    PemInvalid,
    /// The key is damaged, or its parts do not belong together.
    #[error("the key is malformed or inconsistent")]
    Rejected,
    /// A key id is empty, longer than 64 characters or has characters outside `A-Z a-z 0-9 . _ -`.
    #[error("a key id has 1 to 64 characters of A-Z, a-z, 0-9, `.`, `_`, `-`")]
    KidInvalid,
    /// Two different keys have the same id.
    #[error("two different keys share one key id")]
    KidDuplicate,
    /// The key-encryption key is not 32 bytes in base64 or hexadecimal, or has no entropy.
    #[error("a key-encryption key is 32 random bytes in base64 or hexadecimal")]
    KekInvalid,
    /// The file of the key-encryption key can be read by others than its owner.
    #[error("the key-encryption key's file must be readable by its owner only (mode 0600)")]
    KekFilePermissions,
    /// The file of the key-encryption key could not be read or made.
    #[error("the key-encryption key's file could not be read or made")]
    KekFile(#[source] std::io::Error),
    /// What the database holds was sealed by another key-encryption key.
    #[error("the key-encryption key does not open the sealed keys of this database")]
    KekMismatch,
    /// The sealer can not be used at the moment.
    #[error("the sealer is unavailable")]
    SealerUnavailable(#[source] SealError),
    /// A row of `signing_keys` or `sealed_secrets` opens, but does not hold what it should.
    #[error("the row `{id}` of `{table}` is corrupt")]
    RowCorrupt {
        /// The table.
        table: &'static str,
        /// Its key.
        id: String,
    },
    /// The algorithm's keys are not made by the platform.
    #[error("keys of {0} are not generated; they come from an operator")]
    NotGenerated(SigningAlgorithm),
    /// A key that will sign has been published already and is not due yet.
    #[error("a new key has been published and is not due yet")]
    RotationPending,
    /// Somebody else has added a key at the same moment; nothing was changed.
    #[error("another key was made at the same moment; look at the keys and repeat what is still wanted")]
    RotationConcurrent,
    /// The key ring has no key of that id.
    #[error("the key ring has no key of that id")]
    KeyUnknown,
    /// The key ring has no key that may sign now.
    #[error("the key ring has no key that may sign now")]
    SigningKeyMissing,
    /// The system's source of randomness does not answer.
    #[error("the system's source of randomness does not answer")]
    RandomnessUnavailable,
    /// The database could not be used.
    #[cfg(feature = "sql")]
    #[error("the key store could not be used")]
    Db(#[from] stylobate_db::Error),
}

impl KeyError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::AlgorithmUnknown => "signing_algorithm_unknown",
            Self::AlgorithmMismatch(_) => "signing_algorithm_mismatch",
            Self::SecretTooShort => "hmac_secret_too_short",
            Self::RsaTooSmall => "rsa_key_too_small",
            Self::PemInvalid => "key_pem_invalid",
            Self::Rejected => "key_rejected",
            Self::KidInvalid => "key_id_invalid",
            Self::KidDuplicate => "key_id_duplicate",
            Self::KekInvalid => "kek_invalid",
            Self::KekFilePermissions => "kek_file_permissions",
            Self::KekFile(_) => "kek_file_unusable",
            Self::KekMismatch => "kek_mismatch",
            Self::SealerUnavailable(_) => "sealer_unavailable",
            Self::RowCorrupt { .. } => "key_row_corrupt",
            Self::NotGenerated(_) => "signing_key_not_generated",
            Self::RotationPending => "key_rotation_pending",
            Self::RotationConcurrent => "key_rotation_concurrent",
            Self::KeyUnknown => "signing_key_unknown",
            Self::SigningKeyMissing => "signing_key_missing",
            Self::RandomnessUnavailable => "randomness_unavailable",
            #[cfg(feature = "sql")]
            Self::Db(error) => error.code(),
        }
    }
}

#[cfg(feature = "sql")]
impl stylobate_db::TransactError for KeyError {
    fn as_db(&self) -> Option<&stylobate_db::Error> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }
}

impl From<SealError> for KeyError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Mismatch => Self::KekMismatch,
            other => Self::SealerUnavailable(other),
        }
    }
}
