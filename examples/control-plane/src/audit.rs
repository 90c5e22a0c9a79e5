//! The audit trail, read and exported: an organisation's own, and for the platform that of any.

use std::sync::Arc;

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
    Platform,
    audit::{AuditLog, AuditRecord, ExportLimit, Filter},
    core::{
        ActorKind, AuditEventId, Direction, Outcome, Page, PageLimit, RequestContext, RequestId, TenantId,
    },
    db::Db,
    endpoints::{Permission, Route, Routes},
    middleware::{ApiError, ApiResult, Context, ListQuery, PathId, StrictQuery},
    rbac::Rbac,
    tenancy::Tenancy,
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::orgs::given_by_platform;

const TAG: &str = "audit";
const READ: &str = "audit.log.read";
const EXPORT: &str = "audit.log.export";
/// What lets somebody read the trail of any organisation.
const ANY_TRAIL: &str = "platform.audit.view";

pub(crate) fn routes(platform: &Platform) -> Routes {
    let trails = &Trails::new(platform);
    Routes::new()
        .add(
            Route::get("/audit-events", Permission::Key(READ))
                .tag(TAG)
                .summary("Lists audit events, newest first")
                .query::<EventFilter>()
                .returns_page::<AuditEventView>(),
            trails,
            list,
        )
        .add(
            Route::get("/audit-events/export", Permission::Key(EXPORT))
                .tag(TAG)
                .summary("Exports audit events as CSV, newest first")
                .query::<ExportQuery>()
                .answers(200, Some("text/csv")),
            trails,
            export,
        )
        .add(
            Route::get("/audit-events/{id}", Permission::Key(READ))
                .tag(TAG)
                .summary("Reads an audit event")
                .query::<OfTrail>()
                .returns::<AuditEventView>(200),
            trails,
            get,
        )
}

/// Who reads which trail.
#[derive(Clone)]
struct Trails {
    log: AuditLog,
    rbac: Rbac,
    tenancy: Arc<Tenancy>,
    db: Db,
}

impl Trails {
    fn new(platform: &Platform) -> Self {
        Self {
            log: platform.audit_log().clone(),
            rbac: platform.rbac().clone(),
            tenancy: Arc::clone(platform.tenancy()),
            db: platform.db().clone(),
        }
    }

    // A12
    /// The caller, who has `key` already, as reader of the trail of `named`, or of their own. To whom the platform gives both `key` and
    /// [`ANY_TRAIL`], that of any organisation is there, also of one that is gone, with who acted for the platform. To everybody else
    /// another one is missing, and nothing is looked up.
    async fn reader(
        &self,
        context: &RequestContext,
        named: Option<Uuid>,
        key: &str,
    ) -> ApiResult<RequestContext> {
        let Some(named) = named.map(TenantId::from_uuid) else { return Ok(context.clone()) };
        let is_own = context.principal.tenant == Some(named);
        if given_by_platform(&self.rbac, context, [key, ANY_TRAIL]) {
            let there = context.for_platform_in(named);
            if is_own || self.has_trail(&there, named).await? {
                return Ok(there);
            }
        } else if is_own {
            return Ok(context.clone());
        } else {
            tracing::info!(
                permission = ANY_TRAIL,
                "the trail of another organisation is not the caller's to read"
            );
        }
        Err(ApiError::not_found())
    }

    /// Whether there is such an organisation, or was one.
    async fn has_trail(&self, there: &RequestContext, tenant: TenantId) -> ApiResult<bool> {
        let mut reader = self.db.read().await?;
        if self.tenancy.find_org(&mut reader, tenant).await?.is_some() {
            return Ok(true);
        }
        drop(reader);
        let one = PageLimit::new(1).unwrap_or_default();
        let found = self.log.list(there, &Filter::default(), one, None, Direction::Desc).await?;
        Ok(!found.items.is_empty())
    }
}

/// Whose trail is read.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct OfTrail {
    /// The caller's own organisation, which it is without this. The platform may name another one, also one that is gone.
    organization_id: Option<Uuid>,
}

/// An audit event, for the API document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the shape of `AuditRecord`, whose crate knows no OpenAPI")]
struct AuditEventView {
    id: Uuid,
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
    request_id: Option<Uuid>,
    session_id: Option<Uuid>,
    changes: Option<serde_json::Value>,
    metadata: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct EventFilter {
    /// The caller's own organisation, which it is without this. The platform may name another one, also one that is gone.
    organization_id: Option<Uuid>,
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
    /// The caller's own organisation, which it is without this. The platform may name another one, also one that is gone.
    organization_id: Option<Uuid>,
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
    State(trails): State<Trails>,
    context: Context,
    query: ListQuery<EventFilter, Order>,
) -> ApiResult<Json<Page<AuditRecord>>> {
    let Order::OccurredAt = query.page.order_by;
    if query.page.include_total {
        return Err(ApiError::field("include_total", "unsupported", "is not counted for the audit trail"));
    }
    let direction = query.page.order_dir.unwrap_or(Direction::Desc);
    let cursor = query.page.cursor.as_deref();
    let reader = trails.reader(&context, query.filter.organization_id, READ).await?;
    let page = trails.log.list(&reader, &query.filter.into(), query.page.limit, cursor, direction).await?;
    Ok(Json(page))
}

async fn get(
    State(trails): State<Trails>,
    context: Context,
    PathId(id): PathId<AuditEventId>,
    StrictQuery(query): StrictQuery<OfTrail>,
) -> ApiResult<Json<AuditRecord>> {
    let reader = trails.reader(&context, query.organization_id, READ).await?;
    Ok(Json(trails.log.find(&reader, id).await?.ok_or_else(ApiError::not_found)?))
}

async fn export(
    State(trails): State<Trails>,
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
    let reader = trails.reader(&context, query.organization_id, EXPORT).await?;
    let rows = trails.log.export(&reader, filter, limit).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"audit-events.csv\""),
    ];
    Ok((headers, Body::from_stream(rows)).into_response())
}
