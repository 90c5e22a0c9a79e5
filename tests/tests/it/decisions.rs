//! Who may do what and why, asked over HTTP: by services, by administrators, and by programs with the internal secret.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Answer, Client, Engine, NOBODY, Person, TestApp, eventually};

stylobate_tests::both_engines!(
    questions_are_answered_with_their_reason,
    questions_stay_in_the_organisation,
    a_change_is_tried_before_it_is_made,
    the_internal_secret_opens_its_routes_only,
    policies_are_shown_seeded_and_read_anew,
    damaged_and_expired_rows_are_told
);

pub(crate) const SECRET: &str = "b0f1c7d2e3a495867f0e1d2c3b4a5968";

pub(crate) async fn id_of(client: &Client, path: &str, field: &str, value: &str) -> String {
    let all = client.all(path).await;
    let found = all.iter().find(|item| item[field] == value).unwrap_or_else(|| panic!("{value} in {all:?}"));
    found["id"].as_str().unwrap().to_owned()
}

/// A role with these permissions, given to `person`.
pub(crate) async fn give(root: &Client, person: &Person, name: &str, keys: &[&str]) -> String {
    let role = root.post("/roles", json!({ "name": name })).await.expect(201);
    let role = role["id"].as_str().unwrap().to_owned();
    for key in keys {
        let permission = id_of(root, "/permissions", "key", key).await;
        let body = json!({ "permission_id": permission });
        root.post(&format!("/roles/{role}/permissions"), body).await.expect(201);
    }
    root.post(&format!("/people/{}/roles", person.id), json!({ "role_id": role })).await.expect(201);
    role
}

