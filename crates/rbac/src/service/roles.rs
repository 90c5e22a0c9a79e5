use std::collections::HashMap;

use stylobate_core::{Page, PersonId, RequestContext, RoleId, TenantId};
use stylobate_db::{Conn, Tx};

use super::{
    Rbac, change::Change, gives_everything, is_declared_role, privileges::Own, require_owner, scope_of,
    told::tell_role,
};
use crate::{
    AssignedRole, Assignee, NewRole, RbacError, Role, RoleAssignment, RoleQuery, RoleUpdate, Written, model,
    store::{Visible, assignments, roles},
};

impl Rbac {
    /// Makes a role in the caller's tenant.
    ///
    /// # Errors
    /// [`RbacError::Invalid`], [`RbacError::RoleNameTaken`].
    pub async fn create_role(
        &self,
        context: &RequestContext,
        new: NewRole,
    ) -> Result<Written<Role>, RbacError> {
        let create = async move |tx: &mut Tx, change: &Change| -> Result<Role, RbacError> {
            change.insert_role(tx, &new).await
        };
        self.change(context, "create a platform role", create).await
    }

    /// A tenant's role called `super_admin` would be taken for the platform's.
    async fn require_free_name(
        &self,
        tx: &mut Tx,
        owner: Option<TenantId>,
        name: &str,
    ) -> Result<(), RbacError> {
        // Seeding finds its roles by name and gives them what is declared: whoever took such a name would be given it.
        let shadows = is_declared_role(self.catalogue(), owner, name)
            || (owner.is_some()
                && (is_declared_role(self.catalogue(), None, name)
                    || roles::find_by_name(tx, None, name).await?.is_some()));
        if shadows { Err(RbacError::RoleNameTaken) } else { Ok(()) }
    }

    /// The role, when it is the tenant's or the platform's.
    ///
    /// # Errors
    /// The database's own.
    pub async fn find_role(&self, context: &RequestContext, id: RoleId) -> Result<Option<Role>, RbacError> {
        let owner = context.principal.tenant;
        let mut tx = self.db.begin_read(scope_of(owner, "read a platform role")).await?;
        let role = roles::find(&mut tx, owner, id).await?;
        tx.rollback().await?;
        Ok(role)
    }

    /// The role with this name that belongs to `owner` itself (`None`: the platform), whatever the case; for programs that
    /// assign a seeded role.
    ///
    /// # Errors
    /// The database's own.
    pub async fn role_named(
        &self,
        conn: &mut Conn,
        owner: Option<TenantId>,
        name: &str,
    ) -> Result<Option<Role>, RbacError> {
        roles::find_by_name(conn, owner, name).await
    }

    /// Lists the roles of the tenant and of the platform.
    ///
    /// # Errors
    /// [`RbacError::Cursor`].
    pub async fn list_roles(
        &self,
        context: &RequestContext,
        query: &RoleQuery,
    ) -> Result<Page<Role>, RbacError> {
        let owner = context.principal.tenant;
        let mut tx = self.db.begin_read(scope_of(owner, "list platform roles")).await?;
        let page = roles::list(&mut tx, Visible { tenant: owner, platform_too: true }, None, query).await?;
        tx.rollback().await?;
        Ok(page)
    }

    /// Lists the roles that `assignee` has in the tenant, and until when; those on the platform too when the caller has one
    /// itself.
    ///
    /// # Errors
    /// [`RbacError::Cursor`]; [`RbacError::PlatformOwned`] when the caller has neither tenant nor platform role.
    pub async fn roles_of(
        &self,
        context: &RequestContext,
        assignee: impl Into<Assignee>,
        query: &RoleQuery,
    ) -> Result<Page<AssignedRole>, RbacError> {
        let assignee = assignee.into();
        let assigned = self.visible_assignments(&context.principal).await?;
        let owner = context.principal.tenant.filter(|_| !assigned.platform_too);
        let mut tx = self.db.begin_read(scope_of(owner, "list platform roles of a subject")).await?;
        let visible = Visible { tenant: context.principal.tenant, platform_too: true };
        let page = roles::list(&mut tx, visible, Some((assignee, assigned)), query).await?;
        let ids: Vec<RoleId> = page.items.iter().map(|role| role.id).collect();
        let held = assignments::of_roles(&mut tx, assigned, assignee, &ids).await?;
        tx.rollback().await?;
        let mut held: HashMap<RoleId, RoleAssignment> =
            held.into_iter().map(|assignment| (assignment.role_id, assignment)).collect();
        let items = page.items.into_iter();
        let items = items
            .filter_map(|role| held.remove(&role.id).map(|assignment| AssignedRole { role, assignment }));
        Ok(Page { items: items.collect(), next_cursor: page.next_cursor, total: page.total })
    }

    /// Which roles of `tenant` itself each of `people`, at most a few thousand, is assigned now, in the order of the roles' ids. What
    /// they have by a group or from the platform is not among them.
    ///
    /// # Errors
    /// The database's own.
    pub async fn role_ids_of(
        &self,
        conn: &mut Conn,
        tenant: TenantId,
        people: &[PersonId],
    ) -> Result<Vec<(PersonId, RoleId)>, RbacError> {
        assignments::held_by_people(conn, tenant, people, self.now()).await
    }

