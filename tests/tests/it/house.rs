//! The rules of the house, held against the manifests and the dependency graph.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// On which floor each package stands. A package that is not here does not belong to the house yet.
const FLOORS: [(&str, u8); 23] = [
    ("stylobate-core", 0),
    ("stylobate-db", 1),
    ("stylobate-egress", 1),
    ("stylobate-auth", 2),
    ("stylobate-tenancy", 2),
    ("stylobate-rbac", 2),
    ("stylobate-observability", 2),
    ("stylobate-audit", 2),
    ("stylobate-events", 2),
    ("stylobate-jobs", 2),
    ("stylobate-notify", 2),
    ("stylobate-tower-middleware", 3),
    ("stylobate-endpoints", 3),
    ("stylobate", 4),
    ("control-plane", 5),
    ("jobs-and-schedules", 5),
    ("minimal", 5),
    ("notify-only", 5),
    ("outbox-to-rabbitmq", 5),
    ("rbac-only", 5),
    ("resource-server", 5),
    ("signed-service", 5),
    ("stylobate-testkit", 2), // beside the house: it stands on the floors below 2
];

/// The one step on the same floor: routers answer with the problems that the layers speak.
const SAME_FLOOR: (&str, &str) = ("stylobate-endpoints", "stylobate-tower-middleware");

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn house() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap()
}

fn floor(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}

/// The packages of the house that `package` needs, for itself or, with `kind`, for its tests.
fn ours(package: &Package, kind: DependencyKind) -> Vec<&str> {
    let dependencies = package.dependencies.iter().filter(|dependency| dependency.kind == kind);
    dependencies.map(|dependency| dependency.name.as_str()).filter(|name| floor(name).is_some()).collect()
}

fn libraries(house: &Metadata) -> Vec<&Package> {
    house
        .packages
        .iter()
        .filter(|package| package.name.as_str().starts_with("stylobate") && is_in_crates(package))
        .collect()
}

fn is_in_crates(package: &Package) -> bool {
    package.manifest_path.parent().unwrap().parent().unwrap().ends_with("crates")
}

#[test]
fn a_crate_depends_only_on_lower_floors() {
    for package in &house().packages {
        let Some(own) = floor(&package.name) else { continue };
        for needed in
            ours(package, DependencyKind::Normal).into_iter().chain(ours(package, DependencyKind::Build))
        {
            let is_lower = floor(needed).unwrap() < own;
            assert!(
                is_lower || (package.name.as_str(), needed) == SAME_FLOOR,
                "{} depends on {needed}",
                package.name
            );
        }
        for needed in ours(package, DependencyKind::Development) {
            let is_fine = needed == "stylobate-testkit"
                || needed == package.name.as_str()
                || floor(needed).unwrap() < own;
            assert!(is_fine, "the tests of {} depend on {needed}", package.name);
        }
    }
}

#[test]
fn every_crate_stands_on_a_floor() {
    for package in libraries(&house()) {
        assert!(floor(&package.name).is_some(), "{} stands on no floor: add it to FLOORS", package.name);
    }
}

#[test]
fn a_folder_is_called_as_its_package() {
    for package in &house().packages {
        let folder = package.manifest_path.parent().unwrap().file_name().unwrap();
        let expected = match folder {
            "stylobate" => folder.to_owned(),
            _ if is_in_crates(package) => format!("stylobate-{folder}"),
            "tests" | "benches" => format!("stylobate-{folder}"),
            _ => folder.to_owned(),
        };
        assert_eq!(package.name.as_str(), expected);
    }
}

#[test]
fn examples_need_nothing_but_the_facade() {
    for package in house().packages.iter().filter(|package| floor(&package.name) == Some(5)) {
        let needed: &[&str] = match package.name.as_str() {
            // Its point is how little a service needs that only checks tokens.
            "resource-server" => &["stylobate-auth", "stylobate-core", "stylobate-tower-middleware"],
            // Its point is that services know each other by their keys, and nothing more.
            "signed-service" => {
                &["stylobate-auth", "stylobate-core", "stylobate-db", "stylobate-tower-middleware"]
            }
            // Its point is that jobs need a database and nothing else.
            "jobs-and-schedules" => &["stylobate-core", "stylobate-db", "stylobate-jobs"],
            // Its point is that a service that tells of its changes needs nothing more.
            "outbox-to-rabbitmq" => &["stylobate-core", "stylobate-db", "stylobate-events"],
            // Its point is that mails from templates need no database.
            "notify-only" => &["stylobate-core", "stylobate-notify"],
            // Its point is that checks need neither a server nor a database.
            "rbac-only" => &["stylobate-core", "stylobate-rbac"],
            _ => &["stylobate"],
        };
        assert_eq!(ours(package, DependencyKind::Normal), needed, "{}", package.name);
        assert!(ours(package, DependencyKind::Build).is_empty());
    }
}