async fn questions_are_answered_with_their_reason(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let (clerk, idler) = (app.person(&root, "clerk").await, app.person(&root, "idler").await);
    let role = give(&root, &clerk, "reader", &["user.read"]).await;
    let ask = async |person: &Person, name: &str| {
        let question = json!({ "user_id": person.id, "permission_name": name });
        root.post("/rbac/check", question).await.expect(200)
    };
    for name in ["user.read", "people:read", "user.view"] {
        let answer = ask(&clerk, name).await;
        assert_eq!((&answer["allowed"], &answer["missing"]), (&json!(true), &Value::Null), "{name}");
        assert_eq!(answer["reason"], json!({ "code": "role", "role_id": role }));
        assert!(answer["epoch"].as_i64().unwrap() > 0);
    }
    for (person, name, reason, missing) in [
        (&clerk, "user.delete", "role_lacks_permission", Some("permission")),
        (&idler, "user.read", "no_assignment", Some("role")),
        (&clerk, "user.*", "unknown_permission", None),
        (&clerk, "no.such", "unknown_permission", None),
        (&clerk, "", "unknown_permission", None),
        (&clerk, "us\u{435}r.read", "unknown_permission", None),
    ] {
        let answer = ask(person, name).await;
        assert_eq!(answer["allowed"], json!(false), "{name}");
        assert_eq!(answer["reason"]["code"], reason, "{name}");
        assert_eq!(answer["missing"]["code"].as_str(), missing, "{name}");
    }
    let names = root.get(&format!("/rbac/users/{}/permissions", clerk.id)).await.expect(200);
    assert_eq!(names["permissions"], json!(["user.read"]));
    let effective = root.get(&format!("/v1/rbac/effective/{}", clerk.id)).await.expect(200);
    assert_eq!(effective["permissions"][0]["key"], "user.read");
    assert_eq!(effective["permissions"][0]["role_ids"], json!([role]));
    let nothing = root.get(&format!("/v1/rbac/effective/{}", idler.id)).await.expect(200);
    assert_eq!(nothing["permissions"], json!([]));

    // The administrator of whom was refused sees what is missing, and what would give it.
    let question = json!({ "user_id": idler.id, "permission_name": "user.read" });
    let explained = root.post("/v1/rbac/explain", question).await.expect(200);
    assert_eq!(
        (&explained["allowed"], &explained["decision"]["reason"]["code"]),
        (&json!(false), &json!("no_assignment"))
    );
    let would: Vec<_> =
        explained["roles"].as_array().unwrap().iter().map(|role| role["name"].clone()).collect();
    assert!(would.contains(&json!("reader")) && would.contains(&json!("support")), "{explained}");
    let question = json!({ "user_id": clerk.id, "permission_name": "user.read" });
    let explained = root.post("/v1/rbac/explain", question).await.expect(200);
    assert_eq!(
        explained["rules"][0]["source"],
        json!({ "kind": "role", "role_id": role, "granted_by": role })
    );

    let first = root.get("/v1/rbac/who-can?permission_name=user.read&limit=1").await.expect(200);
    assert!(first["items"].as_array().unwrap().len() == 1 && first["next_cursor"].is_string(), "{first}");
    let found = root.all("/v1/rbac/who-can?permission_name=user.read").await;
    assert!(found.contains(&json!({ "kind": "person", "id": clerk.id })), "{found:?}");
    assert!(!found.iter().any(|one| one["id"] == json!(idler.id)), "{found:?}");

    for (path, body, field) in [
        ("/rbac/check", json!({ "user_id": clerk.id }), "permission_name"),
        ("/rbac/check", json!({ "user_id": "7", "permission_name": "a" }), "user_id"),
        (
            "/rbac/check",
            json!({ "user_id": clerk.id, "permission_name": "a".repeat(1 << 19) }),
            "permission_name",
        ),
        (
            "/rbac/check",
            json!({ "user_id": clerk.id, "permission_name": "a", "assurance": "aal9" }),
            "assurance",
        ),
        ("/rbac/check", json!({ "user_id": clerk.id, "permission_name": "a", "roles": [] }), "roles"),
        ("/v1/rbac/explain", json!({ "permission_name": "a" }), "user_id"),
    ] {
        root.post(path, body).await.problem_of(422, "validation", field);
    }
    let large = json!({ "kind": "k".repeat(65), "id": "1" });
    let question = json!({ "user_id": clerk.id, "permission_name": "a", "resource": large });
    root.post("/rbac/check", question).await.problem_of(422, "validation", "resource.kind");
    for (query, field) in [
        ("", "permission_name"),
        ("?permission_name=a&cursor=x", "cursor"),
        ("?permission_name=a&limit=0", "limit"),
    ] {
        root.get(&format!("/v1/rbac/who-can{query}")).await.problem_of(422, "validation", field);
    }
}

