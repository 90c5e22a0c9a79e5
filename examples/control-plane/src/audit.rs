//! The audit trail, read and exported.

use axum::http::header;
use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use stylobate::{
    audit::{AuditLog, AuditRecord, ExportLimit, Filter},
    core::{ActorKind, AuditEventId, Direction, Outcome, Page, RequestId},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiError, ApiResult, Context, ListQuery, PathId, StrictQuery},
};
use utoipa::{IntoParams, ToSchema};

const TAG: &str = "audit";
const READ: Permission = Permission::Key("audit.log.read");

pub(crate) fn routes(log: &AuditLog) -> Routes {
    Routes::new()
        .add(
            Route::get("/audit-events", READ)
                .tag(TAG)
                .summary("Lists audit events, newest first")
                .query::<EventFilter>()
                .returns_page::<AuditEventView>(),
            log,
            list,
        )
        .add(
            Route::get("/audit-events/export", Permission::Key("audit.log.export"))
                .tag(TAG)
                .summary("Exports audit events as CSV, newest first")
                .query::<ExportQuery>()
                .answers(200, Some("text/csv")),
            log,
            export,
        )
        .add(
            Route::get("/audit-events/{id}", READ)
                .tag(TAG)
                .summary("Reads an audit event")
                .returns::<AuditEventView>(200),
            log,
            get,
        )
}

/// An audit event, for the API document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the shape of `AuditRecord`, whose crate knows no OpenAPI")]
struct AuditEventView {
    id: uuid::Uuid,
    occurred_at: DateTime<Utc>,
    actor_type: String,
    actor_id: Option<String>,
    action: String,
    entity_type: String,
    entity_id: Option<String>,
    is_success: bool,
    outcome: String,
    ip_address: Option<String>,
    user_agent: Option<String>,
    request_id: Option<uuid::Uuid>,
    session_id: Option<uuid::Uuid>,
    changes: Option<serde_json::Value>,
    metadata: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct EventFilter {
    actor_id: Option<String>,
    /// `user`, `api_key`, `service`, `system` or `anonymous`.
    #[param(value_type = Option<String>)]
    actor_type: Option<ActorKind>,
    action: Option<String>,
    entity_type: Option<String>,
    entity_id: Option<String>,
    #[param(value_type = Option<String>)]
    request_id: Option<RequestId>,
    is_success: Option<bool>,
    /// `success`, `failure` or `denied`.
    #[param(value_type = Option<String>)]
    outcome: Option<Outcome>,
    /// Not before this time (RFC 3339).
    started_after: Option<DateTime<Utc>>,
    /// Before this time (RFC 3339).
    started_before: Option<DateTime<Utc>>,
}

impl From<EventFilter> for Filter {
    fn from(query: EventFilter) -> Self {
        Self {
            actor_id: query.actor_id,
            actor_type: query.actor_type,
            action: query.action,
            entity_type: query.entity_type,
            entity_id: query.entity_id,
            request_id: query.request_id,
            is_success: query.is_success,
            outcome: query.outcome,
            started_after: query.started_after,
            started_before: query.started_before,
        }
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ExportQuery {
    /// 1 to 1,000,000; 100,000 unless given.
    max_rows: Option<u32>,
    actor_id: Option<String>,
    #[param(value_type = Option<String>)]
    actor_type: Option<ActorKind>,
    action: Option<String>,
    entity_type: Option<String>,
    entity_id: Option<String>,
    #[param(value_type = Option<String>)]
    request_id: Option<RequestId>,
    is_success: Option<bool>,
    #[param(value_type = Option<String>)]
    outcome: Option<Outcome>,
    started_after: Option<DateTime<Utc>>,
    started_before: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    OccurredAt,
}

async fn list(
    State(log): State<AuditLog>,
    context: Context,
    query: ListQuery<EventFilter, Order>,
) -> ApiResult<Json<Page<AuditRecord>>> {
    let Order::OccurredAt = query.page.order_by;
    if query.page.include_total {
        return Err(ApiError::field("include_total", "unsupported", "is not counted for the audit trail"));
    }
    let direction = query.page.order_dir.unwrap_or(Direction::Desc);
    let cursor = query.page.cursor.as_deref();
    let page = log.list(&context, &query.filter.into(), query.page.limit, cursor, direction).await?;
    Ok(Json(page))
}

async fn get(
    State(log): State<AuditLog>,
    context: Context,
    PathId(id): PathId<AuditEventId>,
) -> ApiResult<Json<AuditRecord>> {
    Ok(Json(log.find(&context, id).await?.ok_or_else(ApiError::not_found)?))
}

async fn export(
    State(log): State<AuditLog>,
    context: Context,
    StrictQuery(query): StrictQuery<ExportQuery>,
) -> ApiResult<Response> {
    let limit = match query.max_rows {
        None => ExportLimit::default(),
        Some(rows) => ExportLimit::new(rows)
            .ok_or_else(|| ApiError::field("max_rows", "out_of_range", "must be between 1 and 1000000"))?,
    };
    let filter = Filter {
        actor_id: query.actor_id,
        actor_type: query.actor_type,
        action: query.action,
        entity_type: query.entity_type,
        entity_id: query.entity_id,
        request_id: query.request_id,
        is_success: query.is_success,
        outcome: query.outcome,
        started_after: query.started_after,
        started_before: query.started_before,
    };
    let rows = log.export(&context, filter, limit).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"audit-events.csv\""),
    ];
    Ok((headers, Body::from_stream(rows)).into_response())
}
