//! People of a replaced system, from a file: with the hashes of their passwords, so that they sign in as before.
//!
//! The file is NDJSON (one object a line) or CSV with a head, with these fields; all but the first three may be missing:
//! `email`, `first_name`, `last_name`, `username`, `password_hash`, `is_active` (true), `email_verified` (false). Everybody becomes a
//! member of the default organisation.
//!
//! 1. Every row is a transaction of its own, audited like any other person made and with the kind of hash, never the hash.
//! 2. Who is there already stays as they are, password included: a file can be imported again, and gives nobody another password.
//! 3. What is refused is reported with its line and a code, and the rest goes on. No report repeats what a row holds but a column's name,
//!    because a row out of step has hashes anywhere.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use stylobate::{
    Platform,
    auth::{self, Email, Identifier, PasswordError, StoredHash, Username},
    core::{Problem, RequestContext},
    db::{self, Scope, TransactError as _, Tx},
    middleware::ApiError,
};

use super::{Draft, PersonInput};
use crate::{admin, commands::Failed, refused::Refused};

#[derive(Args)]
pub(crate) struct Arguments {
    /// NDJSON or CSV with the fields email, first_name, last_name and perhaps username, password_hash, is_active, email_verified.
    file: PathBuf,
    /// What the file is; by its name when left out (`.csv` or other).
    #[arg(long)]
    format: Option<Format>,
    /// Says what would be done, and changes nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Ndjson,
    Csv,
}

/// One person of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    email: String,
    first_name: String,
    last_name: String,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password_hash: Option<String>,
    #[serde(default)]
    is_active: Option<bool>,
    #[serde(default)]
    email_verified: Option<bool>,
}

/// The columns of a CSV file.
const COLUMNS: [&str; 7] =
    ["email", "first_name", "last_name", "username", "password_hash", "is_active", "email_verified"];

/// A row by its line, or what is wrong with it.
pub(crate) type Rows = Box<dyn Iterator<Item = (u64, Result<Row, Box<Problem>>)> + Send>;

/// What became of the rows.
#[derive(Default)]
struct Tally {
    imported: u64,
    there: u64,
    refused: u64,
}

enum Done {
    Imported,
    ThereAlready,
}

/// Opens the file.
pub(crate) fn open(arguments: &Arguments) -> Result<Rows, Failed> {
    rows(&arguments.file, arguments.format)
}

/// Imports the rows, and says on standard output what was not done and how many were.
pub(crate) async fn run(platform: &Platform, arguments: &Arguments, rows: Rows) -> Result<String, Failed> {
    // Filed under the organisation that they join.
    let mut context = RequestContext::system(PROCESS);
    context.principal.tenant = Some(platform.default_org());
    let import = Import { platform, is_dry: arguments.dry_run, lines: HashMap::new(), context };
    let tally = import.all(rows).await?;
    let Tally { imported, there, refused } = tally;
    let done = if arguments.dry_run { "would be imported" } else { "imported" };
    let summary = format!("{imported} {done}, {there} there already, {refused} refused");
    if refused > 0 { Err(Failed::Refused("import_incomplete".to_owned(), summary)) } else { Ok(summary) }
}

const PROCESS: &str = "import-people";

struct Import<'a> {
    platform: &'a Platform,
    is_dry: bool,
    /// On which line of the file a folded name or address was seen first.
    lines: HashMap<String, u64>,
    context: RequestContext,
}

