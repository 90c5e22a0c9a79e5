mod check;
mod making;
mod upkeep;

use std::{fmt, sync::Arc, time::Duration};

use chrono::TimeDelta;
use stylobate_core::{ApiKeyId, AuditSink, Clock, Page, RequestContext, TenantId};
use stylobate_db::{Db, Error, Scope, Tx};

use super::{
    ApiKey, ApiKeyChange, ApiKeyConfig, ApiKeyEnvironment, ApiKeyError, ApiKeyQuery, ApiKeySecret,
    ApiKeyUsage, IssuedApiKey, KeyCounts, NewApiKey, RevokeReason, known::KnownKeys, record, store, told,
    usage, uses::KeyUses,
};
use crate::{Revocations, pepper::Pepper, seldom::Seldom};

/// These tables are read before any tenant is known.
const SCOPE: Scope = Scope::Platform("api keys");

/// The API keys of an installation: makes, changes and checks them. Clone it freely, all clones share what is remembered.
///
/// Get it from [`Auth::api_keys`](crate::Auth::api_keys). Whether a caller may change a key is the caller's question.
#[derive(Clone)]
pub struct ApiKeys(Arc<Inner>);

struct Inner {
    parts: ApiKeysParts,
    environment: ApiKeyEnvironment,
    /// How long it is told that a key has changed.
    told_for: TimeDelta,
    known: KnownKeys,
    uses: KeyUses,
    /// Refusals that could not be recorded, for the log.
    unrecorded: Seldom,
}

/// What [`ApiKeys`] are made of.
pub(crate) struct ApiKeysParts {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) audit: Arc<dyn AuditSink>,
    pub(crate) pepper: Pepper,
    pub(crate) config: ApiKeyConfig,
    pub(crate) revocations: Revocations,
    /// How long changes are told: at least the time that processes go without reading a key again.
    pub(crate) told_for: Duration,
    /// How many keys are remembered.
    pub(crate) entries: usize,
    /// Absent when this process counts for itself.
    pub(crate) counts: Option<Arc<dyn KeyCounts>>,
}

/// Between two lines in the log about what anybody can cause.
const SAY_EVERY: Duration = Duration::from_secs(60);

impl ApiKeys {
    pub(crate) fn new(parts: ApiKeysParts) -> Self {
        Self(Arc::new(Inner {
            environment: parts.config.environment(),
            told_for: TimeDelta::from_std(parts.told_for).unwrap_or(TimeDelta::hours(1)),
            known: KnownKeys::new(parts.entries),
            uses: KeyUses::new(),
            unrecorded: Seldom::new(SAY_EVERY),
            parts,
        }))
    }

    /// Makes a key. Its secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`ApiKeyError::Invalid`], [`ApiKeyError::OwnerUnknown`], [`ApiKeyError::TooMany`], [`ApiKeyError::MadeTooMany`],
    /// [`ApiKeyError::Key`], [`ApiKeyError::Db`].
    pub async fn create(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        new: NewApiKey,
    ) -> Result<IssuedApiKey, ApiKeyError> {
        let config = &self.0.parts.config;
        let now = self.0.parts.clock.now();
        let (tenant, owner) = (new.tenant, new.owner);
        let key = new.into_key(ApiKeyId::new(now), config, now)?;
        if !self.lock_owner(tx, ctx, tenant, owner).await? {
            return Err(ApiKeyError::OwnerUnknown(owner));
        }
        let maker = making::maker(ctx);
        if let Some(maker) = &maker {
            self.refuse_hurry(tx, tenant, maker).await?;
        }
        let max = config.per_owner_max;
        if store::count_live(tx, tenant, owner, now).await? >= i64::from(max) {
            return Err(ApiKeyError::TooMany { max });
        }
        let secret = ApiKeySecret::generate(self.0.environment, key.id)?;
        store::insert(tx, &key, secret.digest(&self.0.parts.pepper), maker).await?;
        tx.audit(told::record(ctx, "api_key.create", None, &key));
        told::tell_key(tx, ctx, "api_key.created", &key, now);
        Ok(IssuedApiKey { key, secret })
    }

    /// A key of `tenant`.
    ///
    /// # Errors
    /// [`ApiKeyError::NotFound`], [`ApiKeyError::Db`].
    pub async fn find(&self, tenant: TenantId, id: ApiKeyId) -> Result<ApiKey, ApiKeyError> {
        let mut conn = self.0.parts.db.read().await?;
        store::find(&mut conn, tenant, id, self.0.environment).await?.ok_or(ApiKeyError::NotFound)
    }

