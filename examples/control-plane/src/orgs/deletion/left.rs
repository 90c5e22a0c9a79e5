//! What is left of an organisation, by counting.

use std::collections::BTreeMap;

use stylobate::{
    core::TenantId,
    db::{Conn, Error},
};

/// Every table whose rows may be an organisation's, and the column that says whose they are. Its audit trail is none of them: that is
/// the record, and nobody removes rows of it. A test holds the list against the tables that there are.
pub(super) const PLACES: &[(&str, &str)] = &[
    ("acl_entries", "tenant_id"),
    ("api_keys", "tenant_id"),
    ("casbin_rules", "tenant_id"),
    ("event_aggregates", "lane"),
    ("event_dead_letters", "tenant_id"),
    ("events", "lane"),
    ("group_members", "tenant_id"),
    ("groups", "tenant_id"),
    ("invitations", "tenant_id"),
    ("jobs", "tenant_id"),
    ("member_notes", "tenant_id"),
    ("memberships", "tenant_id"),
    ("notification_channels", "lane"),
    ("notifications", "lane"),
    ("notify_deliveries", "lane"),
    ("notify_messages", "lane"),
    ("notify_suppressions", "lane"),
    ("notify_templates", "lane"),
    ("one_time_tokens", "tenant_id"),
    ("org_documents", "tenant_id"),
    ("permission_offers", "tenant_id"),
    ("permission_overrides", "tenant_id"),
    ("permissions", "tenant_id"),
    ("policy_epochs", "scope_id"),
    ("role_assignments", "tenant_id"),
    ("role_parents", "tenant_id"),
    ("role_permissions", "tenant_id"),
    ("roles", "tenant_id"),
    ("schedules", "lane"),
    ("service_accounts", "tenant_id"),
    ("sessions", "tenant_id"),
    ("webhook_deliveries", "tenant_id"),
    ("webhook_endpoints", "tenant_id"),
];

/// Counting ends there: it is asked again and again, and what matters is whether there is anything.
const MOST: i64 = 1_000;

/// How many rows of the organisation each table has, up to [`MOST`], without those that have none.
pub(super) async fn count(conn: &mut Conn, tenant: TenantId) -> Result<BTreeMap<&'static str, i64>, Error> {
    let mut left = BTreeMap::new();
    for (table, column) in PLACES {
        let mut sql = conn.builder("SELECT count(*) FROM (SELECT 1 AS one FROM ");
        sql.push(table).push(" WHERE ").push(column).push(" = ").value(tenant.as_uuid());
        sql.limit(MOST).push(") AS few");
        let rows: i64 = conn.q_build(sql).scalar().await?;
        if rows > 0 {
            left.insert(*table, rows);
        }
    }
    Ok(left)
}

/// What was counted, for people.
pub(super) fn told(left: &BTreeMap<&'static str, i64>) -> String {
    let told = left.iter().map(|(table, rows)| match *rows {
        MOST.. => format!("{table}: at least {MOST}"),
        rows => format!("{table}: {rows}"),
    });
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stylobate::db::{Db, DbOptions, Scope, migrate};
    use uuid::Uuid;

    use super::*;
    use crate::schema::migration_sets;

    /// Columns that say whose a row is.
    const OWNERS: [&str; 3] = ["lane", "scope_id", "tenant_id"];
    /// Tables whose rows stay although they are an organisation's, and why.
    const STAY: [(&str, &str); 2] = [
        ("audit_events", "the record, of which nobody removes rows"),
        ("org_removals", "how far it is, which goes with the organisation itself"),
    ];

    #[tokio::test]
    async fn every_table_with_rows_of_organisations_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/test.db", folder.path().display());
        let db = Db::builder(&url, DbOptions::default()).without_audit().without_events().connect().await;
        let db = db.unwrap();
        migrate(&db, &migration_sets()).await.unwrap();
        let mut tx = db.begin_read(Scope::Platform("tests")).await.unwrap();
        let columns: Vec<(String, String)> = tx
            .q("SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table'")
            .all()
            .await
            .unwrap();
        let owned = || columns.iter().filter(|(_, column)| OWNERS.contains(&column.as_str()));
        for (table, column) in PLACES {
            assert!(owned().any(|one| one.0 == *table && one.1 == *column), "no {table}.{column}");
        }
        let counted = PLACES.iter().map(|(table, _)| *table).chain(STAY.map(|(table, _)| table));
        let counted: BTreeSet<&str> = counted.collect();
        assert_eq!(counted, owned().map(|(table, _)| table.as_str()).collect());
        assert_eq!(counted.len(), PLACES.len() + STAY.len(), "each is named once");

        let left = count(&mut tx, TenantId::from_uuid(Uuid::max())).await.unwrap();
        assert!(left.is_empty(), "{left:?}");

        // None is read as a whole, by counting or by the steps that remove the rows.
        for (table, column) in PLACES {
            let mut sql = tx.builder("EXPLAIN QUERY PLAN SELECT 1 FROM ");
            sql.push(table).push(" WHERE ").push(column).push(" = ").value(Uuid::max()).limit(MOST);
            let plan: Vec<(i64, i64, i64, String)> = tx.q_build(sql).all().await.unwrap();
            assert!(!plan.is_empty() && plan.iter().all(|step| step.3.starts_with("SEARCH")), "{plan:?}");
        }
        tx.rollback().await.unwrap();
    }

    #[test]
    fn more_than_is_counted_is_told_as_such() {
        let left = BTreeMap::from([("events", MOST), ("jobs", MOST - 1)]);
        assert_eq!(told(&left), "events: at least 1000, jobs: 999");
    }
}
