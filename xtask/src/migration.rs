//! `cargo xtask migration new`: the four files of a migration and its line in the crate's `schema.rs`.

use crate::{Result, workspace};
use std::fs;
use std::time::{Duration, SystemTime};

pub fn new(krate: &str, what: &str) -> Result {
    let folder = workspace::root().join("crates").join(krate);
    let schema = folder.join("src/schema.rs");
    let text = fs::read_to_string(&schema).map_err(|error| format!("{}: {error}", schema.display()))?;
    let name = name(now()?, what)?;
    let what = what.split_whitespace().collect::<Vec<_>>().join(" "); // one line of comment
    let listed = list(&text, &name)?;
    for engine in ["postgres", "sqlite"] {
        let migrations = folder.join("migrations").join(engine);
        fs::create_dir_all(&migrations)?;
        for (direction, comment) in [("up", what.clone()), ("down", format!("Undoes: {what}"))] {
            let file = migrations.join(format!("{name}.{direction}.sql"));
            fs::File::create_new(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            fs::write(&file, format!("-- {comment}\n"))?;
            println!("{}", file.display());
        }
    }
    fs::write(&schema, listed)?;
    println!("{}", schema.display());
    Ok(())
}

/// Time since 1970-01-01T00:00:00Z.
fn now() -> Result<Duration> {
    #[expect(clippy::disallowed_methods, reason = "a developer's command has no clock handed in")]
    let now = SystemTime::now();
    Ok(now.duration_since(SystemTime::UNIX_EPOCH)?)
}

/// `20261121093005_add_nicknames`: UTC time and purpose, so that the order of names is the order of writing.
fn name(now: Duration, what: &str) -> Result<String> {
    let words: Vec<String> = what
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    if words.is_empty() {
        return Err("say in a few words what the migration does".into());
    }
    Ok(format!("{}_{}", timestamp(now.as_secs()), words.join("_")))
}

fn timestamp(seconds: u64) -> String {
    let (year, month, day) = date(seconds / 86_400);
    let rest = seconds % 86_400;
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Year, month and day in the Gregorian calendar, from days since 1970-01-01. Years begin in March here, so that the leap
/// day is their last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01
    let era = days / 146_097; // of 400 years
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// `schema.rs` with the name as the last of its `migration_set!`.
fn list(schema: &str, name: &str) -> Result<String> {
    let start = invocation(schema).ok_or("src/schema.rs has no migration_set!")?;
    let body = schema.get(start..).unwrap_or_default();
    let end = start + closing_bracket(body).ok_or("the brackets of migration_set! do not close")?;
    let (before, after) = schema.split_at(end);
    let before = before.trim_end();
    if let Some(last) =
        before.rsplit('"').nth(1).filter(|last| last.starts_with(|c: char| c.is_ascii_digit()))
        && last >= name
    {
        return Err(format!("the last migration, {last}, is not older than now").into());
    }
    let comma = if before.ends_with([',', ';', '{', '(', '[']) { "" } else { "," };
    Ok(format!("{before}{comma}\n    \"{name}\",\n{after}"))
}

/// Where the macro is called: documentation may name it too.
fn invocation(schema: &str) -> Option<usize> {
    let mut uses = schema.match_indices("migration_set!").map(|(at, _)| at);
    uses.find(|at| {
        let line = schema.get(..*at).and_then(|before| before.rsplit('\n').next()).unwrap_or_default();
        !line.trim_start().starts_with("//")
    })
}

/// Where the first bracket of the text is closed.
fn closing_bracket(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "//! What [`migration_set!`] made {\n\nstylobate_db::migration_set! {\n    /// People.\n    pub MIGRATIONS = \"auth\";\n    \
                          \"20261121000001_people\",\n}\n\nfn other() {}\n";

    #[test]
    fn a_name_holds_the_utc_time_and_the_purpose() {
        let named = |seconds, what| name(Duration::from_secs(seconds), what).unwrap();
        assert_eq!(named(1_795_253_405, "Add nicknames"), "20261121093005_add_nicknames");
        assert_eq!(named(951_782_400, "e-mail: drop  NOT NULL!"), "20000229000000_e_mail_drop_not_null");
        assert_eq!(named(0, "x"), "19700101000000_x");
        assert_eq!(named(4_107_542_399, "x"), "21000228235959_x");
    }

    #[test]
    fn a_purpose_without_words_is_refused() {
        assert!(name(Duration::ZERO, " ../ ").is_err());
    }

    #[test]
    fn the_name_becomes_the_last_of_the_set() {
        let listed = list(SCHEMA, "20261122000000_b").unwrap();
        assert!(
            listed
                .contains("    \"20261121000001_people\",\n    \"20261122000000_b\",\n}\n\nfn other() {}\n")
        );
    }

    #[test]
    fn a_missing_comma_is_added_and_an_empty_set_is_begun() {
        let listed = list("migration_set! { pub M = \"auth\"; \"1_a\" }", "2_b").unwrap();
        assert!(listed.ends_with("\"1_a\",\n    \"2_b\",\n}"));
        let set = "migration_set! { pub M = \"auth\" append_only [\"log\"]; }";
        assert!(list(set, "2_b").unwrap().ends_with("[\"log\"];\n    \"2_b\",\n}"));
    }

    #[test]
    fn a_name_that_is_not_the_newest_is_refused() {
        assert!(list(SCHEMA, "20261120000000_b").is_err());
        assert!(list("fn no_set() {}", "20261122000000_b").is_err());
    }
}
