use std::sync::Arc;

use crate::KeyError;

/// Why a request was refused, or could not be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Something about the signature is wrong. Which, is for logs: a caller learns the code and no more.
    #[error("the request's signature is not accepted: {0}")]
    Invalid(SignatureFault),
    /// The same signature was used before. Its signer makes a new one for every request.
    #[error("the signed request was received before")]
    Replayed {
        /// With which key it was signed. A caller does not learn it.
        key_id: Arc<str>,
    },
    /// The body is longer than is hashed.
    #[error("the body is longer than {bytes_max} bytes")]
    BodyTooLarge {
        /// The most that is hashed, in bytes.
        bytes_max: usize,
    },
    /// Keys or nonces could not be asked about. Nothing is accepted while that is so.
    #[error("the keys or nonces of signed requests cannot be reached")]
    StoreUnavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A message that is to be signed lacks what its signature is to cover.
    #[error("the request cannot be signed: {0}")]
    Unsignable(SignatureFault),
    /// The key does not sign messages, or could not.
    #[error("the key could not sign")]
    Key(#[source] KeyError),
}

impl SignatureError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "request_signature_invalid",
            Self::Replayed { .. } => "request_replayed",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::StoreUnavailable(_) => "signature_store_unavailable",
            Self::Unsignable(_) => "request_unsignable",
            Self::Key(error) => error.code(),
        }
    }
}

impl From<SignatureFault> for SignatureError {
    fn from(fault: SignatureFault) -> Self {
        Self::Invalid(fault)
    }
}

/// What is wrong with a signature. It holds nothing secret, and nothing longer than a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureFault {
    /// A field that a signature consists of is not there.
    #[error("the field `{0}` is missing")]
    FieldMissing(&'static str),
    /// A field that a signature consists of cannot be read, or has a name twice.
    #[error("the field `{0}` is malformed")]
    FieldMalformed(&'static str),
    /// A field that a signature consists of is longer than is read.
    #[error("the field `{0}` is too long")]
    FieldTooLong(&'static str),
    /// Signatures of both profiles on one request.
    #[error("the request has signatures of two profiles")]
    ProfilesMixed,
    /// `Signature` and `Signature-Input` name different signatures.
    #[error("`signature` and `signature-input` have different labels")]
    LabelsDiffer,
    /// More signatures than the one that is expected, or not that one.
    #[error("not exactly the one expected signature")]
    LabelUnexpected,
    /// A component identifier is none, or asks for what is not known.
    #[error("a component identifier is malformed or not supported")]
    ComponentMalformed,
    /// One component is covered twice.
    #[error("the component `{0}` is covered twice")]
    ComponentRepeated(Box<str>),
    /// More components than are read.
    #[error("too many components are covered")]
    ComponentsTooMany,
    /// The message does not have a component, or not unambiguously.
    #[error("the component `{0}` has no value in this message")]
    ComponentUnavailable(Box<str>),
    /// A component that has to be covered is not.
    #[error("the component `{0}` is not covered")]
    NotCovered(Box<str>),
    /// What is signed would be longer than is signed here.
    #[error("the covered components are too long")]
    BaseTooLong,
    /// A parameter that is not known.
    #[error("the signature has an unknown parameter")]
    ParamUnknown,
    /// A parameter that has to be there is not.
    #[error("the parameter `{0}` is missing")]
    ParamMissing(&'static str),
    /// A parameter has another type or value than it may have.
    #[error("the parameter `{0}` is not valid")]
    ParamInvalid(&'static str),
    /// `alg` is not the algorithm of the key, or that one is not for messages.
    #[error("the algorithm is not one of the key's for messages")]
    AlgorithmRefused,
    /// Nobody has a key of that name.
    #[error("the key is not known")]
    KeyUnknown,
    /// Made longer ago than is accepted.
    #[error("the signature is too old")]
    TooOld,
    /// Made in the future, further than clocks may disagree.
    #[error("the signature is from the future")]
    FromTheFuture,
    /// Over, as its maker said.
    #[error("the signature has expired")]
    Expired,
    /// Not the key's signature of this message.
    #[error("the signature is wrong")]
    SignatureWrong,
    /// No digest of an algorithm that is known.
    #[error("the body has no digest of a known algorithm")]
    DigestMissing,
    /// A digest is not the body's.
    #[error("the body's digest is wrong")]
    DigestWrong,
    /// A query in a profile that does not sign it.
    #[error("a query is not allowed in this profile")]
    QueryNotCovered,
    /// The target of the request is no address that a signature could cover.
    #[error("the request target is malformed")]
    TargetMalformed,
    /// The body is a stream, which can not be digested before it is sent.
    #[error("the body is a stream")]
    BodyStreamed,
}
