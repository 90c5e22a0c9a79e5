//! The checker of writes notices what it is for: a test of the tests.

use stylobate_tests::{Client, Engine, Ledger, Load, TestApp, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_and_unaudited_writes_are_noticed() {
    let app = TestApp::start(Engine::Sqlite).await;
    let client = app.administrator().await;
    let ledger = written(&client).await;
    let verdict = ledger.check_everything(&client).await;
    assert!(verdict.is_sound() && ledger.writes() >= 40, "{verdict:?}");

    let one = "(SELECT id FROM people WHERE version > 2 LIMIT 1)";
    app.place.sql(&format!("UPDATE people SET version = version + 1 WHERE id = {one}")).await;
    let verdict = ledger.check_everything(&client).await;
    assert_eq!((verdict.unaudited.len(), verdict.lost_names.len()), (1, 0), "{verdict:?}");
    app.place.sql(&format!("UPDATE people SET version = version - 2 WHERE id = {one}")).await;
    let verdict = ledger.check_everything(&client).await;
    assert_eq!((verdict.unaudited.len(), verdict.lost_names.len()), (1, 1), "{verdict:?}");
    app.place.sql("DELETE FROM memberships WHERE person_id = (SELECT id FROM people WHERE email LIKE 'w0-%' LIMIT 1)").await;
    let verdict = ledger.check_everything(&client).await;
    assert_eq!(verdict.lost_people.len(), 1, "{verdict:?}");
    assert!(!verdict.invented.is_empty(), "{verdict:?}");
}

async fn written(client: &Client) -> Ledger {
    let load = Load::start(client, 2, 0, 7);
    eventually("writes to be acknowledged", async || (load.acknowledged() >= 40).then_some(())).await;
    load.stop().await
}
