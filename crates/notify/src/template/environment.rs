use std::io::{self, Write};

use chrono::{DateTime, Utc};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, filters, syntax::SyntaxConfig,
    tests, value::Kwargs,
};

use super::{Part, PublicUrl, values::SEAM};

/// What templates may do to a value. Nothing here makes a text longer than it is: `replace`, `join`, `indent` and `format` would let
/// a few hundred characters of template fill the memory.
pub(super) const FILTERS: [&str; 9] =
    ["capitalize", "default", "first", "last", "length", "lower", "time", "trim", "upper"];

/// What templates may ask about a value.
pub(super) const TESTS: [&str; 2] = ["defined", "none"];

/// How many steps a template may take: a hundred lines of a table have some 5,000.
const FUEL: u64 = 50_000;

/// How deep loops and conditions may lie in each other.
const DEPTH_MAX: usize = 32;

/// How much one part of a message may be, in bytes.
const OUTPUT_BYTES_MAX: usize = 256 * 1_024;

/// An environment without templates, in which a template can do what the [rules](crate#templates) say and nothing else.
pub(super) fn environment(base: PublicUrl) -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|name| {
        if name.ends_with(Part::Html.name()) { AutoEscape::Html } else { AutoEscape::None }
    });
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH_MAX);
    // A line that holds a condition and nothing else leaves no empty line.
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.add_filter("capitalize", filters::capitalize);
    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("time", time);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);
    environment.add_test("defined", tests::is_defined);
    environment.add_test("none", tests::is_none);
    environment.add_function("link", move |path: String, query: Kwargs| link(&base, &path, &query));
    environment
}

/// A time as it is in events and values (RFC 3339), for people: `2026-03-01 12:00 UTC`.
fn time(value: String) -> Result<String, Error> {
    let time = DateTime::parse_from_rfc3339(&value)
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, "`time` is given something that is no time"))?;
    Ok(time.with_timezone(&Utc).format("%Y-%m-%d %H:%M UTC").to_string())
}

fn link(base: &PublicUrl, path: &str, query: &Kwargs) -> Result<String, Error> {
    let mut pairs = Vec::new();
    for name in query.args() {
        let value: Value = query.get(name)?;
        if value.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        if !value.is_none() {
            pairs.push((name, whole(&value.to_string())));
        }
    }
    base.link(&whole(path), pairs.iter().map(|(name, value)| (*name, value.as_str())))
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

/// A value as it was given: in a link it leads nowhere else.
fn whole(value: &str) -> String {
    value.replace(SEAM, "")
}

/// Where and why a template could not be read or rendered; without values.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) problem: String,
}

impl Fault {
    /// Of rendering: the engine's details may hold values, so they stay out.
    pub(super) fn of_rendering(error: &Error) -> Self {
        let problem = match error.kind() {
            ErrorKind::WriteFailure => format!("it is longer than {OUTPUT_BYTES_MAX} bytes"),
            ErrorKind::OutOfFuel => format!("it takes more than {FUEL} steps"),
            ErrorKind::UndefinedError => "a value that is used is not there".to_owned(),
            kind => kind.to_string(),
        };
        Self { line: error.line().unwrap_or(1), problem }
    }

    /// Of reading: the details are about the template's own text.
    pub(super) fn of_reading(error: &Error) -> Self {
        let problem = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        Self { line: error.line().unwrap_or(1), problem }
    }
}

/// Renders the template called `name`.
pub(super) fn render(environment: &Environment<'_>, name: &str, values: &Value) -> Result<String, Fault> {
    let template = environment.get_template(name).map_err(|error| Fault::of_rendering(&error))?;
    let mut output = Capped(Vec::new());
    template.render_captured_to(values.clone(), &mut output).map_err(|error| Fault::of_rendering(&error))?;
    let text =
        String::from_utf8(output.0).map_err(|_| Fault { line: 1, problem: "it is no text".to_owned() })?;
    Ok(text.replace(SEAM, " "))
}

/// What is rendered, up to a size.
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
