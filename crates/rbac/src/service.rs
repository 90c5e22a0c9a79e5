//! The service on a database: what people do with roles and permissions, and how its snapshots stay fresh.
//!
//! Every change is one transaction (`change.rs`): the epoch first (its lock puts the writers of one policy in line), then the
//! rows, and an audit event. When it has committed, the owner's snapshot is marked stale and built again before the call
//! returns.
//!
//! The closures of transactions own what they use: ones that borrow give futures that are not provably `Send`.

mod acls;
mod administrators;
mod assignments;
#[cfg(feature = "casbin")]
mod casbin;
mod change;
mod expired;
mod freshness;
mod grants;
mod groups;
mod inheritance;
#[cfg(feature = "metrics")]
mod metrics;
mod overrides;
mod permissions;
mod privileges;
mod problems;
mod refresh;
mod removal;
mod replace;
mod roles;
mod seed;
mod told;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_core::{AuditEvent, BoxFuture, Clock, Principal, RequestContext, Subject, TenantId};
use stylobate_db::{Db, Scope, Tx};

#[cfg(feature = "casbin")]
pub use self::casbin::CasbinImported;
use crate::{
    Assignee, Authorizer, Catalogue, Decision, EffectivePermission, Engine, PolicyUnavailable, Question,
    RbacError, Role, RoleDef, RoleGrants, SUPER_ADMIN, SubjectDirectory,
    store::{Visible, assignments as assignment_store, epochs},
};
use freshness::Freshness;

/// Roles, permissions and assignments in a database, and the [`Authorizer`] over them. Clone it freely.
///
/// Methods act for the tenant of the context's principal and for no other; another tenant's rows are as if missing.
/// A principal without tenant acts on the platform's rows. Whether the caller may do so at all is decided
/// before: each method says nothing about permissions, except that rows of the platform are changed only by the platform
/// itself and by subjects who have a platform role, and that nobody else hands out more than they have.
#[derive(Clone, Debug)]
pub struct Rbac {
    db: Db,
    clock: Arc<dyn Clock>,
    engine: Arc<Engine>,
    freshness: Arc<Freshness>,
    directory: Option<Arc<dyn SubjectDirectory>>,
}

impl Rbac {
    /// A service on `db` that knows the permissions of `catalogue`. Loads nothing yet.
    #[must_use]
    pub fn new(db: Db, clock: Arc<dyn Clock>, catalogue: Arc<Catalogue>) -> Self {
        let engine = Engine::new(catalogue, Arc::clone(&clock));
        Self::with_engine(db, clock, engine)
    }

    /// The same with an engine of another capacity.
    #[must_use]
    pub fn with_engine(db: Db, clock: Arc<dyn Clock>, engine: Engine) -> Self {
        let freshness = Arc::new(Freshness::new());
        Self { db, clock, engine: Arc::new(engine), freshness, directory: None }
    }

    /// Asks `directory` who is a member of a tenant before a subject gets a rule there, and who can sign in before the
    /// platform or a tenant loses an administrator. Without one, everybody is a member and can sign in.
    #[must_use]
    pub fn with_directory(self, directory: Arc<dyn SubjectDirectory>) -> Self {
        Self { directory: Some(directory), ..self }
    }

