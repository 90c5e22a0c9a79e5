//! Who may do what, and why: what services ask, and what administrators look up.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stylobate::{
    core::{Cursor, Page, PageLimit, PersonId, RequestContext, RoleId, TenantId},
    endpoints::{Permission, Route, Routes},
    middleware::{
        ApiError, ApiResult, Context, IntoProblem as _, PathId, StrictJson, StrictQuery, problem_for,
    },
    rbac::{
        Assignee, AssigneeKind, Authorizer as _, Decision, EffectivePermission, ExplainedRule, Explanation,
        Missing, Outcome, Reason,
    },
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Access, target::QuestionInput};
use crate::caller;

const TAG: &str = "decisions";
/// Who may do what follows from roles and who has them.
const READ: Permission = Permission::Key("role.read");

pub(super) fn routes(access: &Access) -> Routes {
    Routes::new()
        .add(
            Route::post("/rbac/check", READ)
                .or_internal_secret()
                .tag(TAG)
                .summary("Whether somebody may do something, and what decides")
                .body::<QuestionInput>()
                .returns::<DecisionView>(200),
            access,
            check,
        )
        .add(
            Route::get("/rbac/users/{id}/permissions", READ)
                .or_internal_secret()
                .tag(TAG)
                .summary("The names of everything that somebody may do")
                .query::<InOrganisation>()
                .returns::<PermissionNames>(200),
            access,
            permissions,
        )
        .add(
            Route::get("/v1/rbac/effective/{id}", READ)
                .tag(TAG)
                .summary("Everything that somebody may do, and by which rules")
                .query::<InOrganisation>()
                .returns::<EffectiveView>(200),
            access,
            effective,
        )
        .add(
            Route::post("/v1/rbac/explain", READ)
                .tag(TAG)
                .summary("Why somebody may or may not do something, and what would change it")
                .body::<QuestionInput>()
                .returns::<ExplanationView>(200),
            access,
            explain,
        )
        .add(
            Route::get("/v1/rbac/who-can", READ)
                .tag(TAG)
                .summary("Who may do something")
                .query::<WhoCan>()
                .returns_page::<SubjectView>(),
            access,
            who_can,
        )
}

/// An answer, and what decided.
#[derive(Serialize, ToSchema)]
pub(super) struct DecisionView {
    allowed: bool,
    /// What decided: a stable `code`, and the id of the deciding rule where there is one. Of rules of the platform the id is
    /// shown to the platform only.
    #[schema(value_type = Object)]
    reason: Value,
    /// What would change a refusal, as a stable `code`; `null` when no one thing would.
    #[schema(value_type = Option<Object>)]
    missing: Option<Value>,
    /// The epoch of the policy that was asked.
    epoch: i64,
}

impl DecisionView {
    pub(super) fn new(decision: Decision, sees_platform: bool) -> Self {
        Self {
            allowed: decision.is_allowed(),
            reason: reason_view(decision.reason, sees_platform),
            missing: decision.missing.and_then(|missing| serde_json::to_value(missing).ok()),
            epoch: decision.epoch,
        }
    }
}

/// By which of its rules the platform gives or takes something is no organisation's business; that it does is.
fn reason_view(reason: Reason, sees_platform: bool) -> Value {
    if reason.is_of_platform() && !sees_platform {
        return serde_json::json!({ "code": reason.code() });
    }
    serde_json::to_value(reason).unwrap_or_default()
}

