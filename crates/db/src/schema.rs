crate::migration_set! {
    /// What the other sets stand on: `stylobate_may_see`, the rule of row-level security on PostgreSQL.
    pub MIGRATIONS = "db"; "20261121000000_scope",
}