/// A12: who asks about another organisation, or about its people, is answered as about nothing.
async fn questions_stay_in_the_organisation(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let manager = app.person(&root, "manager").await;
    let role = id_of(&root, "/roles", "name", "admin").await;
    root.post(&format!("/people/{}/roles", manager.id), json!({ "role_id": role })).await.expect(201);
    let (member, stranger) = (app.person(&root, "member").await, app.person(&root, "stranger").await);
    let other = "0191e000-0000-7000-8000-0000000000f0";
    let (org, now, yes, no) = match engine {
        Engine::Sqlite => {
            (app.place.id(other.parse().unwrap()), "'2026-01-01T00:00:00.000000+00:00'", "1", "0")
        }
        Engine::Postgres => (app.place.id(other.parse().unwrap()), "'2026-01-01T00:00:00Z'", "true", "false"),
    };
    let person = app.place.id(stranger.id.parse().unwrap());
    app.place
        .sql(&format!(
            "INSERT INTO orgs (id, code, code_folded, name, is_active, is_default, created_at, updated_at, version)
                 VALUES ({org}, 'other', 'other', 'Other', {yes}, {no}, {now}, {now}, 1);
             DELETE FROM memberships WHERE person_id = {person};
             INSERT INTO memberships (tenant_id, person_id, status, created_at, updated_at)
                 VALUES ({org}, {person}, 'active', {now}, {now});"
        ))
        .await;
    let own = root.get("/auth/whoami").await.expect(200);
    let own = own["tenant"].as_str().unwrap().to_owned();

    let client = &manager.client;
    let question = |user: &str| json!({ "user_id": user, "permission_name": "user.read" });
    for path in ["/rbac/check", "/v1/rbac/explain"] {
        client.post(path, question(&member.id)).await.expect(200);
        for absent in [&stranger.id, NOBODY] {
            client.post(path, question(absent)).await.problem(404, "not_found");
        }
        let mut named = question(&member.id);
        named["organization_id"] = json!(own);
        client.post(path, named.clone()).await.expect(200);
        for organisation in [other, NOBODY] {
            named["organization_id"] = json!(organisation);
            client.post(path, named.clone()).await.problem(404, "not_found");
        }
    }
    for path in ["/rbac/users/{id}/permissions", "/v1/rbac/effective/{id}"] {
        let of = |id: &str| path.replace("{id}", id);
        client.get(&of(&member.id)).await.expect(200);
        client.get(&of(&stranger.id)).await.problem(404, "not_found");
        client.get(&format!("{}?organization_id={other}", of(&member.id))).await.problem(404, "not_found");
    }
    client
        .get(&format!("/v1/rbac/who-can?permission_name=user.read&organization_id={other}"))
        .await
        .problem(404, "not_found");
    client.get(&format!("/admin/rbac/snapshot/{own}")).await.problem(403, "permission_denied");
    client.post("/admin/bootstrap/seed", json!({})).await.problem(403, "permission_denied");
    client.post("/internal/cache/invalidate", json!({})).await.problem(403, "permission_denied");
    // The platform's people are members of the organisation, too, but what the platform gives them is not its business.
    let me = root.get("/auth/me").await.expect(200)["id"].as_str().unwrap().to_owned();
    let seen = client.get(&format!("/v1/rbac/effective/{me}")).await.expect(200);
    let all = seen["permissions"].as_array().unwrap();
    assert!(!all.is_empty() && all.iter().all(|one| one["platform_role_ids"] == json!([])), "{seen}");

    // Who decides about all organisations asks about any that is there.
    let mut named = question(&stranger.id);
    named["organization_id"] = json!(other);
    assert_eq!(root.post("/rbac/check", named.clone()).await.expect(200)["allowed"], json!(false));
    named["organization_id"] = json!(NOBODY);
    root.post("/rbac/check", named).await.problem(404, "not_found");
    assert_eq!(root.post("/admin/bootstrap/seed", json!({})).await.expect(202)["organizations"], json!(2));
    let seeded = root.get(&format!("/admin/rbac/snapshot/{other}")).await.expect(200);
    assert_eq!(seeded["roles"].as_array().unwrap().len(), 5, "{seeded}");
}

