//! Access tokens: signed JWTs (RFC 7519) in the profile of RFC 9068, checked strictly (RFC 8725).
//!
//! What a token must be, in the order in which it is checked:
//! 1. At most 8 KiB, and three parts of canonical base64url. Five parts (JWE) are refused: nothing is ever decrypted
//!    or inflated.
//! 2. A header without repeated names, without `crit`, `b64`, `zip`, `enc`, and without anything that would let the
//!    token bring or name its own key (`jku`, `jwk`, `x5u`, `x5c`). Its `typ` is `at+jwt`, its `kid` is one of the
//!    live keys, and its `alg` is that key's algorithm.
//! 3. Signed by that key, over the bytes as they came.
//! 4. Claims without repeated names. `iss`, `aud`, `exp`, `iat`, `sub` and our own `sid`, `jti`, `epoch` are there and
//!    of the right type; times are whole seconds, never strings or fractions. Issuer and audience are ours,
//!    `exp - iat` is at most the configured lifetime, and it is neither too early nor too late, give or take the
//!    leeway.
//!
//! RFC 9068 also wants `client_id`, the name of the OAuth client: tokens that come from a login have none.
//!
//! `scope` and `permissions` become the scopes of the principal, which limit what it may do and add nothing. Claims of a
//! service's own have names with `://` in them and are carried along.
//!
//! A service that has no key of its own checks tokens by the keys that the issuer shows ([`RemoteVerifier`]). A token
//! never decides where keys come from; all it can do is name one we do not know, which is asked for rarely.
//!
//! A service has *service tokens*: of another `typ` (`service+jwt`), for one audience, with the operations that it may ask for there
//! (`ops`). What is said above about size, header, signature, times and memory is true of them as well; neither kind passes for
//! the other.
//!
//! A verified token is remembered by its SHA-256 digest. A hit checks the times again and that no key has gone away
//! since; a token that failed any check never enters.

mod builder;
mod cache;
mod claims;
mod config;
mod error;
pub(crate) mod json;
mod jws;
mod remote;
mod scopes;
mod service;
mod signer;
mod verifier;

pub use builder::TokenBuilder;
pub use claims::{AccessClaims, CustomClaims};
pub use config::{TokenConfig, TokenConfigProblem, TokenConfigProblems};
pub use error::TokenError;
pub(crate) use jws::encoded_header;
#[cfg(feature = "remote-jwks")]
pub use remote::HttpJwks;
pub use remote::{
    FetchedJwks, JwksSource, JwksUnavailable, RemoteJwks, RemoteJwksConfig, RemoteServiceVerifier,
    RemoteVerifier,
};
#[cfg(feature = "sql")]
pub(crate) use scopes::{common, covers};
pub use service::{ServiceClaims, ServiceTokenSigner, ServiceTokenVerifier, VerifiedServiceToken};
pub use signer::Signer;
pub use verifier::{VerifiedToken, Verifier};

/// The longest token that is looked at: far beyond what we issue, and below common header limits.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 * 1_024;
