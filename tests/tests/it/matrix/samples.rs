use std::{fs, path::Path};

use stylobate_tests::{
    Engine, TestApp,
    matrix::{operations, sample},
};

/// A route that is added without a row here is not tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_has_a_row() {
    let app = TestApp::builder(Engine::Sqlite).without_administrator().start().await;
    let operations = operations(&app.anonymous()).await;
    let without_body: Vec<String> = operations
        .iter()
        .filter(|operation| operation.takes_json() && !operation.is_alias())
        .filter(|operation| sample(&operation.method, &operation.canonical).is_none())
        .map(ToString::to_string)
        .collect();
    assert!(
        without_body.is_empty(),
        "add a body to tests/src/matrix/samples.rs for:\n{}",
        without_body.join("\n")
    );
    let file = "tests/it/matrix/snapshots/it__matrix__access_table__roles_and_routes.snap";
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let missing: Vec<String> = operations
        .iter()
        .map(ToString::to_string)
        .filter(|operation| !table.lines().any(|line| line.starts_with(&format!("{operation}: "))))
        .collect();
    assert!(
        missing.is_empty(),
        "say who may ask, by `cargo insta review` of `roles_and_routes`:\n{}",
        missing.join("\n")
    );
}
