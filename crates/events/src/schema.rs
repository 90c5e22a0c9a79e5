stylobate_db::migration_set! {
    /// Events, what is owed of them to whom, what waits and what was given up.
    pub MIGRATIONS = "events";
    "20261122000003_inbox",
}
