use opentelemetry::metrics::Meter;

use super::{HasherStats, PasswordHasher};

impl PasswordHasher {
    /// Has `meter` observe this hasher, and so all its clones: gauges `password_hash_permits`, `_permits_in_use`, `_waiting` and
    /// `_memory_bytes`, counters `password_hash_refused` and `_computed`. Once per meter.
    pub fn observe(&self, meter: &Meter) {
        type Gauge = (&'static str, &'static str, fn(HasherStats) -> u64);
        let gauges: [Gauge; 4] = [
            ("password_hash_permits", "Password hashes that may run at once.", |now| now.permits.into()),
            ("password_hash_permits_in_use", "Of those, how many do.", |now| now.permits_in_use.into()),
            ("password_hash_waiting", "Callers whose hash has not started.", |now| now.waiting as u64),
            ("password_hash_memory_bytes", "Memory for hashing, in use or kept for the next.", |now| {
                now.held_bytes as u64
            }),
        ];
        for (name, description, read) in gauges {
            let hasher = self.clone();
            meter
                .u64_observable_gauge(name)
                .with_description(description)
                .with_callback(move |gauge| gauge.observe(read(hasher.stats()), &[]))
                .build();
        }
        let counters: [Gauge; 2] = [
            ("password_hash_refused", "Callers sent away because too many waited.", |now| now.refused),
            ("password_hash_computed", "Password hashes computed.", |now| now.computed),
        ];
        for (name, description, read) in counters {
            let hasher = self.clone();
            meter
                .u64_observable_counter(name)
                .with_description(description)
                .with_callback(move |counter| counter.observe(read(hasher.stats()), &[]))
                .build();
        }
    }
}