    /// A key of `tenant`, to ask whether the caller may change it in the same transaction.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn find_in(&self, tx: &mut Tx, tenant: TenantId, id: ApiKeyId) -> Result<ApiKey, ApiKeyError> {
        store::find(tx, tenant, id, self.0.environment).await?.ok_or(ApiKeyError::NotFound)
    }

    /// The keys of `tenant`, page by page.
    ///
    /// # Errors
    /// [`ApiKeyError::Cursor`], [`ApiKeyError::Db`].
    pub async fn list(&self, tenant: TenantId, query: &ApiKeyQuery) -> Result<Page<ApiKey>, ApiKeyError> {
        let (keyset, now) = (store::keyset(query)?, self.0.parts.clock.now());
        let mut conn = self.0.parts.db.read().await?;
        let mut page = store::list(&mut conn, tenant, query, &keyset, self.0.environment, now).await?;
        if query.with_total {
            page.total = Some(store::count(&mut conn, tenant, query, now).await?);
        }
        Ok(page)
    }

    /// Changes a key of `tenant`, at once in this process and within a second everywhere. One that may do more afterwards, or is
    /// accepted from more places, is told as `api_key.widened`.
    ///
    /// # Errors
    /// [`ApiKeyError::Invalid`], [`ApiKeyError::NotFound`]; [`ApiKeyError::Ended`]: nothing brings a key back;
    /// [`ApiKeyError::Db`].
    pub async fn update(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        (tenant, id): (TenantId, ApiKeyId),
        change: ApiKeyChange,
    ) -> Result<ApiKey, ApiKeyError> {
        let now = self.0.parts.clock.now();
        let before = self.lock_live(tx, tenant, id).await?;
        let mut after = change.applied_to(&before, now)?;
        if after == before {
            return Ok(before);
        }
        after.version += 1;
        after.updated_at = now;
        store::update(tx, &after).await?;
        self.tell_changed(tx, &after).await?;
        tx.audit(told::record(ctx, "api_key.update", Some(&before), &after));
        if after.is_wider_than(&before) {
            told::tell_key(tx, ctx, "api_key.widened", &after, now);
        }
        Ok(after)
    }

    /// Gives a key of `tenant` another secret. The one before is good for `overlap` more, at most
    /// [`OVERLAP_MAX`](ApiKeyConfig::OVERLAP_MAX), so that nothing stops while programs change over; without an overlap
    /// every earlier secret ends, whatever was promised to it. The key lives as long as before.
    ///
    /// # Errors
    /// [`ApiKeyError::Rotating`] for an overlap while the secret before the present one is good; [`ApiKeyError::Invalid`],
    /// [`ApiKeyError::NotFound`], [`ApiKeyError::Ended`], [`ApiKeyError::Key`], [`ApiKeyError::Db`].
    pub async fn rotate(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        (tenant, id): (TenantId, ApiKeyId),
        overlap: Duration,
    ) -> Result<IssuedApiKey, ApiKeyError> {
        let now = self.0.parts.clock.now();
        let before = self.lock_live(tx, tenant, id).await?;
        if !overlap.is_zero() && before.previous_until.is_some_and(|until| until > now) {
            return Err(ApiKeyError::Rotating);
        }
        let after = ApiKey {
            previous_until: Some(record::overlap_end(&before, overlap, now)?),
            rotated_at: Some(now),
            updated_at: now,
            version: before.version + 1,
            ..before.clone()
        };
        let secret = ApiKeySecret::generate(self.0.environment, id)?;
        store::rotate(tx, &after, secret.digest(&self.0.parts.pepper)).await?;
        self.tell_changed(tx, &after).await?;
        tx.audit(told::record(ctx, "api_key.rotate", Some(&before), &after));
        told::tell_key(tx, ctx, "api_key.rotated", &after, now);
        Ok(IssuedApiKey { key: after, secret })
    }

    /// Revokes a key of `tenant`, at once in this process and within a second everywhere. One that is revoked stays as it is.
    ///
    /// # Errors
    /// [`ApiKeyError::NotFound`], [`ApiKeyError::Db`].
    pub async fn revoke(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        (tenant, id): (TenantId, ApiKeyId),
    ) -> Result<ApiKey, ApiKeyError> {
        self.revoke_if_there(tx, ctx, (tenant, id)).await?.ok_or(ApiKeyError::NotFound)
    }

    pub(crate) async fn revoke_if_there(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        (tenant, id): (TenantId, ApiKeyId),
    ) -> Result<Option<ApiKey>, Error> {
        let now = self.0.parts.clock.now();
        let before = match store::lock(tx, tenant, id, self.0.environment).await? {
            Some(before) if before.revoked_at.is_none() => before,
            ended => return Ok(ended),
        };
        let after = store::revoked(&before, RevokeReason::Revoked, now);
        store::update(tx, &after).await?;
        self.tell_changed(tx, &after).await?;
        tx.audit(told::record(ctx, "api_key.revoke", Some(&before), &after));
        told::tell_key(tx, ctx, "api_key.revoked", &after, now);
        Ok(Some(after))
    }

    /// What a key of `tenant` was used for on each of the last 90 days on which it was, the latest first. What other processes
    /// have counted is up to 10 s late.
    ///
    /// # Errors
    /// [`ApiKeyError::NotFound`], [`ApiKeyError::Db`].
    pub async fn usage(&self, tenant: TenantId, id: ApiKeyId) -> Result<Vec<ApiKeyUsage>, ApiKeyError> {
        self.write_uses().await?;
        let mut conn = self.0.parts.db.read().await?;
        let key = store::find(&mut conn, tenant, id, self.0.environment).await?;
        let since = usage::day_of(self.0.parts.clock.now()) - usage::KEPT_DAYS;
        Ok(usage::list(&mut conn, key.ok_or(ApiKeyError::NotFound)?.id, since).await?)
    }

    async fn lock(&self, tx: &mut Tx, tenant: TenantId, id: ApiKeyId) -> Result<ApiKey, ApiKeyError> {
        store::lock(tx, tenant, id, self.0.environment).await?.ok_or(ApiKeyError::NotFound)
    }

    async fn lock_live(&self, tx: &mut Tx, tenant: TenantId, id: ApiKeyId) -> Result<ApiKey, ApiKeyError> {
        let key = self.lock(tx, tenant, id).await?;
        if key.is_ended(self.0.parts.clock.now()) { Err(ApiKeyError::Ended) } else { Ok(key) }
    }

    async fn tell_changed(&self, tx: &mut Tx, key: &ApiKey) -> Result<(), Error> {
        let parts = &self.0.parts;
        let change = (key.id, key.version);
        store::tell_changed(tx, &parts.revocations, change, parts.clock.now(), self.0.told_for).await
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").field("config", &self.0.parts.config).finish_non_exhaustive()
    }
}
