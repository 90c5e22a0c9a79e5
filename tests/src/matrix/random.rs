//! Foreign rows in places that are picked at random.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, IdPlace, Operation, Trial, World, rows::row_of, world::Compared};
use crate::Row;

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
    /// How many different rows of the foreign organisation were named in these pairs.
    pub rows: usize,
    /// The operations of these pairs, each with the place in which the ids stood.
    pub tried: BTreeSet<(String, String)>,
    /// In how many places there were to pick from an id of home says something.
    pub places: usize,
    /// What told the two apart, or something of the foreign organisation, and what was changed there.
    pub findings: Vec<Finding>,
}

/// More different rows than that are asked for of no run, however long.
const ROWS_MIN: usize = 50;
/// So many pairs, of which some are about the same, name a row that none before has named.
const PAIRS_PER_ROW: usize = 6;

impl RandomTries {
    /// Whether nothing was told and nothing touched, and enough was asked for that it says something.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let pairs = usize::try_from(self.pairs).unwrap_or(usize::MAX);
        let rows_min = (pairs / PAIRS_PER_ROW).clamp(1, ROWS_MIN);
        self.findings.is_empty() && self.rows >= rows_min && !self.tried.is_empty()
    }

    /// Of how many operations something was tried.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.tried.iter().map(|(operation, _)| operation).collect::<BTreeSet<_>>().len()
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
    /// When there is nothing to pick from, of some kind or at all, or nearly everything is refused.
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
        let all_places = choice.iter().map(|(_, places)| places.len()).sum();
        let (mut findings, mut named, mut tried) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let (mut asked, mut refused) = (0, 0);
        while asked < pairs {
            assert!(refused < 4 * pairs, "only {asked} of {} pairs were let through", asked + refused);
            let (operation, places) = &choice[random.usize(..choice.len())];
            let place = places[random.usize(..places.len())];
            let askers = self.askers_of(operation);
            let asker = &askers[random.usize(..askers.len())];
            let row = row_of(operation, place);
            let id = match pools.get(row) {
                Some(pool) => pool[random.usize(..pool.len())].clone(),
                // Of some kinds there is one, or none that a table has.
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
            tried.insert((operation.to_string(), place.to_string()));
        }
        findings.extend(self.changed_since(&before).await);
        RandomTries { pairs, refused, rows: named.len(), tried, places: all_places, findings }
    }

    /// The ids of the foreign organisation's rows by kind.
    async fn pools(&self) -> BTreeMap<&'static str, Vec<String>> {
        let rows = self.foreign_rows().await;
        TABLES.iter().map(|(kind, table, column)| (*kind, pool(&rows, kind, table, column))).collect()
    }
}

/// The ids in `column` of `table`: no row, as of a table that has another name by now, would leave the kind untried.
fn pool(rows: &BTreeMap<String, Vec<Row>>, kind: &str, table: &str, column: &str) -> Vec<String> {
    let of_table = rows.get(table).into_iter().flatten();
    let ids: Vec<String> = of_table.filter_map(|row| row.get(column).cloned()).collect();
    assert!(!ids.is_empty(), "the foreign organisation has no {kind}: nothing is in {column} of {table}");
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_named_hardly_any_row_is_not_sound() {
        let tried = BTreeSet::from([("GET /roles/{id}".to_owned(), "Path id (role)".to_owned())]);
        let mut run =
            RandomTries { pairs: 300, refused: 0, rows: 50, tried, places: 1, findings: Vec::new() };
        assert!(run.is_sound());
        run.rows = 49;
        assert!(!run.is_sound());
        run.pairs = 10;
        assert!(run.is_sound());
        run.rows = 0;
        assert!(!run.is_sound());
    }

    #[test]
    #[should_panic(expected = "the foreign organisation has no role: nothing is in id of roles")]
    fn a_table_without_rows_is_refused() {
        let named = Row::from([("id".to_owned(), "1".to_owned())]);
        let rows = BTreeMap::from([("roles_renamed".to_owned(), vec![named])]);
        pool(&rows, "role", "roles", "id");
    }
}
