//! Everything this crate says to the database. Functions take a connection or transaction and hold none.

pub(crate) mod acls;
pub(crate) mod assignments;
#[cfg(feature = "casbin")]
pub(crate) mod casbin_rules;
mod columns;
pub(crate) mod epochs;
pub(crate) mod expired;
pub(crate) mod grants;
pub(crate) mod groups;
pub(crate) mod offers;
pub(crate) mod overrides;
pub(crate) mod parents;
pub(crate) mod permissions;
pub(crate) mod policy;
pub(crate) mod removal;
pub(crate) mod roles;

use stylobate_core::TenantId;
use stylobate_db::{Conn, Error, Sql, SqlBuilder};
use uuid::Uuid;

use columns::Id;

/// Counting further costs more than anybody learns from it.
const TOTAL_MAX: i64 = 10_000;

/// Which rows a list shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visible {
    pub(crate) tenant: Option<TenantId>,
    /// Whether the platform's rows are shown beside the tenant's.
    pub(crate) platform_too: bool,
}

impl Visible {
    /// Adds the filter on `column`.
    fn push(self, sql: &mut SqlBuilder, column: &'static str) {
        match self.tenant {
            Some(tenant) => {
                sql.push("(").push(column).push(" = ").value(tenant.as_uuid());
                if self.platform_too {
                    sql.push(" OR ").push(column).push(" IS NULL");
                }
                sql.push(")");
            }
            None => {
                sql.push(column).push(" IS NULL");
            }
        }
    }
}

/// Counts the rows that `filters` leaves of `table`, up to [`TOTAL_MAX`].
async fn total(
    conn: &mut Conn,
    from: &'static str,
    filters: impl FnOnce(&mut SqlBuilder),
) -> Result<u64, Error> {
    let mut sql = conn.builder("SELECT count(*) FROM (SELECT 1 AS one FROM ");
    sql.push(from);
    filters(&mut sql);
    sql.limit(TOTAL_MAX).push(") AS counted");
    let counted: i64 = conn.q_build(sql).scalar().await?;
    Ok(counted.unsigned_abs())
}

/// The pattern of `LIKE … ESCAPE '\'` for "contains `text`".
fn contains(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.to_ascii_lowercase().chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        // PostgreSQL has no NUL in text; no name has one either, so nothing is found, as it should be.
        pattern.push(if character == '\0' { '\u{fffd}' } else { character });
    }
    pattern.push('%');
    pattern
}

/// Keeps rows without an id from a list: no cursor could stand behind one, and nobody could name it. Only SQLite holds such.
fn readable_ids(sql: &mut SqlBuilder) {
    sql.push_sql(Sql::Per { pg: "", lite: " AND length(id) = 16" });
}

/// Whether the row of `tenant` is one of exactly this owner.
fn is_of(tenant: Option<Id>, owner: Option<TenantId>) -> bool {
    tenant == owner.map(|owner| Id(Some(owner.as_uuid())))
}

/// The owners of rows, as far as they can be read.
fn owners(rows: Vec<(Option<Id>,)>) -> Vec<Option<TenantId>> {
    let read = |tenant: Option<Id>| match tenant {
        None => Some(None),
        Some(Id(tenant)) => tenant.map(|tenant| Some(tenant.into())),
    };
    rows.into_iter().filter_map(|(tenant,)| read(tenant)).collect()
}

fn tenant_uuid(tenant: Option<TenantId>) -> Option<Uuid> {
    tenant.map(|tenant| tenant.as_uuid())
}

#[cfg(test)]
mod tests {
    #[test]
    fn wildcards_in_a_search_are_taken_literally() {
        assert_eq!(super::contains("50%_A\\"), r"%50\%\_a\\%");
    }
}
