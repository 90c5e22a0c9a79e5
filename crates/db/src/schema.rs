crate::migration_set! {
    /// What the other sets stand on, the questions of row-level security on PostgreSQL: `stylobate_tenant` and
    /// `stylobate_is_platform`, and `stylobate_may_see`, which older policies call.
    pub MIGRATIONS = "db";
    "20261121000000_scope",
    "20261123000002_policy_questions",
}
