use axum::{Json, extract::State, http::StatusCode};
use stylobate::{
    core::{Direction, Page, PersonId, TenantId},
    endpoints::{InvitationQuery, Permission, Route, Routes},
    middleware::{
        ApiResult, Context, FurtherPermission, ListQuery, MergePatch, PathId, StrictJson, StrictQuery,
    },
    tenancy::InvitationFilter,
};

use super::{
    model::OfOrganization,
    service::{ASSIGN, DELETE, INVITE, Members, READ, REVOKE, UPDATE},
    user_model::{AccountInput, UserFilter, UserInput, UserStatus, UserView, names_role},
};
use crate::{order::ByCreation, people::ListRequest};

pub(super) const TAG: &str = "users";

pub(super) fn routes(members: &Members) -> Routes {
    let (all, one) = ("/v1/orgs/{id}/users", "/v1/users/{id}");
    let about = |route: Route, summary| route.tag(TAG).summary(summary);
    let key = Permission::Key;
    Routes::new()
        .add(
            about(Route::get(all, key(READ)), "Lists the users of an organisation, or who is invited to it")
                .query::<UserFilter>()
                .returns_page::<UserView>(),
            members,
            list,
        )
        .add(
            about(
                Route::post(all, key(INVITE)),
                "Makes a user of an organisation; without a password it invites the address",
            )
            .body::<AccountInput>()
            .returns::<UserView>(201),
            members,
            create,
        )
        .add(
            about(Route::get(one, key(READ)), "Reads a user")
                .query::<OfOrganization>()
                .returns::<UserView>(200),
            members,
            get,
        )
        .add(
            about(Route::patch(one, key(UPDATE)), "Changes fields of a user, or their role (JSON merge patch)")
                .query::<OfOrganization>()
                .body::<UserInput>()
                .returns::<UserView>(200),
            members,
            patch,
        )
        .add(
            about(
                Route::delete(one, key(DELETE)),
                "Deactivates a user; of somebody who belongs to other organisations as well it suspends the membership",
            )
            .query::<OfOrganization>()
            .answers(204, None),
            members,
            deactivate,
        )
}

async fn list(
    State(members): State<Members>,
    context: Context,
    PathId(id): PathId<TenantId>,
    query: ListQuery<UserFilter, ByCreation>,
) -> ApiResult<Json<Page<UserView>>> {
    let ByCreation::CreatedAt = query.page.order_by;
    let target = members.target(&context, id, READ).await?;
    let (filter, page) = (query.filter, query.page);
    let direction = page.order_dir.unwrap_or(Direction::Asc);
    let takes_part = match filter.status {
        Some(UserStatus::Invited) => {
            let open = InvitationFilter { is_open: Some(true), search: filter.search, status: None };
            let (limit, cursor, with_total) = (page.limit, page.cursor, page.include_total);
            let asked = InvitationQuery { filter: open, direction, limit, cursor, with_total };
            return Ok(Json(members.newcomers.list(&target.context, &asked).await?.map(UserView::from)));
        }
        Some(status) => Some(status == UserStatus::Active),
        None => None,
    };
    let request = ListRequest {
        takes_part,
        search: filter.search,
        direction,
        limit: page.limit,
        cursor: page.cursor,
        with_total: page.include_total,
        ..ListRequest::default()
    };
    Ok(Json(members.list_users(&target, request).await?))
}

async fn create(
    State(members): State<Members>,
    context: Context,
    PathId(id): PathId<TenantId>,
    StrictJson(input): StrictJson<AccountInput>,
) -> ApiResult<(StatusCode, Json<UserView>)> {
    let target = members.target(&context, id, INVITE).await?;
    let role = input.role();
    Ok((StatusCode::CREATED, Json(members.create_user(&target, input, role).await?)))
}

async fn get(
    State(members): State<Members>,
    context: Context,
    PathId(id): PathId<PersonId>,
    StrictQuery(query): StrictQuery<OfOrganization>,
) -> ApiResult<Json<UserView>> {
    let target = members.target_or_own(&context, query.organization_id, READ).await?;
    Ok(Json(members.find_user(&target, id).await?))
}

async fn patch(
    State(members): State<Members>,
    context: Context,
    giving: FurtherPermission,
    taking: FurtherPermission,
    PathId(id): PathId<PersonId>,
    StrictQuery(query): StrictQuery<OfOrganization>,
    StrictJson(patch): StrictJson<MergePatch>,
) -> ApiResult<Json<UserView>> {
    let names_role = names_role(&patch);
    if names_role {
        giving.require(ASSIGN).await?;
        taking.require(REVOKE).await?;
    }
    let mut target = members.target_or_own(&context, query.organization_id, UPDATE).await?;
    if names_role && target.is_foreign {
        // What is done elsewhere is given by the platform, all of it.
        for key in [ASSIGN, REVOKE] {
            target = members.target(&context, target.tenant, key).await?;
        }
    }
    Ok(Json(members.change_user(&target, id, patch).await?))
}

async fn deactivate(
    State(members): State<Members>,
    context: Context,
    PathId(id): PathId<PersonId>,
    StrictQuery(query): StrictQuery<OfOrganization>,
) -> ApiResult<StatusCode> {
    let target = members.target_or_own(&context, query.organization_id, DELETE).await?;
    members.deactivate_user(&target, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
