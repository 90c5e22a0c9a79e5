use std::collections::{HashMap, HashSet};

use stylobate_core::{AuditEvent, PermissionId, RequestContext, RoleId, RolePermissionId, TenantId};
use stylobate_db::{Scope, Tx};

use super::Rbac;
use crate::{
    Effect, Permission, RbacError, Role, RoleDef, RoleGrants, RolePermission, Written,
    store::{epochs, grants, offers, permissions, roles},
};

/// The key that gives everything.
const EVERYTHING: &str = "*";

impl Rbac {
    /// Brings the catalogue's permissions and the platform's roles into the database, and with `tenant` that tenant's
    /// default roles. Running it again changes nothing.
    ///
    /// A role that exists keeps the permissions its tenant left it with; a role of all permissions gets those that it was
    /// never given, because a newer version declares them. What a tenant has detached is not given back. The epoch is that of
    /// `tenant`, or of the platform.
    ///
    /// # Errors
    /// The database's own.
    pub async fn seed(
        &self,
        context: &RequestContext,
        tenant: Option<TenantId>,
    ) -> Result<Written<()>, RbacError> {
        let (rbac, asking) = (self.clone(), context.clone());
        let seed = async move |tx: &mut Tx| -> Result<Written<()>, RbacError> {
            rbac.seed_in(tx, &asking, None).await?;
            if tenant.is_some() {
                rbac.seed_in(tx, &asking, tenant).await?;
            }
            Ok(Written { value: (), epoch: epochs::find(tx, tenant).await? })
        };
        let seeded = self.db.transact(Scope::Platform("seed permissions and roles"), seed).await?;
        self.settle(None).await;
        if tenant.is_some() {
            self.settle(tenant).await;
        }
        Ok(seeded)
    }

