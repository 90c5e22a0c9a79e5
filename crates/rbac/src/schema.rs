stylobate_db::migration_set! {
    /// The tables of permissions, roles, assignments and policy epochs.
    pub MIGRATIONS = "rbac";
    "20261121000001_rbac",
}
