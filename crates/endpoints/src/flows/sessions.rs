use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_auth::Session;
use stylobate_core::{Page, SessionId};
use stylobate_tower_middleware::{ApiResult, Context, PathId, Permission};
use utoipa::ToSchema;

use super::{Flows, TAG};
use crate::{Route, Routes};

/// `GET|DELETE /auth/sessions` and `DELETE /auth/sessions/{id}`: where the caller is signed in.
#[must_use]
pub fn session_routes(flows: &Flows) -> Routes {
    Routes::new()
        .add(
            Route::get("/auth/sessions", Permission::Authenticated)
                .tag(TAG)
                .summary("Lists the caller's sessions")
                .returns_whole_page::<SessionView>(),
            flows,
            list,
        )
        .add(
            Route::delete("/auth/sessions", Permission::Authenticated)
                .tag(TAG)
                .summary("Ends the caller's other sessions")
                .returns::<Ended>(200),
            flows,
            end_others,
        )
        .add(
            Route::delete("/auth/sessions/{id}", Permission::Authenticated)
                .tag(TAG)
                .summary("Ends one of the caller's sessions")
                .answers(204, None),
            flows,
            end,
        )
}

/// A session as its owner sees it.
#[derive(Serialize, ToSchema)]
struct SessionView {
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
    ip_address: Option<String>,
    user_agent: Option<String>,
    created_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// Whether it is the session that asks.
    is_current: bool,
}

/// How many sessions ended.
#[derive(Serialize, ToSchema)]
struct Ended {
    ended: usize,
}

async fn list(State(flows): State<Flows>, context: Context) -> ApiResult<Json<Page<SessionView>>> {
    let current = context.principal.session;
    let sessions = flows.auth.list_sessions(&context).await?;
    let view = |session: Session| SessionView {
        id: session.id,
        ip_address: session.address.map(|address| address.to_string()),
        user_agent: session.user_agent,
        created_at: session.created_at,
        last_seen_at: session.last_seen_at,
        expires_at: session.expires_at,
        is_current: Some(session.id) == current,
    };
    // Parallel sessions are limited, so one page holds them all.
    Ok(Json(Page { items: sessions.into_iter().map(view).collect(), next_cursor: None, total: None }))
}

async fn end(
    State(flows): State<Flows>,
    context: Context,
    PathId(id): PathId<SessionId>,
) -> ApiResult<StatusCode> {
    flows.auth.revoke_session(&context, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_others(State(flows): State<Flows>, context: Context) -> ApiResult<Json<Ended>> {
    Ok(Json(Ended { ended: flows.auth.revoke_other_sessions(&context).await? }))
}
