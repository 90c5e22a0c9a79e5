use std::{fmt, sync::Arc};

use opentelemetry::{
    InstrumentationScope,
    metrics::{Meter, MeterProvider as _},
};
use opentelemetry_sdk::metrics::{Instrument, SdkMeterProvider, Stream};
use stylobate_core::Clock;

use crate::Error;

mod http;
mod process;

pub use http::{HttpMetrics, InFlight};

/// The `Content-Type` of [`Metrics::render`]: the text format of Prometheus, version 0.0.4.
pub const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The most series that one instrument keeps; further label sets fold into one series labelled
/// `otel_metric_overflow`. Above what a few hundred routes with a few statuses each need, and a bound on memory whatever happens.
const SERIES_MAX: usize = 5_000;

/// What runs here, for the `build_info` metric.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// The program's name.
    pub service: &'static str,
    /// Its version.
    pub version: &'static str,
}

/// The instruments of a process and their Prometheus text form.
///
/// Clones share the instruments. Nothing here is global: two of them in one process do not know each other.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    provider: SdkMeterProvider,
    registry: prometheus::Registry,
    http: HttpMetrics,
}

impl Metrics {
    /// Makes the registry, with process and HTTP instruments in it.
    ///
    /// # Errors
    /// [`Error::Metrics`] when the exporter cannot be registered.
    pub fn new(build: Build, clock: &dyn Clock) -> Result<Self, Error> {
        let registry = prometheus::Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .build()
            .map_err(|error| Error::Metrics(error.into()))?;
        let bounded = |_: &Instrument| Stream::builder().with_cardinality_limit(SERIES_MAX).build().ok();
        let provider = SdkMeterProvider::builder().with_reader(exporter).with_view(bounded).build();
        let meter = provider.meter("stylobate");
        process::observe(&meter, build, clock.now());
        let http = HttpMetrics::new(&meter);
        Ok(Self { inner: Arc::new(Inner { provider, registry, http }) })
    }

    /// The meter that a crate named `scope` records with.
    #[must_use]
    pub fn meter(&self, scope: &'static str) -> Meter {
        self.inner.provider.meter_with_scope(InstrumentationScope::builder(scope).build())
    }

    /// The instruments of HTTP servers.
    #[must_use]
    pub fn http(&self) -> &HttpMetrics {
        &self.inner.http
    }

    /// All metrics as text, to be sent as [`METRICS_CONTENT_TYPE`].
    ///
    /// # Errors
    /// [`Error::Metrics`] when an instrument broke the rules of the format.
    pub fn render(&self) -> Result<String, Error> {
        prometheus::TextEncoder::new()
            .encode_to_string(&self.inner.registry.gather())
            .map_err(|error| Error::Metrics(error.into()))
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::KeyValue;
    use stylobate_core::SystemClock;

    use super::*;

    fn metrics() -> Metrics {
        Metrics::new(Build { service: "test", version: "1.2.3" }, &SystemClock).unwrap()
    }

    #[test]
    fn the_process_describes_itself() {
        let text = metrics().render().unwrap();
        assert!(text.contains(r#"build_info{service="test",version="1.2.3"} 1"#), "{text}");
        for name in ["process_start_time_seconds", "process_uptime_seconds"] {
            assert!(
                text.contains(&format!("# HELP {name} ")) && text.contains(&format!("\n{name} ")),
                "{text}"
            );
        }
        #[cfg(target_os = "linux")]
        for name in ["process_resident_memory_bytes", "process_open_fds"] {
            assert!(text.contains(&format!("\n{name} ")), "{text}");
        }
    }

    #[test]
    fn requests_are_counted_by_method_route_and_status() {
        let metrics = metrics();
        metrics.http().record("GET", Some("/people/{id}"), 200, Duration::from_millis(3));
        let text = metrics.render().unwrap();
        let labels = r#"http_request_method="GET",http_response_status_code="200",http_route="/people/{id}""#;
        assert!(
            text.contains(&format!("http_server_request_duration_seconds_count{{{labels}}} 1")),
            "{text}"
        );
        assert!(text.contains(&format!(r#"seconds_bucket{{{labels},le="0.005"}} 1"#)), "{text}");
        assert!(text.contains(&format!(r#"seconds_bucket{{{labels},le="0.0025"}} 0"#)), "{text}");
    }

    #[test]
    fn labels_come_from_closed_sets() {
        let metrics = metrics();
        metrics.http().record("GET", None, 404, Duration::ZERO);
        metrics.http().record("X-0", None, 999, Duration::ZERO);
        let before = metrics.render().unwrap().lines().count();
        for n in 0..10_000 {
            // A24: paths that match no route and methods that nobody knows add no series.
            metrics.http().record("GET", None, 404, Duration::ZERO);
            metrics.http().record(&format!("X-{n}"), None, 600 + (n % 100), Duration::ZERO);
        }
        let text = metrics.render().unwrap();
        assert_eq!(text.lines().count(), before);
        assert!(text.contains(r#"http_request_method="_OTHER""#) && !text.contains("X-"), "{text}");
    }

    #[test]
    fn an_instrument_that_is_given_ever_new_labels_stays_bounded() {
        let metrics = metrics();
        let counter = metrics.meter("careless").u64_counter("careless").with_description("Careless.").build();
        for n in 0..10_000 {
            counter.add(1, &[KeyValue::new("n", n)]);
        }
        let series =
            metrics.render().unwrap().lines().filter(|line| line.starts_with("careless_total{")).count();
        assert!(series <= SERIES_MAX + 1, "{series}"); // A24
    }

    #[test]
    fn requests_in_flight_are_those_not_dropped() {
        let metrics = metrics();
        let (one, two) = (metrics.http().begin(), metrics.http().begin());
        drop(one);
        assert!(metrics.render().unwrap().contains("\nhttp_server_active_requests 1"));
        drop(two);
        assert!(metrics.render().unwrap().contains("\nhttp_server_active_requests 0"));
    }
}
