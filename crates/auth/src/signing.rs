//! Signed requests between services: HTTP Message Signatures (RFC 9421) over a digest of the body (RFC 9530).
//!
//! A *component* is what a signature covers of a message: a field, or something derived such as `@method`. The *signature
//! base* is the text that is signed: one line for each component, and the signature's own parameters last. A *nonce* tells
//! one use of a key apart from all others.
//!
//! What a signed request must be, in the order in which it is checked:
//! 1. Exactly one signature (or the one of a configured label), under one label in `Signature` and `Signature-Input`, each up to
//!    8 KiB. No label, component or parameter occurs twice, and none is unknown.
//! 2. `@method`, `@authority`, `@target-uri` and `content-digest` are covered, without parameters, and so is whatever else the
//!    configuration asks for. `created`, `nonce` and `keyid` are there.
//! 3. `created` is within 60 s of the present, either way, and `expires`, when it is there, not past.
//! 4. The key is known, and its algorithm is one of RFC 9421 §6.2. The key decides which; `alg`, when it is there, has to
//!    agree.
//! 5. Signed by that key, over the message as it was received: changed, reordered, added or removed, nothing verifies.
//! 6. The body is no longer than allowed, which is checked before it is hashed. It has every digest of `Content-Digest` that
//!    is known (`sha-256`, `sha-512`), and there is at least one.
//! 7. The nonce has not been used with the key: of all processes that share a [`NonceStore`] one accepts the request. What
//!    cannot be remembered is not accepted.
//!
//! `@authority` and `@target-uri` are what the client meant. A verifier behind a proxy gives its public address, and not the
//! `Host` that the proxy sends.
//!
//! Where RFC 9421 leaves a choice: trailers (`tr`) are not covered, `sf` works on fields that standards define, structured
//! fields are read strictly (no key twice, canonical base64), a query parameter that is there twice has no value, and the
//! JOSE algorithms of §3.3.7 are not used.
//!
//! [`LegacySigner`] describes the second profile, that of the replaced systems. It is off unless it is configured.

mod algorithm;
mod base;
#[cfg(feature = "client")]
mod client;
mod component;
mod config;
mod digest;
mod error;
mod input;
mod key_source;
mod legacy;
mod message;
mod nonce;
mod query;
mod signer;
mod structured;
mod target;
mod verified;
mod verifier;
mod window;

pub use component::SignatureComponent;
pub use config::{
    LegacyConfig, RequestVerifierConfig, RequestVerifierConfigProblem, RequestVerifierConfigProblems,
};
pub use digest::{ContentDigest, DigestAlgorithm};
pub use error::{SignatureError, SignatureFault};
pub use input::{SignatureInput, SignatureParam};
pub use key_source::{FixedKeys, HeldKey, KeyHolder, KeySource, KeySourceError};
pub use legacy::LegacySigner;
pub use message::{MessageFields, RequestParts, ResponseParts, SignedMessage};
#[cfg(feature = "redis")]
pub use nonce::RedisNonces;
#[cfg(feature = "sql")]
pub use nonce::SqlNonces;
#[cfg(feature = "conformance")]
pub use nonce::nonce_conformance;
#[cfg(feature = "sql")]
pub(crate) use nonce::sweep;
pub use nonce::{MemoryNonces, NonceStore, NonceStoreError, RequestNonce};
pub use signer::{RequestSigner, SignatureFields};
pub use target::TargetUri;
pub use verified::{SignatureProfile, SignedHead, VerifiedRequest};
pub use verifier::RequestVerifier;

const INPUT_FIELD: &str = "signature-input";
const SIGNATURE_FIELD: &str = "signature";

/// What a signature of a request always covers.
fn required() -> [SignatureComponent; 4] {
    [
        SignatureComponent::method(),
        SignatureComponent::authority(),
        SignatureComponent::target_uri(),
        SignatureComponent::content_digest(),
    ]
}
