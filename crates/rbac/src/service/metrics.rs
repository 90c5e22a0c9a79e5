use opentelemetry::metrics::Meter;

use super::Rbac;

impl Rbac {
    /// Has `meter` observe this service, and so all its clones: gauges `rbac_policy_staleness_seconds` (how long ago its
    /// policies were last known to be those of the database; below one while all is well), `rbac_policies_loaded` and
    /// `rbac_policy_problems` (damaged rows of those policies, at most 100 of each), and the counter `rbac_policy_loads`.
    /// Once per meter.
    pub fn observe(&self, meter: &Meter) {
        let rbac = self.clone();
        meter
            .f64_observable_gauge("rbac_policy_staleness_seconds")
            .with_description("How long ago the access policies were last known to be those of the database.")
            .with_callback(move |gauge| gauge.observe(rbac.staleness().as_secs_f64(), &[]))
            .build();
        let rbac = self.clone();
        meter
            .u64_observable_gauge("rbac_policy_problems")
            .with_description("Damaged rows of the access policies in memory: what they allow is not given.")
            .with_callback(move |gauge| gauge.observe(rbac.freshness.problems.count() as u64, &[]))
            .build();
        let rbac = self.clone();
        meter
            .u64_observable_gauge("rbac_policies_loaded")
            .with_description("Organisations whose access policy is in memory.")
            .with_callback(move |gauge| gauge.observe(rbac.engine().tenants().len() as u64, &[]))
            .build();
        let rbac = self.clone();
        meter
            .u64_observable_counter("rbac_policy_loads")
            .with_description("How often an access policy was read from the database.")
            .with_callback(move |counter| counter.observe(rbac.loads(), &[]))
            .build();
    }
}
