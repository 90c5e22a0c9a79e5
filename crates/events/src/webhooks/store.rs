//! The statements, with their rows.

pub(super) mod deliveries;
pub(super) mod due;
pub(super) mod endpoints;

use stylobate_db::{Error, Scope, SqlBuilder};
use uuid::Uuid;

/// A stored value that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("not a value that is known")]
struct Unknown;

fn bad_row(column: &'static str, id: Uuid) -> Error {
    Error::BadRow { column: format!("{column} of {id}"), source: Box::new(Unknown) }
}

fn push_scope(sql: &mut SqlBuilder, scope: Scope) {
    if let Some(tenant) = scope.tenant() {
        sql.push(" AND tenant_id = ").value(tenant.as_uuid());
    }
}
