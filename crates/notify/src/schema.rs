stylobate_db::migration_set! {
    /// Messages and their deliveries, notifications of people, channels, templates of tenants, suppressions and preferences.
    pub MIGRATIONS = "notify";
    "20261123000001_notify",
}
