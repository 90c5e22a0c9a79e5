use std::sync::Arc;

use quick_cache::sync::Cache;
use ring::digest;

use super::VerifiedToken;

/// The SHA-256 digest of a token: who reads the cache's memory finds no token in it.
pub(super) type Digest = [u8; 32];

/// Tokens that passed every check, remembered until there is no room, or their keys or times are over.
pub(super) struct TokenCache(Cache<Digest, Entry>);

#[derive(Clone)]
struct Entry {
    /// The generation of keys it was verified with.
    generation: u64,
    token: Arc<VerifiedToken>,
}

impl TokenCache {
    pub(super) fn new(entries: usize) -> Self {
        Self(Cache::new(entries))
    }

    pub(super) fn digest(token: &str) -> Digest {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        out
    }

    /// Finds a token that was verified with this generation of keys.
    pub(super) fn find(&self, digest: &Digest, generation: u64) -> Option<Arc<VerifiedToken>> {
        let entry = self.0.get(digest)?;
        if entry.generation == generation {
            return Some(entry.token);
        }
        self.0.remove(digest);
        None
    }

    pub(super) fn insert(&self, digest: Digest, generation: u64, token: Arc<VerifiedToken>) {
        self.0.insert(digest, Entry { generation, token });
    }

    pub(super) fn remove(&self, digest: &Digest) {
        self.0.remove(digest);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