impl Import<'_> {
    async fn all(mut self, rows: Rows) -> Result<Tally, Failed> {
        let mut tally = Tally::default();
        let mut out = std::io::stdout();
        for (line, row) in rows {
            let done = match row {
                Ok(row) => self.one(line, row).await,
                Err(problem) => Err(Refused::Problem(problem)),
            };
            match done {
                Ok(Done::Imported) => tally.imported += 1,
                Ok(Done::ThereAlready) => {
                    tally.there += 1;
                    writeln!(out, "line {line}: there already, unchanged")?;
                }
                // The following rows would fare no better.
                Err(refused) if refused.as_db().is_some_and(db::Error::is_outage) => {
                    return Err(refused.into());
                }
                Err(refused) => {
                    tally.refused += 1;
                    writeln!(out, "line {line}: refused, {}", reason(refused))?;
                }
            }
        }
        Ok(tally)
    }

    async fn one(&mut self, line: u64, row: Row) -> Result<Done, Refused> {
        let (email, username) = (row.email.clone(), row.username.clone().filter(|name| !name.is_empty()));
        self.note(line, &email, username.as_deref())?;
        let hash = row.password_hash.as_deref().filter(|text| !text.is_empty());
        let hash = hash.map(|text| self.usable(text)).transpose()?;
        let draft = admin::people(self.platform).prepare(input(row)).await?;
        if self.is_there(&email, username.as_deref()).await? {
            return Ok(Done::ThereAlready);
        }
        if !self.is_dry {
            self.insert(draft, hash).await?;
        }
        Ok(Done::Imported)
    }

    /// Refuses who was in the file before. In a dry run nothing else would notice.
    fn note(&mut self, line: u64, email: &str, username: Option<&str>) -> Result<(), Refused> {
        // What cannot be a name is refused soon after.
        let email = Email::parse(email).map(|email| email.key().to_owned()).ok();
        let username = username.and_then(|name| Username::parse(name).ok());
        let username = username.map(|name| name.key().to_owned());
        for key in [email, username].into_iter().flatten() {
            if let Some(before) = self.lines.insert(key, line) {
                let detail = format!("the e-mail address or username stands on line {before} already");
                return Err(Problem::new(409, "import_repeated").detail(detail).into());
            }
        }
        Ok(())
    }

    fn usable(&self, text: &str) -> Result<StoredHash, Refused> {
        let refused =
            |error: PasswordError| Refused::from(Problem::new(422, error.code()).detail(error.to_string()));
        let hash = text.parse::<StoredHash>().map_err(refused)?;
        self.platform.auth().hasher().check_stored(&hash).map_err(refused)?;
        Ok(hash)
    }

    /// Whether the person is there. Somebody else who has the name is a refusal: the row would become them.
    async fn is_there(&self, email: &str, username: Option<&str>) -> Result<bool, Refused> {
        let mut reader = self.platform.db().read().await?;
        let by_email = auth::People::find_by_identifier(&mut reader, &Identifier::new(email)).await?;
        let by_name = match username {
            Some(name) => auth::People::find_by_identifier(&mut reader, &Identifier::new(name)).await?,
            None => None,
        };
        let is_other =
            by_name.is_some_and(|named| by_email.as_ref().is_none_or(|found| found.id != named.id));
        if is_other {
            let detail = "somebody with another e-mail address has this username";
            return Err(Problem::new(409, "username_taken").detail(detail).into());
        }
        Ok(by_email.is_some())
    }

    async fn insert(&self, draft: Draft, hash: Option<StoredHash>) -> Result<(), Refused> {
        let (this, context) = (self.platform.clone(), self.context.clone());
        let people = admin::people(self.platform);
        let insert = async move |tx: &mut Tx| {
            let person = people.create_in(tx, &context, this.default_org(), &draft).await?;
            if let Some(hash) = &hash {
                this.auth().import_password(tx, &context, person.id.into(), hash).await?;
            }
            Ok::<_, Refused>(())
        };
        self.platform.db().transact(Scope::Platform(PROCESS), insert).await
    }
}

fn input(row: Row) -> PersonInput {
    let username = row.username.unwrap_or_default();
    let input = PersonInput::named(row.first_name, row.last_name, row.email, username, String::new());
    PersonInput {
        password: None,
        is_active: row.is_active,
        email_verified: row.email_verified.unwrap_or_default(),
        ..input
    }
}

/// Code and text of a refusal, on one line.
fn reason(refused: Refused) -> String {
    let error = ApiError::from(refused);
    let problem = error.problem();
    let fields = problem.errors.iter().map(|field| format!(" {} {};", field.field, field.message));
    let detail = problem.detail.clone().unwrap_or_default();
    format!("{}: {detail}{}", problem.code, fields.collect::<String>()).trim_end_matches(';').to_owned()
}

fn rows(path: &Path, format: Option<Format>) -> Result<Rows, Failed> {
    let unusable = |source| Failed::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(unusable)?;
    let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    match format {
        Some(Format::Csv) => csv_rows(file),
        None if is_csv => csv_rows(file),
        _ => Ok(json_rows(file)),
    }
}

fn malformed(detail: impl Into<String>) -> Box<Problem> {
    Box::new(Problem::new(422, "import_row_malformed").detail(detail))
}

fn json_rows(file: impl Read + Send + 'static) -> Rows {
    let lines = (1..).zip(BufReader::new(file).split(b'\n'));
    let parsed = lines.filter_map(|(number, line)| {
        let line = match line {
            Ok(line) => line,
            Err(error) => return Some((number, Err(malformed(format!("cannot be read: {}", error.kind()))))),
        };
        let text = line.trim_ascii();
        let row = || serde_json::from_slice(text).map_err(|error| malformed(why(&error)));
        (!text.is_empty()).then(|| (number, row()))
    });
    Box::new(parsed)
}

/// What is wrong with an object, without what it holds.
fn why(error: &serde_json::Error) -> String {
    let what = if error.is_data() {
        "has an unknown field or one of another type, or lacks one"
    } else {
        "is not a JSON object"
    };
    format!("{what} (column {})", error.column())
}

