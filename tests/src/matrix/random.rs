//! Foreign rows in places that are picked at random.

use std::collections::BTreeMap;

use super::{Finding, IdPlace, Operation, Trial, World, rows::row_of};

/// Which table has the rows of a kind, and in which column their ids are.
const TABLES: [(&str, &str, &str); 22] = [
    ("person", "memberships", "person_id"),
    ("credential", "memberships", "person_id"),
    ("role", "roles", "id"),
    ("permission", "permissions", "id"),
    ("role_permission", "role_permissions", "id"),
    ("person_role", "role_assignments", "id"),
    ("override", "permission_overrides", "id"),
    ("acl_entry", "acl_entries", "id"),
    ("group", "groups", "id"),
    ("service_account", "service_accounts", "id"),
    ("service_key", "service_keys", "id"),
    ("api_key", "api_keys", "id"),
    ("session", "sessions", "id"),
    ("invitation", "invitations", "id"),
    ("audit_event", "audit_events", "id"),
    ("event", "events", "id"),
    ("webhook", "webhook_endpoints", "id"),
    ("webhook_delivery", "webhook_deliveries", "id"),
    ("notification", "notifications", "id"),
    ("notification_channel", "notification_channels", "id"),
    ("notification_delivery", "notify_deliveries", "id"),
    ("notification_suppression", "notify_suppressions", "id"),
];

/// What was tried at random, and what was found.
#[derive(Debug)]
pub struct RandomTries {
    /// How many pairs of a foreign and a missing id.
    pub pairs: u32,
    /// How many different rows of the foreign organisation were named.
    pub rows: usize,
    /// What told the two apart, or something of the foreign organisation, and what was changed there.
    pub findings: Vec<Finding>,
}

impl RandomTries {
    /// Whether nothing was told and nothing touched.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

impl World {
    /// Asks `pairs` times for something that the foreign organisation has and for something that nothing has: whatever operation,
    /// place and asker.
    ///
    /// # Panics
    /// When there is nothing to pick from.
    pub async fn try_at_random(&self, pairs: u32) -> RandomTries {
        let before = self.fingerprint().await;
        let pools = self.pools().await;
        let mut random = self.random();
        let is_place = |place: &&IdPlace| !place.is_cursor();
        let choice: Vec<(&Operation, Vec<&IdPlace>)> = self
            .operations
            .iter()
            .filter(|operation| !operation.is_alias())
            .map(|operation| (operation, operation.ids.iter().filter(is_place).collect()))
            .filter(|(_, places): &(_, Vec<_>)| !places.is_empty())
            .collect();
        let (mut findings, mut named) = (Vec::new(), std::collections::BTreeSet::new());
        for _ in 0..pairs {
            let (operation, places) = &choice[random.usize(..choice.len())];
            let place = places[random.usize(..places.len())];
            let askers = self.askers_of(operation);
            let asker = &askers[random.usize(..askers.len())];
            let row = row_of(operation, place);
            let id = match pools.get(row).filter(|pool| !pool.is_empty()) {
                Some(pool) => pool[random.usize(..pool.len())].clone(),
                None => self.foreign.row(row).to_owned(),
            };
            named.insert(id.clone());
            let trial = Trial::of([place], |_| id.clone(), &mut random);
            findings.extend(self.compare(asker, operation, &trial).await);
        }
        findings.extend(self.changed_since(&before).await);
        RandomTries { pairs, rows: named.len(), findings }
    }

    /// The ids of the foreign organisation's rows by kind.
    async fn pools(&self) -> BTreeMap<&'static str, Vec<String>> {
        let rows = self.foreign_rows().await;
        let pool = |table: &str, column: &str| {
            let of_table = rows.get(table).into_iter().flatten();
            of_table.filter_map(|row| row.get(column).cloned()).collect()
        };
        TABLES.iter().map(|(kind, table, column)| (*kind, pool(table, column))).collect()
    }
}
