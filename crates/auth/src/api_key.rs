//! API keys: what programs present instead of signing in.
//!
//! 1. A key belongs to a person or a service account, and to one tenant. Its program acts with the owner's rights there, narrowed
//!    by the key's scopes, but never *as* the owner: what is a person's own is not their programs'.
//! 2. Its text is `sb_live_<id>_<secret><checksum>` (`sb_test_…` outside production): [`API_KEY_PATTERN`] finds it in texts
//!    that should not contain it. The secret has 256 bits and is shown once. The checksum refuses typing errors, and the
//!    environment keys of the wrong installation, before anything is looked up.
//! 3. Stored is a keyed digest over the whole text before the checksum, so that a copy of the database opens nothing. A key is
//!    found by its id and compared in constant time.
//! 4. A rotation makes a second secret; the one before stays good for an overlap, so that nothing stops while programs change
//!    over. There are at most two.
//! 5. A key stops when it is revoked, switched off or expired, when its owner is disabled or deleted, and when its owner leaves
//!    the tenant: at once in this process and within a second in others, as sessions do (see `revocation`). Keys of a person who
//!    is disabled are revoked for good, as everything issued to them; those of a service account rest until it is enabled again.
//!    A new password of the owner changes nothing.
//! 6. Every check in a process asks its memory alone. Every change of a key, a service account or its status counts a version
//!    up and is told to other processes as a revocation of what is older; a key that is remembered in an older version is read
//!    again. When memory is stale, the row is read per request; when that fails, the answer is 503.
//! 7. Uses are counted in memory and written every 10 s, for all keys together: a process that dies loses at most those. Each
//!    key has a limit per hour of the clock. Processes that share counts (`KeyCounts`) learn of each other's within half a
//!    second; while the shared store is away each goes on from what it knew last, with the same limit.
//!
//! Deployment: processes of an older version know neither keys nor their revocations, and need not: revocations of keys have the
//! form of those of subjects, which every version reads, and no older version accepts a key.

mod checksum;
mod config;
mod counts;
mod error;
mod known;
mod network;
mod owned;
mod record;
mod service;
mod store;
mod text;
mod told;
mod usage;
mod uses;

pub use config::ApiKeyConfig;
#[cfg(feature = "redis")]
pub use counts::RedisKeyCounts;
#[cfg(feature = "conformance")]
pub use counts::key_counts_conformance;
pub use counts::{KeyCount, KeyCounts, KeyCountsUnavailable, MemoryKeyCounts};
pub use error::{ApiKeyError, ApiKeyProblem};
pub use network::{AllowedNetworks, NetworkInvalid};
pub(crate) use owned::OwnedKeys;
pub use record::{ApiKey, ApiKeyChange, ApiKeyQuery, ApiKeyUsage, IssuedApiKey, NewApiKey};
pub use service::ApiKeys;
pub(crate) use service::ApiKeysParts;
pub(crate) use store::RevokeReason;
use text::ApiKeyEnvironment;
pub use text::{API_KEY_PATTERN, ApiKeySecret};
