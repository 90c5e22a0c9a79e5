use crate::KeyError;

/// Why a token was refused, or could not be issued.
///
/// This is for logs and tests. A caller whose token is refused only ever learns `unauthenticated`: which check failed
/// would help nobody but an attacker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Longer than 8 KiB.
    #[error("the token is longer than 8 KiB")]
    TooLong,
    /// Five parts: an encrypted token (JWE, RFC 7516), which is not supported.
    #[error("encrypted tokens are not supported")]
    Encrypted,
    /// Not three parts of canonical base64url that hold JSON objects.
    #[error("the token is malformed")]
    Malformed,
    /// A JSON object has a name twice, so two readers could see two different tokens.
    #[error("a name occurs twice in the token")]
    NameRepeated,
    /// A header parameter that must be understood and is not, or that would choose the key.
    #[error("the header parameter `{0}` is refused")]
    HeaderRefused(&'static str),
    /// `typ` is not that of the tokens that are asked for: `at+jwt` of access tokens, `service+jwt` of service tokens.
    #[error("the token is of another type")]
    TypeRefused,
    /// No `kid`, or none of the live keys.
    #[error("the token names no live key")]
    KeyUnknown,
    /// `alg` is not the algorithm of the key; `none` never is.
    #[error("the token's algorithm is not its key's")]
    AlgorithmRefused,
    /// The signature is not the key's.
    #[error("the signature is wrong")]
    SignatureWrong,
    /// A required claim is missing.
    #[error("the claim `{0}` is missing")]
    ClaimMissing(&'static str),
    /// A claim has another type or value than it may have.
    #[error("the claim `{0}` is not valid")]
    ClaimInvalid(&'static str),
    /// Another issuer.
    #[error("the token comes from another issuer")]
    IssuerRefused,
    /// For somebody else.
    #[error("the token is for another audience")]
    AudienceRefused,
    /// Made to live longer than configured.
    #[error("the token lives longer than allowed")]
    LifetimeRefused,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come, or it claims to be from the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The issuer's keys could not be had, or not for too long: nothing can be said about any token.
    #[error("the issuer's keys are not available")]
    KeysUnavailable,
    /// The present keys only verify.
    #[error("there is no key to sign with")]
    SigningKeyMissing,
    /// Signing itself failed.
    #[error("the token could not be signed")]
    Signing(#[source] KeyError),
}

impl TokenError {
    /// The stable code of the situation, for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "token_too_long",
            Self::Encrypted => "token_encrypted",
            Self::Malformed => "token_malformed",
            Self::NameRepeated => "token_name_repeated",
            Self::HeaderRefused(_) => "token_header_refused",
            Self::TypeRefused => "token_type_refused",
            Self::KeyUnknown => "token_key_unknown",
            Self::AlgorithmRefused => "token_algorithm_refused",
            Self::SignatureWrong => "token_signature_wrong",
            Self::ClaimMissing(_) => "token_claim_missing",
            Self::ClaimInvalid(_) => "token_claim_invalid",
            Self::IssuerRefused => "token_issuer_refused",
            Self::AudienceRefused => "token_audience_refused",
            Self::LifetimeRefused => "token_lifetime_refused",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::KeysUnavailable => "token_keys_unavailable",
            Self::SigningKeyMissing => "signing_key_missing",
            Self::Signing(_) => "token_signing_failed",
        }
    }
}
