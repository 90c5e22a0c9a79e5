use std::time::Instant;

use chrono::{DateTime, Utc};
use opentelemetry::{KeyValue, metrics::Meter};

use super::Build;

/// Describes the process, under the names that Prometheus client libraries share.
pub(super) fn observe(meter: &Meter, build: Build, now: DateTime<Utc>) {
    let labels = [KeyValue::new("service", build.service), KeyValue::new("version", build.version)];
    meter
        .u64_observable_gauge("build_info")
        .with_description("What runs here; always 1.")
        .with_callback(move |gauge| gauge.observe(1, &labels))
        .build();
    meter
        .i64_observable_gauge("process_start_time_seconds")
        .with_description("When the process started, in seconds since 1970.")
        .with_callback(move |gauge| gauge.observe(now.timestamp(), &[]))
        .build();
    let begun = Instant::now();
    meter
        .f64_observable_gauge("process_uptime_seconds")
        .with_description("How long the process has been running.")
        .with_callback(move |gauge| gauge.observe(begun.elapsed().as_secs_f64(), &[]))
        .build();
    meter
        .u64_observable_gauge("process_resident_memory_bytes")
        .with_description("Resident memory.")
        .with_callback(|gauge| {
            if let Some(bytes) = resident_bytes() {
                gauge.observe(bytes, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process_open_fds")
        .with_description("Open file descriptors.")
        .with_callback(|gauge| {
            if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
                gauge.observe(entries.count() as u64, &[]);
            }
        })
        .build();
}

/// `VmRSS` of proc(5), which the kernel gives in kB; nothing where there is no `/proc`.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
