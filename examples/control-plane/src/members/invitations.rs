use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use stylobate::{
    core::{Direction, InvitationId, Page, TenantId},
    endpoints::{InvitationQuery, InvitationView, Permission, Route, Routes},
    middleware::{ApiResult, Context, ListQuery, PathId, PathIds},
    tenancy::{InvitationFilter, InvitationStatus},
};
use utoipa::IntoParams;

use super::service::{INVITE, Members, READ};
use crate::order::ByCreation;

pub(super) fn routes(members: &Members) -> Routes {
    let one = "/v1/orgs/{id}/invitations/{invitation_id}";
    let about = |route: Route, summary| route.tag("invitations").summary(summary);
    let key = Permission::Key;
    Routes::new()
        .add(
            about(
                Route::get("/v1/orgs/{id}/invitations", key(READ)),
                "Lists the invitations to an organisation, the newest first",
            )
            .query::<WhichInvitations>()
            .returns_page::<InvitationView>(),
            members,
            list,
        )
        .add(
            about(Route::get(one, key(READ)), "Reads an invitation").returns::<InvitationView>(200),
            members,
            get,
        )
        .add(
            about(Route::delete(one, key(INVITE)), "Takes an invitation back").answers(204, None),
            members,
            revoke,
        )
        .add(
            about(
                Route::post("/v1/orgs/{id}/invitations/{invitation_id}/resend", key(INVITE)),
                "Mails another link of an invitation; the one before opens nothing any more",
            )
            .returns::<InvitationView>(200),
            members,
            resend,
        )
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct WhichInvitations {
    /// Only those that are `pending`, `accepted` or `revoked`.
    #[param(value_type = Option<String>)]
    status: Option<InvitationStatus>,
    /// Only those that can be accepted now, or only the others.
    is_open: Option<bool>,
    /// Only those with this text in the address.
    search: Option<String>,
}

async fn list(
    State(members): State<Members>,
    context: Context,
    PathId(id): PathId<TenantId>,
    query: ListQuery<WhichInvitations, ByCreation>,
) -> ApiResult<Json<Page<InvitationView>>> {
    let ByCreation::CreatedAt = query.page.order_by;
    let target = members.target(&context, id, READ).await?;
    let WhichInvitations { status, is_open, search } = query.filter;
    let asked = InvitationQuery {
        filter: InvitationFilter { status, is_open, search },
        direction: query.page.order_dir.unwrap_or(Direction::Desc),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
    };
    Ok(Json(members.newcomers.list(&target.context, &asked).await?.map(InvitationView::from)))
}

async fn get(
    State(members): State<Members>,
    context: Context,
    PathIds(id, invitation): PathIds<TenantId, InvitationId>,
) -> ApiResult<Json<InvitationView>> {
    let target = members.target(&context, id, READ).await?;
    Ok(Json(members.newcomers.find(&target.context, invitation).await?.into()))
}

async fn revoke(
    State(members): State<Members>,
    context: Context,
    PathIds(id, invitation): PathIds<TenantId, InvitationId>,
) -> ApiResult<StatusCode> {
    let target = members.target(&context, id, INVITE).await?;
    members.newcomers.revoke(&target.context, invitation).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn resend(
    State(members): State<Members>,
    context: Context,
    PathIds(id, invitation): PathIds<TenantId, InvitationId>,
) -> ApiResult<Json<InvitationView>> {
    let target = members.target(&context, id, INVITE).await?;
    Ok(Json(members.newcomers.resend(&target.context, invitation).await?.into()))
}
