use std::sync::Arc;

use quick_cache::sync::Cache;
use ring::digest;

use super::{TOKEN_BYTES_MAX, TokenError};

/// The SHA-256 digest of a token: who reads the cache's memory finds no token in it.
type Digest = [u8; 32];

/// Tokens that passed every check, remembered until there is no room, or their keys or times are over. Each with the
/// generation of keys it was verified with.
pub(super) struct TokenCache<T>(Cache<Digest, (u64, Arc<T>)>);

impl<T> TokenCache<T> {
    pub(super) fn new(entries: usize) -> Self {
        Self(Cache::new(entries))
    }

    /// What `check` makes of `token`, or made of it before with the same `generation` of keys, as long as it still `holds`.
    pub(super) fn find_or_check(
        &self,
        token: &str,
        generation: u64,
        holds: impl FnOnce(&T) -> Result<(), TokenError>,
        check: impl FnOnce() -> Result<T, TokenError>,
    ) -> Result<Arc<T>, TokenError> {
        // Before the digest: what is too long costs nothing.
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let digest = digest_of(token);
        if let Some(known) = self.find(&digest, generation) {
            return match holds(&known) {
                Ok(()) => Ok(known),
                Err(refusal) => {
                    self.0.remove(&digest);
                    Err(refusal)
                }
            };
        }
        let verified = Arc::new(check()?);
        self.0.insert(digest, (generation, Arc::clone(&verified)));
        Ok(verified)
    }

    fn find(&self, digest: &Digest, generation: u64) -> Option<Arc<T>> {
        let (known, token) = self.0.get(digest)?;
        if known == generation {
            return Some(token);
        }
        self.0.remove(digest);
        None
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn digest_of(token: &str) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    out
}
