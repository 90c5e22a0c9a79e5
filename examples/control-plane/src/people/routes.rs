use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use stylobate::{
    core::{Direction, Page, PersonId},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, ListQuery, MergePatch, PathId, StrictJson},
};
use utoipa::IntoParams;

use super::{
    me,
    model::{PersonInput, PersonView, Status},
    own_account,
    service::{ListRequest, People, tenant_of},
};
use crate::{merged::merged, order::ByCreation, refused::Refused};

const TAG: &str = "people";
const READ: Permission = Permission::Key("user.read");
const UPDATE: Permission = Permission::Key("user.update");

pub(crate) fn routes(people: &People) -> Routes {
    Routes::new()
        .add(
            Route::get("/people", READ)
                .tag(TAG)
                .summary("Lists the people of the organisation, in the order they joined")
                .query::<PeopleFilter>()
                .returns_page::<PersonView>(),
            people,
            list,
        )
        .add(
            Route::post("/people", Permission::Key("user.create"))
                .tag(TAG)
                .summary("Makes a person")
                .body::<PersonInput>()
                .returns::<PersonView>(201),
            people,
            create,
        )
        .add(
            Route::get("/people/{id}", READ).tag(TAG).summary("Reads a person").returns::<PersonView>(200),
            people,
            get,
        )
        .add(
            Route::patch("/people/{id}", UPDATE)
                .tag(TAG)
                .summary("Changes fields of a person (JSON merge patch)")
                .body::<PersonInput>()
                .returns::<PersonView>(200),
            people,
            patch,
        )
        .add(
            Route::put("/people/{id}", UPDATE)
                .tag(TAG)
                .summary("Replaces a person")
                .body::<PersonInput>()
                .returns::<PersonView>(200),
            people,
            put,
        )
        .add(
            Route::delete("/people/{id}", Permission::Key("user.delete"))
                .tag(TAG)
                .summary("Removes a person")
                .answers(204, None),
            people,
            delete,
        )
        .add(
            Route::post("/people/{id}/unlock", Permission::Key("user.unlock"))
                .tag(TAG)
                .summary("Lets a person sign in again whom wrong passwords have locked out")
                .answers(204, None),
            people,
            unlock,
        )
        .and(me::routes(people))
        .and(own_account::routes(people))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct PeopleFilter {
    /// Only the person with this address.
    email: Option<String>,
    /// Only people of this status.
    #[param(inline)]
    status: Option<Status>,
    /// Only people who take part, or who do not.
    is_active: Option<bool>,
    /// Only people with this text in name, user name or address.
    search: Option<String>,
}

async fn list(
    State(people): State<People>,
    context: Context,
    query: ListQuery<PeopleFilter, ByCreation>,
) -> ApiResult<Json<Page<PersonView>>> {
    let ByCreation::CreatedAt = query.page.order_by;
    let request = ListRequest {
        email: query.filter.email,
        status: query.filter.status,
        is_active: query.filter.is_active,
        search: query.filter.search,
        direction: query.page.order_dir.unwrap_or(Direction::Asc),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
        ..ListRequest::default()
    };
    Ok(Json(people.list(&context, request).await?))
}

async fn create(
    State(people): State<People>,
    context: Context,
    StrictJson(input): StrictJson<PersonInput>,
) -> ApiResult<(StatusCode, Json<PersonView>)> {
    let tenant = tenant_of(&context)?;
    Ok((StatusCode::CREATED, Json(people.create(&context, tenant, input).await?)))
}

async fn get(
    State(people): State<People>,
    context: Context,
    PathId(id): PathId<PersonId>,
) -> ApiResult<Json<PersonView>> {
    Ok(Json(people.find(&context, id).await?))
}

async fn patch(
    State(people): State<People>,
    context: Context,
    PathId(id): PathId<PersonId>,
    StrictJson(patch): StrictJson<MergePatch>,
) -> ApiResult<Json<PersonView>> {
    let changed = people.change(&context, id, move |before| patched(before, &patch)).await?;
    Ok(Json(changed))
}

async fn put(
    State(people): State<People>,
    context: Context,
    PathId(id): PathId<PersonId>,
    StrictJson(input): StrictJson<PersonInput>,
) -> ApiResult<Json<PersonView>> {
    Ok(Json(people.change(&context, id, move |_| Ok(input.clone())).await?))
}

async fn delete(
    State(people): State<People>,
    context: Context,
    PathId(id): PathId<PersonId>,
) -> ApiResult<StatusCode> {
    people.delete(&context, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn unlock(
    State(people): State<People>,
    context: Context,
    PathId(id): PathId<PersonId>,
) -> ApiResult<StatusCode> {
    people.unlock(&context, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a patch makes of somebody, on the shape of `PUT`.
pub(super) fn patched(before: &PersonView, patch: &MergePatch) -> Result<PersonInput, Refused> {
    let mut patch = patch.clone();
    patch.rename("metadata_", "metadata");
    let input: PersonInput = merged(&PersonInput::from(before), &patch)?;
    // Of another address nothing is proven, unless the patch says so.
    let says_so = patch.fields().contains_key("email_verified");
    let email_verified = input.email_verified && (says_so || input.email == before.email);
    Ok(PersonInput { email_verified, ..input })
}
