//! What an operator sets about passwords.

use serde_json::{Value, json};
use stylobate_tests::{Engine, PASSWORD, Place, Program, TestApp};

const BREACHED: &str = "gravel thimble orchard nine";
const WEAK: &str = "abcdefghijklmnopqrst";
const SOUND: &str = "an orchard of 12 pear trees";
/// The SHA-1 of [`BREACHED`] with a count, as the published list has it.
const LIST: &str = "4C00BA7EFC03C55CF157B2E71A5C0E8CCC0F3731:3\r\n";

/// A1, ASVS 6.2.12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breached_and_weak_passwords_are_refused_and_hashes_are_keyed_where_it_is_set() {
    let place = Place::new(Engine::Sqlite).await;
    let (list, index) = (place.folder().join("list.txt"), place.folder().join("breaches.idx"));
    std::fs::write(&list, LIST).unwrap();
    let (list, index) = (list.display().to_string(), index.display().to_string());
    let program = Program::at(&place);
    let text = program.run(&["breach-index", "build", &list, "--output", &index]).await.expect_success();
    assert!(text.contains("1 passwords of 1 lines"), "{text}");
    program.run(&["breach-index", "verify", &index]).await.expect_success();
    let run = program.run(&["breach-index", "verify", &list]).await;
    assert!(!run.success && run.text.contains("breach_index_unknown"), "{}", run.text);

    let pepper = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let app = TestApp::builder(Engine::Sqlite)
        .env("PASSWORD_BREACH_INDEX", &index)
        .env("PASSWORD_STRENGTH_MIN", "3")
        .env("PASSWORD_PEPPER", "env://THE_PEPPER")
        .env("THE_PEPPER", pepper)
        .start()
        .await;
    let admin = app.administrator().await;
    let change = async |new: &str| {
        let body = json!({ "current_password": PASSWORD, "new_password": new });
        admin.post("/auth/password-change", body).await
    };
    for (new, code) in [(BREACHED, "breached"), (WEAK, "too_weak")] {
        let problem = change(new).await.problem_of(422, "validation", "new_password");
        let codes: Vec<&Value> =
            problem["errors"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
        assert_eq!(codes, [code], "{problem}");
    }
    change(SOUND).await.expect(200);
    let hash = app.place.password_hash("admin@example.org").await;
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1,keyid=MQ$"), "{hash}");
    app.anonymous().login("admin", SOUND).await;
}

/// A34
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_password_settings_stops_the_start() {
    let place = Place::new(Engine::Sqlite).await;
    for (name, value) in [
        ("PASSWORD_PEPPER", "1:c2hvcnQ="),
        ("PASSWORD_MEMORY_KIB", "1024"),
        ("PASSWORD_BREACH_INDEX", "/nowhere/at/all"),
    ] {
        let run = Program::at(&place).env(name, value).run(&["seed-rbac"]).await;
        let is_named = run.text.contains(name) || run.text.contains("password_breach_index");
        assert!(!run.success && is_named && run.text.contains("settings_invalid"), "{}", run.text);
        assert!(!run.text.contains("c2hvcnQ"), "{}", run.text);
    }
}
