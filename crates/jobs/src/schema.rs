stylobate_db::migration_set! {
    /// Jobs, how many there are in each state, queues that are paused, and schedules.
    pub MIGRATIONS = "jobs";
    "20261121000001_jobs",
    "20261121000002_schedules",
    "20261123000201_policies_asked_once",
}
