//! Passwords, access tokens, sessions, refresh families and login throttling for Rust services.
//!
//! A *person* signs in with a *credential*, so far a password, and so begins a *session*. The session has an *access
//! token* (a signed JWT of minutes that services check without asking anybody) and a *refresh token* (a secret, good for
//! one renewal) whose successive generations are a *family*. A *revocation* makes access tokens stop before they
//! expire. A *single-use token* is the secret in a mailed link. The *credential epoch* of a person counts up when everything issued before has to stop.
//!
//! What needs no database works without one: [`PasswordHasher`] and [`PasswordPolicy`], [`Signer`] and [`Verifier`], the
//! decisions [`Family::judge`], [`Standing::judge`] and [`SessionLife`]. With the feature `postgres` or `sqlite`, `Auth` is the
//! whole service:
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # async fn example(
//! #     db: stylobate_db::Db,
//! #     audit: std::sync::Arc<dyn stylobate_core::AuditSink>,
//! #     ctx: stylobate_core::RequestContext,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use stylobate_auth::{Auth, AuthConfig, KeyEncryptionKey, LocalSealer, Password};
//!
//! let key = KeyEncryptionKey::from_file_or_generate("data/kek".as_ref())?;
//! let auth = Auth::builder(&db, AuthConfig::default(), Arc::new(LocalSealer::new(&key)), audit).build().await?;
//! let background = auth.clone();
//! tokio::spawn(async move { background.run(std::future::pending()).await });
//!
//! let person = auth.verify_login(&ctx, "ada@example.org", Password::new("correct horse battery")?).await?;
//! let tokens = auth.start_session(&ctx, &person, None).await?;
//! let token = auth.authenticate(&tokens.access_token)?;
//! assert_eq!(token.principal.person_id(), Some(person.id()));
//! # Ok(())
//! # }
//! ```
//!
//! Programs present an *API key* instead of signing in, made by `Auth::api_keys`: `sb_live_<id>_<secret><checksum>` in production
//! and `sb_test_…` elsewhere. Scanners for leaked secrets find them by the extended regular expression `API_KEY_PATTERN`,
//! `sb_(live|test)_[0-9A-Za-z]{22}_[0-9A-Za-z]{49}`; the last six characters are the CRC-32 of those before, in base 62. A *service
//! account* is a program that acts for itself and has keys of its own.
//!
//! Each module says its rules at its head: `people` (names), `throttle` (guessing), `session`, `refresh` (families),
//! `revocation`, `one_time` (links), `api_key`, `services`, `signing` (signed requests between services), `password`, `key`,
//! `token` and `seal`.

#[cfg(feature = "sql")]
mod api_key;
#[cfg(feature = "sql")]
mod config;
#[cfg(feature = "sql")]
mod credential;
#[cfg(feature = "sql")]
mod flow_limit;
#[cfg(any(feature = "remote-jwks", feature = "breach-range"))]
mod https;
mod key;
#[cfg(feature = "sql")]
mod one_time;
mod password;
#[cfg(feature = "redis")]
mod patience;
mod people;
mod pepper;
mod refresh;
#[cfg(feature = "sql")]
mod revocation;
#[cfg(feature = "sql")]
mod schema;
mod seal;
mod security_event;
#[cfg(any(feature = "sql", feature = "breach-range"))]
mod seldom;
#[cfg(feature = "sql")]
mod service;
#[cfg(feature = "sql")]
mod services;
mod session;
#[cfg(feature = "sql")]
mod setup_token;
mod signing;
mod throttle;
mod token;

