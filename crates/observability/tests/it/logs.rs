use std::{
    io,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use serde_json::Value;
use stylobate_core::SystemClock;
use stylobate_observability::{Error, LogConfig, LogFormat, SharedFields, log_subscriber};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Captured {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn logged(format: LogFormat, act: impl FnOnce()) -> String {
    let captured = Captured::default();
    let config = LogConfig { format, filter: "trace".into(), ..LogConfig::default() };
    let subscriber = log_subscriber(&config, Arc::new(SystemClock), captured.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, act);
    String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
}

fn json(act: impl FnOnce()) -> Value {
    let text = logged(LogFormat::Json, act);
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_json_line_has_time_level_target_message_and_fields() {
    let line = json(
        || tracing::warn!(target: "it", rows = 3, slow = true, took = 0.5, code = "busy", "retried {}", 2),
    );
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!((line["level"].as_str(), line["target"].as_str()), (Some("WARN"), Some("it")));
    assert_eq!(
        (&line["message"], &line["rows"], &line["slow"]),
        (&"retried 2".into(), &3.into(), &true.into())
    );
    assert_eq!((&line["took"], &line["code"]), (&0.5.into(), &"busy".into()));
}

#[test]
fn ids_of_the_request_span_are_on_every_line_inside_it() {
    let text = logged(LogFormat::Json, || {
        let span = tracing::info_span!(
            "request",
            request_id = "r1",
            tenant = tracing::field::Empty,
            actor = tracing::field::Empty
        );
        span.in_scope(|| {
            tracing::info!("before authentication");
            tracing::Span::current().record("tenant", "t1").record("actor", "a1");
            tracing::info_span!("inner", step = 2).in_scope(|| tracing::info!("after"));
        });
        tracing::info!("outside");
    });
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["request_id"], lines[0].get("tenant")), (&"r1".into(), None));
    for (name, value) in SharedFields::INHERITED.into_iter().zip(["r1", "t1", "a1"]) {
        assert_eq!(lines[1][name], value);
        assert!(lines[2].get(name).is_none());
    }
    assert_eq!(lines[1]["step"], 2);
}

#[test]
fn the_pretty_form_has_the_same_ids() {
    let text = logged(LogFormat::Pretty, || {
        tracing::info_span!("request", request_id = "r1", tenant = "t1", actor = "a1")
            .in_scope(|| tracing::info!(name = "a b", "hello"));
    });
    assert!(
        text.trim_end().ends_with(r#"INFO it::logs: hello request_id=r1 tenant=t1 actor=a1 name="a b""#),
        "{text}"
    );
}

#[test]
fn an_inner_value_wins_and_no_name_is_written_twice() {
    let text = logged(LogFormat::Json, || {
        tracing::info_span!("outer", step = 1, other = 1).in_scope(|| {
            tracing::info_span!("inner", step = 2).in_scope(|| tracing::info!(step = 3, level = "x", "m"));
        });
    });
    assert_eq!(text.matches("\"step\"").count(), 1);
    assert!(
        text.contains(r#""step":3"#)
            && text.contains(r#""other":1"#)
            && text.contains(r#""field_level":"x""#)
    );
}

#[test]
fn secrets_in_fields_are_redacted() {
    for format in [LogFormat::Json, LogFormat::Pretty] {
        let text = logged(format, || {
            tracing::info_span!("s", password = "canary-1").in_scope(|| {
                tracing::info!(refresh_token = ?"canary-2", otp = 123_456, http.authorization = %"canary-3", "x");
            });
        });
        // A24, C40
        assert!(!text.contains("canary") && !text.contains("123456"), "{text}");
        assert_eq!(text.matches("[redacted]").count(), 4);
    }
}

#[test]
fn an_error_is_logged_with_its_causes() {
    let config = LogConfig { filter: "a=b=c".into(), ..LogConfig::default() };
    let error = log_subscriber(&config, Arc::new(SystemClock), Captured::default()).err().unwrap();
    assert_eq!(error.code(), "log_filter_invalid");
    let line = json(|| tracing::error!(error = &error as &(dyn std::error::Error + 'static), "refused"));
    assert!(line["error"].as_str().unwrap().starts_with("the log filter `a=b=c` is not valid: "), "{line}");
    assert!(matches!(error, Error::LogFilter { .. }));
}

#[test]
fn a_value_that_is_not_a_number_is_still_json() {
    assert_eq!(json(|| tracing::info!(rate = f64::NAN, "x"))["rate"], "NaN");
}

/// Whatever a caller can put into a field: names, header values, bodies.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\u{1b}[2J".to_owned()),
        Just("\r\n{\"level\":\"INFO\"}".to_owned()),
        Just("\u{2028}\u{2029}\u{85}".to_owned()),
        Just("\u{202e}\u{2066}\u{9b}31m".to_owned()),
        Just("\"\\\0\u{7f}".to_owned()),
        any::<String>(),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_that_is_logged_breaks_its_line_or_reaches_the_terminal_raw(value in hostile()) {
        for format in [LogFormat::Json, LogFormat::Pretty] {
            let text = logged(format, || {
                tracing::info_span!("s", in_span = %value)
                    .in_scope(|| tracing::info!(shown = %value, debugged = ?value, text = value.as_str(), "got {value}"));
            });
            // A24, C39: one line, and no character of it steers anything.
            let line = text.strip_suffix('\n').unwrap();
            let raw = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            prop_assert!(!line.contains(raw), "{line:?}");
            if format == LogFormat::Json {
                let read: Value = serde_json::from_str(line).unwrap();
                prop_assert_eq!(&read["shown"], &Value::from(value.clone()));
                prop_assert_eq!(&read["in_span"], &Value::from(value.clone()));
                prop_assert_eq!(&read["message"], &Value::from(format!("got {value}")));
            }
        }
    }
}
