//! The statements, with their rows.

pub(crate) mod channels;
pub(crate) mod deliveries;
pub(crate) mod due;
pub(crate) mod messages;
pub(crate) mod notifications;
pub(crate) mod preferences;
pub(crate) mod removal;
pub(crate) mod suppressions;
pub(crate) mod templates;

use stylobate_core::TenantId;
use stylobate_db::{Error, Scope, SqlBuilder, Tx};
use uuid::Uuid;

// Rows that are found by their id, or by that of their message, are asked for by `state || '' = …`: the indexes of one state alone look
// empty to PostgreSQL until it counts again, and in a flood it would read those from end to end for each row.

/// A stored value that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("not a value that is known")]
struct Unknown;

fn bad_row(column: &'static str, id: Uuid) -> Error {
    Error::BadRow { column: format!("{column} of {id}"), source: Box::new(Unknown) }
}

/// The tenant, or the nil id.
pub(crate) fn lane(tenant: Option<TenantId>) -> Uuid {
    tenant.map_or(Uuid::nil(), |tenant| tenant.as_uuid())
}

/// Whose a lane is.
pub(crate) fn tenant_of(lane: Uuid) -> Option<TenantId> {
    (!lane.is_nil()).then(|| lane.into())
}

fn push_scope(sql: &mut SqlBuilder, scope: Scope) {
    if let Some(tenant) = scope.tenant() {
        sql.push(" AND lane = ").value(tenant.as_uuid());
    }
}

/// A stored number that never is negative or large.
fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Makes whoever else is about to decide about one of `keys` wait until this transaction ends. They are taken in order, so that
/// two of them never wait for each other.
pub(crate) async fn lock(tx: &mut Tx, mut keys: Vec<String>) -> Result<(), Error> {
    // On SQLite there is one writer anyway.
    if tx.engine() == stylobate_db::Engine::Sqlite || keys.is_empty() {
        return Ok(());
    }
    keys.sort_unstable();
    keys.dedup();
    let mut sql = tx.builder(
        "SELECT CAST(count(*) AS bigint) FROM (SELECT pg_advisory_xact_lock(hashtextextended('notify:' || key, 0)) FROM (VALUES ",
    );
    for (n, key) in keys.into_iter().enumerate() {
        sql.push(if n == 0 { "(" } else { ", (" }).value(key).push(")");
    }
    sql.push(") AS keys (key)) locks");
    tx.q_build(sql).scalar::<i64>().await?;
    Ok(())
}
