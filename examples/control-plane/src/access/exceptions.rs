//! Rules beside roles: what somebody is allowed or denied in general (overrides), and about one resource (access control
//! lists).

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate::{
    core::{AclId, Direction, OverrideId, Page, PermissionId, PersonId},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiError, ApiResult, Context, ListQuery, PathId, PathIds, PolicyEpoch, StrictJson},
    rbac::{
        AclEntry, AclQuery, AssigneeKind, Condition, Effect, NewAclEntry, NewOverride, Override,
        OverrideQuery,
    },
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Access, written};
use crate::order::ByCreation;

const TAG: &str = "exceptions";
const READ: Permission = Permission::Key("role.read");
const MANAGE: Permission = Permission::Key("acl.manage");

pub(super) fn routes(access: &Access) -> Routes {
    Routes::new()
        .add(
            Route::get("/people/{id}/overrides", READ)
                .tag(TAG)
                .summary("Lists what a person is allowed or denied beside all roles")
                .returns_page::<OverrideView>(),
            access,
            list_overrides,
        )
        .add(
            Route::post("/people/{id}/overrides", MANAGE)
                .tag(TAG)
                .summary("Allows or denies a person a permission beside all roles; a rule about it that exists is replaced")
                .body::<OverrideInput>()
                .returns::<OverrideView>(201),
            access,
            set_override,
        )
        .add(
            Route::delete("/people/{id}/overrides/{override_id}", MANAGE)
                .tag(TAG)
                .summary("Removes such a rule")
                .answers(204, None),
            access,
            remove_override,
        )
        .add(
            Route::get("/acl-entries", READ)
                .tag(TAG)
                .summary("Lists what people are allowed or denied about single resources")
                .query::<AclFilter>()
                .returns_page::<AclEntryView>(),
            access,
            list_entries,
        )
        .add(
            Route::post("/acl-entries", MANAGE)
                .tag(TAG)
                .summary("Allows or denies a person a permission about one resource; an entry that exists is replaced")
                .body::<AclEntryInput>()
                .returns::<AclEntryView>(201),
            access,
            set_entry,
        )
        .add(
            Route::get("/acl-entries/{id}", READ)
                .tag(TAG)
                .summary("Reads such an entry")
                .returns::<AclEntryView>(200),
            access,
            get_entry,
        )
        .add(
            Route::delete("/acl-entries/{id}", MANAGE)
                .tag(TAG)
                .summary("Removes such an entry")
                .answers(204, None),
            access,
            remove_entry,
        )
}

