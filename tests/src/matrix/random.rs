//! Foreign rows in places that are picked at random.

use std::collections::BTreeMap;

use super::{Finding, IdPlace, Operation, Trial, World, rows::row_of, world::Compared};

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
    /// How many pairs of a foreign and a missing id were asked for by somebody who may.
    pub pairs: u32,
    /// How many more were refused for who asked, or not listened to: they prove nothing, and do not count.
    pub refused: u32,
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

/// The places in which an id of home says something.
fn proving(operation: &Operation) -> Vec<&IdPlace> {
    let proves = |place: &&IdPlace| !place.is_cursor() && operation.unproven(place).is_none();
    operation.ids.iter().filter(proves).collect()
}

impl World {
    /// Asks `pairs` times for something that the foreign organisation has and for something that nothing has: whatever operation,
    /// place and asker, except where nothing would be proven.
    ///
    /// # Panics
    /// When there is nothing to pick from, or nearly everything is refused.
    pub async fn try_at_random(&self, pairs: u32) -> RandomTries {
        let before = self.fingerprint().await;
        let pools = self.pools().await;
        let mut random = self.random();
        let choice: Vec<(&Operation, Vec<&IdPlace>)> = self
            .operations
            .iter()
            .filter(|operation| !operation.is_alias() && !self.is_of_platform(operation))
            .map(|operation| (operation, proving(operation)))
            .filter(|(_, places)| !places.is_empty())
            .collect();
        let (mut findings, mut named) = (Vec::new(), std::collections::BTreeSet::new());
        let (mut asked, mut refused) = (0, 0);
        while asked < pairs {
            assert!(refused < 4 * pairs, "only {asked} of {} pairs were let through", asked + refused);
            let (operation, places) = &choice[random.usize(..choice.len())];
            let place = places[random.usize(..places.len())];
            let askers = self.askers_of(operation);
            let asker = &askers[random.usize(..askers.len())];
            let row = row_of(operation, place);
            let id = match pools.get(row).filter(|pool| !pool.is_empty()) {
                Some(pool) => pool[random.usize(..pool.len())].clone(),
                None => self.foreign.row(row).to_owned(),
            };
            let trial = Trial::of([place], |_| id.clone(), &mut random);
            match self.ask_both(asker, operation, &trial).await {
                Compared::Refused | Compared::Unheard(_) => {
                    refused += 1;
                    continue;
                }
                Compared::Alike => {}
                Compared::Told(finding) => findings.push(finding),
            }
            asked += 1;
            named.insert(id);
        }
        findings.extend(self.changed_since(&before).await);
        RandomTries { pairs, refused, rows: named.len(), findings }
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
