//! Tokens of services, each for one audience.

mod claims;
mod signer;
mod verifier;

pub use claims::ServiceClaims;
pub use signer::ServiceTokenSigner;
pub use verifier::{ServiceTokenVerifier, VerifiedServiceToken};
