use stylobate_core::{AuditEvent, CursorInvalid, Direction, Page, PageLimit, RequestContext, TenantId};
use stylobate_db::{Conn, Keyset, Tx};

use crate::{
    DefaultOrg, Error, LicenseStatus, NewOrg, Org, OrgChange, OrgCode, OrgFilter, Tenancy,
    org_store::{self, Lock},
    tenancy::own,
};

/// Organisations. What may be done where is said by their state: see [`Org`].
impl Tenancy {
    /// Returns the default organisation, making it first when there is none. Any number of processes may start at once:
    /// one makes it, all return the same. Once it exists, code and name in `org` no longer matter, so that it can be
    /// renamed. Needs [`Scope::Platform`](stylobate_db::Scope::Platform).
    ///
    /// Organisations that a version before has made are found by [`OrgFilter::search`] from then on as those that this one makes.
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
        org_store::fold_search_keys(tx).await?;
        if let Some(stored) = org_store::find_default_org(tx).await? {
            return agreed(stored, org);
        }
        let new = NewOrg {
            code: org.code.clone(),
            name: org.name.clone(),
            license_status: LicenseStatus::Active,
            purchase_date: None,
        };
        let made = Org { is_default: true, ..self.made(&new) };
        let made = Org { id: org.id.unwrap_or(made.id), ..made };
        if org_store::insert_org(tx, &made).await? {
            tx.audit(created(context, &made));
        }
        // Whoever lost the race reads what the winner committed.
        let stored = org_store::find_default_org(tx).await?.ok_or(Error::CodeTaken)?;
        agreed(stored, org)
    }

    /// Makes another organisation, active and without people. Whether there may be another
    /// ([`TenancyMode`](crate::TenancyMode)) is the caller's question. Needs
    /// [`Scope::Platform`](stylobate_db::Scope::Platform).
    ///
    /// # Errors
    /// [`Error::CodeTaken`], after which the transaction goes on, so that another code can be tried in it;
    /// [`Error::ForeignTenant`] when `tx` works for one tenant; [`Error::Db`].
    pub async fn create_org(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        new: &NewOrg,
    ) -> Result<Org, Error> {
        if tx.scope().tenant().is_some() {
            return Err(Error::ForeignTenant);
        }
        let org = self.made(new);
        if !org_store::insert_org(tx, &org).await? {
            return Err(Error::CodeTaken);
        }
        tx.audit(created(context, &org));
        Ok(org)
    }

    fn made(&self, new: &NewOrg) -> Org {
        let now = self.clock().now();
        Org {
            id: TenantId::new(now),
            code: new.code.clone(),
            name: new.name.clone(),
            license_status: new.license_status,
            purchase_date: new.purchase_date,
            is_active: true,
            is_default: false,
            removal_began_at: None,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }

    /// The organisation `id`.
    ///
    /// # Errors
    /// [`Error::Db`] when the database fails.
    pub async fn find_org(&self, conn: &mut Conn, id: TenantId) -> Result<Option<Org>, Error> {
        org_store::find_org(conn, id).await
    }

    /// The organisation whose code is `code`, in whatever case.
    ///
    /// # Errors
    /// [`Error::Db`] when the database fails.
    pub async fn find_org_by_code(&self, conn: &mut Conn, code: &OrgCode) -> Result<Option<Org>, Error> {
        org_store::find_org_by_code(conn, code).await
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
        org_store::org_ids(conn, after, limit.into()).await
    }

    /// A page of the organisations that `filter` holds. The memberships that [`OrgFilter::member`] looks at are under
    /// row-level security: with it, `conn` is a transaction in [`Scope::Platform`](stylobate_db::Scope::Platform), else
    /// PostgreSQL shows that of one tenant or of none.
    ///
    /// # Errors
    /// [`Error::Db`] when the database fails.
    pub async fn list_orgs(
        &self,
        conn: &mut Conn,
        filter: &OrgFilter,
        keyset: &Keyset,
    ) -> Result<Page<Org>, Error> {
        org_store::list_orgs(conn, filter, keyset).await
    }

    /// Where a page of [`list_orgs`](Self::list_orgs) begins: organisations are listed by when they were made.
    ///
    /// # Errors
    /// [`CursorInvalid`] when the cursor is of another list.
    pub fn orgs_keyset(
        direction: Direction,
        limit: PageLimit,
        cursor: Option<&str>,
    ) -> Result<Keyset, CursorInvalid> {
        Keyset::new("created_at", "created_at", "id", true, direction, limit, cursor)
    }

    /// How many organisations `filter` holds; counting stops at 10,000. Reads as [`list_orgs`](Self::list_orgs) does.
    ///
    /// # Errors
    /// [`Error::Db`] when the database fails.
    pub async fn count_orgs(&self, conn: &mut Conn, filter: &OrgFilter) -> Result<u64, Error> {
        org_store::count_orgs(conn, filter).await
    }

    /// The organisation, when it is active, and it stays so until `tx` ends: for what must not begin in one that is being
    /// deactivated, as a session. Not in a transaction that only reads, and not before changing the organisation in the same
    /// one: two that hold it would wait for each other.
    ///
    /// # Errors
    /// [`Error::OrgInactive`], also when it is being deleted; [`Error::OrgNotFound`]; [`Error::ForeignTenant`] when `tx`
    /// works for another tenant; [`Error::Db`].
    pub async fn hold_active(&self, tx: &mut Tx, tenant: TenantId) -> Result<Org, Error> {
        let org = locked(tx, tenant, Lock::Share).await?;
        if org.is_active { Ok(org) } else { Err(Error::OrgInactive) }
    }

    /// The organisation, and its removal does not begin before `tx` ends: for whoever adds rows to it. Whether it is active is
    /// another question. As [`hold_active`](Self::hold_active), not before changing it in the same transaction.
    ///
    /// # Errors
    /// [`Error::OrgBeingDeleted`]; [`Error::OrgNotFound`]; [`Error::ForeignTenant`] when `tx` works for another tenant;
    /// [`Error::Db`].
    pub async fn lock_org_to_write(&self, tx: &mut Tx, tenant: TenantId) -> Result<Org, Error> {
        staying(locked(tx, tenant, Lock::Share).await?)
    }

    /// Changes what `change` says, and tells whether that is another one. Nothing is written or recorded when it is what is stored
    /// already.
    ///
    /// # Errors
    /// [`Error::OrgNotFound`]; [`Error::OrgBeingDeleted`]; [`Error::VersionConflict`] when the change was made from another
    /// version; [`Error::CodeTaken`]; [`Error::ForeignTenant`] when `tx` works for another tenant; [`Error::Db`].
    pub async fn update_org(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        id: TenantId,
        change: &OrgChange,
    ) -> Result<(Org, bool), Error> {
        let before = staying(locked(tx, id, Lock::Exclusive).await?)?;
        if change.version.is_some_and(|seen| seen != before.version) {
            return Err(Error::VersionConflict);
        }
        let mut after = before.clone();
        if let Some(code) = &change.code {
            // The transaction goes on after a code that is found taken; the constraint is for those who ask at once.
            let other = org_store::find_org_by_code(tx, code).await?;
            if other.is_some_and(|other| other.id != id) {
                return Err(Error::CodeTaken);
            }
            after.code = code.clone();
        }
        if let Some(name) = &change.name {
            after.name = name.clone();
        }
        after.license_status = change.license_status.unwrap_or(before.license_status);
        after.purchase_date = change.purchase_date.unwrap_or(before.purchase_date);
        // Codes are equal in whatever case, and their case can be changed.
        if after == before && after.code.as_str() == before.code.as_str() {
            return Ok((before, false));
        }
        Ok((self.write(tx, context, "org.update", &before, after).await?, true))
    }

    /// Makes the organisation inactive, and tells whether it was active. Waits for those who hold it. What is issued for it,
    /// sessions and keys, is the caller's to end in the same transaction.
    ///
    /// # Errors
    /// [`Error::DefaultOrg`]; [`Error::OrgBeingDeleted`]; [`Error::OrgNotFound`]; [`Error::ForeignTenant`] when `tx` works
    /// for another tenant; [`Error::Db`].
    pub async fn deactivate_org(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        id: TenantId,
    ) -> Result<(Org, bool), Error> {
        let before = staying(locked(tx, id, Lock::Exclusive).await?)?;
        if before.is_default {
            return Err(Error::DefaultOrg);
        }
        if !before.is_active {
            return Ok((before, false));
        }
        let after = Org { is_active: false, ..before.clone() };
        Ok((self.write(tx, context, "org.deactivate", &before, after).await?, true))
    }

    /// Makes the organisation active, and tells whether it was inactive. What was ended with it stays ended.
    ///
    /// # Errors
    /// [`Error::OrgBeingDeleted`]; [`Error::OrgNotFound`]; [`Error::ForeignTenant`] when `tx` works for another tenant;
    /// [`Error::Db`].
    pub async fn activate_org(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        id: TenantId,
    ) -> Result<(Org, bool), Error> {
        let before = staying(locked(tx, id, Lock::Exclusive).await?)?;
        if before.is_active {
            return Ok((before, false));
        }
        let after = Org { is_active: true, ..before.clone() };
        Ok((self.write(tx, context, "org.activate", &before, after).await?, true))
    }

    /// Begins to delete the organisation, and tells whether it begins now: `false` when it had begun already. From here on it is
    /// inactive and nothing is added to it; nobody undoes it. See [`remove_tenant_rows`](Self::remove_tenant_rows) for what
    /// follows. `seen` is the version that the caller has decided by.
    ///
    /// # Errors
    /// [`Error::DefaultOrg`]; [`Error::VersionConflict`] when somebody has changed it since it was `seen`, unless they began this;
    /// [`Error::OrgNotFound`]; [`Error::ForeignTenant`] when `tx` works for another tenant; [`Error::Db`].
    pub async fn begin_org_removal(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        id: TenantId,
        seen: i64,
    ) -> Result<(Org, bool), Error> {
        let before = locked(tx, id, Lock::Exclusive).await?;
        if before.is_default {
            return Err(Error::DefaultOrg);
        }
        if before.removal_began_at.is_some() {
            return Ok((before, false));
        }
        if before.version != seen {
            return Err(Error::VersionConflict);
        }
        let removal_began_at = Some(self.clock().now());
        let after = Org { is_active: false, removal_began_at, ..before.clone() };
        Ok((self.write(tx, context, "org.removal_begun", &before, after).await?, true))
    }

    async fn write(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        action: &'static str,
        before: &Org,
        after: Org,
    ) -> Result<Org, Error> {
        let after = Org { updated_at: self.clock().now(), version: before.version + 1, ..after };
        org_store::update_org(tx, &after).await?;
        let event = org_event(context, action, after.id);
        tx.audit(event.change(Some(before.audited()), Some(after.audited())));
        Ok(after)
    }
}

/// The organisation as it stays until the transaction ends.
pub(crate) async fn locked(tx: &mut Tx, id: TenantId, lock: Lock) -> Result<Org, Error> {
    own(tx.scope(), id)?;
    org_store::lock_org(tx, id, lock).await?.ok_or(Error::OrgNotFound)
}

fn staying(org: Org) -> Result<Org, Error> {
    if org.removal_began_at.is_none() { Ok(org) } else { Err(Error::OrgBeingDeleted) }
}

fn agreed(stored: Org, configured: &DefaultOrg) -> Result<Org, Error> {
    match configured.id {
        Some(id) if id != stored.id => Err(Error::DefaultOrgMismatch { configured: id, stored: stored.id }),
        _ => Ok(stored),
    }
}

fn created(context: &RequestContext, org: &Org) -> AuditEvent {
    org_event(context, "org.create", org.id).change(None::<()>, Some(org.audited()))
}

pub(crate) fn org_event(context: &RequestContext, action: &'static str, id: TenantId) -> AuditEvent {
    AuditEvent::new(context, action, "org").on(id).in_tenant(Some(id))
}
