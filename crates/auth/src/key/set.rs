use std::{collections::HashMap, sync::Arc};

use arc_swap::{ArcSwap, Guard};

use super::{KeyError, Kid, SigningKey, VerifyingKey};

/// The keys of one moment: at most one that signs, any number that verify. Immutable once made.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    signing: Option<Arc<SigningKey>>,
    verifying: HashMap<Kid, Arc<VerifyingKey>>,
    /// The same keys again, to be found by the header that their tokens usually have: of the few there are, comparing
    /// all is faster than hashing one.
    by_header: Vec<Arc<VerifyingKey>>,
}

impl KeySet {
    /// A set without a signing key, for services that only check tokens.
    #[must_use]
    pub fn verify_only() -> Self {
        Self::default()
    }

    /// A set whose tokens are signed with, and accepted from, `key`.
    #[must_use]
    pub fn signing_with(key: SigningKey) -> Self {
        Self::signing_with_shared(Arc::new(key))
    }

    pub(crate) fn signing_with_shared(key: Arc<SigningKey>) -> Self {
        let mut set = Self::default();
        set.put(Arc::new(key.verifying_key().clone()));
        set.signing = Some(key);
        set
    }

    fn put(&mut self, key: Arc<VerifyingKey>) {
        self.by_header.push(Arc::clone(&key));
        self.verifying.insert(key.kid().clone(), key);
    }

    /// Accepts the tokens of `key` as well.
    ///
    /// # Errors
    /// [`KeyError::KidDuplicate`] when another key has this name. The same key twice is no error.
    pub fn also_accepting(mut self, key: VerifyingKey) -> Result<Self, KeyError> {
        match self.verifying.get(key.kid()) {
            None => self.put(Arc::new(key)),
            Some(known) if **known == key => {}
            Some(_) => return Err(KeyError::KidDuplicate),
        }
        Ok(self)
    }

    /// The key that signs.
    #[must_use]
    pub fn signing(&self) -> Option<&Arc<SigningKey>> {
        self.signing.as_ref()
    }

    /// The key named `kid`.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&Arc<VerifyingKey>> {
        self.verifying.get(kid)
    }

    /// The key whose tokens have exactly this header, still encoded. Whoever finds one need not read the header: it says
    /// what the key's own tokens say, and the key decides the algorithm.
    pub(crate) fn find_by_header(&self, encoded: &str) -> Option<&Arc<VerifyingKey>> {
        self.by_header.iter().find(|key| key.header() == encoded)
    }

    /// The keys that verify, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.verifying.values().map(AsRef::as_ref)
    }

    /// How many keys verify.
    #[must_use]
    pub fn len(&self) -> usize {
        self.verifying.len()
    }

    /// Whether no key verifies: every token is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.verifying.is_empty()
    }

    fn has_all_of(&self, other: &Self) -> bool {
        other.verifying.iter().all(|(kid, key)| self.verifying.get(kid) == Some(key))
    }
}

/// The present [`KeySet`] of a process, shared by everything that signs and verifies. Clones see the same set.
#[derive(Debug, Clone)]
pub struct Keys(Arc<ArcSwap<Snapshot>>);

#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Changes whenever a verifying key goes away: what was verified before may no longer be good.
    pub(crate) generation: u64,
    pub(crate) set: KeySet,
}

impl Keys {
    /// Starts with `set`.
    #[must_use]
    pub fn new(set: KeySet) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Snapshot { generation: 0, set })))
    }

    /// Puts `set` in the place of the present one, for everybody at once. Tokens of a key that is no longer in the
    /// set are refused from the next verification on, remembered or not.
    pub fn replace(&self, set: KeySet) {
        self.0.rcu(|present| {
            let is_superset = set.has_all_of(&present.set);
            Snapshot { generation: present.generation + u64::from(!is_superset), set: set.clone() }
        });
    }

    /// As [`replace`](Self::replace), unless `set` is the present one: who follows a store need not disturb its readers.
    #[cfg(feature = "sql")]
    pub(crate) fn replace_if_changed(&self, set: KeySet) {
        let present = self.load();
        let signs_with = |set: &KeySet| set.signing().map(|key| key.verifying_key().clone());
        let is_same = signs_with(&set) == signs_with(&present.set)
            && set.has_all_of(&present.set)
            && present.set.has_all_of(&set);
        drop(present);
        if !is_same {
            self.replace(set);
        }
    }

    /// A copy of the present set.
    #[must_use]
    pub fn current(&self) -> KeySet {
        self.load().set.clone()
    }

    pub(crate) fn load(&self) -> Guard<Arc<Snapshot>> {
        self.0.load()
    }
}

impl From<SigningKey> for Keys {
    fn from(key: SigningKey) -> Self {
        Self::new(KeySet::signing_with(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::generate(crate::SigningAlgorithm::EdDsa).unwrap().0
    }

    #[test]
    fn two_keys_under_one_name_are_refused_and_one_key_twice_is_not() {
        let (first, second) = (key(), key());
        let (same, other) = (first.verifying_key().clone(), second.verifying_key().clone());
        let set = KeySet::signing_with(first);
        let impostor = other.with_kid(same.kid().clone());
        assert!(matches!(set.clone().also_accepting(impostor), Err(KeyError::KidDuplicate)));
        assert_eq!(set.also_accepting(same).unwrap().len(), 1);
    }

    #[test]
    fn only_losing_a_key_starts_a_new_generation() {
        let (first, second) = (key(), key());
        let second_public = second.verifying_key().clone();
        let small = KeySet::signing_with(first);
        let large = small.clone().also_accepting(second_public).unwrap();
        let keys = Keys::new(small.clone());
        keys.replace(large);
        assert_eq!(keys.load().generation, 0);
        keys.replace(small);
        assert_eq!(keys.load().generation, 1);
    }
}
