use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use stylobate::{
    auth::ServiceAccountQuery,
    core::{Direction, Page, ServiceId, ServiceKeyId},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, ListQuery, PathId, PathIds, StrictJson},
};
use utoipa::IntoParams;

use super::{
    model::{
        GrantsView, ServiceAccountInput, ServiceAccountPatch, ServiceAccountView, ServiceKeyInput,
        ServiceKeyView, ServiceKeys, status,
    },
    service::ServiceAccounts,
};
use crate::order::ByCreation;

const TAG: &str = "service accounts";
const READ: Permission = Permission::Key("service_account.read");
const MANAGE: Permission = Permission::Key("service_account.manage");

pub(crate) fn routes(accounts: &ServiceAccounts) -> Routes {
    let (all, one) = ("/service-accounts", "/service-accounts/{id}");
    let about = |route: Route, summary| route.tag(TAG).summary(summary);
    Routes::new()
        .add(
            about(Route::get(all, READ), "Lists the service accounts of the organisation, the newest first")
                .query::<AccountFilter>()
                .returns_page::<ServiceAccountView>(),
            accounts,
            list,
        )
        .add(
            about(Route::post(all, MANAGE), "Makes a service account, without keys and roles")
                .body::<ServiceAccountInput>()
                .returns::<ServiceAccountView>(201),
            accounts,
            create,
        )
        .add(
            about(Route::get(one, READ), "Reads a service account").returns::<ServiceAccountView>(200),
            accounts,
            get,
        )
        .add(
            about(
                Route::patch(one, MANAGE),
                "Renames or describes a service account, or switches it on or off",
            )
            .body::<ServiceAccountPatch>()
            .returns::<ServiceAccountView>(200),
            accounts,
            patch,
        )
        .add(
            about(Route::delete(one, MANAGE), "Removes a service account with its keys and roles")
                .answers(204, None),
            accounts,
            delete,
        )
        .and(grant_routes(accounts))
        .and(key_routes(accounts))
}

fn grant_routes(accounts: &ServiceAccounts) -> Routes {
    let path = "/service-accounts/{id}/grants";
    let about = |route: Route, summary| route.tag(TAG).summary(summary).returns::<GrantsView>(200);
    Routes::new()
        .add(about(Route::get(path, READ), "What a service account may do where"), accounts, grants)
        .add(
            about(
                Route::put(path, MANAGE),
                "Says what a service account may do where; its tokens so far are over",
            )
            .body::<GrantsView>(),
            accounts,
            put_grants,
        )
}

fn key_routes(accounts: &ServiceAccounts) -> Routes {
    let (all, one) = ("/service-accounts/{id}/keys", "/service-accounts/{id}/keys/{key_id}");
    let about = |route: Route, summary| route.tag(TAG).summary(summary);
    Routes::new()
        .add(
            about(Route::get(all, READ), "The public keys with which a service account signs requests")
                .returns::<ServiceKeys>(200),
            accounts,
            keys,
        )
        .add(
            about(
                Route::post(all, MANAGE),
                "Registers a public key: requests signed with it act for the account",
            )
            .body::<ServiceKeyInput>()
            .returns::<ServiceKeyView>(201),
            accounts,
            add_key,
        )
        .add(
            about(
                Route::delete(one, MANAGE),
                "Revokes a key for good; the account's tokens are over with it",
            )
            .answers(204, None),
            accounts,
            revoke_key,
        )
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct AccountFilter {
    /// Only those that are switched on, or only the others.
    is_active: Option<bool>,
}

async fn list(
    State(accounts): State<ServiceAccounts>,
    context: Context,
    query: ListQuery<AccountFilter, ByCreation>,
) -> ApiResult<Json<Page<ServiceAccountView>>> {
    let ByCreation::CreatedAt = query.page.order_by;
    let asked = ServiceAccountQuery {
        status: query.filter.is_active.map(status),
        direction: query.page.order_dir.unwrap_or(Direction::Desc),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
    };
    Ok(Json(accounts.list(&context, &asked).await?.map(ServiceAccountView::from)))
}

async fn create(
    State(accounts): State<ServiceAccounts>,
    context: Context,
    StrictJson(input): StrictJson<ServiceAccountInput>,
) -> ApiResult<(StatusCode, Json<ServiceAccountView>)> {
    Ok((StatusCode::CREATED, Json(accounts.create(&context, input.into()).await?.into())))
}

async fn get(
    State(accounts): State<ServiceAccounts>,
    context: Context,
    PathId(id): PathId<ServiceId>,
) -> ApiResult<Json<ServiceAccountView>> {
    Ok(Json(accounts.find(&context, id).await?.into()))
}

async fn patch(
    State(accounts): State<ServiceAccounts>,
    context: Context,
    PathId(id): PathId<ServiceId>,
    StrictJson(patch): StrictJson<ServiceAccountPatch>,
) -> ApiResult<Json<ServiceAccountView>> {
    Ok(Json(accounts.change(&context, id, patch.into()).await?.into()))
}

async fn delete(
    State(accounts): State<ServiceAccounts>,
    context: Context,
    PathId(id): PathId<ServiceId>,
) -> ApiResult<StatusCode> {
    accounts.delete(&context, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn grants(
    State(accounts): State<ServiceAccounts>,
    context: Context,
    PathId(id): PathId<ServiceId>,
) -> ApiResult<Json<GrantsView>> {
    Ok(Json(accounts.grants(&context, id).await?.into()))
}

async fn put_grants(
    State(accounts): State<ServiceAccounts>,
    context: Context,
    PathId(id): PathId<ServiceId>,
    StrictJson(wanted): StrictJson<GrantsView>,
) -> ApiResult<Json<GrantsView>> {
    Ok(Json(accounts.set_grants(&context, id, wanted.into()).await?.into()))
}

async fn keys(
    State(accounts): State<ServiceAccounts>,
    context: Context,
    PathId(id): PathId<ServiceId>,
) -> ApiResult<Json<ServiceKeys>> {
    let keys = accounts.keys(&context, id).await?;
    Ok(Json(ServiceKeys { items: keys.into_iter().map(ServiceKeyView::from).collect() }))
}

async fn add_key(
    State(accounts): State<ServiceAccounts>,
    context: Context,
    PathId(id): PathId<ServiceId>,
    StrictJson(input): StrictJson<ServiceKeyInput>,
) -> ApiResult<(StatusCode, Json<ServiceKeyView>)> {
    Ok((StatusCode::CREATED, Json(accounts.add_key(&context, id, input).await?.into())))
}

async fn revoke_key(
    State(accounts): State<ServiceAccounts>,
    context: Context,
    PathIds(id, key): PathIds<ServiceId, ServiceKeyId>,
) -> ApiResult<StatusCode> {
    accounts.revoke_key(&context, id, key).await?;
    Ok(StatusCode::NO_CONTENT)
}
