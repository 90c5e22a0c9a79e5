/// Why telemetry could not be set up or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log filter is not `level` or `target=level,…`.
    #[error("the log filter `{filter}` is not valid")]
    LogFilter {
        /// The filter as it was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Another subscriber receives this process' events already.
    #[error("logging has been started already")]
    LoggingStarted(#[source] tracing::subscriber::SetGlobalDefaultError),
    /// The process may not listen for signals.
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
    /// The metrics could not be registered or written.
    #[cfg(feature = "metrics")]
    #[error("metrics are unavailable")]
    Metrics(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// The stable code of this situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::LogFilter { .. } => "log_filter_invalid",
            Self::LoggingStarted(_) => "logging_started",
            Self::Signals(_) => "signals_unavailable",
            #[cfg(feature = "metrics")]
            Self::Metrics(_) => "metrics_unavailable",
        }
    }
}
