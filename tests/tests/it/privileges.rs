//! Nobody gets by way of somebody else what they do not have themselves.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, NOBODY, PASSWORD, TestApp, eventually};

stylobate_tests::both_engines!(
    the_platform_is_not_taken_over,
    nobody_raises_themselves,
    the_platform_keeps_an_administrator,
    strangers_get_no_rules,
    the_role_of_administrators_stays_switched_on,
    who_leaves_an_organisation_leaves_with_the_sessions,
    sign_in_events_are_filed_under_the_organisation,
    what_befalls_an_account_is_not_filed_where_its_owner_has_left,
    damaged_profiles_are_not_read_as_defaults,
    commands_promote_nobody_by_name_alone
);

async fn id_of(client: &Client, path: &str, field: &str, value: &str) -> String {
    let all = client.all(path).await;
    let found = all.iter().find(|item| item[field] == value).unwrap_or_else(|| panic!("{value} in {all:?}"));
    found["id"].as_str().unwrap().to_owned()
}

/// A11: an organisation's administrator does not become the platform's.
async fn the_platform_is_not_taken_over(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let me = root.get("/auth/me").await.expect(200)["id"].as_str().unwrap().to_owned();
    let path = format!("/people/{me}");
    let manager = app.person(&root, "manager").await;
    let role = id_of(&root, "/roles", "name", "admin").await;
    let roles = format!("/people/{}/roles", manager.id);
    root.post(&roles, json!({ "role_id": role })).await.expect(201);

    let before = root.get("/auth/me").await.expect(200);
    for body in [
        json!({ "email": "manager+root@example.org" }),
        json!({ "username": "deposed" }),
        json!({ "status": "archived" }),
        json!({ "is_active": false }),
        json!({ "first_name": "Nobody" }),
    ] {
        manager.client.patch(&path, body).await.problem(403, "platform_owned");
    }
    manager.client.delete(&path).await.problem(403, "platform_owned");
    assert_eq!(root.get("/auth/me").await.expect(200), before);
    // Who has no role on the platform is the organisation's to change.
    let other = app.person(&root, "other").await;
    let other = format!("/people/{}", other.id);
    manager.client.patch(&other, json!({ "email": "new@example.org" })).await.expect(200);
    manager.client.delete(&other).await.expect(204);

    // Nor is an administrator the one of somebody with less.
    let desk = app.person(&root, "desk").await;
    let operator = id_of(&root, "/roles", "name", "operator").await;
    root.post(&format!("/people/{}/roles", desk.id), json!({ "role_id": operator })).await.expect(201);
    let target = format!("/people/{}", manager.id);
    for body in [json!({ "email": "desk+manager@example.org" }), json!({ "status": "inactive" })] {
        desk.client.patch(&target, body).await.problem(403, "beyond_own_permissions");
    }
    desk.client.patch(&target, json!({ "city": "Oslo" })).await.expect(200);

    root.patch("/auth/me", json!({ "first_name": "Ada" })).await.expect(200);
    for body in [json!({ "is_active": false }), json!({ "status": "archived" })] {
        root.patch(&path, body).await.problem(409, "last_super_administrator");
    }
    app.create_superuser("second").await;
    let second = app.login("second").await;
    eventually("the new administrator to be seen", async || {
        (second.get("/people?limit=1").await.status == 200).then_some(())
    })
    .await;
    second.patch(&path, json!({ "is_active": false })).await.expect(200);
    let path = format!("/people/{}", second.get("/auth/me").await.expect(200)["id"].as_str().unwrap());
    second.patch(&path, json!({ "is_active": false })).await.problem(409, "last_super_administrator");
}

/// A11: what somebody may hand out ends with what they have.
async fn nobody_raises_themselves(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    let role =
        root.post("/roles", json!({ "name": "clerk" })).await.expect(201)["id"].as_str().unwrap().to_owned();
    let attach = format!("/roles/{role}/permissions");
    for key in ["role.read", "role.assign", "role.perm.assign"] {
        let permission = id_of(&root, "/permissions", "key", key).await;
        root.post(&attach, json!({ "permission_id": permission })).await.expect(201);
    }
    let assign = format!("/people/{}/roles", clerk.id);
    root.post(&assign, json!({ "role_id": role })).await.expect(201);

    let admin = id_of(&root, "/roles", "name", "admin").await;
    let delete = id_of(&root, "/permissions", "key", "user.delete").await;
    let refused = clerk.client.post(&assign, json!({ "role_id": admin })).await;
    refused.problem(403, "beyond_own_permissions");
    let refused = clerk.client.post(&attach, json!({ "permission_id": delete })).await;
    refused.problem(403, "beyond_own_permissions");
    let other = app.person(&root, "other").await;
    clerk.client.post(&format!("/people/{}/roles", other.id), json!({ "role_id": role })).await.expect(201);
}

