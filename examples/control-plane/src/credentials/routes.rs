use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use stylobate::{
    core::{Direction, Page, PersonId},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, ListQuery, PathId, StrictJson},
};
use utoipa::IntoParams;

use super::{
    model::{CredentialInput, CredentialPatch, CredentialView, Provider},
    service::{Credentials, ListRequest},
};
use crate::order::ByCreation;

const TAG: &str = "credentials";
const READ: Permission = Permission::Key("user.credential.read");

pub(crate) fn routes(credentials: &Credentials) -> Routes {
    let key = Permission::Key;
    Routes::new()
        .add(
            Route::get("/user-credentials", READ)
                .tag(TAG)
                .summary("Lists the credentials of people of the organisation, in the order they joined")
                .query::<CredentialFilter>()
                .returns_page::<CredentialView>(),
            credentials,
            list,
        )
        .add(
            Route::post("/user-credentials", key("user.credential.create"))
                .tag(TAG)
                .summary("Gives a person a credential")
                .body::<CredentialInput>()
                .returns::<CredentialView>(201),
            credentials,
            create,
        )
        .add(
            Route::get("/user-credentials/{id}", READ)
                .tag(TAG)
                .summary("Reads a credential")
                .returns::<CredentialView>(200),
            credentials,
            get,
        )
        .add(
            Route::patch("/user-credentials/{id}", key("user.credential.update"))
                .tag(TAG)
                .summary("Changes a credential: sets a password, ends a lock, switches it on or off")
                .body::<CredentialPatch>()
                .returns::<CredentialView>(200),
            credentials,
            patch,
        )
        .add(
            Route::delete("/user-credentials/{id}", key("user.credential.delete"))
                .tag(TAG)
                .summary("Removes a credential; the person's sessions end")
                .answers(204, None),
            credentials,
            delete,
        )
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct CredentialFilter {
    /// Only those of this person.
    #[param(value_type = Option<uuid::Uuid>)]
    person_id: Option<PersonId>,
    /// `local` or `sso`.
    #[param(inline)]
    provider: Option<Provider>,
    /// Only those that can be signed in with, or that cannot.
    is_active: Option<bool>,
}

async fn list(
    State(credentials): State<Credentials>,
    context: Context,
    query: ListQuery<CredentialFilter, ByCreation>,
) -> ApiResult<Json<Page<CredentialView>>> {
    let ByCreation::CreatedAt = query.page.order_by;
    let request = ListRequest {
        person: query.filter.person_id,
        provider: query.filter.provider,
        is_active: query.filter.is_active,
        direction: query.page.order_dir.unwrap_or(Direction::Asc),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
    };
    Ok(Json(credentials.list(&context, request).await?))
}

async fn create(
    State(credentials): State<Credentials>,
    context: Context,
    StrictJson(input): StrictJson<CredentialInput>,
) -> ApiResult<(StatusCode, Json<CredentialView>)> {
    Ok((StatusCode::CREATED, Json(credentials.create(&context, input).await?)))
}

async fn get(
    State(credentials): State<Credentials>,
    context: Context,
    PathId(id): PathId<PersonId>,
) -> ApiResult<Json<CredentialView>> {
    Ok(Json(credentials.find(&context, id).await?))
}

async fn patch(
    State(credentials): State<Credentials>,
    context: Context,
    PathId(id): PathId<PersonId>,
    StrictJson(patch): StrictJson<CredentialPatch>,
) -> ApiResult<Json<CredentialView>> {
    Ok(Json(credentials.change(&context, id, patch).await?))
}

async fn delete(
    State(credentials): State<Credentials>,
    context: Context,
    PathId(id): PathId<PersonId>,
) -> ApiResult<StatusCode> {
    credentials.delete(&context, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
