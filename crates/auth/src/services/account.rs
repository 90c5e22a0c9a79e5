use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use stylobate_core::{
    AuditEvent, AuditSink, Clock, Direction, DomainEvent, KeyOwner, Page, PageLimit, RequestContext,
    ServiceId, TenantId,
};
use stylobate_db::{Db, Tx};

use super::{ServiceAccountError, ServiceAccountProblem, grant::refuse_if, store};
use crate::{
    Revocation, Revocations, ServiceTokenSigner,
    api_key::{OwnedKeys, RevokeReason},
    revocation,
};

/// Whether a service account may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceAccountStatus {
    /// It may.
    Active,
    /// It may not, and its keys rest.
    Disabled,
}

impl ServiceAccountStatus {
    /// The status as rows and bodies spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

/// A service account. Serialised, it is what callers may see of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceAccount {
    /// Names the account.
    pub id: ServiceId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What it is called; unique in the tenant, whatever the case.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it may act.
    pub status: ServiceAccountStatus,
    /// Counts up with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl ServiceAccount {
    /// Whether it may act.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == ServiceAccountStatus::Active
    }
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewServiceAccount {
    /// What it is called; 1 to 100 characters.
    pub name: String,
    /// What it is for; at most 500 characters.
    pub description: Option<String>,
}

/// What to change of an account; `None` leaves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceAccountChange {
    /// What it is called.
    pub name: Option<String>,
    /// What it is for; `Some(None)` is nothing.
    pub description: Option<Option<String>>,
    /// Whether it may act.
    pub status: Option<ServiceAccountStatus>,
}

/// Which accounts of a tenant to list.
#[derive(Debug, Clone, Default)]
pub struct ServiceAccountQuery {
    /// Only those of this status.
    pub status: Option<ServiceAccountStatus>,
    /// In the order they were made, or from the newest.
    pub direction: Direction,
    /// How many.
    pub limit: PageLimit,
    /// Where to go on.
    pub cursor: Option<String>,
    /// Whether to count them all, up to 10,000.
    pub with_total: bool,
}

/// The service accounts of an installation. Clone it freely.
///
/// Get it from [`Auth::service_accounts`](crate::Auth::service_accounts). Whether a caller may change an account, and what
/// becomes of its roles, is the caller's question.
#[derive(Clone)]
pub struct ServiceAccounts(Arc<ServiceAccountsParts>);

/// What [`ServiceAccounts`] are made of.
pub(crate) struct ServiceAccountsParts {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) audit: Arc<dyn AuditSink>,
    pub(crate) revocations: Revocations,
    pub(crate) signer: ServiceTokenSigner,
    pub(crate) keys: OwnedKeys,
    /// How long changes are told: at least as long as a token of the account lives, or a key of it is not read again.
    pub(crate) told_for: Duration,
}

const NAME_CHARS_MAX: usize = 100;
const DESCRIPTION_CHARS_MAX: usize = 500;

impl ServiceAccounts {
    pub(crate) fn new(parts: ServiceAccountsParts) -> Self {
        Self(Arc::new(parts))
    }

    pub(super) fn parts(&self) -> &ServiceAccountsParts {
        &self.0
    }

    /// Makes an account, active and without keys or roles.
    ///
    /// # Errors
    /// [`ServiceAccountError::Invalid`]; [`ServiceAccountError::NameTaken`], after which a PostgreSQL transaction is of no
    /// further use; [`ServiceAccountError::Db`].
    pub async fn insert(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        tenant: TenantId,
        new: NewServiceAccount,
    ) -> Result<ServiceAccount, ServiceAccountError> {
        let now = self.0.clock.now();
        let account = ServiceAccount {
            id: ServiceId::new(now),
            tenant_id: tenant,
            name: new.name,
            description: new.description,
            status: ServiceAccountStatus::Active,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        check(&account)?;
        store::insert(tx, &account).await?;
        let event = AuditEvent::new(ctx, "service_account.create", "service_account").on(account.id);
        tx.audit(event.in_tenant(Some(tenant)).change(None::<()>, Some(&account)));
        tell_account(tx, ctx, "service_account.created", &account);
        Ok(account)
    }

    /// An account of `tenant`.
    ///
    /// # Errors
    /// [`ServiceAccountError::NotFound`], [`ServiceAccountError::Db`].
    pub async fn find(&self, tenant: TenantId, id: ServiceId) -> Result<ServiceAccount, ServiceAccountError> {
        let mut conn = self.0.db.read().await?;
        store::find(&mut conn, tenant, id).await?.ok_or(ServiceAccountError::NotFound)
    }

    /// An account of `tenant`, to decide about in the same transaction.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn find_in(
        tx: &mut Tx,
        tenant: TenantId,
        id: ServiceId,
    ) -> Result<ServiceAccount, ServiceAccountError> {
        store::find(tx, tenant, id).await?.ok_or(ServiceAccountError::NotFound)
    }

