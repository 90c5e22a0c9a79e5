use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use stylobate_core::{AuditEvent, Clock, PersonId, RequestContext, TenantId};
use stylobate_db::{Conn, Scope, Tx};

use crate::{DefaultOrg, Error, Membership, MembershipStatus, OrgCode, OrgName, invitation_store, store};

/// An organisation: a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Org {
    /// Names it.
    pub id: TenantId,
    /// What it is chosen by at sign-in; unique without regard to case.
    pub code: OrgCode,
    /// What people call it.
    pub name: OrgName,
    /// Whether anybody may act in it.
    pub is_active: bool,
    /// Whether it is the one every installation has.
    pub is_default: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// How often it was changed, from 1.
    pub version: i64,
}

/// Organisations and who belongs to them. Works inside the caller's transaction and records every change with it.
///
/// Who may change what is decided by the caller; the tenant it passes comes from the principal, never from a request's
/// body. A transaction in a tenant's scope changes that tenant's memberships only; reading or removing those of a person
/// over all tenants needs [`Scope::Platform`].
#[derive(Debug, Clone)]
pub struct Tenancy {
    clock: Arc<dyn Clock>,
}

impl Tenancy {
    /// A service that dates changes by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    /// Where the present comes from.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Returns the default organisation, making it first when there is none. Any number of processes may start at once:
    /// one makes it, all return the same. Once it exists, code and name in `org` no longer matter, so that it can be
    /// renamed. Needs [`Scope::Platform`].
    ///
    /// # Errors
    /// [`Error::DefaultOrgMismatch`] when `org` has an id and the stored one differs; [`Error::CodeTaken`] when there is
    /// no default organisation but another one has its code or id.
    pub async fn ensure_default_org(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        org: &DefaultOrg,
    ) -> Result<Org, Error> {
        if let Some(stored) = store::find_default_org(tx).await? {
            return agreed(stored, org);
        }
        let now = self.clock.now();
        let id = org.id.unwrap_or_else(|| TenantId::new(now));
        if store::insert_default_org(tx, id, org, now).await? {
            tx.audit(AuditEvent::new(context, "org.create", "org").on(id).in_tenant(Some(id)).change(
                None::<()>,
                // Not `code`: a field of that name is taken for a one-time code and hidden.
                Some(json!({ "org_code": org.code, "name": org.name, "is_active": true })),
            ));
        }
        // Whoever lost the race reads what the winner committed.
        let stored = store::find_default_org(tx).await?.ok_or(Error::CodeTaken)?;
        agreed(stored, org)
    }

    /// The organisation `id`.
    ///
    /// # Errors
    /// [`Error::Db`] when the database fails.
    pub async fn find_org(&self, conn: &mut Conn, id: TenantId) -> Result<Option<Org>, Error> {
        store::find_org(conn, id).await
    }

    /// The ids of all organisations, at most `limit` of them after `after`, in order: for work that goes through all.
    ///
    /// # Errors
    /// [`Error::Db`] when the database fails.
    pub async fn org_ids(
        &self,
        conn: &mut Conn,
        after: Option<TenantId>,
        limit: u16,
    ) -> Result<Vec<TenantId>, Error> {
        store::org_ids(conn, after, limit.into()).await
    }

    /// The organisation whose code is `code`, in whatever case.
    ///
    /// # Errors
    /// [`Error::Db`] when the database fails.
    pub async fn find_org_by_code(&self, conn: &mut Conn, code: &OrgCode) -> Result<Option<Org>, Error> {
        store::find_org_by_code(conn, code).await
    }

    /// Every organisation `person` belongs to, by code, usable or not: what [`choose`](crate::choose) takes. Sign-in
    /// reads it under [`Scope::Platform`], before a tenant is known; in a tenant's scope PostgreSQL shows that
    /// tenant's membership alone.
    ///
    /// # Errors
    /// [`Error::Db`] when the database fails.
    pub async fn memberships_of(&self, tx: &mut Tx, person: PersonId) -> Result<Vec<Membership>, Error> {
        store::memberships_of(tx, person).await
    }

