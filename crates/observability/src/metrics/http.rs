use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};

/// The boundaries that the OpenTelemetry semantic conventions ask for (HTTP metrics, "http.server.request.duration"),
/// with two below: an answer from memory takes well under 5 ms. In seconds.
const BOUNDARIES: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The instruments of an HTTP server: `http_server_request_duration_seconds` by method, route and status, and
/// `http_server_active_requests`.
#[derive(Clone)]
pub struct HttpMetrics {
    duration: Histogram<f64>,
    active: Arc<AtomicI64>,
}

/// A request that is being answered, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct InFlight(Arc<AtomicI64>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HttpMetrics {
    pub(super) fn new(meter: &Meter) -> Self {
        let active = Arc::new(AtomicI64::new(0));
        let observed = Arc::clone(&active);
        meter
            .i64_observable_gauge("http.server.active_requests")
            .with_description("Requests that are being answered.")
            .with_callback(move |gauge| gauge.observe(observed.load(Ordering::Relaxed), &[]))
            .build();
        let duration = meter
            .f64_histogram("http.server.request.duration")
            .with_unit("s")
            .with_description("How long requests take until the head of the answer is ready.")
            .with_boundaries(BOUNDARIES.to_vec())
            .build();
        Self { duration, active }
    }

    /// Counts a request as being answered.
    pub fn begin(&self) -> InFlight {
        self.active.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(&self.active))
    }

    /// Records an answered request. `route` is the template that matched; the path itself must not come here.
    pub fn record(&self, method: &str, route: Option<&str>, status: u16, took: Duration) {
        let route = route.map_or(KeyValue::new("http.route", "unmatched"), |route| {
            KeyValue::new("http.route", route.to_owned())
        });
        let labels = [
            KeyValue::new("http.request.method", known_method(method)),
            route,
            KeyValue::new("http.response.status_code", i64::from(known_status(status))),
        ];
        self.duration.record(took.as_secs_f64(), &labels);
    }
}

/// The methods of RFC 9110 §9 and RFC 5789; everything else is one label, as the semantic conventions ask.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}

/// Statuses outside the registered classes (RFC 9110 §15) are one label.
fn known_status(status: u16) -> u16 {
    if (100..600).contains(&status) { status } else { 0 }
}

impl fmt::Debug for HttpMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpMetrics").field("active", &self.active).finish_non_exhaustive()
    }
}