async fn the_platform_keeps_an_administrator(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let me = root.get("/auth/me").await.expect(200)["id"].as_str().unwrap().to_owned();
    let role = id_of(&root, "/roles", "name", "super_admin").await;
    root.delete(&format!("/people/{me}/roles/{role}")).await.problem(409, "last_super_administrator");
    // Who cannot sign in is of no help to anybody.
    app.create_superuser("second").await;
    let second = app.login("second").await.get("/auth/me").await.expect(200);
    let second = format!("/people/{}", second["id"].as_str().unwrap());
    root.patch(&second, json!({ "status": "inactive" })).await.expect(200);
    root.delete(&format!("/people/{me}/roles/{role}")).await.problem(409, "last_super_administrator");
    root.patch(&second, json!({ "status": "active" })).await.expect(200);
    root.delete(&format!("/people/{me}/roles/{role}")).await.expect(204);
}

/// A12: whoever is no member gets no rule, and looks like nobody.
async fn strangers_get_no_rules(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let role = id_of(&root, "/roles", "name", "operator").await;
    let read = id_of(&root, "/permissions", "key", "user.read").await;
    let clerk = app.person(&root, "clerk").await;
    let own = root.post(&format!("/people/{}/roles", clerk.id), json!({ "role_id": role })).await.expect(201);
    let link = format!("/rbac/person-roles/{}", own["id"].as_str().unwrap());
    let rule = json!({ "permission_id": read, "effect": "deny" });
    let entry = json!({ "resource_kind": "doc", "resource_id": "1", "user_id": NOBODY,
                        "permission_id": read, "effect": "deny" });
    let refused = [
        root.post(&format!("/people/{NOBODY}/roles"), json!({ "role_id": role })).await,
        root.post(&format!("/people/{NOBODY}/overrides"), rule).await,
        root.post("/acl-entries", entry).await,
        root.post("/rbac/person-roles", json!({ "person_id": NOBODY, "role_id": role })).await,
        root.patch(&link, json!({ "person_id": NOBODY })).await,
    ];
    for answer in refused {
        answer.problem(404, "not_found");
    }
}

/// A11: less than an administrator does not shut all administrators out.
async fn the_role_of_administrators_stays_switched_on(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let admin = id_of(&root, "/roles", "name", "admin").await;
    let manager = app.person(&root, "manager").await;
    root.post(&format!("/people/{}/roles", manager.id), json!({ "role_id": admin })).await.expect(201);
    let path = format!("/roles/{admin}");
    manager.client.patch(&path, json!({ "is_active": false })).await.problem(409, "declared");
    manager.client.delete(&path).await.problem(409, "declared");
    // Nor by the platform, while somebody administers the organisation.
    root.patch(&path, json!({ "is_active": false })).await.problem(409, "last_administrator");
    root.patch(&path, json!({ "description": "Heads of the house" })).await.expect(200);
}

/// A12: a session of an organisation ends with the membership, also for those who belong to another one.
async fn who_leaves_an_organisation_leaves_with_the_sessions(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let person = app.person(&root, "commuter").await;
    app.place.join_other_org(&person.id).await;
    let body = json!({ "username": "commuter", "password": PASSWORD, "org_code": "other" });
    let elsewhere = person.client.with_tokens(&app.anonymous().post("/auth/login", body).await.expect(200));

    root.delete(&format!("/people/{}", person.id)).await.expect(204);
    person.client.get("/auth/whoami").await.problem(401, "unauthenticated");
    let token = json!({ "refresh_token": person.client.refresh_token });
    app.anonymous().post("/auth/refresh", token).await.problem(401, "refresh_invalid");
    elsewhere.get("/auth/whoami").await.expect(200);
    let token = json!({ "refresh_token": elsewhere.refresh_token });
    app.anonymous().post("/auth/refresh", token).await.expect(200);
}

async fn sign_in_events_are_filed_under_the_organisation(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let person = app.person(&root, "leaver").await;
    app.anonymous().try_login("leaver", "not the password").await.problem(401, "invalid_credentials");
    let token = json!({ "refresh_token": person.client.refresh_token });
    app.anonymous().post("/auth/logout", token).await.expect(204);
    let failed = root.all(&format!("/audit-events?action=auth.login_failed&entity_id={}", person.id)).await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    let ended = root.all(&format!("/audit-events?action=auth.logout&actor_id={}", person.id)).await;
    assert_eq!(ended.len(), 1, "{ended:?}");
}

