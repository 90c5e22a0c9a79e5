use stylobate_core::TenantId;
use stylobate_db::{Sql, Tx};

use crate::RbacError;

/// A statement that deletes up to `$2` rows of the tenant `$1` from a table. Not every table has an id, but every row has a place.
macro_rules! some_of {
    ($table:literal) => {
        Sql::Per {
            pg: concat!(
                "DELETE FROM ",
                $table,
                " WHERE ctid = ANY (ARRAY(SELECT ctid FROM ",
                $table,
                " WHERE tenant_id = $1 LIMIT 0 + $2))"
            ),
            lite: concat!(
                "DELETE FROM ",
                $table,
                " WHERE rowid IN (SELECT rowid FROM ",
                $table,
                " WHERE tenant_id = $1 LIMIT 0 + $2)"
            ),
        }
    };
}

/// What a tenant's policy consists of, in an order in which nothing goes by a cascade: what names a row before the row.
const TABLES: [Sql; 11] = [
    some_of!("role_assignments"),
    some_of!("permission_overrides"),
    some_of!("acl_entries"),
    some_of!("group_members"),
    some_of!("groups"),
    some_of!("permission_offers"),
    some_of!("role_permissions"),
    some_of!("role_parents"),
    some_of!("roles"),
    some_of!("permissions"),
    some_of!("casbin_rules"),
];

/// Deletes up to `rows_max` rows of the policy of `tenant`, all but its epoch, and tells how many.
pub(crate) async fn delete_some(tx: &mut Tx, tenant: TenantId, rows_max: u32) -> Result<u64, RbacError> {
    let mut left = u64::from(rows_max);
    for statement in TABLES {
        if left == 0 {
            break;
        }
        let most = i64::try_from(left).unwrap_or(i64::MAX);
        left = left.saturating_sub(tx.q(statement).bind(tenant.as_uuid()).bind(most).run().await?);
    }
    Ok(u64::from(rows_max) - left)
}
