use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate::{
    auth::{SessionQuery, SessionState, TenantSession},
    core::{Direction, Page, PersonId, SessionId},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, ListQuery, PathId, StrictJson},
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::service::Sessions;
use crate::order::ByCreation;

const TAG: &str = "sessions";
const READ: Permission = Permission::Key("session.read");
const REVOKE: Permission = Permission::Key("session.revoke");

pub(crate) fn routes(sessions: &Sessions) -> Routes {
    Routes::new()
        .add(
            Route::get("/sessions", READ)
                .tag(TAG)
                .summary("Lists the sessions begun for the organisation, newest first")
                .query::<SessionFilter>()
                .returns_page::<AdminSessionView>(),
            sessions,
            list,
        )
        .add(
            Route::get("/sessions/{id}", READ)
                .tag(TAG)
                .summary("Reads a session")
                .returns::<AdminSessionView>(200),
            sessions,
            get,
        )
        .add(
            Route::patch("/sessions/{id}", REVOKE)
                .tag(TAG)
                .summary("Ends a session, and shows it")
                .body::<SessionPatch>()
                .returns::<AdminSessionView>(200),
            sessions,
            patch,
        )
        .add(
            Route::delete("/sessions/{id}", REVOKE).tag(TAG).summary("Ends a session").answers(204, None),
            sessions,
            delete,
        )
        .add(
            Route::delete("/people/{id}/sessions", REVOKE)
                .tag(TAG)
                .summary("Ends the sessions that a person has for the organisation")
                .returns::<SessionsEnded>(200),
            sessions,
            delete_of_person,
        )
}

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SessionStatus {
    /// It is alive.
    Active,
    /// Somebody or something ended it.
    Revoked,
    /// It reached a limit.
    Expired,
}

/// A session as an administrator sees it.
#[derive(Serialize, ToSchema)]
struct AdminSessionView {
    id: Uuid,
    person_id: Uuid,
    status: SessionStatus,
    is_live: bool,
    /// Whether it is the session that asks.
    is_current: bool,
    /// How the person signed in (RFC 8176).
    amr: Vec<String>,
    ip_address: Option<String>,
    user_agent: Option<String>,
    created_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
    /// `logout`, `revoked`, `refresh_reuse`, `session_limit`, `password_change` and the like.
    end_reason: Option<String>,
}

impl AdminSessionView {
    fn new(record: TenantSession, current: Option<SessionId>) -> Self {
        let status = match record.state {
            SessionState::Live => SessionStatus::Active,
            SessionState::Ended => SessionStatus::Revoked,
            SessionState::Expired | SessionState::Idle => SessionStatus::Expired,
        };
        Self {
            id: record.id.as_uuid(),
            person_id: record.person_id.as_uuid(),
            status,
            is_live: status == SessionStatus::Active,
            is_current: current == Some(record.id),
            amr: record.amr,
            ip_address: record.address.map(|address| address.to_string()),
            user_agent: record.user_agent,
            created_at: record.created_at,
            last_seen_at: record.last_seen_at,
            expires_at: record.expires_at,
            revoked_at: record.ended_at,
            end_reason: record.end_reason,
        }
    }
}

/// Ends a session.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SessionPatch {
    /// Nothing but `revoked`: a session does not come back, and begins by signing in.
    status: Revoked,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Revoked {
    Revoked,
}

/// How many sessions ended.
#[derive(Serialize, ToSchema)]
struct SessionsEnded {
    ended: usize,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct SessionFilter {
    /// Only those of this person.
    #[param(value_type = Option<uuid::Uuid>)]
    person_id: Option<PersonId>,
    /// `active`, `revoked` or `expired`.
    #[param(inline)]
    status: Option<SessionStatus>,
    /// Only those that are alive, or that are not.
    is_live: Option<bool>,
}

async fn list(
    State(sessions): State<Sessions>,
    context: Context,
    query: ListQuery<SessionFilter, ByCreation>,
) -> ApiResult<Json<Page<AdminSessionView>>> {
    let ByCreation::CreatedAt = query.page.order_by;
    let filter = query.filter;
    let (of_status, is_ended) = match filter.status {
        None => (None, None),
        Some(SessionStatus::Active) => (Some(true), None),
        Some(SessionStatus::Revoked) => (None, Some(true)),
        Some(SessionStatus::Expired) => (Some(false), Some(false)),
    };
    let contradicts = of_status.is_some_and(|of_status| filter.is_live == Some(!of_status))
        || (is_ended == Some(true) && filter.is_live == Some(true));
    if contradicts {
        let total = query.page.include_total.then_some(0);
        return Ok(Json(Page { items: Vec::new(), next_cursor: None, total }));
    }
    let asked = SessionQuery {
        person: filter.person_id,
        is_live: of_status.or(filter.is_live),
        is_ended,
        direction: query.page.order_dir.unwrap_or(Direction::Desc),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
    };
    let current = context.principal.session;
    let page = sessions.list(&context, &asked).await?;
    Ok(Json(page.map(|record| AdminSessionView::new(record, current))))
}

async fn get(
    State(sessions): State<Sessions>,
    context: Context,
    PathId(id): PathId<SessionId>,
) -> ApiResult<Json<AdminSessionView>> {
    let record = sessions.find(&context, id).await?;
    Ok(Json(AdminSessionView::new(record, context.principal.session)))
}

async fn patch(
    State(sessions): State<Sessions>,
    context: Context,
    PathId(id): PathId<SessionId>,
    StrictJson(SessionPatch { status: Revoked::Revoked }): StrictJson<SessionPatch>,
) -> ApiResult<Json<AdminSessionView>> {
    let record = sessions.revoke(&context, id).await?;
    Ok(Json(AdminSessionView::new(record, context.principal.session)))
}

async fn delete(
    State(sessions): State<Sessions>,
    context: Context,
    PathId(id): PathId<SessionId>,
) -> ApiResult<StatusCode> {
    sessions.revoke(&context, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete_of_person(
    State(sessions): State<Sessions>,
    context: Context,
    PathId(id): PathId<PersonId>,
) -> ApiResult<Json<SessionsEnded>> {
    Ok(Json(SessionsEnded { ended: sessions.revoke_all(&context, id).await? }))
}
