use axum::{Json, extract::State, http::StatusCode};
use stylobate::{
    core::{Direction, Page, TenantId},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, ListQuery, PathId, StrictJson, problem_for},
};

use super::{
    model::{OrgInput, OrgPatch, OrgQuery, OrgView},
    service::{ANY_ORGANISATION, ListRequest, Orgs, READ},
    target::given_by_platform,
};
use crate::order::ByCreation;

pub(super) const TAG: &str = "organisations";
const UPDATE: &str = "org.update";
const DELETE: &str = "org.delete";

pub(super) fn routes(orgs: &Orgs) -> Routes {
    let (all, one) = ("/v1/orgs", "/v1/orgs/{id}");
    let about = |route: Route, summary| route.tag(TAG).summary(summary);
    let key = Permission::Key;
    Routes::new()
        .add(
            about(
                Route::get(all, key(READ)),
                "Lists the organisations that the caller belongs to and may read there, the oldest first; all of them for the platform",
            )
            .query::<OrgQuery>()
            .returns_page::<OrgView>(),
            orgs,
            list,
        )
        .add(
            about(Route::post(all, key("org.create")), "Makes an organisation with its roles, without people")
                .body::<OrgInput>()
                .returns::<OrgView>(201),
            orgs,
            create,
        )
        .add(about(Route::get(one, key(READ)), "Reads an organisation").returns::<OrgView>(200), orgs, get)
        .add(
            about(
                Route::patch(one, key(UPDATE)),
                "Renames an organisation; the platform also says what became of its licence, and whether anybody may act in it",
            )
            .body::<OrgPatch>()
            .returns::<OrgView>(200),
            orgs,
            patch,
        )
        .add(
            about(
                Route::delete(one, key(DELETE)),
                "Deactivates an organisation: its sessions and keys end, and its rows stay",
            )
            .answers(204, None),
            orgs,
            deactivate,
        )
        .add(
            about(
                Route::post("/v1/orgs/{id}/activate", key(ANY_ORGANISATION)),
                "Lets people in again; what had ended stays so",
            )
            .returns::<OrgView>(200),
            orgs,
            activate,
        )
}

async fn list(
    State(orgs): State<Orgs>,
    context: Context,
    query: ListQuery<OrgQuery, ByCreation>,
) -> ApiResult<Json<Page<OrgView>>> {
    let ByCreation::CreatedAt = query.page.order_by;
    let request = ListRequest {
        filter: query.filter.into(),
        direction: query.page.order_dir.unwrap_or(Direction::Asc),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
    };
    Ok(Json(orgs.list(&context, request).await?.map(OrgView::from)))
}

async fn create(
    State(orgs): State<Orgs>,
    context: Context,
    StrictJson(input): StrictJson<OrgInput>,
) -> ApiResult<(StatusCode, Json<OrgView>)> {
    let made = orgs.create(&context, input.read()?).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

async fn get(
    State(orgs): State<Orgs>,
    context: Context,
    PathId(id): PathId<TenantId>,
) -> ApiResult<Json<OrgView>> {
    let target = orgs.target(&context, id, READ).await?;
    Ok(Json(orgs.find(&target).await?.into()))
}

async fn patch(
    State(orgs): State<Orgs>,
    context: Context,
    PathId(id): PathId<TenantId>,
    StrictJson(patch): StrictJson<OrgPatch>,
) -> ApiResult<Json<OrgView>> {
    let target = orgs.target(&context, id, UPDATE).await?;
    if patch.is_of_platform() && !given_by_platform(&orgs.rbac, &context, [UPDATE, ANY_ORGANISATION]) {
        return Err(problem_for("platform_owned").into());
    }
    let (change, may_act) = patch.read()?;
    Ok(Json(orgs.change(&target, change, may_act).await?.into()))
}

async fn deactivate(
    State(orgs): State<Orgs>,
    context: Context,
    PathId(id): PathId<TenantId>,
) -> ApiResult<StatusCode> {
    let target = orgs.target(&context, id, DELETE).await?;
    orgs.deactivate(&target).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn activate(
    State(orgs): State<Orgs>,
    context: Context,
    PathId(id): PathId<TenantId>,
) -> ApiResult<Json<OrgView>> {
    let target = orgs.target(&context, id, ANY_ORGANISATION).await?;
    Ok(Json(orgs.activate(&target).await?.into()))
}
