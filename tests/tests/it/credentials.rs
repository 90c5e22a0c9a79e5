//! Credentials as administrators see and change them.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use stylobate_tests::{Client, Engine, PASSWORD, TestApp, eventually};

stylobate_tests::both_engines!(
    credentials_are_made_changed_and_removed,
    a_locked_account_is_seen_and_unlocked,
    accounts_are_out_of_reach_of_lesser_administrators
);

const NEW: &str = "an orchard of 12 pear trees";

async fn credentials_are_made_changed_and_removed(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let anonymous = app.anonymous();
    let body = json!({ "first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.org" });
    let person = admin.post("/people", body).await.expect(201);
    let person = person["id"].as_str().unwrap().to_owned();
    let path = format!("/user-credentials/{person}");
    admin.get(&path).await.problem(404, "not_found");
    anonymous.try_login("ada@example.org", PASSWORD).await.problem(401, "invalid_credentials");

    let new = json!({
        "person_id": person, "provider": "local", "username": "ada", "password": PASSWORD,
        "failed_login_attempts": 0, "locked_until": null,
    });
    let weak = json!({ "person_id": person, "password": "lovelace" });
    admin.post("/user-credentials", weak).await.problem_of(422, "validation", "password");
    let own_name = json!({ "person_id": person, "username": "lovelace", "password": "lovelace-lovelace-1" });
    admin.post("/user-credentials", own_name).await.problem_of(422, "validation", "password");
    let made = admin.post("/user-credentials", new.clone()).await.expect(201);
    assert_eq!((&made["id"], &made["person_id"]), (&json!(person), &json!(person)));
    assert_eq!((&made["provider"], &made["username"]), (&json!("local"), &json!("ada")));
    assert_eq!((&made["is_active"], &made["failed_login_attempts"]), (&json!(true), &json!(0)));
    assert_eq!((&made["locked_until"], &made["last_login_at"]), (&Value::Null, &Value::Null));
    assert!(!made.to_string().contains("argon2") && made.get("password").is_none(), "{made}");
    admin.post("/user-credentials", new).await.problem(409, "credential_exists");
    assert_eq!(admin.all("/people?search=ada").await.len(), 1, "the list finds the new name");

    let ada = anonymous.login("ada", PASSWORD).await;
    let seen = admin.get(&path).await.expect(200);
    assert!(seen["last_login_at"].as_str() > seen["created_at"].as_str(), "{seen}");
    assert_eq!(seen["password_updated_at"], made["password_updated_at"]);

    refused_changes(&admin, &path, &seen).await;
    filters(&admin, &person).await;

    // A new password ends what was begun with the old one (A5).
    let changed =
        admin.patch(&path, json!({ "password": NEW, "must_change_password": true })).await.expect(200);
    assert!(changed["password_updated_at"].as_str() > made["password_updated_at"].as_str(), "{changed}");
    assert_eq!(changed["must_change_password"], true);
    ada.get("/auth/whoami").await.problem(401, "unauthenticated");
    anonymous.try_login("ada", PASSWORD).await.problem(401, "invalid_credentials");
    anonymous.try_login("ada", NEW).await.problem(428, "must_change_password");
    admin.patch(&path, json!({ "must_change_password": false })).await.expect(200);
    let ada = anonymous.login("ada", NEW).await;

    // Off, it is as if there were none.
    let off = admin.patch(&path, json!({ "is_active": false, "username": null })).await.expect(200);
    assert_eq!((&off["is_active"], &off["username"]), (&json!(false), &Value::Null));
    ada.get("/auth/whoami").await.problem(401, "unauthenticated");
    let refresh = json!({ "refresh_token": ada.refresh_token });
    anonymous.post("/auth/refresh", refresh).await.problem(401, "refresh_invalid");
    anonymous.try_login("ada@example.org", NEW).await.problem(401, "invalid_credentials");
    admin.patch(&path, json!({ "is_active": true })).await.expect(200);
    let ada = anonymous.login("ada@example.org", NEW).await;

    admin.delete(&path).await.expect(204);
    ada.get("/auth/whoami").await.problem(401, "unauthenticated");
    admin.get(&path).await.problem(404, "not_found");
    admin.delete(&path).await.problem(404, "not_found");
    anonymous.try_login("ada@example.org", NEW).await.problem(401, "invalid_credentials");
    admin.get(&format!("/people/{person}")).await.expect(200);
}

