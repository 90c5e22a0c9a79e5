use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
    fmt,
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use ring::digest;
use stylobate_core::BoxFuture;

use super::{NonceStore, NonceStoreError, RequestNonce};

/// Nonces in the memory of this process: for services of one process, and for tests. After a restart a signature that is still
/// fresh can be used once more.
///
/// There is room for a number of nonces, for all who sign together. When all of them are live, no further request is accepted until
/// one is over: who may sign could otherwise make it forget what they have used. So whoever may sign can shut out the others: limit how
/// often each may call, before the signature is judged.
pub struct MemoryNonces {
    nonces: Mutex<Nonces>,
    nonces_max: usize,
}

#[derive(Default)]
struct Nonces {
    known: HashSet<[u8; 32]>,
    /// The next to be over first.
    by_end: BinaryHeap<Reverse<(DateTime<Utc>, [u8; 32])>>,
}

/// How many ended nonces a request forgets.
const FORGOTTEN_AT_ONCE: usize = 16;

impl MemoryNonces {
    /// Room for 500,000 nonces, about 60 MB when full: 4,000 requests a second at the default skew.
    #[must_use]
    pub fn new() -> Self {
        Self::with_room_for(500_000)
    }

    /// Room for so many nonces.
    #[must_use]
    pub fn with_room_for(nonces_max: usize) -> Self {
        Self { nonces: Mutex::default(), nonces_max }
    }

    fn remember_now(&self, nonce: &RequestNonce, now: DateTime<Utc>) -> Result<bool, NonceStoreError> {
        let key = key_of(nonce);
        let mut nonces = self.nonces.lock();
        // Faster than they come, and a little at a time: everybody waits.
        nonces.forget_ended(now, FORGOTTEN_AT_ONCE);
        if nonces.known.contains(&key) {
            return Ok(false);
        }
        if nonces.known.len() >= self.nonces_max && nonces.forget_ended(now, usize::MAX) == 0 {
            return Err(NonceStoreError::Full);
        }
        nonces.known.insert(key);
        nonces.by_end.push(Reverse((nonce.expires_at(), key)));
        Ok(true)
    }
}

impl Nonces {
    fn forget_ended(&mut self, now: DateTime<Utc>, nonces_max: usize) -> u64 {
        let mut forgotten = 0;
        while forgotten < nonces_max
            && self.by_end.peek().is_some_and(|Reverse((expires_at, _))| *expires_at < now)
        {
            if let Some(Reverse((_, key))) = self.by_end.pop() {
                self.known.remove(&key);
            }
            forgotten += 1;
        }
        forgotten as u64
    }
}

/// One value for key and nonce. The digest stands in front, so that no name of a key runs into it.
fn key_of(nonce: &RequestNonce) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(nonce.digest());
    context.update(nonce.key_id().as_bytes());
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

impl Default for MemoryNonces {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNonces").field("nonces_max", &self.nonces_max).finish_non_exhaustive()
    }
}

impl NonceStore for MemoryNonces {
    fn remember<'a>(
        &'a self,
        nonce: &'a RequestNonce,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<bool, NonceStoreError>> {
        Box::pin(std::future::ready(self.remember_now(nonce, now)))
    }

    fn sweep(&self, now: DateTime<Utc>, nonces_max: u32) -> BoxFuture<'_, Result<u64, NonceStoreError>> {
        let nonces_max = usize::try_from(nonces_max).unwrap_or(usize::MAX);
        let swept = self.nonces.lock().forget_ended(now, nonces_max);
        Box::pin(std::future::ready(Ok(swept)))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_full_store_refuses_and_forgets_nothing_that_is_live() {
        let now = DateTime::from_timestamp(1_772_366_400, 0).unwrap();
        let store = MemoryNonces::with_room_for(10);
        let nonce = |n: u8, seconds| RequestNonce::new("k", &[n], now + TimeDelta::seconds(seconds));
        for n in 0..10 {
            assert!(store.remember_now(&nonce(n, i64::from(n)), now).unwrap());
        }
        for n in 10..100 {
            assert!(matches!(store.remember_now(&nonce(n, 60), now), Err(NonceStoreError::Full)));
        }
        for n in 0..10 {
            assert!(!store.remember_now(&nonce(n, 60), now).unwrap(), "{n} is remembered");
        }
        // The first is over a second later, and makes room for one.
        let later = now + TimeDelta::seconds(1);
        assert!(store.remember_now(&nonce(10, 60), later).unwrap());
        assert!(matches!(store.remember_now(&nonce(11, 60), later), Err(NonceStoreError::Full)));
        assert!(!store.remember_now(&nonce(1, 60), later).unwrap(), "its last moment counts");
    }
}
