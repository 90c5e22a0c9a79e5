use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use stylobate_core::{Clock, KeyOwner, RequestContext, TenantId};
use stylobate_db::{Error, Tx};

use super::{ApiKeyConfig, ApiKeyEnvironment, RevokeReason, store, told};
use crate::Revocations;

/// The keys of whoever goes: they end in the transaction that ends what they rest on.
#[derive(Debug, Clone)]
pub(crate) struct OwnedKeys {
    revocations: Revocations,
    clock: Arc<dyn Clock>,
    environment: ApiKeyEnvironment,
    /// How long it is told that a key has changed.
    told_for: TimeDelta,
}

impl OwnedKeys {
    pub(crate) fn new(
        revocations: Revocations,
        clock: Arc<dyn Clock>,
        config: &ApiKeyConfig,
        told_for: Duration,
    ) -> Self {
        // Never more than it can hold: an access token lives an hour at most.
        let told_for = TimeDelta::from_std(told_for).unwrap_or(TimeDelta::hours(1));
        Self { revocations, clock, environment: config.environment(), told_for }
    }

    /// Revokes the keys of `owner`, for one tenant or for all. The owner is locked, so that none is made meanwhile. Each is on
    /// record in its own tenant, beside what ends them.
    pub(crate) async fn revoke(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        (owner, tenant): (KeyOwner, Option<TenantId>),
        reason: RevokeReason,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        for before in store::lock_of_owner(tx, owner, tenant, self.environment).await? {
            let after = store::revoked(&before, reason, now);
            store::update(tx, &after).await?;
            let change = (after.id, after.version);
            store::tell_changed(tx, &self.revocations, change, now, self.told_for).await?;
            tx.audit_also(told::record(ctx, "api_key.revoke", Some(&before), &after));
            told::tell_key(tx, ctx, "api_key.revoked", &after, now);
        }
        Ok(())
    }
}
