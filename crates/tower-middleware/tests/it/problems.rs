//! The table of error codes: complete, sorted, and the same as `docs/errors.md`.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use axum::{body::Body, routing::post};
use serde::Deserialize;
use stylobate_tower_middleware::{PROBLEMS, StrictJson, TrustedProxies, problem_for};
use tower::Layer;

use crate::support::{edge, from_peer, request, router, send, text};

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
        "crates/auth/src/signing/error.rs",
        "crates/db/src/error.rs",
        "crates/jobs/src/error.rs",
        "crates/notify/src/error.rs",
        "crates/notify/src/service/error.rs",
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

/// What only commands say, to whom they are run by.
const OF_COMMANDS: [&str; 3] = ["import_repeated", "import_row_malformed", "person_disabled"];

/// Where a problem is made of a status or a code that stands elsewhere: in the table itself, for bare answers, and of a hash that a
/// command does not take.
const NOT_LITERAL: [&str; 3] = ["problem_table.rs", "api_error.rs", "people/import.rs"];

/// What handlers refuse by themselves has its row as well, and nobody asks for a row that is not there.
#[test]
fn every_problem_that_somebody_makes_has_its_row() {
    let (mut made, mut wrong) = (0, Vec::new());
    for (file, source) in sources() {
        for arguments in calls_of("Problem::new(", &source) {
            let mut arguments = arguments.split(',').map(str::trim);
            let (status, code) = (arguments.next().unwrap(), arguments.next().unwrap_or_default());
            let code = code.strip_prefix('"').and_then(|code| code.split_once('"'));
            let (Ok(status), Some((code, _))) = (status.parse::<u16>(), code) else {
                if !NOT_LITERAL.iter().any(|known| file.ends_with(known)) {
                    wrong.push(format!("{file}: a problem of no literal code"));
                }
                continue;
            };
            made += 1;
            let is_listed = PROBLEMS.iter().any(|row| (row.shown, row.status) == (code, status));
            if !is_listed && !OF_COMMANDS.contains(&code) {
                wrong.push(format!("{file}: {status} {code}"));
            }
        }
        for asked in
            calls_of("problem_for(", &source).filter_map(|asked| asked.trim_start().strip_prefix('"'))
        {
            let code = asked.split('"').next().unwrap();
            made += 1;
            if !PROBLEMS.iter().any(|row| row.code == code) {
                wrong.push(format!("{file}: {code}"));
            }
        }
    }
    assert!(made > 40, "{made} problems are found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What stands behind each call of `name`, which is not the end of a longer name.
fn calls_of<'a>(name: &'a str, source: &'a str) -> impl Iterator<Item = &'a str> {
    source.match_indices(name).filter_map(move |(start, _)| {
        let (before, call) = source.split_at_checked(start)?;
        let is_longer = before.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        if is_longer { None } else { call.strip_prefix(name) }
    })
}

/// The sources of the crates and of the control plane, without comments and without unit tests.
fn sources() -> Vec<(String, String)> {
    let crates = fs::read_dir(repository().join("crates")).unwrap();
    let mut folders: Vec<PathBuf> = crates.map(|entry| entry.unwrap().path().join("src")).collect();
    folders.push(repository().join("examples/control-plane/src"));
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                let code = source.split("#[cfg(test)]\nmod tests").next().unwrap().lines();
                let code: Vec<&str> = code.filter(|line| !line.trim_start().starts_with("//")).collect();
                sources.push((path.display().to_string(), code.join("\n")));
            }
        }
    }
    sources
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only read by serde")]
struct Role {
    name: String,
}

#[tokio::test]
async fn a_problem_looks_exactly_like_this() {
    let app = router([("/roles", post(async |_role: StrictJson<Role>| "done"))]);
    let layer = edge().with_proxies(TrustedProxies::parse(["10.0.0.1"]).unwrap());
    let request = request("POST", "/roles")
        .header("content-type", "application/json")
        .header("x-request-id", "0193a1b2-0000-7000-8000-000000000001");
    let request = from_peer(request.body(Body::from(r#"{"name":7}"#)).unwrap(), "10.0.0.1:1");
    let response = send(layer.layer(app), request).await;
    let mut lines = vec![response.status().to_string()];
    lines.extend(
        response.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())),
    );
    lines[1..].sort();
    lines.push(text(response).await);
    let golden = r#"422 Unprocessable Entity
cache-control: no-store
content-security-policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'
content-type: application/problem+json
cross-origin-embedder-policy: require-corp
cross-origin-opener-policy: same-origin
cross-origin-resource-policy: same-origin
permissions-policy: camera=(), geolocation=(), microphone=(), payment=(), usb=()
referrer-policy: no-referrer
x-content-type-options: nosniff
x-frame-options: DENY
x-request-id: 0193a1b2-0000-7000-8000-000000000001
{"type":"urn:stylobate:problem:validation","title":"Unprocessable Content","status":422,"code":"validation","detail":"The request does not have the expected form.","request_id":"0193a1b2-0000-7000-8000-000000000001","errors":[{"field":"name","code":"invalid_type","message":"expected a string"}]}"#;
    assert_eq!(lines.join("\n"), golden);
}
