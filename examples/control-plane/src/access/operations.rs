//! What operators and their programs ask of the access policies as a whole.

use std::collections::HashMap;

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate::{
    core::{Page, PageLimit, PermissionId, RequestContext, RoleId, TenantId},
    db::{Scope, Tx},
    endpoints::{IdKind, IdPosition, Permission, Route, Routes},
    middleware::{ApiResult, Context, PathId, PolicyEpoch, StrictQuery, problem_for},
    rbac::{Effect, Policy, PolicyProblem, PolicyRole, RoleQuery},
    tenancy,
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Access;
use crate::{caller, refused::Refused};

const TAG: &str = "operations";
const MANAGE: Permission = Permission::Key("platform.rbac.manage");

pub(super) fn routes(access: &Access) -> Routes {
    Routes::new()
        .add(
            Route::get("/admin/rbac/snapshot/{id}", MANAGE)
                .or_internal_secret()
                .tag(TAG)
                .summary("The access policy of an organisation, and how fresh this process has it")
                .id(IdPosition::Path, "id", IdKind::Org)
                .returns::<SnapshotView>(200),
            access,
            snapshot,
        )
        .add(
            Route::post("/admin/bootstrap/seed", Permission::Key("platform.bootstrap"))
                .or_internal_secret()
                .tag(TAG)
                .summary("Adds permissions and default roles that are missing, in every organisation; not in production")
                .returns::<Seeded>(202),
            access,
            seed,
        )
        .add(
            Route::post("/internal/cache/invalidate", MANAGE)
                .or_internal_secret()
                .tag(TAG)
                .summary("Has every process read access policies anew")
                .query::<Which>()
                .returns::<Invalidated>(200),
            access,
            invalidate,
        )
}

/// An access policy as the database has it.
#[derive(Serialize, ToSchema)]
struct SnapshotView {
    organization_id: Uuid,
    /// The epoch of the rows below.
    epoch: i64,
    /// The epoch that decides in the process that answers.
    loaded_epoch: Option<i64>,
    /// The same of the platform's policy, whose rules count in every organisation.
    platform_epoch: Option<i64>,
    /// How long ago that process last knew its policies to be those of the database.
    staleness_ms: u64,
    /// Rules and assignments that are over are not counted.
    counts: Counts,
    /// Damaged rows that the policies above met when they were loaded, at most 100 of each: what they allow is not given.
    problems: Vec<ProblemView>,
    /// The roles by name with what each says itself, at most 200.
    roles: Vec<RoleSnapshot>,
    /// Whether there are more roles than these.
    is_truncated: bool,
}

#[derive(Serialize, ToSchema)]
struct Counts {
    permissions: usize,
    roles: usize,
    grants: usize,
    role_assignments: usize,
    overrides: usize,
    acl_entries: usize,
}

/// A row that cannot be read or makes no sense.
#[derive(Serialize, ToSchema)]
struct ProblemView {
    /// Whether it is the platform's.
    is_platform: bool,
    /// What is wrong with what: a stable `code`, and `of` with the ids of the row.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    problem: PolicyProblem,
}

/// `expires_at` is the first instant at which a rule no longer counts.
fn is_live(expires_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    expires_at.is_none_or(|at| now < at)
}

impl Counts {
    fn of(policy: &Policy, now: DateTime<Utc>) -> Self {
        let live = |ends: &mut dyn Iterator<Item = Option<DateTime<Utc>>>| {
            ends.filter(|expires_at| is_live(*expires_at, now)).count()
        };
        Self {
            permissions: policy.permissions.len(),
            roles: policy.roles.len(),
            grants: policy.grants.len(),
            role_assignments: live(&mut policy.assignments.iter().map(|one| one.expires_at)),
            overrides: live(&mut policy.overrides.iter().map(|one| one.expires_at)),
            acl_entries: live(&mut policy.acls.iter().map(|one| one.expires_at)),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct RoleSnapshot {
    role_id: Uuid,
    role_name: String,
    is_active: bool,
    /// Keys and patterns that it allows, sorted.
    permissions: Vec<String>,
    /// Keys and patterns that it denies, sorted.
    denied: Vec<String>,
    /// The roles that it inherits from.
    parent_ids: Vec<Uuid>,
    /// How many subjects have it at present.
    assignees: usize,
}

/// What each role of `policy` says itself, in one pass over the rows: there may be a million.
fn said_by_roles(policy: &Policy, now: DateTime<Utc>) -> HashMap<RoleId, RoleSnapshot> {
    let empty = |role: &PolicyRole| RoleSnapshot {
        role_id: role.id.as_uuid(),
        role_name: String::new(),
        is_active: role.is_active,
        permissions: Vec::new(),
        denied: Vec::new(),
        parent_ids: Vec::new(),
        assignees: 0,
    };
    let mut said: HashMap<RoleId, RoleSnapshot> =
        policy.roles.iter().map(|role| (role.id, empty(role))).collect();
    let keys: HashMap<PermissionId, &str> =
        policy.permissions.iter().map(|one| (one.id, one.key.as_str())).collect();
    for grant in &policy.grants {
        let (Some(role), Some(key)) = (said.get_mut(&grant.role), keys.get(&grant.permission)) else {
            continue;
        };
        match grant.effect {
            Effect::Allow => role.permissions.push((*key).to_owned()),
            Effect::Deny => role.denied.push((*key).to_owned()),
        }
    }
    for (heir, parent) in &policy.inheritance {
        if let Some(role) = said.get_mut(heir) {
            role.parent_ids.push(parent.as_uuid());
        }
    }
    for assignment in policy.assignments.iter().filter(|one| is_live(one.expires_at, now)) {
        if let Some(role) = said.get_mut(&assignment.role) {
            role.assignees += 1;
        }
    }
    for role in said.values_mut() {
        role.permissions.sort_unstable();
        role.denied.sort_unstable();
    }
    said
}

async fn snapshot(
    State(access): State<Access>,
    context: Context,
    PathId(organisation): PathId<TenantId>,
) -> ApiResult<Json<SnapshotView>> {
    let tenant = access.organisation(&context, Some(organisation.as_uuid())).await?;
    // Damaged rows are met by loading.
    access.rbac.ensure(Some(tenant)).await?;
    let context = caller::in_tenant(&context, tenant);
    let policy = access.rbac.policy(Some(tenant)).await?;
    let query =
        RoleQuery { limit: PageLimit::new(PageLimit::MAX).unwrap_or_default(), ..RoleQuery::default() };
    let Page { items, next_cursor, .. } = access.rbac.list_roles(&context, &query).await?;
    let now = access.clock.now();
    let mut said = said_by_roles(&policy, now);
    let own = items.into_iter().filter(|role| role.tenant_id == Some(tenant));
    let roles = own
        .filter_map(|role| Some(RoleSnapshot { role_name: role.name, ..said.remove(&role.id)? }))
        .collect();
    let engine = access.rbac.engine();
    let problems_of = |owner: Option<TenantId>| {
        let problems = access.rbac.problems(owner).into_iter();
        problems.map(move |problem| ProblemView { is_platform: owner.is_none(), problem })
    };
    let problems = problems_of(Some(tenant)).chain(problems_of(None)).collect();
    Ok(Json(SnapshotView {
        organization_id: tenant.as_uuid(),
        epoch: policy.epoch,
        loaded_epoch: engine.epoch(Some(tenant)),
        platform_epoch: engine.epoch(None),
        staleness_ms: u64::try_from(access.rbac.staleness().as_millis()).unwrap_or(u64::MAX),
        counts: Counts::of(&policy, now),
        problems,
        roles,
        is_truncated: next_cursor.is_some(),
    }))
}

#[derive(Serialize, ToSchema)]
struct Seeded {
    /// How many organisations were gone through.
    organizations: usize,
}

/// How many organisations are looked up at once.
const ORGANISATIONS_AT_ONCE: u16 = 200;

async fn seed(State(access): State<Access>, context: Context) -> ApiResult<(StatusCode, Json<Seeded>)> {
    if access.is_production {
        let detail = "In production, `control-plane seed-rbac` and the start itself bring defaults in place.";
        return Err(problem_for("reseed_in_production").detail(detail).into());
    }
    let organizations = access.seed_all(&context).await?;
    Ok((StatusCode::ACCEPTED, Json(Seeded { organizations })))
}

impl Access {
    /// Brings what is missing of permissions and default roles into the database, for every organisation. Returns how many there are.
    pub(super) async fn seed_all(&self, context: &RequestContext) -> Result<usize, Refused> {
        self.rbac.seed(context, None).await?;
        let (mut organizations, mut last) = (0, None);
        loop {
            let mut reader = self.db.read().await?;
            let page = self.tenancy.org_ids(&mut reader, last, ORGANISATIONS_AT_ONCE).await?;
            drop(reader);
            let Some(end) = page.last().copied() else { return Ok(organizations) };
            for tenant in page {
                organizations += usize::from(self.seed_one(context, tenant).await?);
            }
            last = Some(end);
        }
    }

    /// The same for one organisation, unless it is being deleted or has gone since it was found. Tells whether it is there.
    async fn seed_one(&self, context: &RequestContext, tenant: TenantId) -> Result<bool, Refused> {
        let (this, context) = (self.clone(), context.clone());
        let seed = async move |tx: &mut Tx| {
            // The policy, then the organisation: in the order in which everybody locks them.
            this.rbac.lock_policy(tx, Some(tenant)).await?;
            this.tenancy.lock_org_to_write(tx, tenant).await?;
            Ok::<_, Refused>(this.rbac.seed_in(tx, &context, Some(tenant)).await?)
        };
        match self.db.transact(Scope::Platform("seed the roles of an organisation"), seed).await {
            Ok(()) => Ok(true),
            Err(Refused::Tenancy(tenancy::Error::OrgBeingDeleted | tenancy::Error::OrgNotFound)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Only the policy of this organisation; all of them and the platform's otherwise.
    organization_id: Option<Uuid>,
}

#[derive(Serialize, ToSchema)]
struct Invalidated {
    /// How many policies have a new epoch.
    policies: usize,
    /// The epoch that the policy of the organisation, or of the platform, has now: what `X-Policy-Epoch` may demand.
    epoch: i64,
}

async fn invalidate(
    State(access): State<Access>,
    context: Context,
    StrictQuery(which): StrictQuery<Which>,
) -> ApiResult<(PolicyEpoch, Json<Invalidated>)> {
    let owner = match which.organization_id {
        Some(id) => Some(access.organisation(&context, Some(id)).await?),
        None => None,
    };
    let written = access.rbac.invalidate(&context, owner).await?;
    let (policies, epoch) = (written.value, written.epoch);
    Ok((PolicyEpoch { owner, epoch }, Json(Invalidated { policies, epoch })))
}