fn csv_rows(file: impl Read + Send + 'static) -> Result<Rows, Failed> {
    // With a terminator of its own the reader counts lines right where they end in two characters; the first of them is cut off below.
    let terminator = csv::Terminator::Any(b'\n');
    let mut reader = csv::ReaderBuilder::new().terminator(terminator).from_reader(file);
    let head = reader.headers().cloned().unwrap_or_default();
    let mut columns = Vec::new();
    for (number, name) in (1..).zip(&head) {
        // Spreadsheets put a byte order mark in front.
        let name = name.trim_start_matches('\u{feff}').trim();
        let known = COLUMNS.into_iter().find(|column| *column == name && !columns.contains(column));
        // The name is not repeated: a file without a head has a person there.
        let Some(known) = known else {
            let text = format!("column {number} is unknown or repeated; known are {}", COLUMNS.join(", "));
            return Err(Failed::Refused("import_column_unknown".to_owned(), text));
        };
        columns.push(known);
    }
    let rows = reader.into_records().map(move |record| match record {
        Ok(record) => {
            let line = record.position().map_or(0, csv::Position::line);
            (line, csv_row(&columns, &record))
        }
        Err(error) => {
            let line = error.position().map_or(0, csv::Position::line);
            (line, Err(malformed("has another number of columns than the head, or is not UTF-8")))
        }
    });
    Ok(Box::new(rows))
}

fn csv_row(columns: &[&str], record: &csv::StringRecord) -> Result<Row, Box<Problem>> {
    let values = record.iter().map(|value| value.strip_suffix('\r').unwrap_or(value));
    let mut values: HashMap<&str, &str> = columns.iter().copied().zip(values).collect();
    values.retain(|_, value| !value.is_empty());
    let text = |name| values.get(name).map(|value| (*value).to_owned());
    let required = |name| text(name).ok_or_else(|| malformed(format!("lacks `{name}`")));
    let flag = |name| {
        let value = values.get(name).map(|value| value.to_ascii_lowercase());
        match value.as_deref() {
            None => Ok(None),
            Some("true" | "t" | "1" | "yes") => Ok(Some(true)),
            Some("false" | "f" | "0" | "no") => Ok(Some(false)),
            Some(_) => Err(malformed(format!("`{name}` is neither true nor false"))),
        }
    };
    Ok(Row {
        email: required("email")?,
        first_name: required("first_name")?,
        last_name: required("last_name")?,
        username: text("username"),
        password_hash: text("password_hash"),
        is_active: flag("is_active")?,
        email_verified: flag("email_verified")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(rows: Rows) -> Vec<(u64, String)> {
        rows.filter_map(|(line, row)| Some((line, row.err()?.detail.unwrap_or_default()))).collect()
    }

    #[test]
    fn rows_of_both_formats_are_read() {
        let json = concat!(
            r#"{"email":"a@example.org","first_name":"A","last_name":"B","is_active":false}"#,
            "\r\n\r\n",
            r#"{"email":"c@example.org","first_name":"C","last_name":"D","username":"c","password_hash":"$2b$x"}"#,
        );
        let csv = "\u{feff}email,first_name,last_name,is_active,username,password_hash\r\n\
                   a@example.org,A,B,0,,\r\nc@example.org,C,D,,c,\"$2b$x\"\r\n";
        for (rows, lines) in
            [(json_rows(json.as_bytes()), [1, 3]), (csv_rows(csv.as_bytes()).ok().unwrap(), [2, 3])]
        {
            let rows: Vec<(u64, Row)> = rows.map(|(line, row)| (line, row.unwrap())).collect();
            assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), lines);
            assert_eq!((rows[0].1.is_active, rows[0].1.username.clone()), (Some(false), None));
            assert_eq!(rows[1].1.password_hash.as_deref(), Some("$2b$x"));
            assert_eq!((rows[1].1.username.as_deref(), rows[1].1.is_active), (Some("c"), None));
        }
    }

    #[test]
    fn a_bad_row_is_named_without_what_it_holds() {
        let json = concat!(
            "not json canary\n",
            r#"{"email":"a@example.org","first_name":"A","last_name":"B","secret":"canary"}"#,
            "\n",
            r#"{"email":"a@example.org","first_name":"A","last_name":"B","is_active":"canary"}"#,
            "\n\u{fffd}\n",
            r#"{"first_name":"A","last_name":"B"}"#,
        );
        let csv = "email,first_name,last_name,is_active\ncanary\na@example.org,A,B,canary\n,A,B,1\n";
        for (rows, lines) in [
            (json_rows(json.as_bytes()), vec![1, 2, 3, 4, 5]),
            (csv_rows(csv.as_bytes()).ok().unwrap(), vec![2, 3, 4]),
        ] {
            let found = problems(rows);
            assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), lines);
            assert!(!format!("{found:?}").contains("canary"), "{found:?}");
        }
        for head in ["email,first_name,last_name,canary\n", "email,email\n"] {
            let refused = csv_rows(head.as_bytes()).err().unwrap();
            assert_eq!(refused.code(), "import_column_unknown");
            assert!(!refused.to_string().contains("canary"));
        }
    }
}