/// C21: neither hashes nor facts come from outside, and a refusal changes nothing.
async fn refused_changes(admin: &Client, path: &str, before: &Value) {
    for (body, field) in [
        (json!({ "password_hash": "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA" }), "password_hash"),
        (json!({ "password_updated_at": "2026-01-01T00:00:00Z" }), "password_updated_at"),
        (json!({ "last_login_at": "2026-01-01T00:00:00Z" }), "last_login_at"),
        (json!({ "id": "0191e000-0000-7000-8000-000000000001" }), "id"),
        (json!({ "person_id": "0191e000-0000-7000-8000-000000000001" }), "person_id"),
        (json!({ "provider": "sso" }), "provider"),
        (json!({ "failed_login_attempts": 4 }), "failed_login_attempts"),
        (json!({ "locked_until": "2100-01-01T00:00:00Z" }), "locked_until"),
        (json!({ "username": "a@b" }), "username"),
        (json!({ "password": "short" }), "password"),
        (json!({ "password": "p".repeat(2_000) }), "password"),
        (json!({ "is_active": "yes" }), "is_active"),
    ] {
        admin.patch(path, body).await.problem_of(422, "validation", field);
    }
    admin.patch(path, json!({ "username": "admin" })).await.problem(409, "username_taken");
    assert_eq!(&admin.get(path).await.expect(200), before);
}

async fn filters(admin: &Client, person: &str) {
    let all = admin.all("/user-credentials").await;
    assert!(all.len() >= 2, "{all:?}");
    let mut paged = Vec::new();
    let mut next = "/user-credentials?limit=1&include_total=true".to_owned();
    loop {
        let page = admin.get(&next).await.expect(200);
        assert_eq!(page["total"], all.len());
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("/user-credentials?limit=1&include_total=true&cursor={cursor}");
    }
    assert_eq!(paged, all);
    for (query, count) in [
        (format!("person_id={person}"), 1),
        (format!("person_id={person}&provider=local&is_active=true"), 1),
        (format!("person_id={person}&is_active=false"), 0),
        ("provider=sso".to_owned(), 0),
        ("is_active=false".to_owned(), 0),
    ] {
        assert_eq!(admin.all(&format!("/user-credentials?{query}")).await.len(), count, "{query}");
    }
}

async fn a_locked_account_is_seen_and_unlocked(engine: Engine) {
    let app = TestApp::builder(engine).env("LOGIN_ATTEMPT_LIMIT", "3").start().await;
    let admin = app.administrator().await;
    let anonymous = app.anonymous();
    let victim = app.person(&admin, "victim").await;
    let path = format!("/user-credentials/{}", victim.id);
    let lock = async || {
        for _ in 0..3 {
            anonymous.try_login("victim", "a wrong password of theirs").await;
        }
        anonymous.try_login("victim", PASSWORD).await.problem(429, "login_throttled");
        let seen = admin.get(&path).await.expect(200);
        assert_eq!(seen["failed_login_attempts"], 3, "{seen}");
        assert!(seen["locked_until"].as_str() > seen["updated_at"].as_str(), "{seen}");
    };
    for clear in [json!({ "locked_until": null }), json!({ "failed_login_attempts": 0 })] {
        lock().await;
        let seen = admin.patch(&path, clear).await.expect(200);
        assert_eq!((&seen["failed_login_attempts"], &seen["locked_until"]), (&json!(0), &Value::Null));
        anonymous.login("victim", PASSWORD).await;
    }
    lock().await;
    let unlock = format!("/people/{}/unlock", victim.id);
    victim.client.send(Method::POST, &unlock, None).await.problem(403, "permission_denied");
    // Twice: what is unlocked stays so.
    for _ in 0..2 {
        admin.send(Method::POST, &unlock, None).await.expect(204);
    }
    assert_eq!(admin.get(&path).await.expect(200)["locked_until"], Value::Null);
    anonymous.login("victim", PASSWORD).await;
    victim.client.get("/auth/me").await.expect(200);
}

