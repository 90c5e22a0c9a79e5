stylobate_db::migration_set! {
    /// The tables `orgs`, `memberships` and `invitations`.
    pub MIGRATIONS = "tenancy";
    "20261121000001_orgs",
    "20261122000002_invitations",
    "20261123000101_org_states",
    "20261123000201_policies_asked_once",
    "20261123000601_search_keys_folded_anew",
}
