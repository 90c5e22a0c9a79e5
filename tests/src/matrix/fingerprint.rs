//! All that an organisation has, as the database has it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{Finding, World};
use crate::{OWNERS, Row, eventually};

const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// What the program moves by itself; `*` is the whole table.
const MOVED: [(&str, &str); 28] = [
    ("sessions", "last_seen_at"),
    ("sessions", "idle_expires_at"),
    ("api_keys", "last_used_at"),
    ("api_key_usage", "*"),
    // Who may sign in from where, which wrong tries count in, belongs to nobody.
    ("login_counters", "*"),
    ("flow_counters", "*"),
    ("webhook_endpoints", "failing_since"),
    ("webhook_endpoints", "given_up"),
    ("webhook_deliveries", "state"),
    ("webhook_deliveries", "attempts"),
    ("webhook_deliveries", "claims"),
    ("webhook_deliveries", "due_at"),
    ("webhook_deliveries", "lease_until"),
    ("webhook_deliveries", "response_status"),
    ("webhook_deliveries", "response_excerpt"),
    ("webhook_deliveries", "error"),
    ("webhook_deliveries", "attempted_at"),
    ("webhook_deliveries", "finished_at"),
    ("notification_channels", "failing_since"),
    ("notify_messages", "*"),
    ("notify_deliveries", "state"),
    ("notify_deliveries", "attempts"),
    ("notify_deliveries", "claims"),
    ("notify_deliveries", "due_at"),
    ("notify_deliveries", "lease_until"),
    ("notify_deliveries", "last_error"),
    ("notify_deliveries", "attempted_at"),
    ("notify_deliveries", "finished_at"),
];

/// More of the same: how a message is carried.
const MOVED_OF_MESSAGES: [&str; 5] =
    ["last_status", "outage_since", "destination_sealed", "reason", "finished_at"];

/// Every row of an organisation, without what the program moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(BTreeSet<String>);

impl Fingerprint {
    /// What is there no more and what is new, `-` and `+` in front.
    #[must_use]
    pub fn changes(&self, after: &Self) -> Vec<String> {
        let gone = self.0.difference(&after.0).map(|row| format!("- {row}"));
        let new = after.0.difference(&self.0).map(|row| format!("+ {row}"));
        gone.chain(new).collect()
    }
}

/// Numbers are ids of rows in one table and counts in another.
fn id_of(row: &Row) -> Option<String> {
    row.get("id").filter(|id| id.len() == NIL.len()).cloned()
}

/// The rows of `org` by table.
fn rows_of(tables: BTreeMap<String, Vec<Row>>, org: &str) -> BTreeMap<String, Vec<Row>> {
    let owner = |row: &Row| {
        let owners = OWNERS.iter().filter_map(|column| row.get(*column));
        owners.map(String::as_str).find(|owner| *owner != NIL).map(str::to_owned)
    };
    // What has no owner by itself belongs to what it names: an organisation, its people, or something of theirs.
    let mut known = BTreeSet::from([org.to_owned()]);
    for row in tables.get("memberships").into_iter().flatten() {
        if row.get("tenant_id").is_some_and(|tenant| tenant == org) {
            known.extend(row.get("person_id").cloned());
        }
    }
    let belongs = |known: &BTreeSet<String>, row: &Row| match owner(row) {
        Some(owner) => owner == org,
        None => row.values().any(|cell| known.contains(cell)),
    };
    for row in tables.values().flatten() {
        if owner(row).is_some_and(|owner| owner == org) {
            known.extend(id_of(row));
        }
    }
    let more = tables.values().flatten().filter(|row| belongs(&known, row));
    let more: Vec<String> = more.filter_map(id_of).collect();
    known.extend(more);
    let of = |rows: Vec<Row>| rows.into_iter().filter(|row| belongs(&known, row)).collect();
    tables.into_iter().map(|(table, rows)| (table, of(rows))).collect()
}

impl World {
    /// All that the foreign organisation has.
    pub async fn fingerprint(&self) -> Fingerprint {
        let rows = rows_of(self.site.app.place.tables().await, &self.foreign.id);
        let is_moved = |table: &str, column: &str| {
            MOVED.iter().any(|(of, moved)| *of == table && [column, "*"].contains(moved))
                || (table == "notify_deliveries" && MOVED_OF_MESSAGES.contains(&column))
        };
        let told = |table: &str, row: &Row| {
            let cells = row.iter().filter(|(column, _)| !is_moved(table, column));
            let cells: Vec<String> = cells.map(|(column, cell)| format!("{column}={cell}")).collect();
            format!("{table}: {}", cells.join(" "))
        };
        let members = rows.get("memberships").into_iter().flatten();
        let own: BTreeSet<&String> = members.filter_map(|row| row.get("person_id")).collect();
        // What its own people may not do is refused and on record while theirs is looked for in answers to others.
        let is_own_denial = |table: &str, row: &Row| {
            table == "audit_events"
                && row.get("action").is_some_and(|action| action == "permission.deny")
                && row.get("actor_id").is_some_and(|actor| own.contains(actor))
        };
        let kept = rows.iter().filter(|(table, _)| !is_moved(table, "*"));
        let lines = kept.flat_map(|(table, rows)| {
            let rows = rows.iter().filter(|row| !is_own_denial(table, row));
            rows.map(|row| told(table, row))
        });
        Fingerprint(lines.collect())
    }

    /// What of the foreign organisation is not as it was.
    pub async fn changed_since(&self, before: &Fingerprint) -> Vec<Finding> {
        let changes = before.changes(&self.fingerprint().await);
        let finding = |what| Finding {
            operation: "the foreign organisation".to_owned(),
            asker: "somebody",
            place: "its rows".to_owned(),
            what,
            answers: Vec::new(),
        };
        changes.into_iter().map(finding).collect()
    }

    /// Waits until what was begun has come to its end.
    pub async fn settled(&self) {
        let mut last = self.fingerprint().await;
        let mut still = 0;
        eventually("the organisations to be at rest", async || {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            let now = self.fingerprint().await;
            still = if now == last { still + 1 } else { 0 };
            last = now;
            (still == 3).then_some(())
        })
        .await;
    }

    /// The rows of the foreign organisation by table.
    pub(super) async fn foreign_rows(&self) -> BTreeMap<String, Vec<Row>> {
        rows_of(self.site.app.place.tables().await, &self.foreign.id)
    }

    /// The ids of everything that an organisation has and no other.
    pub(super) async fn ids_of(&self, org: &str) -> HashSet<String> {
        let tables = self.site.app.place.tables().await;
        let mut ids = HashSet::from([org.to_owned()]);
        for row in tables.get("memberships").into_iter().flatten() {
            if row.get("tenant_id").is_some_and(|tenant| tenant == org) {
                ids.extend(row.get("person_id").cloned());
            }
        }
        for row in rows_of(tables, org).into_values().flatten() {
            ids.extend(id_of(&row));
        }
        ids
    }
}
