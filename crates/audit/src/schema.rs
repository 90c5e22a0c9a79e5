stylobate_db::migration_set! {
    /// The table `audit_events`, its indexes, and the triggers that keep it append-only.
    pub MIGRATIONS = "audit" append_only ["audit_events"];
    "20261121000001_audit_events",
    "20261123000201_policies_asked_once",
}