async fn a_change_is_tried_before_it_is_made(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    let role = give(&root, &clerk, "clerk", &["user.read"]).await;
    let delete = id_of(&root, "/permissions", "key", "user.delete").await;
    let read = id_of(&root, "/permissions", "key", "user.read").await;
    let admin = id_of(&root, "/roles", "name", "admin").await;
    let tried = async |name: &str, changes: Value| {
        let question = json!({ "user_id": clerk.id, "permission_name": name });
        let body = json!({ "question": question, "changes": changes });
        let answer = root.post("/v1/rbac/what-if", body).await.expect(200);
        (answer["before"]["allowed"] == json!(true), answer["after"]["allowed"] == json!(true))
    };
    let attach = json!({ "change": "attach_permission", "role_id": role, "permission_id": delete });
    assert_eq!(tried("user.delete", json!([attach])).await, (false, true));
    assert_eq!(
        tried("user.delete", json!([{ "change": "assign_role", "role_id": admin }])).await,
        (false, true)
    );
    assert_eq!(
        tried("user.read", json!([{ "change": "revoke_role", "role_id": role }])).await,
        (true, false)
    );
    assert_eq!(
        tried("user.read", json!([{ "change": "switch_role", "role_id": role, "is_active": false }])).await,
        (true, false)
    );
    let deny = json!({ "change": "set_override", "permission_id": read, "effect": "deny" });
    assert_eq!(tried("user.read", json!([deny])).await, (true, false));
    let inherit = json!({ "change": "add_parent", "role_id": role, "parent_id": admin });
    assert_eq!(tried("user.delete", json!([inherit])).await, (false, true));
    assert_eq!(
        tried(
            "user.delete",
            json!([attach, { "change": "detach_permission", "role_id": role, "permission_id": delete }])
        )
        .await,
        (false, false)
    );
    // Nothing of it was written.
    clerk.client.get("/people?limit=1").await.expect(200);
    clerk.client.delete(&format!("/people/{NOBODY}")).await.problem(403, "permission_denied");

    let question = json!({ "user_id": clerk.id, "permission_name": "user.read" });
    for (changes, field) in [
        (json!([]), "changes"),
        (json!([{ "change": "assign_role", "role_id": NOBODY }]), "changes[0].role_id"),
        (
            json!([{ "change": "set_override", "permission_id": NOBODY, "effect": "deny" }]),
            "changes[0].permission_id",
        ),
    ] {
        let body = json!({ "question": question, "changes": changes });
        root.post("/v1/rbac/what-if", body).await.problem_of(422, "validation", field);
    }
    // What nobody could write is not tried either.
    let parent =
        |role: &str, parent: &str| json!({ "change": "add_parent", "role_id": role, "parent_id": parent });
    let platform = id_of(&root, "/permissions", "key", "platform.audit.view").await;
    let attach = json!({ "change": "attach_permission", "role_id": role, "permission_id": platform });
    let rule = json!({ "change": "set_override", "permission_id": platform, "effect": "allow" });
    for (changes, status, code) in [
        (json!([parent(&role, &role)]), 409, "role_cycle"),
        (json!([parent(&role, &admin), parent(&admin, &role)]), 409, "role_cycle"),
        (json!([parent(&role, &admin), parent(&role, &admin)]), 409, "already_inherited"),
        (json!([attach]), 403, "platform_owned"),
        (json!([rule]), 403, "platform_owned"),
    ] {
        let body = json!({ "question": question, "changes": changes });
        root.post("/v1/rbac/what-if", body).await.problem(status, code);
    }
    let body = json!({ "question": question, "changes": [{ "change": "eval", "text": "1==1" }] });
    root.post("/v1/rbac/what-if", body).await.problem(422, "validation");
}

