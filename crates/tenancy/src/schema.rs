stylobate_db::migration_set! {
    /// The tables `orgs` and `memberships`.
    pub MIGRATIONS = "tenancy";
    "20261121000001_orgs",
}