    /// The permissions that code asks for.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        self.engine.catalogue()
    }

    /// The engine behind the checks, for callers that need no database.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// What `assignee` may do in the tenant of `context`, by its own roles and by the platform's.
    ///
    /// # Errors
    /// [`PolicyUnavailable`] when the policy has not been loaded yet and cannot be.
    pub async fn effective_permissions(
        &self,
        context: &RequestContext,
        assignee: impl Into<Assignee>,
    ) -> Result<Vec<EffectivePermission>, PolicyUnavailable> {
        let tenant = context.principal.tenant;
        self.ensure(tenant).await?;
        Ok(self.engine.effective(tenant, assignee.into()))
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn bump(&self, tx: &mut Tx, owner: Option<TenantId>) -> Result<i64, RbacError> {
        let epoch = epochs::bump(tx, owner, self.now()).await?;
        self.note_on_commit(tx, vec![(owner, epoch)]);
        Ok(epoch)
    }

    /// The platform's permissions are compiled into every tenant's snapshot.
    async fn bump_tenants(&self, tx: &mut Tx) -> Result<(), RbacError> {
        let epochs = epochs::bump_tenants(tx, self.now()).await?;
        self.note_on_commit(tx, epochs);
        Ok(())
    }

    fn note_on_commit(&self, tx: &mut Tx, epochs: Vec<epochs::OwnerEpoch>) {
        let (engine, freshness) = (Arc::clone(&self.engine), Arc::clone(&self.freshness));
        tx.on_commit(move || {
            for (owner, epoch) in epochs {
                freshness.note(&engine, owner, epoch);
            }
        });
    }

    /// Whether the caller is the platform or has a role there, as the present snapshot says. Not to be asked inside a
    /// transaction: loading the snapshot takes a connection of its own.
    async fn is_of_platform(&self, principal: &Principal) -> bool {
        match self.ensure(None).await {
            Ok(()) => self.engine.holds_platform_role(principal),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "platform roles count for nothing");
                false
            }
        }
    }

    /// Which assignments the caller sees: those of the platform only with a platform role of its own.
    async fn visible_assignments(&self, principal: &Principal) -> Result<Visible, RbacError> {
        let platform_too = self.is_of_platform(principal).await;
        if principal.tenant.is_none() && !platform_too {
            return Err(RbacError::PlatformOwned);
        }
        Ok(Visible { tenant: principal.tenant, platform_too })
    }
}

impl Authorizer for Rbac {
    fn decide(&self, question: Question<'_>) -> Decision {
        self.engine.decide(question)
    }

    fn prepare(
        &self,
        tenant: Option<TenantId>,
        at_least: Option<i64>,
    ) -> Option<BoxFuture<'_, Result<(), PolicyUnavailable>>> {
        match at_least {
            None if self.is_current(tenant) => None,
            None => Some(Box::pin(self.ensure(tenant))),
            Some(epoch) if self.is_current(tenant) && self.has_reached(tenant, epoch) => None,
            Some(epoch) => Some(Box::pin(self.ensure_at_least(tenant, epoch))),
        }
    }
}

/// The scope in which rows of `owner` are changed.
fn scope_of(owner: Option<TenantId>, reason: &'static str) -> Scope {
    owner.map_or(Scope::Platform(reason), Scope::Tenant)
}

/// Refuses subjects without an active platform role. Asked of the rows, not of the snapshot: what a revocation a moment
/// ago took away must not give itself back.
async fn require_platform_role(
    tx: &mut Tx,
    principal: &Principal,
    now: DateTime<Utc>,
) -> Result<(), RbacError> {
    if principal.subject == Subject::System {
        return Ok(());
    }
    if let Some(assignee) = Assignee::of(&principal.subject)
        && assignment_store::has_platform_role(tx, assignee, now).await?
    {
        return Ok(());
    }
    Err(RbacError::PlatformOwned)
}

/// Whether the row of `row_owner`, which the caller sees, is also the caller's to change.
fn require_owner(row_owner: Option<TenantId>, owner: Option<TenantId>) -> Result<(), RbacError> {
    // A visible row is the tenant's own or the platform's.
    if row_owner == owner { Ok(()) } else { Err(RbacError::PlatformOwned) }
}

fn audit(
    tx: &mut Tx,
    context: &RequestContext,
    action: &'static str,
    (kind, id): (&'static str, impl ToString),
    owner: Option<TenantId>,
    before: Option<&impl Serialize>,
    after: Option<&impl Serialize>,
) {
    tx.audit(AuditEvent::new(context, action, kind).on(id).in_tenant(owner).change(before, after));
}

/// Whether `name` is the name of a role that code declares for `owner`, the platform or any tenant.
fn is_declared_role(catalogue: &Catalogue, owner: Option<TenantId>, name: &str) -> bool {
    let is_of_owner = |role: &RoleDef| role.is_platform == owner.is_none();
    (owner.is_none() && name.eq_ignore_ascii_case(SUPER_ADMIN))
        || catalogue.roles().iter().any(|role| is_of_owner(role) && role.name.eq_ignore_ascii_case(name))
}

/// Whether `role` of a tenant is one that code declares to have all permissions there.
fn gives_everything(catalogue: &Catalogue, role: &Role) -> bool {
    let is_it = |declared: &RoleDef| {
        matches!(declared.grants, RoleGrants::AllTenant) && role.name.eq_ignore_ascii_case(declared.name)
    };
    catalogue.roles().iter().any(is_it)
}
