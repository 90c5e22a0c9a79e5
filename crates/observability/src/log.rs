use std::{io::IsTerminal as _, sync::Arc};

use serde::{Deserialize, Serialize};
use stylobate_core::{Clock, SystemClock};
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Registry,
    fmt::{MakeWriter, writer::BoxMakeWriter},
    layer::SubscriberExt as _,
};

use crate::Error;

mod escape;
mod line;
mod panic;
mod values;

/// How a line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people: time, level, target, message, fields.
    #[default]
    Pretty,
    /// For machines: one JSON object per line.
    Json,
}

/// Where lines go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogOutput {
    /// Standard error: the default, because commands print their results on standard output.
    #[default]
    Stderr,
    /// Standard output.
    Stdout,
}

/// What is logged, how and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// How a line looks. Default: pretty.
    pub format: LogFormat,
    /// A level (`info`), or a comma-separated list of `target=level` with a level for the rest. Default: `info`.
    pub filter: String,
    /// Where lines go. Default: standard error.
    pub output: LogOutput,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: "info".into(), output: LogOutput::default() }
    }
}

/// Starts logging for the whole process, and sends panics to the log as lines of their own.
///
/// Call it once, first thing in `main`.
///
/// # Errors
/// [`Error::LogFilter`] for a filter that does not parse, [`Error::LoggingStarted`] when a subscriber is set already.
pub fn init_logging(config: &LogConfig) -> Result<(), Error> {
    let writer = match config.output {
        LogOutput::Stderr => BoxMakeWriter::new(std::io::stderr),
        LogOutput::Stdout => BoxMakeWriter::new(std::io::stdout),
    };
    let terminal = match config.output {
        LogOutput::Stderr => std::io::stderr().is_terminal(),
        LogOutput::Stdout => std::io::stdout().is_terminal(),
    };
    // https://no-color.org: any non-empty value turns colour off.
    let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = subscriber(config, writer, color, Arc::new(SystemClock))?;
    tracing::subscriber::set_global_default(subscriber).map_err(Error::LoggingStarted)?;
    panic::log_panics();
    Ok(())
}

/// The subscriber that [`init_logging`] installs, writing to `writer` without colours: for tests, and for programs that
/// write elsewhere.
///
/// # Errors
/// [`Error::LogFilter`] for a filter that does not parse.
pub fn log_subscriber<W>(
    config: &LogConfig,
    clock: Arc<dyn Clock>,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    subscriber(config, writer, false, clock)
}

fn subscriber<W>(
    config: &LogConfig,
    writer: W,
    color: bool,
    clock: Arc<dyn Clock>,
) -> Result<impl Subscriber + Send + Sync + use<W>, Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|source| Error::LogFilter { filter: config.filter.clone(), source })?;
    let lines = line::Lines { format: config.format, color, clock, writer };
    Ok(Registry::default().with(filter).with(lines))
}