async fn check(
    State(access): State<Access>,
    context: Context,
    StrictJson(input): StrictJson<QuestionInput>,
) -> ApiResult<Json<DecisionView>> {
    let tenant = access.prepared(&context, &input).await?;
    let decision = input.put(tenant, |question| access.rbac.decide(question));
    Ok(Json(DecisionView::new(decision, access.is_of_platform(&context))))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct InOrganisation {
    /// The caller's own organisation. Another one may be named by the platform only.
    organization_id: Option<Uuid>,
}

#[derive(Serialize, ToSchema)]
struct PermissionNames {
    user_id: Uuid,
    organization_id: Uuid,
    /// Canonical names, sorted.
    permissions: Vec<String>,
}

async fn permissions(
    State(access): State<Access>,
    context: Context,
    PathId(person): PathId<PersonId>,
    StrictQuery(query): StrictQuery<InOrganisation>,
) -> ApiResult<Json<PermissionNames>> {
    let (tenant, found) = access.effective(&context, query.organization_id, person).await?;
    Ok(Json(PermissionNames {
        user_id: person.as_uuid(),
        organization_id: tenant.as_uuid(),
        permissions: found.into_iter().map(|one| one.key).collect(),
    }))
}

#[derive(Serialize, ToSchema)]
struct EffectiveView {
    user_id: Uuid,
    organization_id: Uuid,
    /// The epoch of the organisation's policy.
    epoch: i64,
    /// Each permission with the rules that give it, sorted by name. Rules of the platform are shown to the platform only.
    #[schema(value_type = Vec<Object>)]
    permissions: Vec<EffectivePermission>,
}

async fn effective(
    State(access): State<Access>,
    context: Context,
    PathId(person): PathId<PersonId>,
    StrictQuery(query): StrictQuery<InOrganisation>,
) -> ApiResult<Json<EffectiveView>> {
    let (tenant, mut permissions) = access.effective(&context, query.organization_id, person).await?;
    if !access.is_of_platform(&context) {
        permissions.iter_mut().for_each(hide_platform);
    }
    Ok(Json(EffectiveView {
        user_id: person.as_uuid(),
        organization_id: tenant.as_uuid(),
        epoch: access.rbac.engine().epoch(Some(tenant)).unwrap_or_default(),
        permissions,
    }))
}

/// Whom the platform gives what is no organisation's business; that they may is.
fn hide_platform(permission: &mut EffectivePermission) {
    permission.platform_role_ids.clear();
    permission.platform_override_ids.clear();
}

/// Why, for an administrator whom somebody refused asks.
#[derive(Serialize, ToSchema)]
struct ExplanationView {
    allowed: bool,
    /// The name that was asked for.
    permission: String,
    /// The decision: `outcome`, `reason`, `missing` and `epoch`.
    #[schema(value_type = Object)]
    decision: ExplainedDecision,
    /// Every rule about the user that names the permission, the deciding one first; those of the platform are shown to the
    /// platform only.
    #[schema(value_type = Vec<Object>)]
    rules: Vec<ExplainedRule>,
    /// Active roles of the organisation that would give it, at least under conditions.
    #[schema(value_type = Vec<Uuid>)]
    role_ids: Vec<RoleId>,
    /// Active roles of the platform that would, for the platform.
    #[schema(value_type = Vec<Uuid>)]
    platform_role_ids: Vec<RoleId>,
    /// The permissions that give it, or a part of it.
    keys: Vec<String>,
    /// The names of the roles above.
    #[schema(value_type = Vec<Object>)]
    roles: Vec<NamedRole>,
}

#[derive(Serialize)]
struct ExplainedDecision {
    outcome: Outcome,
    reason: Value,
    missing: Option<Missing>,
    epoch: i64,
}

impl ExplainedDecision {
    fn new(Decision { outcome, reason, missing, epoch }: Decision, sees_platform: bool) -> Self {
        Self { outcome, reason: reason_view(reason, sees_platform), missing, epoch }
    }
}

#[derive(Serialize)]
struct NamedRole {
    id: Uuid,
    name: String,
}

async fn explain(
    State(access): State<Access>,
    context: Context,
    StrictJson(input): StrictJson<QuestionInput>,
) -> ApiResult<Json<ExplanationView>> {
    let tenant = access.prepared(&context, &input).await?;
    let explanation = input.put(tenant, |question| access.rbac.engine().explain(question));
    let sees_platform = access.is_of_platform(&context);
    let Explanation { permission, decision, mut rules, role_ids, mut platform_role_ids, keys } = explanation;
    if !sees_platform {
        rules.retain(|rule| !rule.is_platform);
        platform_role_ids.clear();
    }
    let context = caller::in_tenant(&context, tenant);
    let mut roles = Vec::new();
    // A few lead the way; hundreds would be read by nobody.
    for id in role_ids.iter().chain(&platform_role_ids).take(ROLES_NAMED_MAX) {
        if let Some(role) = access.rbac.find_role(&context, *id).await? {
            roles.push(NamedRole { id: role.id.as_uuid(), name: role.name });
        }
    }
    let allowed = decision.is_allowed();
    let decision = ExplainedDecision::new(decision, sees_platform);
    Ok(Json(ExplanationView {
        allowed,
        permission,
        decision,
        rules,
        role_ids,
        platform_role_ids,
        keys,
        roles,
    }))
}

/// Each is a read of its own.
const ROLES_NAMED_MAX: usize = 20;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct WhoCan {
    /// The name of a permission, or a synonym.
    #[serde(alias = "permission")]
    permission_name: String,
    /// The caller's own organisation. Another one may be named by the platform only.
    organization_id: Option<Uuid>,
    /// How many, 1 to 200; 50 unless asked.
    limit: Option<u16>,
    /// Where the page begins.
    cursor: Option<String>,
}

/// Somebody who has a permission.
#[derive(Serialize, ToSchema)]
pub(super) struct SubjectView {
    /// `person`, `service` or `group`.
    #[schema(value_type = String)]
    kind: AssigneeKind,
    id: Uuid,
}

const WHO_ORDER: &str = "subject.asc";

async fn who_can(
    State(access): State<Access>,
    context: Context,
    StrictQuery(query): StrictQuery<WhoCan>,
) -> ApiResult<Json<Page<SubjectView>>> {
    let limit = match query.limit {
        None => PageLimit::default(),
        Some(items) => PageLimit::new(items)
            .ok_or_else(|| ApiError::field("limit", "out_of_range", "is not between 1 and 200"))?,
    };
    let after = query.cursor.as_deref().map(place).transpose()?;
    let tenant = access.organisation(&context, query.organization_id).await?;
    access.rbac.ensure(Some(tenant)).await?;
    let (engine, sees_platform) = (Arc::clone(access.rbac.engine()), access.is_of_platform(&context));
    // Looks at every subject of the policy, for which others on this thread would wait.
    let found = tokio::task::spawn_blocking(move || {
        let mut found = engine.who_can(Some(tenant), &query.permission_name);
        found.retain(|one| after.is_none_or(|after| *one > after));
        if !sees_platform {
            // People are looked up as members; what only the platform's rules name is not the organisation's to see.
            found.retain(|one| one.kind == AssigneeKind::Person || engine.is_named_in(Some(tenant), *one));
        }
        found
    });
    let found = found.await.map_err(ApiError::internal)?;
    let limit = usize::from(limit.get());
    // One more than a page tells whether there is a next one.
    let mut page = match sees_platform {
        true => found.into_iter().take(limit + 1).collect(),
        false => access.first_members(tenant, &found, limit + 1).await?,
    };
    let is_more = page.len() > limit;
    page.truncate(limit);
    let last = page.last().filter(|_| is_more);
    let next_cursor = last.map(|last| Cursor {
        order: WHO_ORDER.to_owned(),
        key: Value::from(last.kind.as_str()),
        id: last.id,
    });
    let items = page.into_iter().map(|Assignee { kind, id }| SubjectView { kind, id }).collect();
    Ok(Json(Page { items, next_cursor, total: None }))
}

/// The subject after which a page begins.
fn place(cursor: &str) -> ApiResult<Assignee> {
    let invalid = || ApiError::field("cursor", "invalid", "does not belong to this list");
    let cursor = Cursor::decode(cursor, WHO_ORDER).map_err(|_| invalid())?;
    let kind = cursor.key.as_str().and_then(|kind| kind.parse().ok()).ok_or_else(invalid)?;
    Ok(Assignee { kind, id: cursor.id })
}

impl Access {
    /// The organisation of a question, when the caller may ask it and its policy is as fresh as demanded.
    pub(super) async fn prepared(
        &self,
        context: &RequestContext,
        input: &QuestionInput,
    ) -> ApiResult<TenantId> {
        input.validate()?;
        let tenant = self.organisation_of(context, input.organization_id, input.person()).await?;
        if let Some(loading) = self.rbac.prepare(Some(tenant), input.policy_epoch) {
            loading.await.map_err(|error| match input.policy_epoch {
                Some(_) => problem_for("policy_stale").retry_after(1),
                None => error.into_problem(),
            })?;
        }
        Ok(tenant)
    }

    async fn effective(
        &self,
        context: &RequestContext,
        named: Option<Uuid>,
        person: PersonId,
    ) -> ApiResult<(TenantId, Vec<EffectivePermission>)> {
        let tenant = self.organisation_of(context, named, person).await?;
        let found = self.rbac.effective_permissions(&caller::in_tenant(context, tenant), person).await?;
        Ok((tenant, found))
    }
}
