stylobate_db::migration_set! {
    /// Events, what is owed of them to whom, what waits and what was given up; endpoints of webhooks and deliveries to them; what
    /// consumers of a broker have handled.
    pub MIGRATIONS = "events";
    "20261122000001_outbox",
    "20261122000002_webhooks",
    "20261122000003_inbox",
    "20261123000201_policies_asked_once",
    "20261123093501_deliveries_of_tenants",
}
