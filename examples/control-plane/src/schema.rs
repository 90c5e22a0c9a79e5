use stylobate::db::{MigrationSet, migration_set};

migration_set! {
    /// The control plane's own tables.
    pub(crate) OWN = "control_plane";
    "20261121000001_person_profiles",
    "20261123000401_org_documents",
    "20261123000501_member_notes",
    "20261123093501_org_removals",
}

/// Every set of the product, in the order they apply.
pub(crate) fn migration_sets() -> Vec<&'static MigrationSet> {
    let mut sets = stylobate::migration_sets();
    sets.push(&OWN);
    sets
}
