//! The table of error codes: complete, sorted, and the same as `docs/errors.md`.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use stylobate_tower_middleware::{PROBLEMS, problem_for};

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_table_is_sorted_and_names_each_code_once() {
    for pair in PROBLEMS.windows(2) {
        assert!(pair[0].code < pair[1].code, "{} {}", pair[0].code, pair[1].code);
    }
}

#[test]
fn a_code_has_one_status_and_nothing_of_the_inside_is_shown() {
    let mut statuses = BTreeMap::new();
    for row in PROBLEMS {
        assert_eq!(*statuses.entry(row.shown).or_insert(row.status), row.status, "{}", row.shown);
        assert!(!row.shown.starts_with("db_") && row.detail.ends_with('.'), "{}", row.code);
        assert!(row.status != 500 || row.shown == "internal", "{}", row.code);
        assert_eq!(problem_for(row.code).status, row.status);
    }
    assert_eq!(problem_for("nobody_knows").code, "internal");
}

/// Every code that an error of a service can have is in the table on purpose, not by falling through to 500.
#[test]
fn every_error_of_the_crates_has_its_row() {
    let files = [
        "crates/audit/src/error.rs",
        "crates/auth/src/password/error.rs",
        "crates/auth/src/people/identifier.rs",
        "crates/auth/src/people/store.rs",
        "crates/auth/src/service/error.rs",
        "crates/db/src/error.rs",
        "crates/rbac/src/error.rs",
        "crates/tenancy/src/error.rs",
        "crates/tenancy/src/membership.rs",
    ];
    let mut missing = Vec::new();
    for file in files {
        let source = fs::read_to_string(repository().join(file)).unwrap();
        let codes =
            source.split("pub fn code(&self)").skip(1).map(|after| after.split("\n    }\n").next().unwrap());
        let mut found = 0;
        for line in codes.flat_map(str::lines) {
            if let Some((_, code)) = line.split_once("=> \"") {
                let code = code.split('"').next().unwrap();
                found += 1;
                if !PROBLEMS.iter().any(|row| row.code == code) {
                    missing.push(format!("{file}: {code}"));
                }
            }
        }
        assert!(found > 0, "{file} has no codes");
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

fn page() -> String {
    let mut page = String::from(
        "# Errors\n\n\
         Every refusal is an `application/problem+json` body (RFC 9457) with `type`, `title`, `status`, `detail`, `code`, \
         `request_id` and,\nfor 422, `errors[]` with `field`, `code` and `message`. Programs match on `code`; it does not \
         change. Quote the `request_id` when\nasking for help: the cause is in the log under it.\n\n\
         This page is generated from the table in `crates/tower-middleware/src/problem_table.rs`; a test holds them together \
         \n(`UPDATE_DOCS=1 cargo test -p stylobate-tower-middleware --all-features` writes it anew).\n\n\
         ## What callers see\n\n| code | status | meaning |\n|---|---|---|\n",
    )
    .replace(" \n", "\n");
    let shown: BTreeMap<_, _> = PROBLEMS.iter().map(|row| (row.shown, row)).collect();
    for (code, row) in shown {
        writeln!(page, "| `{code}` | {} | {} |", row.status, row.detail).unwrap();
    }
    page.push_str(
        "\n## What stands behind it\n\nCodes of the crates' errors that callers see under another name. Those of 500 and \
         503 are in the log.\n\n| inner code | callers see |\n|---|---|\n",
    );
    for row in PROBLEMS.iter().filter(|row| row.code != row.shown) {
        writeln!(page, "| `{}` | `{}` ({}) |", row.code, row.shown, row.status).unwrap();
    }
    page
}

#[test]
fn the_docs_page_is_the_table() {
    let path = repository().join("docs/errors.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, page()).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), page(), "run with UPDATE_DOCS=1");
}
