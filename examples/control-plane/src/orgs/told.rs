//! What is told to whoever subscribes.

use serde_json::{Value, json};
use stylobate::{
    core::{DomainEvent, RequestContext, TenantId},
    db::Tx,
    tenancy::Org,
};

/// Tells that `kind` happened to `org`.
pub(super) fn tell_org(tx: &mut Tx, context: &RequestContext, kind: &'static str, org: &Org) {
    let event = DomainEvent::new(context, kind, org.id, said(context, org));
    tx.emit(DomainEvent { tenant: Some(org.id), ..event });
}

/// Tells that `org` is gone. It is an event of the platform: the organisation's own go with it.
pub(super) fn tell_deleted(tx: &mut Tx, context: &RequestContext, org: &Org) {
    let event = DomainEvent::new(context, "organization.deleted", org.id, said(context, org));
    tx.emit(DomainEvent { tenant: None, ..event });
}

fn said(context: &RequestContext, org: &Org) -> Value {
    json!({
        "actor_id": context.told_person(),
        "organization_id": org.id,
        "org_code": org.code,
        "name": org.name,
        "is_active": org.is_active,
    })
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
        "actor_id": context.told_person(),
        "organization_id": tenant,
        "version": version,
    });
    let event = DomainEvent::new(context, kind, tenant, data);
    tx.emit(DomainEvent { tenant: Some(tenant), ..event });
}