    /// The accounts of `tenant`, page by page.
    ///
    /// # Errors
    /// [`ServiceAccountError::Cursor`], [`ServiceAccountError::Db`].
    pub async fn list(
        &self,
        tenant: TenantId,
        query: &ServiceAccountQuery,
    ) -> Result<Page<ServiceAccount>, ServiceAccountError> {
        let keyset = store::keyset(query)?;
        let mut conn = self.0.db.read().await?;
        let mut page = store::list(&mut conn, tenant, query, &keyset).await?;
        if query.with_total {
            page.total = Some(store::count(&mut conn, tenant, query).await?);
        }
        Ok(page)
    }

    /// Changes an account of `tenant`.
    ///
    /// # Errors
    /// [`ServiceAccountError::Invalid`], [`ServiceAccountError::NotFound`]; [`ServiceAccountError::NameTaken`], after which a
    /// PostgreSQL transaction is of no further use; [`ServiceAccountError::Db`].
    pub async fn update(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        (tenant, id): (TenantId, ServiceId),
        change: ServiceAccountChange,
    ) -> Result<ServiceAccount, ServiceAccountError> {
        let before = store::lock(tx, tenant, id).await?.ok_or(ServiceAccountError::NotFound)?;
        let mut after = ServiceAccount {
            name: change.name.unwrap_or_else(|| before.name.clone()),
            description: change.description.unwrap_or_else(|| before.description.clone()),
            status: change.status.unwrap_or(before.status),
            ..before.clone()
        };
        check(&after)?;
        if change.status.is_some() {
            // Whoever says so has the last word.
            store::forget_tenant_end(tx, id).await?;
        }
        if after == before {
            return Ok(before);
        }
        after.version += 1;
        after.updated_at = self.0.clock.now();
        store::update(tx, &after).await?;
        self.tell_changed(tx, id, after.version).await?;
        let event = AuditEvent::new(ctx, "service_account.update", "service_account").on(id);
        tx.audit(event.in_tenant(Some(tenant)).change(Some(&before), Some(&after)));
        tell_account(tx, ctx, "service_account.updated", &after);
        Ok(after)
    }

    /// Removes an account of `tenant` with its keys; each API key is on record as revoked. Its roles the caller removes in the same transaction.
    ///
    /// # Errors
    /// [`ServiceAccountError::NotFound`], [`ServiceAccountError::Db`].
    pub async fn delete(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        (tenant, id): (TenantId, ServiceId),
    ) -> Result<(), ServiceAccountError> {
        let before = store::lock(tx, tenant, id).await?.ok_or(ServiceAccountError::NotFound)?;
        self.0.keys.revoke(tx, ctx, (KeyOwner::Service { id }, None), RevokeReason::OwnerDeleted).await?;
        store::delete(tx, id).await?;
        self.tell_changed(tx, id, before.version + 1).await?;
        let event = AuditEvent::new(ctx, "service_account.delete", "service_account").on(id);
        tx.audit(event.in_tenant(Some(tenant)).change(Some(&before), None::<()>));
        tell_account(tx, ctx, "service_account.deleted", &before);
        Ok(())
    }

    pub(super) async fn tell_changed(
        &self,
        tx: &mut Tx,
        id: ServiceId,
        version: i64,
    ) -> Result<(), ServiceAccountError> {
        let now = self.0.clock.now();
        let change = Revocation::Service(id, version);
        let told_for = TimeDelta::from_std(self.0.told_for).unwrap_or(TimeDelta::hours(2));
        Ok(revocation::insert(tx, &self.0.revocations, change, now, now + told_for).await?)
    }
}

fn check(account: &ServiceAccount) -> Result<(), ServiceAccountError> {
    check_name("name", &account.name, NAME_CHARS_MAX)?;
    let Some(description) = account.description.as_deref() else { return Ok(()) };
    check_text("description", description, DESCRIPTION_CHARS_MAX)
}

/// A name that people read: of 1 to `max` characters, all of which can be seen.
pub(super) fn check_name(field: &'static str, text: &str, max: usize) -> Result<(), ServiceAccountError> {
    refuse_if(text.trim().is_empty(), field, ServiceAccountProblem::Empty)?;
    check_text(field, text, max)
}

fn check_text(field: &'static str, text: &str, max: usize) -> Result<(), ServiceAccountError> {
    refuse_if(text.chars().count() > max, field, ServiceAccountProblem::TooLong(max))?;
    refuse_if(text.chars().any(stylobate_core::is_invisible), field, ServiceAccountProblem::Invisible)
}

/// Tells that `kind` happened to an account.
pub(super) fn tell_account(tx: &mut Tx, ctx: &RequestContext, kind: &'static str, account: &ServiceAccount) {
    let data = serde_json::json!({
        "organization_id": account.tenant_id,
        "service_account_id": account.id,
        "name": account.name,
        "is_active": account.is_active(),
    });
    let mut event = DomainEvent::new(ctx, kind, account.id, data);
    event.tenant = Some(account.tenant_id);
    tx.emit(event);
}

impl fmt::Debug for ServiceAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccounts").field("db", &self.0.db).finish_non_exhaustive()
    }
}
