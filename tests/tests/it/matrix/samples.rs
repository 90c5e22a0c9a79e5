use stylobate_tests::{
    Engine, TestApp,
    matrix::{Operation, dead_rows, operations, sample},
};

use super::mass_assignment::TAKEN;

async fn documented() -> Vec<Operation> {
    let app = TestApp::builder(Engine::Sqlite).env("TENANCY_MODE", "multi").without_administrator();
    operations(&app.start().await.anonymous()).await
}

/// A route that is added without a row here is not tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_has_a_row() {
    let operations = documented().await;
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
}

/// An exception that is of nothing any more would be one for whatever comes to have its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_has_a_route() {
    let operations = documented().await;
    let mut dead = dead_rows(&operations);
    for row @ (method, path, name, _) in TAKEN {
        let is_it = |operation: &Operation| operation.is(method, path) && !operation.fields.contains(name);
        if !operations.iter().any(is_it) {
            dead.push(format!("TAKEN: {row:?}"));
        }
    }
    assert!(dead.is_empty(), "no operation has a use for these any more:\n{}", dead.join("\n"));
}