pub(crate) async fn with_secret(
    client: &Client,
    secret: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Answer {
    let mut request = client.request(method, path).header("x-internal-secret", secret);
    if let Some(body) = body {
        request = request.json(&body);
    }
    client.send_raw(request).await
}

async fn the_internal_secret_opens_its_routes_only(engine: Engine) {
    let app = TestApp::builder(engine).env("INTERNAL_API_SECRET", SECRET).start().await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    give(&root, &clerk, "reader", &["user.read"]).await;
    let snapshot = root.get("/auth/whoami").await.expect(200);
    let own = snapshot["tenant"].as_str().unwrap().to_owned();
    let anonymous = app.anonymous();
    let question = json!({ "user_id": clerk.id, "organization_id": own, "permission_name": "user.read" });
    let answer = with_secret(&anonymous, SECRET, Method::POST, "/rbac/check", Some(question.clone())).await;
    assert_eq!(answer.expect(200)["allowed"], json!(true));
    // A secret is of no organisation, so it has to name one.
    let homeless = json!({ "user_id": clerk.id, "permission_name": "user.read" });
    let answer = with_secret(&anonymous, SECRET, Method::POST, "/rbac/check", Some(homeless)).await;
    answer.problem_of(422, "validation", "organization_id");
    let path = format!("/rbac/users/{}/permissions?organization_id={own}", clerk.id);
    let names = with_secret(&anonymous, SECRET, Method::GET, &path, None).await.expect(200);
    assert_eq!(names["permissions"], json!(["user.read"]));
    for (method, path, status) in [
        (Method::GET, format!("/admin/rbac/snapshot/{own}"), 200),
        (Method::GET, format!("/admin/orgs/{own}/overview"), 200),
        (Method::POST, "/admin/bootstrap/seed".to_owned(), 202),
        (Method::POST, "/internal/cache/invalidate".to_owned(), 200),
    ] {
        with_secret(&anonymous, SECRET, method.clone(), &path, None).await.expect(status);
        for wrong in ["", "wrong", &SECRET[1..], &format!("{SECRET}x")] {
            with_secret(&anonymous, wrong, method.clone(), &path, None).await.problem(401, "unauthenticated");
        }
        with_secret(&root, SECRET, method, &path, None).await.problem(400, "ambiguous_credential");
    }
    for path in
        ["/roles", "/people", "/audit-events", "/v1/rbac/effective/0191e000-0000-7000-8000-000000000001"]
    {
        with_secret(&anonymous, SECRET, Method::GET, path, None).await.problem(401, "unauthenticated");
    }
    let audited = root.all("/audit-events?action=rbac.invalidate").await;
    assert!(audited.len() <= 1, "{audited:?}");
}

async fn policies_are_shown_seeded_and_read_anew(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    let role = give(&root, &clerk, "reader", &["user.read"]).await;
    let whoami = root.get("/auth/whoami").await.expect(200);
    let own = whoami["tenant"].as_str().unwrap().to_owned();
    let path = format!("/admin/rbac/snapshot/{own}");
    let before = root.get(&path).await.expect(200);
    let shown = before["roles"].as_array().unwrap().iter().find(|one| one["role_id"] == json!(role)).unwrap();
    assert_eq!((&shown["permissions"], &shown["assignees"]), (&json!(["user.read"]), &json!(1)));
    assert_eq!(before["epoch"], before["loaded_epoch"]);
    root.get(&format!("/admin/rbac/snapshot/{NOBODY}")).await.problem(404, "not_found");
    assert_eq!(before["problems"], json!([]));

    // Somebody changes rows behind the program's back: a new epoch has every process read them.
    let id = app.place.id(role.parse().unwrap());
    app.place.sql(&format!("DELETE FROM role_assignments WHERE role_id = {id}")).await;
    clerk.client.get("/people?limit=1").await.expect(200);
    let done = root.post("/internal/cache/invalidate", json!({})).await;
    assert!(done.expect(200)["policies"].as_i64().unwrap() >= 2, "{done}");
    assert!(done.header("x-policy-epoch").unwrap().starts_with("platform="), "{done}");
    clerk.client.get("/people?limit=1").await.problem(403, "permission_denied");
    let done = root.post(&format!("/internal/cache/invalidate?organization_id={own}"), json!({})).await;
    let epoch = done.expect(200)["epoch"].as_i64().unwrap();
    assert!(epoch > before["epoch"].as_i64().unwrap());
    assert_eq!(done.header("x-policy-epoch"), Some(epoch.to_string().as_str()));
    root.post(&format!("/internal/cache/invalidate?organization_id={NOBODY}"), json!({}))
        .await
        .problem(404, "not_found");
    assert_eq!(root.post("/admin/bootstrap/seed", json!({})).await.expect(202)["organizations"], json!(1));
}

async fn damaged_and_expired_rows_are_told(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    let role = give(&root, &clerk, "reader", &["user.read", "user.update"]).await;
    let own = root.get("/auth/whoami").await.expect(200)["tenant"].as_str().unwrap().to_owned();
    let path = format!("/admin/rbac/snapshot/{own}");
    let before = root.get(&path).await.expect(200);

    let update = id_of(&root, "/permissions", "key", "user.update").await;
    let (role_id, update_id) = (app.place.id(role.parse().unwrap()), app.place.id(update.parse().unwrap()));
    let past = app.place.long_ago();
    app.place
        .sql(&format!(
            "UPDATE role_permissions SET condition = '{{' WHERE role_id = {role_id} AND permission_id = {update_id};
             UPDATE role_assignments SET expires_at = {past} WHERE role_id = {role_id};"
        ))
        .await;
    root.post("/internal/cache/invalidate", json!({})).await.expect(200);
    let after = root.get(&path).await.expect(200);
    let problems = after["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{after}");
    assert_eq!(problems[0]["is_platform"], json!(false));
    assert!(problems[0]["code"].is_string() && !problems[0]["of"].is_null(), "{after}");
    let metrics = root.get("/metrics").await;
    assert!(metrics.text.lines().any(|line| line == "rbac_policy_problems 1"), "{metrics}");

    let assignments = |snapshot: &Value| snapshot["counts"]["role_assignments"].as_i64().unwrap();
    assert_eq!(assignments(&after), assignments(&before) - 1, "what is over is not counted");
    let shown = after["roles"].as_array().unwrap().iter().find(|one| one["role_id"] == json!(role)).unwrap();
    assert_eq!(shown["assignees"], json!(0));
    // It is shown with its end, and comes back with another one.
    let held = format!("/people/{}/roles", clerk.id);
    let listed = root.all(&held).await;
    assert!(listed[0]["expires_at"].as_str().unwrap().starts_with("2026-01-01T00:00:00"), "{listed:?}");
    root.patch(&format!("{held}/{role}"), json!({ "expires_at": null })).await.expect(200);
    assert_eq!(root.all(&held).await[0]["expires_at"], Value::Null);
    clerk.client.get("/people?limit=1").await.expect(200);
}

/// Programs of the operator are answered by the last policies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_internal_secret_asks_on_while_the_database_is_away() {
    let app =
        TestApp::builder(Engine::Postgres).behind_proxy().env("INTERNAL_API_SECRET", SECRET).start().await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    give(&root, &clerk, "reader", &["user.read"]).await;
    let own = root.get("/auth/whoami").await.expect(200)["tenant"].as_str().unwrap().to_owned();
    let anonymous = app.anonymous();
    let ask = async |organisation: &str, epoch: Option<i64>| {
        let question = json!({
            "user_id": clerk.id, "organization_id": organisation, "permission_name": "user.read", "policy_epoch": epoch,
        });
        with_secret(&anonymous, SECRET, Method::POST, "/rbac/check", Some(question)).await
    };
    assert_eq!(ask(&own, None).await.expect(200)["allowed"], json!(true));

    app.proxy.as_ref().unwrap().shut();
    eventually("the database to be missed", async || (root.get("/people").await.status == 503).then_some(()))
        .await;
    assert_eq!(ask(&own, None).await.expect(200)["allowed"], json!(true));
    let path = format!("/rbac/users/{}/permissions?organization_id={own}", clerk.id);
    let names = with_secret(&anonymous, SECRET, Method::GET, &path, None).await.expect(200);
    assert_eq!(names["permissions"], json!(["user.read"]));
    // What nobody has asked about, and what is demanded newer, cannot be answered.
    let refused = ask(NOBODY, None).await;
    refused.problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some(), "{refused}");
    ask(&own, Some(1_000_000)).await.problem(503, "policy_stale");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_is_not_reseeded() {
    let app = TestApp::builder(Engine::Sqlite)
        .env("APP_ENV", "production")
        .env("PUBLIC_URL", "https://control-plane.example.org")
        .env("METRICS_TOKEN", "a-token-for-scrapers-only")
        .env("KEY_ENCRYPTION_KEY", "9b1f0c6e4d7a2853e6f1b0c9d8a7463520fedcba98765432100f1e2d3c4b5a69")
        .env("INTERNAL_API_SECRET", SECRET)
        .start()
        .await;
    let anonymous = app.anonymous();
    let answer = with_secret(&anonymous, SECRET, Method::POST, "/admin/bootstrap/seed", None).await;
    answer.problem(403, "reseed_in_production");
    let request = anonymous.request(Method::GET, "/metrics").bearer_auth("a-token-for-scrapers-only");
    let metrics = anonymous.send_raw(request).await;
    for name in ["rbac_policy_staleness_seconds", "rbac_policies_loaded", "rbac_policy_problems"] {
        assert!(metrics.text.contains(name), "{metrics}");
    }
}
