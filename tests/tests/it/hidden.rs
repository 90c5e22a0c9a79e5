//! What an organisation does not learn about the platform.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Engine, TestApp};

use crate::decisions::{SECRET, give, id_of, with_secret};

stylobate_tests::both_engines!(rules_of_the_platform_are_not_named, who_can_names_members_only);

/// A12: that the platform allows or denies is seen, by which of its rules is not.
async fn rules_of_the_platform_are_not_named(engine: Engine) {
    let app = TestApp::builder(engine).env("INTERNAL_API_SECRET", SECRET).start().await;
    let root = app.administrator().await;
    let manager = app.person(&root, "manager").await;
    let admin = id_of(&root, "/roles", "name", "admin").await;
    root.post(&format!("/people/{}/roles", manager.id), json!({ "role_id": admin })).await.expect(201);
    let me = root.get("/auth/me").await.expect(200)["id"].as_str().unwrap().to_owned();
    let super_admin = id_of(&root, "/roles", "name", "super_admin").await;

    // The platform allows one thing to the manager, and denies one on a document: no route makes such rules.
    let (now, null) = match engine {
        Engine::Sqlite => ("'2026-01-01T00:00:00.000000+00:00'", "NULL"),
        Engine::Postgres => ("'2026-01-01T00:00:00Z'", "NULL"),
    };
    let id = |text: &str| app.place.id(text.parse().unwrap());
    let (rule, entry) = ("0191e000-0000-7000-8000-0000000000a1", "0191e000-0000-7000-8000-0000000000a2");
    let view = id_of(&root, "/permissions", "key", "org.document.view").await;
    let manage = id_of(&root, "/permissions", "key", "org.document.manage").await;
    app.place
        .sql(&format!(
            "INSERT INTO permission_overrides (id, tenant_id, subject_kind, subject_id, permission_id, effect, created_at, updated_at)
                 VALUES ({}, {null}, 'person', {}, {}, 'allow', {now}, {now});
             INSERT INTO acl_entries (id, tenant_id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect, created_at, updated_at)
                 VALUES ({}, {null}, 'document', '7', 'person', {}, {}, 'deny', {now}, {now});",
            id(rule),
            id(&manager.id),
            id(&manage),
            id(entry),
            id(&manager.id),
            id(&view),
        ))
        .await;
    with_secret(&app.anonymous(), SECRET, Method::POST, "/internal/cache/invalidate", None).await.expect(200);

    let document = json!({ "kind": "document", "id": "7" });
    for (question, code, hidden) in [
        (
            json!({ "user_id": me, "permission_name": "user.read" }),
            "platform_role",
            json!({ "role_id": super_admin }),
        ),
        (
            json!({ "user_id": manager.id, "permission_name": "org.document.manage" }),
            "platform_override",
            json!({ "id": rule }),
        ),
        (
            json!({ "user_id": manager.id, "permission_name": "org.document.view", "resource": document }),
            "denied_by_platform_acl",
            json!({ "id": entry }),
        ),
    ] {
        let mut shown = hidden;
        shown["code"] = json!(code);
        for (client, reason) in [(&root, shown), (&manager.client, json!({ "code": code }))] {
            let checked = client.post("/rbac/check", question.clone()).await.expect(200);
            assert_eq!(checked["reason"], reason, "{question}");
            let explained = client.post("/v1/rbac/explain", question.clone()).await.expect(200);
            assert_eq!(explained["decision"]["reason"], reason, "{question}");
            let changes = json!([{ "change": "assign_role", "role_id": admin }]);
            let body = json!({ "question": question, "changes": changes });
            let tried = client.post("/v1/rbac/what-if", body).await.expect(200);
            assert_eq!(
                (&tried["before"]["reason"], &tried["after"]["reason"]),
                (&reason, &reason),
                "{question}"
            );
        }
        let explained = manager.client.post("/v1/rbac/explain", question.clone()).await.expect(200);
        for forbidden in [super_admin.as_str(), rule, entry] {
            assert!(!explained.to_string().contains(forbidden), "{explained}");
        }
        assert_eq!(
            explained["decision"]["outcome"].as_str().unwrap() == "allow",
            explained["allowed"] == json!(true)
        );
    }
    let path = format!("/v1/rbac/effective/{}", manager.id);
    let of = |answer: &Value| {
        let all = answer["permissions"].as_array().unwrap();
        all.iter().find(|one| one["key"] == "org.document.manage").unwrap()["platform_override_ids"].clone()
    };
    assert_eq!(of(&root.get(&path).await.expect(200)), json!([rule]));
    assert_eq!(of(&manager.client.get(&path).await.expect(200)), json!([]));
}

/// A12: pages are cut among those who may be named, so that neither a page nor a cursor tells of others.
async fn who_can_names_members_only(engine: Engine) {
    let app = TestApp::builder(engine).env("INTERNAL_API_SECRET", SECRET).start().await;
    let root = app.administrator().await;
    let manager = app.person(&root, "manager").await;
    let admin = id_of(&root, "/roles", "name", "admin").await;
    root.post(&format!("/people/{}/roles", manager.id), json!({ "role_id": admin })).await.expect(201);
    let (first, second) = (app.person(&root, "first").await, app.person(&root, "second").await);
    let role = give(&root, &first, "reader", &["user.read"]).await;
    root.post(&format!("/people/{}/roles", second.id), json!({ "role_id": role })).await.expect(201);
    let me = root.get("/auth/me").await.expect(200)["id"].as_str().unwrap().to_owned();
    let own = root.get("/auth/whoami").await.expect(200)["tenant"].as_str().unwrap().to_owned();
    let super_admin = id_of(&root, "/roles", "name", "super_admin").await;

    // The platform's administrator, who sorts first, leaves the organisation; services have the role and the platform's.
    let now = app.place.long_ago();
    let id = |text: &str| app.place.id(text.parse().unwrap());
    let service = |n: u8| format!("0191e000-0000-7000-8000-0000000000b{n}");
    app.place
        .sql(&format!(
            "DELETE FROM memberships WHERE person_id = {};
             INSERT INTO role_assignments (id, tenant_id, subject_kind, subject_id, role_id, assigned_at)
                 VALUES ({}, NULL, 'service', {}, {}, {now}), ({}, {}, 'service', {}, {}, {now});",
            id(&me),
            id(&service(1)),
            id(&service(2)),
            id(&super_admin),
            id(&service(3)),
            id(&own),
            id(&service(4)),
            id(&role),
        ))
        .await;
    with_secret(&app.anonymous(), SECRET, Method::POST, "/internal/cache/invalidate", None).await.expect(200);

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/rbac/who-can?permission_name=user.read&limit=1{cursor}");
        let page = manager.client.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "no page is short but the last: {page}");
        seen.push(items[0]["id"].as_str().unwrap().to_owned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        let told = String::from_utf8(URL_SAFE_NO_PAD.decode(next).unwrap()).unwrap();
        assert!(told.contains(seen.last().unwrap()) && !told.contains(&me), "{told}");
        cursor = format!("&cursor={next}");
    }
    let mut expected = vec![manager.id.clone(), first.id.clone(), second.id.clone(), service(4)];
    expected[..3].sort_unstable();
    assert_eq!(seen, expected);
}