/// A12: an organisation learns nothing of those who have left it.
async fn what_befalls_an_account_is_not_filed_where_its_owner_has_left(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let person = app.person(&root, "commuter").await;
    app.place.join_other_org(&person.id).await;
    for org in ["other", "default"] {
        let body = json!({ "username": "commuter", "password": PASSWORD, "org_code": org });
        app.anonymous().post("/auth/login", body).await.expect(200);
    }
    let filed = async |action: &str, org: &str| {
        let query = format!(
            "SELECT count(*) FROM audit_events WHERE action = '{action}' AND target_id = '{}' \
             AND tenant_id = (SELECT id FROM orgs WHERE code = '{org}')",
            person.id,
        );
        app.place.count(&query).await
    };
    let befall = async || {
        app.anonymous().try_login("commuter", "not the password").await.problem(401, "invalid_credentials");
        let asked = json!({ "email": "commuter@example.org" });
        app.anonymous().post("/auth/password-reset-request", asked).await.expect(200);
    };
    let actions = ["auth.login_failed", "auth.password_reset_request"];
    // Somebody who is suspended belongs to it still.
    let member = format!("/v1/orgs/{}/members/{}", crate::members::own_org(&root).await, person.id);
    root.patch(&member, json!({ "status": "suspended" })).await.expect(200);
    befall().await;
    for action in actions {
        assert_eq!((filed(action, "default").await, filed(action, "other").await), (1, 0), "{action}");
    }
    root.delete(&member).await.expect(204);
    befall().await;
    for action in actions {
        assert_eq!((filed(action, "default").await, filed(action, "other").await), (1, 1), "{action}");
    }
    // The sessions that there were stay on record.
    let sessions = root.all(&format!("/sessions?person_id={}", person.id)).await;
    assert!(sessions.len() > 1, "{sessions:?}");
}

async fn damaged_profiles_are_not_read_as_defaults(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let person = app.person(&root, "damaged").await;
    let id = app.place.id(person.id.parse().unwrap());
    let path = format!("/people/{}", person.id);
    root.patch(&path, json!({ "notes": "x" })).await.expect(200);
    app.place.sql(&format!("UPDATE member_notes SET metadata = 'torn' WHERE person_id = {id}")).await;
    root.get(&path).await.problem(500, "internal");
    root.send(Method::PATCH, &path, Some(&json!({ "first_name": "x" }))).await.problem(500, "internal");
}

async fn commands_promote_nobody_by_name_alone(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let squatter = app.person(&root, "chief").await;
    let address = root.get(&format!("/people/{}", squatter.id)).await.expect(200)["email"].clone();
    for command in ["createsuperuser", "seed-admin"] {
        let run = async |email: &str, more: &[&str]| {
            let names = [command, "--username", "chief", "--email", email, "--password", PASSWORD];
            app.program().run(&[&names[..], more].concat()).await
        };
        let refused = run("somebody@else.org", &[]).await;
        assert!(!refused.success && refused.text.contains("username_taken"), "{}", refused.text);
        if command == "seed-admin" {
            let refused = run("somebody@else.org", &["--force-reset"]).await;
            assert!(!refused.success && refused.text.contains("username_taken"), "{}", refused.text);
        }
    }
    // Nor by name and address: whoever made the account chose both, and knows its password.
    for command in ["createsuperuser", "seed-admin"] {
        let names = [command, "--username", "chief", "--email", address.as_str().unwrap()];
        let refused =
            app.program().run(&[&names[..], &["--password", "another lantern of slate"]].concat()).await;
        assert!(!refused.success && refused.text.contains("username_taken"), "{}", refused.text);
    }
    let roles = root.get(&format!("/people/{}/roles", squatter.id)).await.expect(200);
    assert_eq!(roles["items"], Value::Array(Vec::new()));
    // The same person, again and again; then under any address.
    for email in [address.as_str().unwrap(), address.as_str().unwrap(), "somebody@else.org"] {
        let names = ["createsuperuser", "--username", "chief", "--email", email, "--password", PASSWORD];
        app.program().run(&names).await.expect_success();
    }
    let path = format!("/people/{}", squatter.id);
    root.patch(&path, json!({ "is_active": false })).await.expect(200);
    let names = ["createsuperuser", "--username", "chief", "--email", address.as_str().unwrap()];
    let refused = app.program().run(&[&names[..], &["--password", PASSWORD]].concat()).await;
    assert!(!refused.success && refused.text.contains("person_disabled"), "{}", refused.text);
}
