stylobate_db::migration_set! {
    /// Events, what is owed of them to whom, what waits and what was given up; and what consumers of brokers have heard.
    pub MIGRATIONS = "events";
    "20261122000001_outbox",
    "20261122000003_inbox",
}