/// A12, A11: whoever looks after people of an organisation takes over nobody who may do more.
async fn accounts_are_out_of_reach_of_lesser_administrators(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let desk = app.person(&admin, "desk").await;
    let peer = app.person(&admin, "peer").await;
    let role = admin.post("/roles", json!({ "name": "desk" })).await.expect(201);
    let role = role["id"].as_str().unwrap().to_owned();
    for key in [
        "user.credential.update",
        "user.credential.delete",
        "user.credential.read",
        "user.unlock",
        "session.revoke",
    ] {
        let found = admin.all(&format!("/permissions?search={key}")).await;
        let id = found.iter().find(|permission| permission["key"] == key).expect(key)["id"].clone();
        let attach = json!({ "permission_id": id });
        admin.post(&format!("/roles/{role}/permissions"), attach).await.expect(201);
    }
    admin.post(&format!("/people/{}/roles", desk.id), json!({ "role_id": role })).await.expect(201);
    let desk = desk.client;
    let credential = |id: &str| format!("/user-credentials/{id}");

    // Somebody without a role, and somebody with the same one.
    desk.patch(&credential(&peer.id), json!({ "password": NEW })).await.expect(200);
    // Somebody of the organisation who may do more keeps their password, and may be unlocked.
    let manager = app.person(&admin, "manager").await;
    let more = admin.all("/roles?search=operator").await;
    let more = json!({ "role_id": more[0]["id"] });
    admin.post(&format!("/people/{}/roles", manager.id), more).await.expect(201);
    let refused = desk.patch(&credential(&manager.id), json!({ "password": NEW })).await;
    refused.problem(403, "beyond_own_permissions");
    let renamed = desk.patch(&credential(&manager.id), json!({ "username": "renamed" })).await;
    renamed.problem(403, "beyond_own_permissions");
    for (method, body) in [
        (Method::PATCH, Some(json!({ "is_active": false }))),
        (Method::PATCH, Some(json!({ "must_change_password": true }))),
        (Method::DELETE, None),
    ] {
        let refused = desk.send(method, &credential(&manager.id), body.as_ref()).await;
        refused.problem(403, "beyond_own_permissions");
    }
    desk.patch(&credential(&manager.id), json!({ "failed_login_attempts": 0 })).await.expect(200);
    manager.client.get("/auth/me").await.expect(200);

    // Nobody of the platform, by no way.
    let super_admin = admin.get("/auth/me").await.expect(200)["id"].as_str().unwrap().to_owned();
    let session = admin.get("/auth/whoami").await.expect(200)["session"].as_str().unwrap().to_owned();
    for (method, path, body) in [
        (Method::PATCH, credential(&super_admin), Some(json!({ "password": NEW }))),
        (Method::PATCH, credential(&super_admin), Some(json!({ "is_active": false }))),
        (Method::PATCH, credential(&super_admin), Some(json!({ "locked_until": null }))),
        (Method::DELETE, credential(&super_admin), None),
        (Method::POST, format!("/people/{super_admin}/unlock"), None),
        (Method::DELETE, format!("/people/{super_admin}/sessions"), None),
        (Method::DELETE, format!("/sessions/{session}"), None),
    ] {
        desk.send(method, &path, body.as_ref()).await.problem(403, "platform_owned");
    }
    admin.get("/auth/me").await.expect(200);

    // Nobody their own, and the last administrator stays.
    for (method, body) in [(Method::PATCH, Some(json!({ "password": NEW }))), (Method::DELETE, None)] {
        let own = admin.send(method, &credential(&super_admin), body.as_ref()).await;
        own.problem(409, "own_account");
    }
    app.create_superuser("second").await;
    let second = app.login("second").await;
    let second_id = second.get("/auth/me").await.expect(200)["id"].as_str().unwrap().to_owned();
    stylobate_tests::eventually("the second administrator's role", async || {
        (second.get("/people?limit=1").await.status == 200).then_some(())
    })
    .await;
    admin.delete(&credential(&second_id)).await.expect(204);
    // The second cannot sign in any more, so the first one has to be able to.
    app.create_superuser("third").await;
    let third = app.login("third").await;
    stylobate_tests::eventually("the third administrator's role", async || {
        (third.get("/people?limit=1").await.status == 200).then_some(())
    })
    .await;
    third.patch(&credential(&super_admin), json!({ "is_active": false })).await.expect(200);
    admin.get("/auth/me").await.problem(401, "unauthenticated");

    // Somebody of several organisations belongs to none of them alone.
    shared_people(&app, &third).await;
}

