//! People of a replaced system keep their passwords.

use serde_json::json;
use stylobate_tests::{Engine, TestApp};

stylobate_tests::both_engines!(
    imported_people_sign_in_and_are_rehashed,
    refused_rows_are_named_and_the_rest_is_done
);

/// What bcrypt 4.0.1 (cost 10) and passlib 1.7.4 (`pbkdf2_sha256`, its default rounds) made of this.
const PASSWORD: &str = "quarry moss lantern";
const BCRYPT: &str = "$2b$10$d2FDUJr16pABXHfGLFptDu6tK3j4/Co9PZuhjGAfZgak1iZRn2uyO";
const PBKDF2: &str =
    "$pbkdf2-sha256$29000$DWFMScl5b20NAcDY29ubcw$yRgRrpsfhmjBUbywIgcOizW94y9bLnkEi.NJ8XqRcdI";

async fn imports(app: &TestApp, name: &str, text: &str, options: &[&str]) -> stylobate_tests::Run {
    let path = app.place.folder().join(name);
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    let arguments: Vec<&str> = ["import-people", &path].into_iter().chain(options.iter().copied()).collect();
    app.program().run(&arguments).await
}

/// A1: users of the old systems sign in on day one.
async fn imported_people_sign_in_and_are_rehashed(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let old = json!({
        "email": "bea@old.example", "first_name": "Bea", "last_name": "Smith", "username": "bea", "password_hash": BCRYPT,
    });
    let ndjson = format!("{old}\n");
    let csv = format!(
        "username,email,first_name,last_name,password_hash,is_active\n\
         pam,pam@old.example,Pam,Jones,{PBKDF2},true\nout,out@old.example,Out,Gone,{PBKDF2},false\n"
    );
    let text = imports(&app, "people.ndjson", &ndjson, &["--dry-run"]).await.expect_success();
    assert!(text.contains("1 would be imported, 0 there already, 0 refused"), "{text}");
    app.anonymous().try_login("bea", PASSWORD).await.problem(401, "invalid_credentials");

    imports(&app, "people.ndjson", &ndjson, &[]).await.expect_success();
    imports(&app, "people.csv", &csv, &[]).await.expect_success();
    assert_eq!(app.place.password_hash("bea@old.example").await, BCRYPT);
    assert_eq!(app.place.password_hash("pam@old.example").await, PBKDF2);
    for (name, email) in [("bea", "bea@old.example"), ("pam", "pam@old.example")] {
        app.anonymous().try_login(name, "quarry moss lanterns").await.problem(401, "invalid_credentials");
        let person = app.anonymous().login(name, PASSWORD).await;
        assert_eq!(person.get("/auth/me").await.expect(200)["email"], email);
        let hash = app.place.password_hash(email).await;
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        app.anonymous().login(email, PASSWORD).await;
        assert_eq!(app.place.password_hash(email).await, hash, "once");
    }
    app.anonymous().try_login("out", PASSWORD).await.problem(401, "invalid_credentials");

    // Again: nothing is done twice, and nobody gets the old password back.
    let body = json!({ "current_password": PASSWORD, "new_password": "gravel thimble orchard nine" });
    app.anonymous().login("bea", PASSWORD).await.post("/auth/password-change", body).await.expect(200);
    let text = imports(&app, "people.ndjson", &ndjson, &[]).await.expect_success();
    assert!(text.contains("line 1: there already") && text.contains("0 imported, 1 there already"), "{text}");
    app.anonymous().try_login("bea", PASSWORD).await.problem(401, "invalid_credentials");
    app.anonymous().login("bea", "gravel thimble orchard nine").await;

    let records = admin.all("/audit-events?action=auth.password_import").await;
    assert_eq!(records.len(), 3, "{records:?}");
    let text = serde_json::to_string(&records).unwrap();
    assert!(text.contains("bcrypt") && text.contains("pbkdf2") && !text.contains("$2b$"), "{text}");
}

async fn refused_rows_are_named_and_the_rest_is_done(engine: Engine) {
    let app = TestApp::start(engine).await;
    let row = |name: &str, hash: &str| {
        json!({
            "email": format!("{name}@old.example"), "first_name": "A", "last_name": "B", "username": name,
            "password_hash": hash,
        })
        .to_string()
    };
    let taken =
        json!({ "email": "new@old.example", "first_name": "A", "last_name": "B", "username": "admin" });
    let lines = [
        row("one", "5f4dcc3b5aa765d61d8327deb882cf99"),
        row("two", &BCRYPT.replace("$10$", "$31$")),
        row("three", &BCRYPT[..59]),
        "{".to_owned(),
        row("four", BCRYPT),
        row("four", BCRYPT),
        taken.to_string(),
        json!({ "email": "no address", "first_name": "", "last_name": "B" }).to_string(),
        row("five", PBKDF2),
    ];
    let run = imports(&app, "people.ndjson", &lines.join("\n"), &[]).await;
    assert!(!run.success, "{}", run.text);
    for expected in [
        "line 1: refused, password_hash_unknown:",
        "line 2: refused, password_hash_too_costly: the stored bcrypt hash asks for a cost of 31",
        "line 3: refused, password_hash_malformed:",
        "line 4: refused, import_row_malformed:",
        "line 6: refused, import_repeated: the e-mail address or username stands on line 5 already",
        "line 7: refused, username_taken:",
        "line 8: refused, validation:",
        "2 imported, 0 there already, 7 refused (import_incomplete)",
    ] {
        assert!(run.text.contains(expected), "no `{expected}` in {}", run.text);
    }
    assert!(!run.text.contains("$2b$") && !run.text.contains("5f4dcc3b"), "{}", run.text);
    app.anonymous().login("four", PASSWORD).await;
    app.anonymous().login("five", PASSWORD).await;
}
