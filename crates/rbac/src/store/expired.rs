use chrono::{DateTime, Utc};
use stylobate_db::{Sql, Tx};

use crate::{RbacError, Swept};

/// Deletes up to `rows_max` rows of each kind that expired at or before `before`; needs platform scope. Expired rows have no
/// effect, so no epoch changes.
pub(crate) async fn sweep(tx: &mut Tx, before: DateTime<Utc>, rows_max: i64) -> Result<Swept, RbacError> {
    let mut deleted = [0; 3];
    // On PostgreSQL rows that somebody is changing are left for the next sweep: nobody waits for a clean-up.
    let statements = [
        Sql::Per {
            pg: "DELETE FROM role_assignments WHERE id IN (SELECT id FROM role_assignments
                 WHERE expires_at <= $1 ORDER BY expires_at LIMIT 0 + $2 FOR UPDATE SKIP LOCKED)",
            lite: "DELETE FROM role_assignments WHERE id IN (SELECT id FROM role_assignments
                   WHERE expires_at <= $1 ORDER BY expires_at LIMIT 0 + $2)",
        },
        Sql::Per {
            pg: "DELETE FROM permission_overrides WHERE id IN (SELECT id FROM permission_overrides
                 WHERE expires_at <= $1 ORDER BY expires_at LIMIT 0 + $2 FOR UPDATE SKIP LOCKED)",
            lite: "DELETE FROM permission_overrides WHERE id IN (SELECT id FROM permission_overrides
                   WHERE expires_at <= $1 ORDER BY expires_at LIMIT 0 + $2)",
        },
        Sql::Per {
            pg: "DELETE FROM acl_entries WHERE id IN (SELECT id FROM acl_entries
                 WHERE expires_at <= $1 ORDER BY expires_at LIMIT 0 + $2 FOR UPDATE SKIP LOCKED)",
            lite: "DELETE FROM acl_entries WHERE id IN (SELECT id FROM acl_entries
                   WHERE expires_at <= $1 ORDER BY expires_at LIMIT 0 + $2)",
        },
    ];
    for (statement, deleted) in statements.into_iter().zip(&mut deleted) {
        *deleted = tx.q(statement).bind(before).bind(rows_max).run().await?;
    }
    let [assignments, overrides, acl_entries] = deleted;
    Ok(Swept { assignments, overrides, acl_entries })
}