async fn shared_people(app: &TestApp, admin: &Client) {
    let both = app.person(admin, "both").await;
    app.place.join_other_org(&both.id).await;
    let path = format!("/user-credentials/{}", both.id);
    for body in [
        json!({ "password": NEW }),
        json!({ "is_active": false }),
        json!({ "must_change_password": true }),
        json!({ "locked_until": null }),
    ] {
        admin.patch(&path, body).await.problem(403, "shared_person");
    }
    admin.delete(&path).await.problem(403, "shared_person");
    admin
        .send(Method::POST, &format!("/people/{}/unlock", both.id), None)
        .await
        .problem(403, "shared_person");
    let flag = json!({ "must_change_password": true });
    admin.patch(&format!("/people/{}", both.id), flag).await.problem(403, "shared_person");
    // Their sessions for this organisation are its own to end.
    admin.delete(&format!("/people/{}/sessions", both.id)).await.expect(200);
    both.client.get("/auth/whoami").await.problem(401, "unauthenticated");
}

/// A12: whoever joins another organisation meanwhile is not this one's to take over. On SQLite one writer comes after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_taken_over_while_they_join_another_organisation() {
    let app = TestApp::builder(Engine::Postgres).env("TENANCY_MODE", "multi").start().await;
    let root = app.administrator().await;
    let other = crate::members::other_org(&root, "other").await;
    let bob = app.person(&root, "bob").await;
    let mut joining = PgConnection::connect(&app.place.superuser_url().unwrap()).await.unwrap();
    let join = format!(
        "BEGIN; SELECT id FROM people WHERE id = '{id}' FOR NO KEY UPDATE; \
         INSERT INTO memberships (tenant_id, person_id, status, created_at, updated_at) \
         VALUES ('{other}', '{id}', 'active', now(), now())",
        id = bob.id,
    );
    sqlx::raw_sql(AssertSqlSafe(join)).execute(&mut joining).await.unwrap();
    let path = format!("/user-credentials/{}", bob.id);
    let change = root.patch(&path, json!({ "password": NEW }));
    let joined = async {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN \
                       (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
        let waits = async || (app.place.count(waiting).await > 0).then_some(());
        eventually("the change to wait", waits).await;
        sqlx::raw_sql("COMMIT").execute(&mut joining).await.unwrap();
    };
    let (refused, ()) = tokio::join!(change, joined);
    refused.problem(403, "shared_person");
    let sign_in = json!({ "username": "bob", "password": PASSWORD, "org_code": "other" });
    app.anonymous().post("/auth/login", sign_in).await.expect(200);
}
