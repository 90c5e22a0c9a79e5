use axum::{Json, extract::State, http::StatusCode};
use stylobate::{
    core::{Direction, Page, PersonId, TenantId},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, ListQuery, PathId, PathIds, StrictJson},
};

use super::{
    model::{MemberFilter, MemberPatch, MemberView, NewMemberInput},
    service::{DELETE, INVITE, Members, READ, UPDATE},
};
use crate::{order::ByCreation, people::ListRequest};

pub(super) fn routes(members: &Members) -> Routes {
    let (all, one) = ("/v1/orgs/{id}/members", "/v1/orgs/{id}/members/{person_id}");
    let about = |route: Route, summary| route.tag("members").summary(summary);
    let key = Permission::Key;
    Routes::new()
        .add(
            about(
                Route::get(all, key(READ)),
                "Lists the members of an organisation, in the order in which they joined",
            )
            .query::<MemberFilter>()
            .returns_page::<MemberView>(),
            members,
            list,
        )
        .add(
            about(Route::post(all, key(INVITE)), "Adds somebody who has an account, for the platform")
                .body::<NewMemberInput>()
                .returns::<MemberView>(201),
            members,
            add,
        )
        .add(
            about(Route::patch(one, key(UPDATE)), "Suspends a member, or reinstates them")
                .body::<MemberPatch>()
                .returns::<MemberView>(200),
            members,
            patch,
        )
        .add(
            about(Route::delete(one, key(DELETE)), "Ends a membership; the account stays").answers(204, None),
            members,
            remove,
        )
}

async fn list(
    State(members): State<Members>,
    context: Context,
    PathId(id): PathId<TenantId>,
    query: ListQuery<MemberFilter, ByCreation>,
) -> ApiResult<Json<Page<MemberView>>> {
    let ByCreation::CreatedAt = query.page.order_by;
    let target = members.target(&context, id, READ).await?;
    let request = ListRequest {
        membership: query.filter.status,
        search: query.filter.search,
        direction: query.page.order_dir.unwrap_or(Direction::Asc),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
        ..ListRequest::default()
    };
    Ok(Json(members.list(&target, request).await?.map(MemberView::from)))
}

async fn add(
    State(members): State<Members>,
    context: Context,
    PathId(id): PathId<TenantId>,
    StrictJson(input): StrictJson<NewMemberInput>,
) -> ApiResult<(StatusCode, Json<MemberView>)> {
    let target = members.target(&context, id, INVITE).await?;
    let added = members.add(&target, PersonId::from_uuid(input.person_id)).await?;
    Ok((StatusCode::CREATED, Json(added.into())))
}

async fn patch(
    State(members): State<Members>,
    context: Context,
    PathIds(id, person): PathIds<TenantId, PersonId>,
    StrictJson(patch): StrictJson<MemberPatch>,
) -> ApiResult<Json<MemberView>> {
    let target = members.target(&context, id, UPDATE).await?;
    Ok(Json(members.set_status(&target, person, patch.status).await?.into()))
}

async fn remove(
    State(members): State<Members>,
    context: Context,
    PathIds(id, person): PathIds<TenantId, PersonId>,
) -> ApiResult<StatusCode> {
    let target = members.target(&context, id, DELETE).await?;
    members.remove(&target, person).await?;
    Ok(StatusCode::NO_CONTENT)
}
