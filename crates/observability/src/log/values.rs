use std::{error::Error as StdError, fmt, fmt::Write as _};

use tracing::field::{Field, Visit};

use super::escape::Escaped;
use crate::LogFormat;

/// The fields of one span or event, rendered once.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) message: Option<String>,
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// One rendered value: already escaped for the format it was rendered in.
#[derive(Debug)]
pub(super) enum Value {
    /// Text; needs quotes.
    Text(String),
    /// A number or boolean, the same in both formats.
    Bare(String),
}

/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";

/// Fields that hold a secret whatever the value is. Names are compared by their last segment, whole or as a suffix
/// after `_`, so that `refresh_token` and `http.authorization` count too.
const SECRET_NAMES: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "token",
    "secret",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "api_key",
    "apikey",
    "private_key",
    "otp",
    "pepper",
];

fn is_secret(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    SECRET_NAMES.iter().any(|secret| {
        last.strip_suffix(secret).is_some_and(|before| before.is_empty() || before.ends_with('_'))
    })
}

/// Renders fields into [`Values`].
pub(super) struct Recorder<'a> {
    pub(super) values: &'a mut Values,
    pub(super) format: LogFormat,
}

impl Recorder<'_> {
    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let mut out = String::new();
        if is_secret(field.name()) {
            out.push_str(REDACTED);
        } else {
            // Writing into a String fails only when a Display implementation says so; keep what it wrote.
            let _ = Escaped::new(&mut out, self.format).write_fmt(value);
        }
        if field.name() == "message" {
            self.values.message = Some(out);
        } else {
            self.put(field.name(), Value::Text(out));
        }
    }

    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        let value = if is_secret(field.name()) {
            Value::Text(REDACTED.into())
        } else {
            Value::Bare(value.to_string())
        };
        self.put(field.name(), value);
    }

    fn put(&mut self, name: &'static str, value: Value) {
        // Fields of the `log` crate's bridge carry nothing of their own.
        if name.starts_with("log.") {
            return;
        }
        match self.values.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = value,
            None => self.values.fields.push((name, value)),
        }
    }
}

impl Visit for Recorder<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no NaN and no infinity.
        if value.is_finite() { self.bare(field, value) } else { self.text(field, format_args!("{value}")) }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn StdError + 'static)) {
        self.text(field, format_args!("{}", Chain(value)));
    }
}

/// An error with its causes: `outer: cause: cause`.
struct Chain<'a>(&'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_secret_are_redacted_and_others_are_not() {
        for name in
            ["password", "new_password", "refresh_token", "http.authorization", "api_key", "set_cookie"]
        {
            assert!(is_secret(name), "{name}");
        }
        for name in ["passwords_checked", "token_count", "request_id", "secretary", "actor", "kid"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
