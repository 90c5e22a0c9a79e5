use std::collections::HashMap;

use parking_lot::Mutex;
use stylobate_core::TenantId;

use super::Rbac;
use crate::{Engine, PolicyProblem};

/// How many damaged rows of a policy are remembered.
const KEPT: usize = 100;

/// What was wrong with the rows of the policies that serve.
#[derive(Debug, Default)]
pub(super) struct Problems(Mutex<HashMap<Option<TenantId>, Vec<PolicyProblem>>>);

impl Problems {
    /// Remembers what a load of the policy of `owner` has found, and logs what the load before had not: a damaged row is said
    /// once, however often the policy is read.
    pub(super) fn replace(&self, engine: &Engine, owner: Option<TenantId>, found: Vec<PolicyProblem>) {
        let count = found.len();
        let news = self.remember(engine, owner, found);
        let tenant = owner.map(|id| id.to_string());
        for problem in &news {
            tracing::warn!(
                tenant,
                ?problem,
                "a row of the access policy is damaged; what it allows is not given"
            );
        }
        if !news.is_empty() && count > KEPT {
            tracing::warn!(tenant, count, "rows of the access policy are damaged, more than are told");
        }
    }

    /// The same without the log; those that are new.
    fn remember(
        &self,
        engine: &Engine,
        owner: Option<TenantId>,
        mut found: Vec<PolicyProblem>,
    ) -> Vec<PolicyProblem> {
        found.truncate(KEPT);
        let mut kept = self.0.lock();
        // Only of policies that serve: tenants that made room take theirs with them.
        kept.retain(|owner, _| engine.epoch(*owner).is_some());
        let before = kept.remove(&owner).unwrap_or_default();
        let news = found.iter().filter(|problem| !before.contains(problem)).cloned().collect();
        if !found.is_empty() {
            kept.insert(owner, found);
        }
        news
    }

    /// How many of all policies are remembered.
    #[cfg(feature = "metrics")]
    pub(super) fn count(&self) -> usize {
        self.0.lock().values().map(Vec::len).sum()
    }
}

impl Rbac {
    /// The rows of a policy that could not be read or make no sense, the first 100 of them, as of its last load. Where they
    /// allow they give nothing; where they deny, or may, they do. Each is logged when it is first met.
    #[must_use]
    pub fn problems(&self, owner: Option<TenantId>) -> Vec<PolicyProblem> {
        self.freshness.problems.0.lock().get(&owner).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stylobate_core::{AclId, SystemClock};

    use super::*;
    use crate::{Policy, default_catalogue};

    #[test]
    fn a_damaged_row_is_news_once_until_it_is_mended() {
        let engine = Engine::new(Arc::new(default_catalogue()), Arc::new(SystemClock));
        engine.install(None, &Policy::default());
        let (problems, entry) =
            (Problems::default(), |n: u128| PolicyProblem::Acl(AclId::from_uuid(uuid::Uuid::from_u128(n))));
        let load = |found: &[PolicyProblem]| problems.remember(&engine, None, found.to_vec());
        assert_eq!(load(&[entry(1)]), [entry(1)]);
        assert_eq!(load(&[entry(1)]), []);
        assert_eq!(load(&[entry(1), entry(2)]), [entry(2)]);
        assert_eq!(load(&[]), []);
        assert_eq!(load(&[entry(2)]), [entry(2)]);
        let many: Vec<_> = (1..=150).map(entry).collect();
        assert_eq!(load(&many).len(), KEPT - 1);
    }
}
