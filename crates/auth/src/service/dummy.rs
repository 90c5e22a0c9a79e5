//! What a try costs that has no hash to be compared with: as much as one of somebody who has (A3, C30).
//!
//! After the cost of new hashes was raised, or people were imported, stored hashes differ in what they cost. A dummy at
//! any one of these costs would tell who exists by the time of the others. So:
//!
//! 1. Stored hashes are counted by what they cost: some at the start, all of them once a minute (less often where there
//!    are so many that counting would take more than a two-hundredth of the time).
//! 2. A name that has no hash is given one of these costs by its keyed digest, each as often as people have it. It keeps
//!    it as long as the shares do; and as people's hashes are renewed, it moves on to the present cost like one of them.
//!
//! What remains to be told by time: that a name moved back to an earlier cost, which only happens to names without a hash
//! when people were imported since; and that two names cost the same, which those of one person always do.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use stylobate_db::Error;
use uuid::Uuid;

use super::{Auth, AuthError};
use crate::{AccountKey, Password, PasswordHasher, StoredHash, Verdict, credential, password::HashWork};

/// Pages that the start waits for: a few milliseconds each.
const START_PAGES: usize = 4;
/// Between two counts.
const COUNT_EVERY: Duration = Duration::from_secs(60);
/// Of the time at most this part is spent on counting.
const COUNT_SHARE: u32 = 200;

/// What stored hashes cost, as it was last counted.
#[derive(Default)]
pub(super) struct DummyCosts(ArcSwap<Kinds>);

/// One hash of each cost, with how many there are up to and including it: first those that wait to be renewed.
#[derive(Default)]
struct Kinds(Vec<(StoredHash, u64)>);

type Counted = BTreeMap<(bool, HashWork), (StoredHash, u64)>;

impl Kinds {
    fn of(counted: Counted) -> Self {
        let mut sum = 0;
        let kinds = counted.into_values().map(|(hash, count)| {
            sum += count;
            (hash, sum)
        });
        Self(kinds.collect())
    }

    /// The hash whose cost falls to a digest.
    fn find(&self, digest: &[u8; 32]) -> Option<&StoredHash> {
        let (_, total) = self.0.last()?;
        let point = digest.iter().take(8).fold(0_u128, |point, byte| (point << 8) | u128::from(*byte));
        // The point as a part of 2^64, of the total.
        let place = (point * u128::from(*total)) >> 64;
        self.0.iter().find(|(_, up_to)| u128::from(*up_to) > place).map(|(hash, _)| hash)
    }
}

impl Auth {
    /// Does the work of comparing a password with the hash of an account that has none.
    pub(super) async fn verify_dummy(
        &self,
        hasher: &PasswordHasher,
        account: &AccountKey,
        password: Password,
    ) -> Result<Verdict, AuthError> {
        let digest = self.inner.pepper.digest("dummy-cost", &account.to_bytes());
        let kinds = self.inner.dummy_costs.0.load_full();
        Ok(match kinds.find(&digest) {
            Some(like) => hasher.verify_dummy_like(password, like).await?,
            // Nobody has a hash.
            None => hasher.verify_dummy(password).await?,
        })
    }

    /// Counts some stored hashes, so that a start need not wait for all of them.
    pub(super) async fn begin_counting_costs(&self) -> Result<(), Error> {
        self.count_costs(START_PAGES).await
    }

    /// Counts all stored hashes again and again.
    pub(super) async fn follow_costs(&self) {
        loop {
            let began = Instant::now();
            if let Err(error) = self.count_costs(usize::MAX).await {
                // The present shares stay: they were right a while ago.
                tracing::debug!(code = error.code(), "what stored hashes cost could not be counted");
            }
            tokio::time::sleep(COUNT_EVERY.max(began.elapsed() * COUNT_SHARE)).await;
        }
    }

    async fn count_costs(&self, pages_max: usize) -> Result<(), Error> {
        let (mut counted, mut after) = (Counted::new(), Uuid::nil());
        for _ in 0..pages_max {
            let mut conn = self.inner.db.read().await?;
            let page = credential::list_hashes(&mut conn, after).await?;
            drop(conn);
            let Some(last) = page.last() else { break };
            after = last.person;
            // What is switched off or cannot be verified is compared with a dummy as well.
            for row in page.iter().filter(|row| row.is_active) {
                let Ok(hash) = row.hash.parse::<StoredHash>() else { continue };
                if self.inner.hasher.check_stored(&hash).is_err() {
                    continue;
                }
                let key = (self.inner.hasher.is_current(&hash), hash.work());
                counted.entry(key).or_insert((hash, 0)).1 += 1;
            }
        }
        self.inner.dummy_costs.0.store(Arc::new(Kinds::of(counted)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    const NEW: &str =
        "$argon2id$v=19$m=19456,t=6,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn kinds(counts: &[(&str, bool, u64)]) -> Kinds {
        let counted = counts.iter().map(|(text, is_current, count)| {
            let hash: StoredHash = text.parse().unwrap();
            ((*is_current, hash.work()), (hash, *count))
        });
        Kinds::of(counted.collect())
    }

    fn digest(number: u32) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, &number.to_be_bytes()).as_ref());
        digest
    }

    // A3, C30
    #[test]
    fn names_that_nobody_has_share_the_costs_of_people_in_the_same_parts() {
        let kinds = kinds(&[(NEW, true, 250), (OLD, false, 750)]);
        let is_old = |number: &u32| kinds.find(&digest(*number)).unwrap().expose_text() == OLD;
        let old = (0..10_000).filter(is_old).count();
        assert!((7_300..7_700).contains(&old), "{old}");
        assert_eq!(kinds.find(&[0; 32]).unwrap().expose_text(), OLD);
        assert_eq!(kinds.find(&[255; 32]).unwrap().expose_text(), NEW);
    }

    #[test]
    fn as_hashes_are_renewed_a_name_moves_on_and_never_back() {
        let costs = |number: u32| -> Vec<bool> {
            let after = |renewed: u64| kinds(&[(OLD, false, 100 - renewed), (NEW, true, renewed)]);
            (0..=100)
                .map(|renewed| after(renewed).find(&digest(number)).unwrap().expose_text() == NEW)
                .collect()
        };
        for number in 0..50 {
            let costs = costs(number);
            assert!(costs.is_sorted(), "{number}: {costs:?}");
            assert_eq!((costs.first(), costs.last()), (Some(&false), Some(&true)));
        }
    }

    #[test]
    fn without_hashes_there_is_no_cost_to_take() {
        assert!(Kinds::default().find(&[7; 32]).is_none());
    }
}
