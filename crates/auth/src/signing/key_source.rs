use std::{collections::HashMap, fmt, sync::Arc};

use chrono::{DateTime, Utc};
use stylobate_core::{BoxFuture, ServiceId, TenantId};

use super::algorithm::registered_name;
use crate::{KeyError, VerifyingKey};

/// Whose key it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    /// The service.
    pub service: ServiceId,
    /// The tenant it acts for; `None` for one of the platform.
    pub tenant: Option<TenantId>,
    /// What people call it: for logs, and never compared.
    pub name: Arc<str>,
}

/// A key, and who signs with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldKey {
    /// The key. Requests name it by its [`kid`](VerifyingKey::kid).
    pub key: VerifyingKey,
    /// Who signs with it.
    pub holder: KeyHolder,
}

impl HeldKey {
    /// The name by which it was found, which is mostly its own.
    pub(super) fn named(&self, key_id: &str) -> Arc<str> {
        let own = self.key.kid().shared();
        if *own == *key_id { own } else { key_id.into() }
    }
}

/// Where the keys of those who sign requests are found.
///
/// [`FixedKeys`] has them from the configuration.
pub trait KeySource: fmt::Debug + Send + Sync {
    /// The key that [`find`](Self::find) would find, when it is at hand. `None`, which is all that the default says, means that
    /// `find` has to be asked.
    fn find_now(&self, key_id: &str, now: DateTime<Utc>) -> Option<Arc<HeldKey>> {
        let _ = (key_id, now);
        None
    }

    /// Finds the key of that name that may sign at `now`. The name is what a stranger wrote: up to 256 printable ASCII
    /// characters, only to be compared.
    ///
    /// # Errors
    /// [`KeySourceError`]: nothing is accepted then.
    fn find<'a>(
        &'a self,
        key_id: &'a str,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<HeldKey>>, KeySourceError>>;
}

/// Keys could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error("the keys of signed requests cannot be reached")]
pub struct KeySourceError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Keys that are known from the start and do not change.
#[derive(Debug, Clone, Default)]
pub struct FixedKeys(HashMap<Box<str>, Arc<HeldKey>>);

impl FixedKeys {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts the requests that `holder` signs with `key`.
    ///
    /// # Errors
    /// [`KeyError::KidDuplicate`] when another key has its name, [`KeyError::AlgorithmMismatch`] when its algorithm is none for
    /// messages (RFC 9421 §6.2).
    pub fn with(mut self, key: VerifyingKey, holder: KeyHolder) -> Result<Self, KeyError> {
        if registered_name(key.algorithm()).is_none() {
            return Err(KeyError::AlgorithmMismatch(key.algorithm()));
        }
        let name = key.kid().as_str().into();
        match self.0.insert(name, Arc::new(HeldKey { key, holder })) {
            None => Ok(self),
            Some(_) => Err(KeyError::KidDuplicate),
        }
    }
}

impl KeySource for FixedKeys {
    fn find_now(&self, key_id: &str, _now: DateTime<Utc>) -> Option<Arc<HeldKey>> {
        self.0.get(key_id).cloned()
    }

    fn find<'a>(
        &'a self,
        key_id: &'a str,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<HeldKey>>, KeySourceError>> {
        Box::pin(std::future::ready(Ok(self.find_now(key_id, now))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SigningAlgorithm, SigningKey};

    #[test]
    fn two_keys_of_one_name_and_keys_that_sign_no_messages_are_refused() {
        let now = DateTime::from_timestamp(1_772_366_400, 0).unwrap();
        let holder = KeyHolder { service: ServiceId::new(now), tenant: None, name: "orders".into() };
        let key = || SigningKey::hmac(SigningAlgorithm::Hs256, &[7; 32]).unwrap().verifying_key().clone();
        let keys = FixedKeys::new().with(key(), holder.clone()).unwrap();
        // What is at hand is what is found.
        let found = keys.find_now(key().kid().as_str(), now).unwrap();
        assert_eq!((&found.key, &found.holder), (&key(), &holder));
        assert_eq!(keys.find_now("other", now), None);
        // Its name is that of the key, or whatever it was found by.
        assert_eq!(
            (&*found.named(key().kid().as_str()), &*found.named("other")),
            (key().kid().as_str(), "other")
        );
        assert!(matches!(keys.with(key(), holder.clone()), Err(KeyError::KidDuplicate)));
        let other = SigningKey::hmac(SigningAlgorithm::Hs512, &[7; 64]).unwrap().verifying_key().clone();
        assert!(matches!(FixedKeys::new().with(other, holder), Err(KeyError::AlgorithmMismatch(_))));
    }
}
