//! Roles that have all rules of other roles.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate::{
    core::{Page, RoleId},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, PathId, PathIds, PolicyEpoch, StrictJson},
    rbac::RoleParent,
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Access, written};

const TAG: &str = "roles";

pub(super) fn routes(access: &Access) -> Routes {
    let key = Permission::Key;
    Routes::new()
        .add(
            Route::get("/roles/{id}/parents", key("role.read"))
                .tag(TAG)
                .summary("Lists the roles whose rules a role inherits")
                .returns_whole_page::<RoleParentView>(),
            access,
            list,
        )
        .add(
            // Inheriting gives the role permissions, as attaching them does.
            Route::post("/roles/{id}/parents", key("role.perm.assign"))
                .tag(TAG)
                .summary("Has a role inherit the rules of another role of the same owner")
                .body::<ParentInput>()
                .returns::<RoleParentView>(201),
            access,
            add,
        )
        .add(
            Route::delete("/roles/{id}/parents/{parent_id}", key("role.perm.revoke"))
                .tag(TAG)
                .summary("Ends such an inheritance")
                .answers(204, None),
            access,
            remove,
        )
}

#[derive(Serialize, ToSchema)]
struct RoleParentView {
    role_id: Uuid,
    parent_id: Uuid,
    created_at: DateTime<Utc>,
}

impl From<RoleParent> for RoleParentView {
    fn from(link: RoleParent) -> Self {
        Self {
            role_id: link.role_id.as_uuid(),
            parent_id: link.parent_id.as_uuid(),
            created_at: link.created_at,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ParentInput {
    parent_id: Uuid,
}

async fn list(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<RoleId>,
) -> ApiResult<Json<Page<RoleParentView>>> {
    // A role has a few parents at most, so that they are one page.
    let links = access.rbac.parents_of(&context, id).await?;
    let items = links.into_iter().map(RoleParentView::from).collect();
    Ok(Json(Page { items, next_cursor: None, total: None }))
}

async fn add(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<RoleId>,
    StrictJson(input): StrictJson<ParentInput>,
) -> ApiResult<(StatusCode, PolicyEpoch, Json<RoleParentView>)> {
    let parent = RoleId::from_uuid(input.parent_id);
    let (epoch, link) = written(&context, access.rbac.add_parent(&context, id, parent).await?);
    Ok((StatusCode::CREATED, epoch, Json(link.into())))
}

async fn remove(
    State(access): State<Access>,
    context: Context,
    PathIds(id, parent): PathIds<RoleId, RoleId>,
) -> ApiResult<(StatusCode, PolicyEpoch)> {
    let (epoch, ()) = written(&context, access.rbac.remove_parent(&context, id, parent).await?);
    Ok((StatusCode::NO_CONTENT, epoch))
}
