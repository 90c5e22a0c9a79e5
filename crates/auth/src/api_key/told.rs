//! What is on record of a key, and what is told to whoever subscribes, the owner among them.

use chrono::{DateTime, Utc};
use serde_json::json;
use stylobate_core::{AuditEvent, DomainEvent, RequestContext};
use stylobate_db::Tx;

use crate::ApiKey;

/// What the trail says of a change.
pub(super) fn record(
    ctx: &RequestContext,
    action: &'static str,
    before: Option<&ApiKey>,
    after: &ApiKey,
) -> AuditEvent {
    let event = AuditEvent::new(ctx, action, "api_key").on(after.id).in_tenant(Some(after.tenant_id));
    event.change(before, Some(after))
}

/// Tells that `kind` happened to a key. Whoever did it may be somebody else than its owner.
pub(super) fn tell_key(
    tx: &mut Tx,
    ctx: &RequestContext,
    kind: &'static str,
    key: &ApiKey,
    now: DateTime<Utc>,
) {
    let data = json!({
        "organization_id": key.tenant_id,
        "key_id": key.id,
        "user_id": key.person_id,
        "service_account_id": key.service_account_id,
        "label": key.label,
        "expires_at": key.expires_at,
        "ip": ctx.address,
        "user_agent": ctx.user_agent,
    });
    let mut event = DomainEvent::new(ctx, kind, key.id, data);
    event.tenant = Some(key.tenant_id);
    event.occurred_at = Some(now);
    tx.emit(event);
}