    /// Whether `person` is an active member of `tenant`.
    ///
    /// # Errors
    /// [`Error::ForeignTenant`] when `tx` works for another tenant; [`Error::Db`] when the database fails.
    pub async fn is_member(&self, tx: &mut Tx, tenant: TenantId, person: PersonId) -> Result<bool, Error> {
        own(tx.scope(), tenant)?;
        store::is_member(tx, tenant, person).await
    }

    /// Which of `people`, at most a few thousand, are active members of `tenant`, in no order.
    ///
    /// # Errors
    /// As [`is_member`](Self::is_member).
    pub async fn members_among(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        people: &[PersonId],
    ) -> Result<Vec<PersonId>, Error> {
        own(tx.scope(), tenant)?;
        store::members_among(tx, tenant, people).await
    }

    /// Makes `person` an active member of `tenant`; `false` when they are a member already, active or suspended.
    ///
    /// # Errors
    /// [`Error::OrgNotFound`] when there is no such tenant, [`Error::ForeignTenant`] when `tx` works for another one.
    pub async fn add_member(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        person: PersonId,
    ) -> Result<bool, Error> {
        own(tx.scope(), tenant)?;
        let added = match store::insert_membership(tx, tenant, person, self.clock.now()).await {
            Err(error) if error.is_foreign_key_violation() => return Err(Error::OrgNotFound),
            added => added?,
        };
        if added {
            tx.audit(
                member_event(context, "member.add", tenant, person)
                    .change(None::<()>, Some(json!({ "status": MembershipStatus::Active }))),
            );
        }
        Ok(added)
    }

    /// Ends the membership of `person` in `tenant`; `false` when there was none.
    ///
    /// # Errors
    /// [`Error::ForeignTenant`] when `tx` works for another tenant; [`Error::Db`] when the database fails.
    pub async fn remove_member(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        person: PersonId,
    ) -> Result<bool, Error> {
        own(tx.scope(), tenant)?;
        let removed = store::delete_membership(tx, tenant, person).await?;
        if removed {
            tx.audit(member_event(context, "member.remove", tenant, person));
        }
        Ok(removed)
    }

    /// Ends every membership of `person`, because the person is deleted, and returns the organisations they were in. The invitations that
    /// they accepted are deleted with the address, those that they made forget who made them. Needs [`Scope::Platform`].
    ///
    /// # Errors
    /// [`Error::ForeignTenant`] when `tx` works for one tenant: it would leave the others' memberships behind.
    pub async fn remove_person(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        person: PersonId,
    ) -> Result<Vec<TenantId>, Error> {
        if tx.scope().tenant().is_some() {
            return Err(Error::ForeignTenant);
        }
        invitation_store::forget_person(tx, person).await?;
        let tenants = store::delete_memberships_of(tx, person).await?;
        for tenant in &tenants {
            tx.audit(member_event(context, "member.remove", *tenant, person));
        }
        Ok(tenants)
    }
}

fn member_event(
    context: &RequestContext,
    action: &'static str,
    tenant: TenantId,
    person: PersonId,
) -> AuditEvent {
    AuditEvent::new(context, action, "person").on(person).in_tenant(Some(tenant))
}

fn agreed(stored: Org, configured: &DefaultOrg) -> Result<Org, Error> {
    match configured.id {
        Some(id) if id != stored.id => Err(Error::DefaultOrgMismatch { configured: id, stored: stored.id }),
        _ => Ok(stored),
    }
}

/// Row-level security holds this on PostgreSQL; held here as well, both engines answer alike.
pub(crate) fn own(scope: Scope, tenant: TenantId) -> Result<(), Error> {
    match scope.tenant() {
        Some(own) if own != tenant => Err(Error::ForeignTenant),
        _ => Ok(()),
    }
}