#[cfg(all(feature = "redis", feature = "sql"))]
pub use api_key::RedisKeyCounts;
#[cfg(all(feature = "conformance", feature = "sql"))]
pub use api_key::key_counts_conformance;
#[cfg(feature = "sql")]
pub use api_key::{
    API_KEY_PATTERN, AllowedNetworks, ApiKey, ApiKeyChange, ApiKeyConfig, ApiKeyError, ApiKeyProblem,
    ApiKeyQuery, ApiKeySecret, ApiKeyUsage, ApiKeys, IssuedApiKey, KeyCount, KeyCounts, KeyCountsUnavailable,
    MemoryKeyCounts, NetworkInvalid, NewApiKey,
};
#[cfg(feature = "sql")]
pub use config::{AuthConfig, ConfigProblem, ConfigProblems};
#[cfg(feature = "sql")]
pub use credential::{CredentialRecord, HashCount, HashCounts};
pub use key::{Jwk, JwkSet, KeyError, KeySet, Keys, Kid, SigningAlgorithm, SigningKey, VerifyingKey};
#[cfg(feature = "sql")]
pub use key::{KeyInfo, KeyPhase, KeyRing, KeyRingConfig, KeyTimes, Rotation};
#[cfg(feature = "sql")]
pub use one_time::{
    AccountLink, EmailChange, EmailVerification, Invitation, OneTimeToken, PasswordReset, PendingLogin,
    Purpose, Registration, TokenBinding,
};
pub use password::{
    BreachIndex, BreachIndexBuilt, BreachIndexError, ContextWords, HashParams, HasherOptions, HasherStats,
    Password, PasswordError, PasswordHash, PasswordHasher, PasswordPeppers, PasswordPolicy, PolicyViolation,
    StoredHash, Verdict,
};
#[cfg(feature = "breach-range")]
pub use password::{BreachRange, BreachRangeUnavailable};
pub use people::{Email, IdentifierError, Username};
#[cfg(feature = "sql")]
pub use people::{Identifier, NewPerson, People, PeopleError, Person, PersonChange, PersonStatus};
#[cfg(feature = "sql")]
pub use refresh::RefreshToken;
pub use refresh::{Family, IdempotencyKey, IdempotencyKeyError, Presented, RefreshStep};
#[cfg(feature = "sql")]
pub use revocation::{Revocation, Revocations};
#[cfg(feature = "sql")]
pub use schema::MIGRATIONS;
pub use seal::{KeyEncryptionKey, LocalSealer};
pub use security_event::{SECURITY_EVENTS, SecurityEvent};
#[cfg(feature = "sql")]
pub use service::{
    AdmittedPerson, Auth, AuthBuilder, AuthError, AuthenticateError, ChangedPassword, LiveToken,
    LiveTokenKind, RenewedSession, RevocableToken, SetupToken, Swept, TenantEnded, TokenPair, VerifiedPerson,
};
#[cfg(feature = "sql")]
pub use services::{
    IssuedServiceToken, NewServiceAccount, NewServiceKey, NewServiceToken, ServiceAccount,
    ServiceAccountChange, ServiceAccountError, ServiceAccountProblem, ServiceAccountQuery,
    ServiceAccountStatus, ServiceAccounts, ServiceGrant, ServiceKey, SqlKeys,
};
#[cfg(feature = "redis")]
pub use session::RedisSessions;
#[cfg(feature = "conformance")]
pub use session::session_conformance;
pub use session::{
    CookieSessionError, CookieSessions, MemorySessions, NewCookieSession, SessionKey, SessionLife,
    SessionLimits, SessionRecord, SessionSecret, SessionState, SessionStore, SessionStoreError, StoreFuture,
};
#[cfg(feature = "sql")]
pub use session::{Session, SessionQuery, SqlSessions, TenantSession};
#[cfg(feature = "redis")]
pub use signing::RedisNonces;
#[cfg(feature = "sql")]
pub use signing::SqlNonces;
#[cfg(feature = "conformance")]
pub use signing::nonce_conformance;
pub use signing::{
    ContentDigest, DigestAlgorithm, FixedKeys, HeldKey, KeyHolder, KeySource, KeySourceError, LegacyConfig,
    LegacySigner, MemoryNonces, MessageFields, NonceStore, NonceStoreError, RequestNonce, RequestParts,
    RequestSigner, RequestVerifier, RequestVerifierConfig, RequestVerifierConfigProblem,
    RequestVerifierConfigProblems, ResponseParts, SignatureComponent, SignatureError, SignatureFault,
    SignatureFields, SignatureInput, SignatureParam, SignatureProfile, SignedHead, SignedMessage, TargetUri,
    VerifiedRequest,
};
#[cfg(feature = "redis")]
pub use throttle::RedisCounters;
#[cfg(feature = "conformance")]
pub use throttle::counter_conformance;
pub use throttle::{
    AccountKey, AddressKey, Counter, CounterChange, CounterKey, CounterKind, CounterStore, CounterStoreError,
    DeviceId, LockState, LoginRefused, LoginThrottle, LoginTry, MemoryCounters, Standing, ThrottleConfig,
    TryBy,
};
#[cfg(feature = "sql")]
pub use throttle::{DeviceCookie, SqlCounters};
#[cfg(feature = "remote-jwks")]
pub use token::HttpJwks;
pub use token::{
    AccessClaims, CustomClaims, FetchedJwks, JwksSource, JwksUnavailable, RemoteJwks, RemoteJwksConfig,
    RemoteServiceVerifier, RemoteVerifier, ServiceClaims, ServiceTokenSigner, ServiceTokenVerifier, Signer,
    TokenBuilder, TokenConfig, TokenConfigProblem, TokenConfigProblems, TokenError, VerifiedServiceToken,
    VerifiedToken, Verifier,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
