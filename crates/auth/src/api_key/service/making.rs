//! Who makes keys for whom, and how many.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use stylobate_core::{Actor, ActorKind, KeyOwner, RequestContext, Subject, TenantId};
use stylobate_db::Tx;

use super::{ApiKeyError, ApiKeys, store};
use crate::{people, services};

/// Who makes a key, as the audit trail names them; nobody when it is the platform itself.
pub(super) fn maker(ctx: &RequestContext) -> Option<String> {
    let actor = Actor::from(&ctx.principal);
    actor.id.filter(|_| actor.kind != ActorKind::System)
}

impl ApiKeys {
    /// Locks whom the key will belong to, and who makes it: of two at once, the second counts what the first made, and an owner
    /// who is being disabled gets none. Returns whether the owner can have keys.
    pub(super) async fn lock_owner(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        tenant: TenantId,
        owner: KeyOwner,
    ) -> Result<bool, ApiKeyError> {
        let (mut people, mut services, mut key) = (BTreeSet::new(), BTreeSet::new(), None);
        match ctx.principal.subject {
            Subject::Person { id } => _ = people.insert(id),
            Subject::Service { id } => _ = services.insert(id),
            Subject::ApiKey { id, .. } => key = Some(id),
            Subject::Anonymous | Subject::System => {}
        }
        match owner {
            KeyOwner::Person { id } => _ = people.insert(id),
            KeyOwner::Service { id } => _ = services.insert(id),
        }
        // People, service accounts, keys, each in the order of their ids: two who make keys for each other wait in turn, and so do
        // those who end an owner with the keys.
        let mut can_have_keys = false;
        for id in people {
            let is_active = people::lock(tx, id).await?.is_some_and(|person| person.is_active());
            can_have_keys |= is_active && owner == KeyOwner::Person { id };
        }
        for id in services {
            let is_active = services::lock(tx, tenant, id).await?.is_some_and(|service| service.is_active());
            can_have_keys |= is_active && owner == KeyOwner::Service { id };
        }
        if let Some(key) = key {
            store::lock(tx, tenant, key, self.0.environment).await?;
        }
        Ok(can_have_keys)
    }

    /// Refuses whoever makes many keys within a while. What is counted are keys, so nothing has to be counted elsewhere.
    pub(super) async fn refuse_hurry(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        maker: &str,
    ) -> Result<(), ApiKeyError> {
        let config = &self.0.parts.config;
        let window = TimeDelta::seconds(config.made_window_seconds.into());
        let now = self.0.parts.clock.now();
        let made = store::made_since(tx, tenant, maker, now - window).await?;
        let most = usize::try_from(config.made_max).unwrap_or(usize::MAX);
        // The one that has to be out of the window before another is made.
        let Some(oldest) = made.len().checked_sub(most).and_then(|at| made.get(at)) else { return Ok(()) };
        let retry_after = (*oldest + window - now).to_std().unwrap_or_default();
        Err(ApiKeyError::MadeTooMany { retry_after })
    }
}
