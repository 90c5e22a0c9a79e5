use std::{cell::RefCell, fmt::Write as _, io::Write as _, sync::Arc};

use chrono::{DateTime, SecondsFormat, Utc};
use stylobate_core::Clock;
use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    fmt::MakeWriter,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::values::{Recorder, Value, Values};
use crate::{LogFormat, SharedFields};

/// Writes each event as exactly one line, in one write.
pub(super) struct Lines<W> {
    pub(super) format: LogFormat,
    pub(super) color: bool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) writer: W,
}

thread_local! {
    /// One buffer per thread, so that a line costs no allocation of its own.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A buffer that grew beyond this after an unusual line is given back, in bytes.
const BUFFER_BYTES_KEPT: usize = 64 * 1024;

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut values = Values::default();
            attributes.record(&mut Recorder { values: &mut values, format: self.format });
            span.extensions_mut().insert(values);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(values) = span.extensions_mut().get_mut::<Values>()
        {
            record.record(&mut Recorder { values, format: self.format });
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut values = Values::default();
        event.record(&mut Recorder { values: &mut values, format: self.format });
        let write = |line: &mut String| {
            line.clear();
            let spans = context.event_scope(event).into_iter().flatten();
            let now = self.clock.now();
            match self.format {
                LogFormat::Json => json(line, now, event.metadata(), &values, spans),
                LogFormat::Pretty => self.pretty(line, now, event.metadata(), &values, spans),
            }
            line.push('\n');
            // There is nowhere to say that the log cannot be written, and the work goes on.
            let _ = self.writer.make_writer_for(event.metadata()).write_all(line.as_bytes());
            line.shrink_to(BUFFER_BYTES_KEPT);
        };
        LINE.with(|cell| match cell.try_borrow_mut() {
            Ok(mut line) => write(&mut line),
            // A writer that logs while it writes would come here.
            Err(_) => write(&mut String::new()),
        });
    }
}

/// The names that begin every JSON line; a field that happens to be called like one gets `field_` in front.
const RESERVED: [&str; 4] = ["timestamp", "level", "target", "message"];

fn json<'a, S: for<'s> LookupSpan<'s> + 'a>(
    line: &mut String,
    now: DateTime<Utc>,
    metadata: &Metadata<'_>,
    event: &Values,
    spans: impl Iterator<Item = SpanRef<'a, S>>,
) {
    // Writing into a String does not fail. Level and target come from the source code.
    let _ = write!(
        line,
        r#"{{"timestamp":"{}","level":"{}","target":"{}","message":"{}""#,
        now.to_rfc3339_opts(SecondsFormat::Micros, true),
        metadata.level(),
        metadata.target(),
        event.message.as_deref().unwrap_or_default(),
    );
    each(event, spans, |name, value| {
        let prefix = if RESERVED.contains(&name) { "field_" } else { "" };
        let _ = match value {
            Value::Text(text) => write!(line, r#","{prefix}{name}":"{text}""#),
            Value::Bare(text) => write!(line, r#","{prefix}{name}":{text}"#),
        };
    });
    line.push('}');
}

impl<W> Lines<W> {
    fn pretty<'a, S: for<'s> LookupSpan<'s> + 'a>(
        &self,
        line: &mut String,
        now: DateTime<Utc>,
        metadata: &Metadata<'_>,
        event: &Values,
        spans: impl Iterator<Item = SpanRef<'a, S>>,
    ) {
        let (dim, level, plain) = if self.color {
            ("\u{1b}[2m", level_color(*metadata.level()), "\u{1b}[0m")
        } else {
            ("", "", "")
        };
        let _ = write!(
            line,
            "{dim}{}{plain} {level}{:>5}{plain} {dim}{}:{plain} {}",
            now.to_rfc3339_opts(SecondsFormat::Millis, true),
            metadata.level().as_str(),
            metadata.target(),
            event.message.as_deref().unwrap_or_default(),
        );
        each(event, spans, |name, value| {
            let _ = match value {
                Value::Text(text) if text.is_empty() || text.contains([' ', '"', '=', '\\']) => {
                    write!(line, " {dim}{name}={plain}\"{}\"", text.replace('"', "\\\""))
                }
                Value::Text(text) | Value::Bare(text) => write!(line, " {dim}{name}={plain}{text}"),
            };
        });
    }
}

/// Hands over each field once: what the spans pass down first, then the event's own, then the other fields of the
/// spans from the inside out. The innermost value of a name wins.
fn each<'a, S: for<'s> LookupSpan<'s> + 'a>(
    event: &Values,
    spans: impl Iterator<Item = SpanRef<'a, S>>,
    mut write: impl FnMut(&'static str, &Value),
) {
    let spans: Vec<_> = spans.collect();
    let extensions: Vec<_> = spans.iter().map(SpanRef::extensions).collect();
    let sources: Vec<&Values> = std::iter::once(event)
        .chain(extensions.iter().filter_map(|extension| extension.get::<Values>()))
        .collect();
    for name in SharedFields::INHERITED {
        let found = sources.iter().find_map(|values| values.fields.iter().find(|(known, _)| *known == name));
        if let Some((name, value)) = found {
            write(name, value);
        }
    }
    let mut written: Vec<&'static str> = Vec::new();
    for (name, value) in sources.iter().flat_map(|values| &values.fields) {
        if !SharedFields::INHERITED.contains(name) && !written.contains(name) {
            written.push(name);
            write(name, value);
        }
    }
}

fn level_color(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        Level::DEBUG => "\u{1b}[34m",
        Level::TRACE => "\u{1b}[35m",
    }
}