    /// Changes a role.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::Invalid`], [`RbacError::RoleNameTaken`], [`RbacError::Stale`],
    /// [`RbacError::PlatformOwned`], [`RbacError::Declared`] for the name of a declared role, for switching off the platform's, and
    /// for switching off a tenant's role of all permissions by who does not have them from the platform;
    /// [`RbacError::LastAdministrator`] for switching that off while somebody has it; [`RbacError::BeyondOwn`] for switching it on when it gives more than the caller has, and for switching it off as
    /// [`unassign`](Self::unassign).
    pub async fn update_role(
        &self,
        context: &RequestContext,
        id: RoleId,
        update: RoleUpdate,
    ) -> Result<Written<Role>, RbacError> {
        if let Some(name) = &update.name {
            model::name(name)?;
        }
        model::description(update.description.as_ref().and_then(Option::as_deref))?;
        let change = async move |tx: &mut Tx, change: &Change| change.update_role(tx, id, &update).await;
        self.change(context, "change a platform role", change).await
    }

    /// Deletes a role, and with it every assignment of it and what others inherited from it.
    ///
    /// # Errors
    /// [`RbacError::NotFound`], [`RbacError::PlatformOwned`], [`RbacError::Declared`]; [`RbacError::BeyondOwn`] as
    /// [`unassign`](Self::unassign).
    pub async fn delete_role(&self, context: &RequestContext, id: RoleId) -> Result<Written<()>, RbacError> {
        let owner = context.principal.tenant;
        let delete = async move |tx: &mut Tx, change: &Change| -> Result<(), RbacError> {
            let role = change.rbac.owned_role(tx, owner, id).await?;
            if is_declared_role(change.rbac.catalogue(), owner, &role.name) {
                return Err(RbacError::Declared);
            }
            let own = change.own(tx, &[id]).await?;
            own.require_taking_role(id, None)?;
            roles::delete(tx, &role).await?;
            change.audit(tx, "role.delete", ("role", id), Some(&role), None::<&Role>);
            tell_role(tx, &change.context, "role.deleted", &role);
            Ok(())
        };
        self.change(context, "delete a platform role", delete).await
    }

    /// The role, when it belongs to `owner` itself.
    pub(super) async fn owned_role(
        &self,
        conn: &mut Conn,
        owner: Option<TenantId>,
        id: RoleId,
    ) -> Result<Role, RbacError> {
        let role = roles::find(conn, owner, id).await?.ok_or(RbacError::NotFound { entity: "role" })?;
        require_owner(role.tenant_id, owner)?;
        Ok(role)
    }
}

impl Change {
    async fn update_role(&self, tx: &mut Tx, id: RoleId, update: &RoleUpdate) -> Result<Role, RbacError> {
        let (rbac, owner) = (&self.rbac, self.owner);
        let before = rbac.owned_role(tx, owner, id).await?;
        if update.version.is_some_and(|seen| seen != before.version) {
            return Err(RbacError::Stale);
        }
        let mut after = before.clone();
        if let Some(name) = &update.name {
            after.name.clone_from(name);
        }
        if let Some(description) = &update.description {
            after.description.clone_from(description);
        }
        after.is_active = update.is_active.unwrap_or(before.is_active);
        if after == before {
            return Ok(before);
        }
        if after.is_active != before.is_active {
            let own = self.own(tx, &[id]).await?;
            // Switched on it gives again, switched off it denies no longer.
            own.require_taking_role(id, None)?;
            if after.is_active {
                own.require_role(id, None)?;
            } else {
                self.require_may_switch_off(&before, &own)?;
            }
        }
        if after.name != before.name {
            if is_declared_role(rbac.catalogue(), owner, &before.name) {
                return Err(RbacError::Declared);
            }
            rbac.require_free_name(tx, owner, &after.name).await?;
        }
        after.version += 1;
        after.updated_at = rbac.now();
        let switched_off = (before.is_active && !after.is_active).then_some(id);
        let administrators = self.administrators(tx, switched_off.as_slice()).await?;
        if !roles::update(tx, &after, before.version).await? {
            return Err(RbacError::Stale);
        }
        self.require_administrator(tx, administrators).await?;
        self.audit(tx, "role.update", ("role", id), Some(&before), Some(&after));
        tell_role(tx, &self.context, "role.updated", &after);
        Ok(after)
    }

    /// Refuses to switch off a declared role of the platform, and the one that gives everything in a tenant unless the
    /// platform gives the caller as much: in the tenant nobody would be left who could switch it on again.
    fn require_may_switch_off(&self, role: &Role, own: &Own) -> Result<(), RbacError> {
        let catalogue = self.rbac.catalogue();
        let is_kept = match self.owner {
            None => is_declared_role(catalogue, None, &role.name),
            Some(_) => gives_everything(catalogue, role) && !own.has_role_from_platform(role.id),
        };
        if is_kept { Err(RbacError::Declared) } else { Ok(()) }
    }
}

impl Change {
    /// Makes a role.
    pub(super) async fn insert_role(&self, tx: &mut Tx, new: &NewRole) -> Result<Role, RbacError> {
        model::name(&new.name)?;
        model::description(new.description.as_deref())?;
        self.rbac.require_free_name(tx, self.owner, &new.name).await?;
        let now = self.rbac.now();
        let role = Role {
            id: RoleId::new(now),
            tenant_id: self.owner,
            name: new.name.clone(),
            description: new.description.clone(),
            is_active: new.is_active,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        roles::insert(tx, &role).await?;
        self.audit(tx, "role.create", ("role", role.id), None::<&Role>, Some(&role));
        tell_role(tx, &self.context, "role.created", &role);
        Ok(role)
    }
}
