//! What is told to whoever subscribes.

use serde_json::json;
use stylobate_core::{DomainEvent, RequestContext};
use stylobate_db::Tx;

use crate::{Role, RoleAssignment};

/// Tells that `kind` happened to a role.
pub(super) fn tell_role(tx: &mut Tx, context: &RequestContext, kind: &'static str, role: &Role) {
    let data = json!({
        "organization_id": role.tenant_id,
        "role_id": role.id,
        "name": role.name,
        "is_active": role.is_active,
    });
    let mut event = DomainEvent::new(context, kind, format_args!("role:{}", role.id), data);
    event.tenant = role.tenant_id;
    tx.emit(event);
}

/// Tells that somebody has a role, or has it no longer. It is about who has it, so that what happens to one subject is told in
/// order.
pub(super) fn tell_assignment(
    tx: &mut Tx,
    context: &RequestContext,
    kind: &'static str,
    assignment: &RoleAssignment,
) {
    let data = json!({
        "organization_id": assignment.tenant_id,
        "role_id": assignment.role_id,
        "subject_kind": assignment.assignee.kind,
        "subject_id": assignment.assignee.id,
        "expires_at": assignment.expires_at,
    });
    let mut event = DomainEvent::new(context, kind, assignment.assignee.id, data);
    event.tenant = assignment.tenant_id;
    tx.emit(event);
}