#[derive(Serialize, ToSchema)]
struct OverrideView {
    id: Uuid,
    user_id: Uuid,
    permission_id: Uuid,
    #[schema(value_type = String)]
    effect: Effect,
    #[schema(value_type = Option<Object>)]
    condition: Option<Condition>,
    expires_at: Option<DateTime<Utc>>,
    /// Whether it belongs to the platform and not to the organisation, which cannot change it then.
    is_platform: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Override> for OverrideView {
    fn from(rule: Override) -> Self {
        Self {
            id: rule.id.as_uuid(),
            user_id: rule.assignee.id,
            permission_id: rule.permission_id.as_uuid(),
            effect: rule.effect,
            condition: rule.condition,
            expires_at: rule.expires_at,
            is_platform: rule.tenant_id.is_none(),
            created_at: rule.created_at,
            updated_at: rule.updated_at,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OverrideInput {
    permission_id: Uuid,
    /// `allow` or `deny`.
    #[schema(value_type = String)]
    effect: Effect,
    /// When it applies: `{"owner":{}}`, `{"attribute":{"name","equals"}}`, `{"time_window":{…}}`,
    /// `{"assurance":{"at_least"}}`, `{"all":[…]}`, `{"any":[…]}`; always without one.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    condition: Option<Condition>,
    /// From when on it counts no longer.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct OverrideFilter {
    /// Only the one about this permission.
    permission_id: Option<Uuid>,
}

async fn list_overrides(
    State(access): State<Access>,
    context: Context,
    PathId(person): PathId<PersonId>,
    query: ListQuery<OverrideFilter, ByCreation>,
) -> ApiResult<Json<Page<OverrideView>>> {
    access.must_be_member(&context, person).await?;
    let ByCreation::CreatedAt = query.page.order_by;
    let query = OverrideQuery {
        assignee: Some(person.into()),
        permission_id: query.filter.permission_id.map(PermissionId::from_uuid),
        direction: query.page.order_dir.unwrap_or(Direction::Asc),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
    };
    let page = access.rbac.overrides(&context, &query).await?;
    Ok(Json(page.map(OverrideView::from)))
}

async fn set_override(
    State(access): State<Access>,
    context: Context,
    PathId(person): PathId<PersonId>,
    StrictJson(input): StrictJson<OverrideInput>,
) -> ApiResult<(StatusCode, PolicyEpoch, Json<OverrideView>)> {
    let new = NewOverride {
        condition: input.condition,
        expires_at: input.expires_at,
        ..NewOverride::new(person, PermissionId::from_uuid(input.permission_id), input.effect)
    };
    let (epoch, rule) = written(&context, access.rbac.set_override(&context, new).await?);
    Ok((StatusCode::CREATED, epoch, Json(rule.into())))
}

async fn remove_override(
    State(access): State<Access>,
    context: Context,
    PathIds(person, id): PathIds<PersonId, OverrideId>,
) -> ApiResult<(StatusCode, PolicyEpoch)> {
    access.must_be_member(&context, person).await?;
    // C20: the rule that the path names has to be the person's.
    let found = access.rbac.find_override(&context, id).await?;
    if found.is_none_or(|rule| rule.assignee != person.into()) {
        return Err(ApiError::not_found());
    }
    let (epoch, ()) = written(&context, access.rbac.remove_override(&context, id).await?);
    Ok((StatusCode::NO_CONTENT, epoch))
}

#[derive(Serialize, ToSchema)]
struct AclEntryView {
    id: Uuid,
    resource_kind: String,
    resource_id: String,
    /// `person`, `service` or `group`.
    #[schema(value_type = String)]
    subject_kind: AssigneeKind,
    user_id: Uuid,
    permission_id: Uuid,
    #[schema(value_type = String)]
    effect: Effect,
    expires_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<AclEntry> for AclEntryView {
    fn from(entry: AclEntry) -> Self {
        Self {
            id: entry.id.as_uuid(),
            resource_kind: entry.resource_kind,
            resource_id: entry.resource_id,
            subject_kind: entry.assignee.kind,
            user_id: entry.assignee.id,
            permission_id: entry.permission_id.as_uuid(),
            effect: entry.effect,
            expires_at: entry.expires_at,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AclEntryInput {
    /// The resource's kind: 1 to 64 characters of a-z, 0-9, `_`, `-` and `.`.
    resource_kind: String,
    /// The resource's id: 1 to 200 characters of printable ASCII without spaces.
    resource_id: String,
    user_id: Uuid,
    permission_id: Uuid,
    /// `allow` or `deny`.
    #[schema(value_type = String)]
    effect: Effect,
    /// From when on it counts no longer.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct AclFilter {
    /// Only those about resources of this kind.
    resource_kind: Option<String>,
    /// Only those about the resource with this id.
    resource_id: Option<String>,
    /// Only those of this person.
    user_id: Option<Uuid>,
    /// Only those about this permission.
    permission_id: Option<Uuid>,
}

async fn list_entries(
    State(access): State<Access>,
    context: Context,
    query: ListQuery<AclFilter, ByCreation>,
) -> ApiResult<Json<Page<AclEntryView>>> {
    let ByCreation::CreatedAt = query.page.order_by;
    let query = AclQuery {
        resource_kind: query.filter.resource_kind,
        resource_id: query.filter.resource_id,
        assignee: query.filter.user_id.map(|id| PersonId::from_uuid(id).into()),
        permission_id: query.filter.permission_id.map(PermissionId::from_uuid),
        direction: query.page.order_dir.unwrap_or(Direction::Asc),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
    };
    let page = access.rbac.acl_entries(&context, &query).await?;
    Ok(Json(page.map(AclEntryView::from)))
}

async fn set_entry(
    State(access): State<Access>,
    context: Context,
    StrictJson(input): StrictJson<AclEntryInput>,
) -> ApiResult<(StatusCode, PolicyEpoch, Json<AclEntryView>)> {
    let person = PersonId::from_uuid(input.user_id);
    let new = NewAclEntry {
        resource_kind: input.resource_kind,
        resource_id: input.resource_id,
        assignee: person.into(),
        permission: PermissionId::from_uuid(input.permission_id),
        effect: input.effect,
        expires_at: input.expires_at,
    };
    let (epoch, entry) = written(&context, access.rbac.set_acl_entry(&context, new).await?);
    Ok((StatusCode::CREATED, epoch, Json(entry.into())))
}

async fn get_entry(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<AclId>,
) -> ApiResult<Json<AclEntryView>> {
    let entry = access.rbac.find_acl_entry(&context, id).await?.ok_or_else(ApiError::not_found)?;
    Ok(Json(entry.into()))
}

async fn remove_entry(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<AclId>,
) -> ApiResult<(StatusCode, PolicyEpoch)> {
    let (epoch, ()) = written(&context, access.rbac.remove_acl_entry(&context, id).await?);
    Ok((StatusCode::NO_CONTENT, epoch))
}
