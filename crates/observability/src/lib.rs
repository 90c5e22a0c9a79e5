#![doc = include_str!("../README.md")]

mod error;
mod fields;
mod health;
mod log;
#[cfg(feature = "metrics")]
mod metrics;
mod shutdown;

pub use error::Error;
pub use fields::SharedFields;
pub use health::{CheckReport, HealthRegistry, HealthReport};
pub use log::{LogConfig, LogFormat, LogOutput, init_logging, log_subscriber};
#[cfg(feature = "metrics")]
pub use metrics::{Build, HttpMetrics, InFlight, METRICS_CONTENT_TYPE, Metrics};
#[cfg(feature = "metrics")]
pub use opentelemetry::{KeyValue, metrics::Meter};
pub use shutdown::{Drained, Shutdown};
