//! What is told to whoever subscribes.

use serde_json::json;
use stylobate::{
    core::{DomainEvent, RequestContext, TenantId},
    db::Tx,
    tenancy::Org,
};

/// Tells that `kind` happened to `org`.
pub(super) fn tell_org(tx: &mut Tx, context: &RequestContext, kind: &'static str, org: &Org) {
    let data = json!({
        "actor_id": context.principal.on_behalf_of(),
        "organization_id": org.id,
        "org_code": org.code,
        "name": org.name,
        "is_active": org.is_active,
    });
    let event = DomainEvent::new(context, kind, org.id, data);
    tx.emit(DomainEvent { tenant: Some(org.id), ..event });
}

/// Tells that a document of `tenant` is another one now. What it says is for who may read it.
pub(super) fn tell_document(
    tx: &mut Tx,
    context: &RequestContext,
    kind: &'static str,
    tenant: TenantId,
    version: i64,
) {
    let data = json!({
        "actor_id": context.principal.on_behalf_of(),
        "organization_id": tenant,
        "version": version,
    });
    let event = DomainEvent::new(context, kind, tenant, data);
    tx.emit(DomainEvent { tenant: Some(tenant), ..event });
}
