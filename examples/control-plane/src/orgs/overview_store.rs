//! Counts over tables of several owners, for one page. They are read and never written here.

use chrono::{NaiveDate, NaiveTime};
use stylobate::{
    core::TenantId,
    db::{Conn, Error, Sql},
};

use super::overview::LoginsOfDay;

/// How many rows a count looks at before it gives up: nobody reads a larger number.
const COUNT_MAX: i64 = 10_000;

pub(super) async fn count_roles_and_groups(conn: &mut Conn, tenant: TenantId) -> Result<(u64, u64), Error> {
    let (roles, groups): (i64, i64) = conn
        .q("SELECT (SELECT count(*) FROM (SELECT id FROM roles WHERE tenant_id = $1 LIMIT 0 + $2) AS some_roles), \
                   (SELECT count(*) FROM (SELECT id FROM groups WHERE tenant_id = $1 LIMIT 0 + $2) AS some_groups)")
        .bind(tenant.as_uuid())
        .bind(COUNT_MAX)
        .one()
        .await?;
    Ok((roles.unsigned_abs(), groups.unsigned_abs()))
}

/// How often somebody signed in on each day from `first` on, as far as anybody did. The trail is asked, and not the sessions, which
/// are swept and know of no failure; it is read along its index by action and time.
pub(super) async fn logins(
    conn: &mut Conn,
    tenant: TenantId,
    first: NaiveDate,
) -> Result<Vec<LoginsOfDay>, Error> {
    let rows: Vec<(String, i64, i64)> = conn
        .q(Sql::Per {
            pg: "SELECT to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, \
                        count(*) FILTER (WHERE action = 'auth.login'), \
                        count(*) FILTER (WHERE action = 'auth.login_failed') \
                 FROM audit_events WHERE tenant_id = $1 AND action IN ('auth.login', 'auth.login_failed') \
                 AND occurred_at >= $2 GROUP BY day",
            // Times are texts of one form, in UTC.
            lite: "SELECT substr(occurred_at, 1, 10) AS day, \
                          count(*) FILTER (WHERE action = 'auth.login'), \
                          count(*) FILTER (WHERE action = 'auth.login_failed') \
                   FROM audit_events WHERE tenant_id = $1 AND action IN ('auth.login', 'auth.login_failed') \
                   AND occurred_at >= $2 GROUP BY day",
        })
        .bind(tenant.as_uuid())
        .bind(first.and_time(NaiveTime::MIN).and_utc())
        .all()
        .await?;
    rows.into_iter().map(day).collect()
}

fn day((day, succeeded, failed): (String, i64, i64)) -> Result<LoginsOfDay, Error> {
    let bad = |source: chrono::ParseError| Error::BadRow {
        column: "audit_events.occurred_at".to_owned(),
        source: source.into(),
    };
    let day = day.parse().map_err(bad)?;
    Ok(LoginsOfDay { day, succeeded: succeeded.unsigned_abs(), failed: failed.unsigned_abs() })
}