    /// One half of [`seed`](Self::seed) in a transaction that does more: the platform's rows for `None` (that transaction
    /// has platform scope), a tenant's default roles otherwise (after the platform's rows).
    ///
    /// # Errors
    /// The database's own.
    pub async fn seed_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        owner: Option<TenantId>,
    ) -> Result<(), RbacError> {
        let mut added = Added { bumped: false, rows: Vec::new() };
        if owner.is_none() {
            self.seed_permissions(tx, &mut added).await?;
        }
        let known = permissions::platform_keys(tx).await?;
        let known: HashMap<String, PermissionId> =
            known.into_iter().filter_map(|(id, key)| Some((key, id?))).collect();
        let declared = self.catalogue().roles().iter();
        for role in declared.filter(|role| role.is_platform == owner.is_none()) {
            self.seed_role(tx, owner, role, &known, &mut added).await?;
        }
        if !added.rows.is_empty() {
            let event = AuditEvent::new(context, "rbac.seed", "policy").in_tenant(owner);
            tx.audit(event.with("added", added.rows));
        }
        Ok(())
    }

    async fn seed_permissions(&self, tx: &mut Tx, added: &mut Added) -> Result<(), RbacError> {
        if self.missing_permissions(tx).await?.is_empty() {
            return Ok(());
        }
        self.bump_once(tx, None, added).await?;
        self.bump_tenants(tx).await?;
        // Asked again under the lock: another process may have been first.
        for (key, description) in self.missing_permissions(tx).await? {
            let now = self.now();
            let permission = Permission {
                id: PermissionId::new(now),
                tenant_id: None,
                key: key.to_owned(),
                description: Some(description.to_owned()),
                is_active: true,
                version: 1,
                created_at: now,
                updated_at: now,
            };
            permissions::insert(tx, &permission).await?;
            added.rows.push(format!("permission {key}"));
        }
        Ok(())
    }

    /// Key and description of what the catalogue has and the database lacks.
    async fn missing_permissions(&self, tx: &mut Tx) -> Result<Vec<(&'static str, &'static str)>, RbacError> {
        let there: HashSet<String> =
            permissions::platform_keys(tx).await?.into_iter().map(|(_, key)| key).collect();
        let declared = self.catalogue().permissions().iter().map(|one| (one.key, one.description));
        let all = declared.chain([(EVERYTHING, "Everything there is, now and later")]);
        Ok(all.filter(|(key, _)| !there.contains(*key)).collect())
    }

    async fn seed_role(
        &self,
        tx: &mut Tx,
        owner: Option<TenantId>,
        declared: &RoleDef,
        known: &HashMap<String, PermissionId>,
        added: &mut Added,
    ) -> Result<(), RbacError> {
        let mut role = roles::find_by_name(tx, owner, declared.name).await?.map(|role| role.id);
        if role.is_none() {
            self.bump_once(tx, owner, added).await?;
            // Asked again under the lock: another process may have been first.
            role = roles::find_by_name(tx, owner, declared.name).await?.map(|role| role.id);
        }
        if role.is_none() && roles::is_name_taken(tx, owner, declared.name).await? {
            // Everything else is set up: who has damaged one row must not keep the program from starting.
            let (tenant, role) = (owner.map(|id| id.to_string()), declared.name);
            tracing::error!(tenant, role, "the row of a declared role is damaged; the role is not set up");
            return Ok(());
        }
        let (role, is_new) = match role {
            Some(role) => (role, false),
            None => (self.insert_declared(tx, owner, declared, added).await?, true),
        };
        if !is_new && matches!(declared.grants, RoleGrants::Keys(_)) {
            return Ok(());
        }
        let wanted: Vec<PermissionId> =
            self.wanted(declared.grants).iter().filter_map(|key| known.get(*key).copied()).collect();
        if missing(tx, declared, role, &wanted).await?.is_empty() {
            return Ok(());
        }
        self.bump_once(tx, owner, added).await?;
        // Asked again under the lock.
        let missing = missing(tx, declared, role, &wanted).await?;
        let has: HashSet<PermissionId> = grants::of_role(tx, role).await?.into_iter().collect();
        let now = self.now();
        for permission in missing.iter().copied().filter(|id| !has.contains(id)) {
            let link = RolePermission {
                id: RolePermissionId::new(now),
                tenant_id: owner,
                role_id: role,
                permission_id: permission,
                effect: Effect::Allow,
                condition: None,
                created_at: now,
            };
            grants::insert(tx, &link).await?;
        }
        if let (Some(tenant), RoleGrants::AllTenant) = (owner, declared.grants) {
            offers::insert(tx, tenant, role, &missing, now).await?;
        }
        added.rows.push(format!("permissions of role {}", declared.name));
        Ok(())
    }

    async fn insert_declared(
        &self,
        tx: &mut Tx,
        owner: Option<TenantId>,
        declared: &RoleDef,
        added: &mut Added,
    ) -> Result<RoleId, RbacError> {
        let now = self.now();
        let role = Role {
            id: RoleId::new(now),
            tenant_id: owner,
            name: declared.name.to_owned(),
            description: Some(declared.description.to_owned()),
            is_active: true,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        roles::insert(tx, &role).await?;
        added.rows.push(format!("role {}", declared.name));
        Ok(role.id)
    }

    fn wanted(&self, grants: RoleGrants) -> Vec<&'static str> {
        let declared = self.catalogue().permissions().iter();
        match grants {
            RoleGrants::AllTenant => declared.filter(|one| !one.is_platform).map(|one| one.key).collect(),
            RoleGrants::Everything => vec![EVERYTHING],
            RoleGrants::Keys(keys) => keys.to_vec(),
        }
    }

    async fn bump_once(
        &self,
        tx: &mut Tx,
        owner: Option<TenantId>,
        added: &mut Added,
    ) -> Result<(), RbacError> {
        if !added.bumped {
            self.bump(tx, owner).await?;
            added.bumped = true;
        }
        Ok(())
    }
}

/// What of `wanted` the role lacks. Of a role of all permissions that is what it was never given: the tenant may have taken
/// the rest from it.
async fn missing(
    tx: &mut Tx,
    declared: &RoleDef,
    role: RoleId,
    wanted: &[PermissionId],
) -> Result<Vec<PermissionId>, RbacError> {
    let there = match declared.grants {
        RoleGrants::AllTenant => offers::of_role(tx, role).await?,
        RoleGrants::Everything | RoleGrants::Keys(_) => grants::of_role(tx, role).await?,
    };
    let there: HashSet<PermissionId> = there.into_iter().collect();
    Ok(wanted.iter().copied().filter(|id| !there.contains(id)).collect())
}

/// What a run of seeding has done.
struct Added {
    bumped: bool,
    rows: Vec<String>,
}
