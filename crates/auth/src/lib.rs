//! Passwords, access tokens, sessions, refresh families and login throttling for Rust services.

mod key;
mod password;
#[cfg(feature = "sql")]
mod schema;
mod seal;
mod token;

pub use key::{KeyError, KeySet, Keys, Kid, PlatformSecret, SigningAlgorithm, SigningKey, VerifyingKey};
#[cfg(feature = "sql")]
pub use key::{KeyRing, KeyRingConfig, SealedSecrets};
pub use password::{
    ContextWords, HashParams, HasherOptions, HasherStats, Password, PasswordError, PasswordHash,
    PasswordHasher, PasswordPolicy, PolicyViolation, Verdict,
};
#[cfg(feature = "sql")]
pub use schema::MIGRATIONS;
pub use seal::{KeyEncryptionKey, LocalSealer};
pub use token::{
    AccessClaims, Signer, TokenConfig, TokenConfigProblem, TokenConfigProblems, TokenError, VerifiedToken,
    Verifier,
};
