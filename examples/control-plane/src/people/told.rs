//! What is told to whoever subscribes.

use serde_json::json;
use stylobate::{
    core::{DomainEvent, RequestContext, TenantId},
    db::Tx,
};

use super::model::PersonView;

/// Tells that `kind` happened to a member of `tenant`.
pub(super) fn tell_person(
    tx: &mut Tx,
    context: &RequestContext,
    kind: &'static str,
    tenant: TenantId,
    person: &PersonView,
) {
    let data = json!({
        "actor_id": context.told_person(),
        "organization_id": tenant,
        "user_id": person.id,
        "username": person.username,
        "email": person.email,
        "status": person.status,
        "is_active": person.is_active,
    });
    let mut event = DomainEvent::new(context, kind, person.id, data);
    event.tenant = Some(tenant);
    tx.emit(event);
}
