stylobate_db::migration_set! {
    /// Endpoints of webhooks and deliveries to them.
    pub MIGRATIONS = "events";
    "20261122000002_webhooks",
}
