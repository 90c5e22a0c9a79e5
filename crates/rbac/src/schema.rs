stylobate_db::migration_set! {
    /// The tables of permissions, roles, assignments, rules, groups and policy epochs.
    pub MIGRATIONS = "rbac";
    "20261121000001_rbac",
    "20261121000002_rules",
    "20261121000003_casbin_rules",
    "20261121000005_ends_and_epochs",
    "20261121000006_permission_offers",
    "20261123000201_policies_asked_once",
    "20261123000601_groups",
}
