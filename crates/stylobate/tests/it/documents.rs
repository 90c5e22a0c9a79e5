//! The tests that `docs/` names as proof exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn collect_functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            collect_functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(path).unwrap();
            let names = source.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            found.extend(names.map(str::to_owned));
        }
    }
}

/// What stands in backticks and reads like the name of a test: words joined by two underscores or more.
fn names(page: &str) -> impl Iterator<Item = &str> {
    page.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).filter(|text| {
        let is_word =
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        is_word && text.matches('_').count() >= 2
    })
}

#[test]
fn every_test_that_a_page_names_exists() {
    let mut functions = BTreeSet::new();
    for folder in ["crates", "examples", "tests", "xtask"] {
        collect_functions(&repository().join(folder), &mut functions);
    }
    let mut missing = Vec::new();
    for page in ["asvs.md", "features.md"] {
        let text = fs::read_to_string(repository().join("docs").join(page)).unwrap();
        assert!(names(&text).count() > 40, "{page} names no tests");
        missing.extend(
            names(&text).filter(|name| !functions.contains(*name)).map(|name| format!("{page}: {name}")),
        );
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