#[test]
fn only_libraries_are_published() {
    for package in &house().packages {
        let is_kept = package.publish.as_ref().is_some_and(Vec::is_empty);
        let is_private = !is_in_crates(package) || package.name.as_str() == "stylobate-testkit";
        assert_eq!(is_kept, is_private, "{}", package.name);
    }
}

/// SECURITY A33
#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let lints = manifest(&root());
    assert_eq!(lints["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for package in &house().packages {
        let own = manifest(package.manifest_path.parent().unwrap().as_std_path());
        let Some(lints) = own.get("lints") else { panic!("{} has no lints", package.name) };
        let inherits = lints.get("workspace").and_then(toml::Value::as_bool) == Some(true);
        let says_so = lints.get("rust").and_then(|rust| rust.get("unsafe_code")?.as_str()) == Some("forbid");
        // Developer commands print and panic as they like; this one rule is theirs too.
        assert!(inherits || says_so, "{} does not forbid unsafe code", package.name);
    }
}

fn manifest(folder: &std::path::Path) -> toml::Table {
    fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap()
}

#[test]
fn only_the_third_floor_knows_server_side_http() {
    let servers = ["axum", "axum-core", "tower-http", "hyper-util", "tower"];
    for package in libraries(&house()).into_iter().filter(|package| floor(&package.name) < Some(3)) {
        let mut normal =
            package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
        let knows = normal.find(|dependency| {
            let is_client = dependency.features.iter().any(|feature| feature.starts_with("client"));
            servers.contains(&dependency.name.as_str()) && !is_client
        });
        assert!(knows.is_none(), "{} depends on {}", package.name, knows.unwrap().name);
    }
}

#[test]
fn no_crate_needs_a_database_a_cache_or_a_network_by_default() {
    // By the packages that open connections: the names of a driver, not of the vocabulary around it.
    let drivers = ["sqlx-postgres", "sqlx-sqlite", "libsqlite3-sys", "redis", "deadpool-redis", "reqwest"];
    let beyond = BTreeMap::from([("sqlx", 1), ("axum", 3), ("hyper", 3)]);
    let house = house();
    for package in
        libraries(&house).into_iter().filter(|package| package.name.as_str() != "stylobate-testkit")
    {
        let own = floor(&package.name).unwrap();
        for needed in default_graph(&package.name) {
            assert!(!drivers.contains(&needed.as_str()), "{} needs {needed} by default", package.name);
            // db is about sqlx, jobs about tables, and floors 3 and 4 about HTTP; everybody else comes without.
            let allowed = match beyond.get(needed.as_str()) {
                Some(1) => own == 1 || own >= 3 || package.name.as_str() == "stylobate-jobs",
                Some(floor) => own >= *floor,
                None => true,
            };
            assert!(allowed, "{} needs {needed} by default", package.name);
        }
    }
}

/// Everything that a package brings along with its default features.
fn default_graph(package: &str) -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.current_dir(root()).args([
        "tree",
        "--locked",
        "--offline",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
    ]);
    let output = tree.args(["--format", "{p}", "--package", package]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn features_are_called_the_same_everywhere() {
    let parts = [
        "client",
        "live",
        "postgres",
        "rabbitmq",
        "sqlite",
        "sql",
        "redis",
        "axum",
        "otlp",
        "openbao",
        "vault",
        "openapi",
        "metrics",
        "server",
        "smtp",
        "legacy-hashes",
        "zxcvbn",
        "remote-jwks",
        "breach-range",
        "webhooks",
        "casbin",
    ];
    let others = ["default", "full", "conformance"];
    let house = house();
    for package in libraries(&house) {
        for feature in package.features.keys() {
            let is_crate = floor(&format!("stylobate-{feature}")).is_some();
            let is_known =
                is_crate || parts.contains(&feature.as_str()) || others.contains(&feature.as_str());
            assert!(is_known, "{} calls a feature {feature}", package.name);
        }
        let default = package.features.get("default");
        assert!(default.is_none_or(Vec::is_empty), "{} has default features", package.name);
    }
}

#[test]
fn modules_are_files_beside_their_folders() {
    let mut folders =
        vec![root().join("crates"), root().join("examples"), root().join("tests"), root().join("xtask")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            assert_ne!(entry.file_name(), "mod.rs", "{}", entry.path().display());
            if entry.file_type().unwrap().is_dir() && entry.file_name() != "target" {
                folders.push(entry.path());
            }
        }
    }
}

#[test]
fn cargo_run_starts_the_control_plane() {
    let workspace = manifest(&root());
    let default = workspace["workspace"]["default-members"].as_array().unwrap();
    assert_eq!(
        default.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>(),
        ["examples/control-plane"]
    );
}
