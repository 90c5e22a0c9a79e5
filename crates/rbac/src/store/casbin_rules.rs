use chrono::{DateTime, Utc};
use stylobate_core::TenantId;
use stylobate_db::{Conn, Tx};

use super::tenant_uuid;
use crate::RbacError;

/// How many rows one statement inserts: nine values each stay far below what engines take.
const BATCH: usize = 500;

#[derive(sqlx::FromRow)]
struct RuleRow {
    ptype: String,
    v0: String,
    v1: String,
    v2: String,
    v3: String,
    v4: String,
    v5: String,
}

impl From<RuleRow> for Vec<String> {
    fn from(row: RuleRow) -> Self {
        let mut values = vec![row.ptype, row.v0, row.v1, row.v2, row.v3, row.v4, row.v5];
        // An empty column at the end is one that the rule does not have.
        while values.last().is_some_and(String::is_empty) {
            values.pop();
        }
        values
    }
}

/// All rules of `owner` in their order, the kind first.
pub(crate) async fn all(conn: &mut Conn, owner: Option<TenantId>) -> Result<Vec<Vec<String>>, RbacError> {
    let query = match owner {
        Some(tenant) => conn
            .q("SELECT ptype, v0, v1, v2, v3, v4, v5 FROM casbin_rules WHERE tenant_id = $1 ORDER BY place")
            .bind(tenant.as_uuid()),
        None => conn.q(
            "SELECT ptype, v0, v1, v2, v3, v4, v5 FROM casbin_rules WHERE tenant_id IS NULL ORDER BY place",
        ),
    };
    Ok(query.all::<RuleRow>().await?.into_iter().map(Vec::from).collect())
}

fn value(row: &[String], place: usize) -> &str {
    row.get(place).map_or("", String::as_str)
}

pub(crate) async fn has(conn: &mut Conn, owner: Option<TenantId>, row: &[String]) -> Result<bool, RbacError> {
    let mut query = conn
        .q("SELECT count(*) FROM casbin_rules
            WHERE (tenant_id = $1 OR (tenant_id IS NULL AND $1 IS NULL))
            AND ptype = $2 AND v0 = $3 AND v1 = $4 AND v2 = $5 AND v3 = $6 AND v4 = $7 AND v5 = $8")
        .bind(tenant_uuid(owner));
    for place in 0..7 {
        query = query.bind(value(row, place));
    }
    Ok(query.scalar::<i64>().await? > 0)
}

/// Adds `rows` behind those that are there.
pub(crate) async fn append(
    tx: &mut Tx,
    owner: Option<TenantId>,
    rows: &[Vec<String>],
    now: DateTime<Utc>,
) -> Result<u64, RbacError> {
    let mut added = 0;
    for batch in rows.chunks(BATCH) {
        let mut sql = tx.builder(
            "INSERT INTO casbin_rules (tenant_id, created_at, ptype, v0, v1, v2, v3, v4, v5) VALUES ",
        );
        for (row, number) in batch.iter().zip(0_usize..) {
            sql.push(if number == 0 { "(" } else { ", (" });
            sql.value(tenant_uuid(owner)).push(", ").value(now);
            for column in 0..7 {
                sql.push(", ").value(value(row, column).to_owned());
            }
            sql.push(")");
        }
        added += tx.q_build(sql).run().await?;
    }
    Ok(added)
}

pub(crate) async fn remove(tx: &mut Tx, owner: Option<TenantId>, row: &[String]) -> Result<u64, RbacError> {
    let mut query = tx
        .q("DELETE FROM casbin_rules
            WHERE (tenant_id = $1 OR (tenant_id IS NULL AND $1 IS NULL))
            AND ptype = $2 AND v0 = $3 AND v1 = $4 AND v2 = $5 AND v3 = $6 AND v4 = $7 AND v5 = $8")
        .bind(tenant_uuid(owner));
    for place in 0..7 {
        query = query.bind(value(row, place));
    }
    Ok(query.run().await?)
}

pub(crate) async fn clear(tx: &mut Tx, owner: Option<TenantId>) -> Result<u64, RbacError> {
    let query = match owner {
        Some(tenant) => tx.q("DELETE FROM casbin_rules WHERE tenant_id = $1").bind(tenant.as_uuid()),
        None => tx.q("DELETE FROM casbin_rules WHERE tenant_id IS NULL"),
    };
    Ok(query.run().await?)
}
