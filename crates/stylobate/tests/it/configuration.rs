//! `docs/configuration.md` says what `settings_table()` says.

use std::{fs, path::PathBuf};

use stylobate::{Setting, settings_table};

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md")
}

/// `<data dir>` would vanish as an unknown element, and a bar would begin another cell.
fn text(text: &str) -> String {
    text.replace('<', "\\<").replace('|', "\\|")
}

fn row(setting: &Setting) -> String {
    let short: Vec<String> = setting.aliases.iter().map(|alias| format!("`{alias}`")).collect();
    let mark = if setting.is_secret { " **Secret.**" } else { "" };
    format!(
        "| {} | `{}` | {} | {}{mark} |",
        short.join(", "),
        setting.key,
        text(setting.default),
        text(setting.doc)
    )
}

fn is_row(line: &str) -> bool {
    line.starts_with("| `")
}

#[test]
fn the_page_lists_every_setting_as_the_table_does() {
    let written = fs::read_to_string(page()).unwrap();
    let expected: Vec<String> = settings_table().iter().map(row).collect();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let begin: Vec<&str> = written.lines().take_while(|line| !is_row(line)).collect();
        let end: Vec<&str> = written.lines().skip(begin.len()).skip_while(|line| is_row(line)).collect();
        let lines: Vec<&str> =
            begin.into_iter().chain(expected.iter().map(String::as_str)).chain(end).collect();
        // In one step: the other test may be reading.
        let new = page().with_extension("md.new");
        fs::write(&new, lines.join("\n") + "\n").unwrap();
        fs::rename(new, page()).unwrap();
        return;
    }
    let rows: Vec<&str> = written.lines().filter(|line| is_row(line)).collect();
    assert_eq!(rows, expected, "docs/configuration.md is not the table: UPDATE_DOCS=1 writes it anew");
}

#[test]
fn the_page_names_every_setting_that_production_insists_on() {
    let weak =
        [("APP_ENV", "production"), ("BIND_ADDR", "0.0.0.0:80"), ("DATABASE_URL", "postgres://app@db/app")];
    let pairs = weak.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let refused = stylobate::Settings::from_pairs("", pairs).unwrap_err();
    let written = fs::read_to_string(page()).unwrap();
    let (_, production) = written.split_once("## Production").unwrap();
    let (production, _) = production.split_once("\n## ").unwrap();
    for problem in refused.problems {
        assert!(production.contains(&format!("`{}`", problem.name)), "{} is missing", problem.name);
    }
}
