//! Bad input: every refusal is a problem with a stable code and the field named, never a 500, and changes nothing.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, NOBODY, PASSWORD, TestApp};

stylobate_tests::both_engines!(bad_input_is_named, foreign_rows_look_missing);

async fn bad_input_is_named(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let before = people_and_roles(&admin).await;
    bodies(&admin).await;
    raw_bodies(&admin).await;
    queries(&admin).await;
    ids_and_methods(&admin).await;
    mass_assignment(&admin).await;
    assert_eq!(people_and_roles(&admin).await, before, "a refusal changes nothing");
    conflicts(&admin).await;
}

async fn people_and_roles(admin: &Client) -> (Vec<Value>, Vec<Value>, Vec<Value>) {
    (admin.all("/people").await, admin.all("/roles").await, admin.all("/permissions").await)
}

/// Bodies that are JSON, but not what the route takes.
async fn bodies(admin: &Client) {
    let person = |field: &str, value: Value| {
        let mut body = json!({ "first_name": "A", "last_name": "B", "email": "a@example.org" });
        body[field] = value;
        body
    };
    let long = "x".repeat(10_000);
    let deep = "[".repeat(200);
    for (path, body, field) in [
        ("/people", json!({ "last_name": "B", "email": "a@example.org" }), "first_name"),
        ("/people", person("first_name", json!(7)), "first_name"),
        ("/people", person("first_name", Value::Null), "first_name"),
        ("/people", person("first_name", json!("")), "first_name"),
        ("/people", person("first_name", json!(long)), "first_name"),
        ("/people", person("first_name", json!("a\u{0}b")), "first_name"),
        ("/people", person("first_name", json!("a\u{1b}b")), "first_name"),
        ("/people", person("nickname", json!("A")), "nickname"),
        ("/people", person("email", json!("nobody")), "email"),
        ("/people", person("email", json!(["a@example.org"])), "email"),
        ("/people", person("username", json!("a@b")), "username"),
        ("/people", person("status", json!("retired")), "status"),
        ("/people", person("is_active", json!("yes")), "is_active"),
        ("/people", person("password", json!("short")), "password"),
        ("/people", person("password", json!("p".repeat(2_000))), "password"),
        ("/people", person("date_of_birth", json!("31.12.1999")), "date_of_birth"),
        ("/people", person("metadata", json!(deep)), "metadata"),
        ("/roles", json!({}), "name"),
        ("/roles", json!({ "name": "" }), "name"),
        ("/roles", json!({ "name": long }), "name"),
        ("/roles", json!({ "name": "a\nb" }), "name"),
        ("/roles", json!({ "name": true }), "name"),
        ("/roles", json!({ "name": "a", "description": 1 }), "description"),
        ("/roles", json!({ "name": "a", "permissions": [] }), "permissions"),
        ("/permissions", json!({ "description": "no key" }), "key"),
        ("/permissions", json!({ "key": "Not A Key" }), "key"),
        ("/permissions", json!({ "key": {} }), "key"),
        ("/auth/login", json!({ "username": "admin" }), "password"),
        ("/auth/login", json!({ "username": 1, "password": "x" }), "username"),
        ("/auth/login", json!({ "username": "admin", "password": "x", "remember": true }), "remember"),
        ("/auth/refresh", json!({}), "refresh_token"),
        ("/auth/refresh", json!({ "refresh_token": "x", "session_id": "not a uuid" }), "session_id"),
        ("/auth/password-change", json!({ "new_password": "x" }), "current_password"),
        ("/auth/password-change/forced", json!({ "username": "a", "new_password": "x" }), "current_password"),
        ("/people", person("must_change_password", json!("yes")), "must_change_password"),
        ("/user-credentials", json!({ "password": PASSWORD }), "person_id"),
        ("/user-credentials", json!({ "person_id": "7", "password": PASSWORD }), "person_id"),
        ("/user-credentials", json!({ "person_id": NOBODY }), "password"),
        ("/user-credentials", json!({ "person_id": NOBODY, "password_hash": "$argon2id$" }), "password_hash"),
        ("/user-credentials", json!({ "person_id": NOBODY, "password": 7 }), "password"),
        ("/user-credentials", json!({ "person_id": NOBODY, "provider": "paper" }), "provider"),
    ] {
        admin.post(path, body).await.problem_of(422, "validation", field);
    }
    admin.post("/roles", json!([])).await.problem(422, "validation");
    admin.post("/roles", json!("text")).await.problem(422, "validation");
    let me = admin.patch("/auth/me", json!({ "is_active": false })).await;
    me.problem_of(422, "validation", "is_active");
}

/// Bodies that are no JSON, or come under another name.
async fn raw_bodies(admin: &Client) {
    let send = async |kind: Option<&str>, body: String| {
        let request = admin.request(Method::POST, "/roles").body(body);
        let request = match kind {
            Some(kind) => request.header("content-type", kind),
            None => request,
        };
        admin.send_raw(request).await
    };
    let role = json!({ "name": "x" }).to_string();
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("application/json; charset=utf-16"),
        Some("application/jsonx"),
    ] {
        send(kind, role.clone()).await.problem(415, "unsupported_media_type");
    }
    let json_kind = Some("application/json");
    for body in [
        "",
        "{",
        "{\"name\":\"x\"",
        "{'name':'x'}",
        "{\"name\":\"x\"} x",
        "nul",
        "\u{feff}{}",
        "{\"name\":\"\\ud800\"}",
    ] {
        send(json_kind, body.to_owned()).await.problem(400, "malformed_json");
    }
    let twice = "{\"name\":\"x\",\"name\":\"y\"}".to_owned();
    send(json_kind, twice).await.problem_of(422, "validation", "name");
    // A28, C45: 1 MiB is the limit, announced or not.
    let head = "POST /roles HTTP/1.1\r\ncontent-type: application/json\r\n";
    let announced = admin.wire(&format!("{head}content-length: 1048577\r\n"), b"").await;
    let mut chunk = b"100001\r\n".to_vec();
    chunk.resize(chunk.len() + 1_048_577, b' ');
    let unannounced = admin.wire(&format!("{head}transfer-encoding: chunked\r\n"), &chunk).await;
    for answer in [announced, unannounced] {
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"), "{answer}");
    }
    // Whoever sends all of it before reading sees the answer too, and not a reset connection.
    for length in [2 * 1_048_576, 4 * 1_048_576] {
        let body = vec![b' '; length];
        let announced = admin.wire(&format!("{head}content-length: {length}\r\n"), &body).await;
        let mut chunk = format!("{length:x}\r\n").into_bytes();
        chunk.extend(&body);
        chunk.extend(b"\r\n0\r\n\r\n");
        let unannounced = admin.wire(&format!("{head}transfer-encoding: chunked\r\n"), &chunk).await;
        let unread = admin.anonymous().wire(&format!("{head}content-length: {length}\r\n"), &body).await;
        for answer in [announced, unannounced, unread] {
            assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"), "{answer}");
        }
    }
    let compressed = admin.request(Method::POST, "/roles").header("content-type", "application/json");
    let compressed = compressed.header("content-encoding", "gzip").body(role);
    admin.send_raw(compressed).await.problem(415, "unsupported_media_type");
}

async fn queries(admin: &Client) {
    for (path, field) in [
        ("/people?limit=0", "limit"),
        ("/people?limit=1000", "limit"),
        ("/people?limit=ten", "limit"),
        ("/people?cursor=not-a-cursor", "cursor"),
        ("/people?cursor=WyJ4IiwxXQ", "cursor"),
        ("/people?order_dir=sideways", "order_dir"),
        ("/people?is_active=perhaps", "is_active"),
        ("/people?colour=red", "colour"),
        ("/people?search=%00", "search"),
        ("/roles?order_by=password", "order_by"),
        ("/roles?cursor=%F0%9F%92%A9", "cursor"),
        ("/permissions?limit=-1", "limit"),
        ("/user-credentials?person_id=7", "person_id"),
        ("/user-credentials?provider=paper", "provider"),
        ("/user-credentials?cursor=x", "cursor"),
        ("/user-credentials?order_by=password_hash", "order_by"),
        ("/sessions?is_live=perhaps", "is_live"),
        ("/sessions?status=dreaming", "status"),
        ("/sessions?token_hash=x", "token_hash"),
        ("/sessions?cursor=x", "cursor"),
        ("/audit-events?actor_type=robot", "actor_type"),
        ("/audit-events?request_id=7", "request_id"),
        ("/audit-events?started_after=yesterday", "started_after"),
        ("/audit-events?cursor=x", "cursor"),
        ("/audit-events/export?max_rows=0", "max_rows"),
        ("/audit-events/export?max_rows=9999999", "max_rows"),
    ] {
        admin.get(path).await.problem_of(422, "validation", field);
    }
    admin.get("/people?limit=1&limit=2").await.problem_of(400, "duplicate_parameter", "limit");
    // A cursor is bound to its ordering.
    let first = admin.get("/roles?limit=1").await.expect(200);
    let cursor = first["next_cursor"].as_str().expect("several roles are seeded");
    let other = format!("/roles?limit=1&order_dir=desc&cursor={cursor}");
    admin.get(&other).await.problem_of(422, "validation", "cursor");
}

async fn ids_and_methods(admin: &Client) {
    let role = json!({ "name": "y" });
    for (method, path, body) in [
        (Method::GET, "/people/{id}", None),
        (Method::PATCH, "/people/{id}", Some(json!({ "first_name": "x" }))),
        (Method::DELETE, "/people/{id}", None),
        (Method::GET, "/people/{id}/roles", None),
        (Method::GET, "/roles/{id}", None),
        (Method::PATCH, "/roles/{id}", Some(role.clone())),
        (Method::PUT, "/roles/{id}", Some(role)),
        (Method::DELETE, "/roles/{id}", None),
        (Method::GET, "/permissions/{id}", None),
        (Method::DELETE, "/permissions/{id}", None),
        (Method::GET, "/audit-events/{id}", None),
        (Method::DELETE, "/auth/sessions/{id}", None),
        (Method::POST, "/people/{id}/unlock", None),
        (Method::DELETE, "/people/{id}/sessions", None),
        (Method::GET, "/user-credentials/{id}", None),
        (Method::PATCH, "/user-credentials/{id}", Some(json!({ "is_active": true }))),
        (Method::DELETE, "/user-credentials/{id}", None),
        (Method::GET, "/sessions/{id}", None),
        (Method::PATCH, "/sessions/{id}", Some(json!({ "status": "revoked" }))),
        (Method::DELETE, "/sessions/{id}", None),
    ] {
        for bad in ["7", "not-a-uuid", "0191e000-0000-7000-8000-00000000000g", "%00", "..%2F..%2Fetc"] {
            let path = path.replace("{id}", bad);
            admin.send(method.clone(), &path, body.as_ref()).await.problem_of(422, "validation", "id");
        }
        let path = path.replace("{id}", NOBODY);
        admin.send(method, &path, body.as_ref()).await.problem(404, "not_found");
    }
    for (method, path) in [
        (Method::DELETE, "/people"),
        (Method::PUT, "/roles"),
        (Method::POST, "/audit-events"),
        (Method::DELETE, "/auth/whoami"),
        (Method::GET, "/auth/login"),
        (Method::POST, "/health"),
        (Method::TRACE, "/auth/me"),
    ] {
        let answer = admin.send(method, path, None).await;
        answer.problem(405, "method_not_allowed");
        assert!(answer.header("allow").is_some(), "{answer}");
    }
    for path in ["/nothing", "/people/", "/People", "//people", "/api/nothing", "/people/1/2/3"] {
        admin.get(path).await.problem(404, "not_found");
    }
}

/// C21: what only the program sets is refused, wherever somebody tries to slip it in.
async fn mass_assignment(admin: &Client) {
    let person = json!({ "first_name": "M", "last_name": "A", "email": "mass@example.org" });
    let extras = [
        "id",
        "tenant_id",
        "role",
        "roles",
        "is_admin",
        "is_superuser",
        "mfa_enabled",
        "created_at",
        "updated_at",
        "credential_epoch",
        "password_hash",
    ];
    for extra in ["must_change_password", "password"] {
        admin.patch("/auth/me", json!({ extra: true })).await.problem_of(422, "validation", extra);
    }
    for extra in extras {
        let mut body = person.clone();
        body[extra] = json!(true);
        admin.post("/people", body).await.problem_of(422, "validation", extra);
        admin.patch("/auth/me", json!({ extra: true })).await.problem_of(422, "validation", extra);
    }
    for extra in ["id", "tenant_id", "is_platform", "created_at", "permissions"] {
        admin.post("/roles", json!({ "name": "mass", extra: true })).await.problem_of(
            422,
            "validation",
            extra,
        );
        admin.post("/permissions", json!({ "key": "mass.read", extra: true })).await.problem_of(
            422,
            "validation",
            extra,
        );
    }
}

/// Sound requests that contradict what is stored.
async fn conflicts(admin: &Client) {
    let role = admin.post("/roles", json!({ "name": "Clerk" })).await.expect(201);
    let permission = admin.post("/permissions", json!({ "key": "desk.read" })).await.expect(201);
    admin.post("/roles", json!({ "name": "clerk" })).await.problem(409, "role_name_taken");
    admin.post("/permissions", json!({ "key": "desk.read" })).await.problem(409, "permission_key_taken");
    let body = |username: &str, email: &str| json!({ "first_name": "A", "last_name": "B", "username": username, "email": email, "password": PASSWORD });
    let person = admin.post("/people", body("taken", "taken@example.org")).await.expect(201);
    admin.post("/people", body("TAKEN", "other@example.org")).await.problem(409, "username_taken");
    admin.post("/people", body("other", "Taken@Example.org")).await.problem(409, "email_taken");

    let (role_id, permission_id) = (role["id"].as_str().unwrap(), permission["id"].as_str().unwrap());
    let attach = format!("/roles/{role_id}/permissions");
    admin.post(&attach, json!({ "permission_id": permission_id })).await.expect(201);
    admin.post(&attach, json!({ "permission_id": permission_id })).await.problem(409, "already_attached");
    admin.post(&attach, json!({ "permission_id": NOBODY })).await.problem(404, "not_found");
    admin.post(&attach, json!({ "permission_id": "x" })).await.problem_of(422, "validation", "permission_id");
    let assign = format!("/people/{}/roles", person["id"].as_str().unwrap());
    admin.post(&assign, json!({ "role_id": role_id })).await.expect(201);
    admin.post(&assign, json!({ "role_id": role_id })).await.problem(409, "already_assigned");
    admin.post(&assign, json!({ "role_id": NOBODY })).await.problem(404, "not_found");
    admin.delete(&format!("{attach}/{NOBODY}")).await.problem(404, "not_found");

    // Two people update one row: whoever read an older version looks again.
    let path = format!("/roles/{role_id}");
    let version = admin.get(&path).await.expect(200)["version"].clone();
    let update = |description: &str| json!({ "description": description, "version": version });
    admin.patch(&path, update("first")).await.expect(200);
    admin.patch(&path, update("second")).await.problem(409, "stale");
    assert_eq!(admin.get(&path).await.expect(200)["description"], "first");
}

/// A12: another organisation's row is a missing row, whatever is tried with it.
async fn foreign_rows_look_missing(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let own = admin.post("/roles", json!({ "name": "own" })).await.expect(201);
    let permission = admin.post("/permissions", json!({ "key": "own.read" })).await.expect(201);
    let person = app.person(&admin, "resident").await;

    let foreign =
        |number: u8| format!("0191e000-0000-7000-8000-0000000000f{number}").parse::<uuid::Uuid>().unwrap();
    let id = |number| app.place.id(foreign(number));
    let (tenant, role, perm, stranger, event) = (id(0), id(1), id(2), id(3), id(4));
    // One of a stranger, and one that a person of ours has with the other organisation.
    let (session, elsewhere) = (id(5), id(6));
    let resident = app.place.id(person.id.parse().unwrap());
    let (now, later, yes, no) = match engine {
        Engine::Sqlite => {
            ("'2026-01-01T00:00:00.000000+00:00'", "'2100-01-01T00:00:00.000000+00:00'", "1", "0")
        }
        Engine::Postgres => ("'2026-01-01T00:00:00Z'", "'2100-01-01T00:00:00Z'", "true", "false"),
    };
    app.place
        .sql(&format!(
            "INSERT INTO orgs (id, code, code_folded, name, is_active, is_default, created_at, updated_at, version)
                 VALUES ({tenant}, 'other', 'other', 'Other', {yes}, {no}, {now}, {now}, 1);
             INSERT INTO roles (id, tenant_id, name, name_key, is_active, version, created_at, updated_at)
                 VALUES ({role}, {tenant}, 'theirs', 'theirs', {yes}, 1, {now}, {now});
             INSERT INTO permissions (id, tenant_id, key, is_active, version, created_at, updated_at)
                 VALUES ({perm}, {tenant}, 'theirs.read', {yes}, 1, {now}, {now});
             INSERT INTO people (id, email, email_key, email_verified, status, must_change_password, credential_epoch,
                                 version, created_at, updated_at)
                 VALUES ({stranger}, 's@other.org', 's@other.org', {no}, 'active', {no}, 1, 1, {now}, {now});
             INSERT INTO memberships (tenant_id, person_id, status, created_at, updated_at)
                 VALUES ({tenant}, {stranger}, 'active', {now}, {now});
             INSERT INTO credentials (person_id, kind, hash, updated_at) VALUES ({stranger}, 'password', 'x', {now});
             INSERT INTO sessions (id, person_id, tenant_id, credential_epoch, amr, auth_time, created_at, last_seen_at,
                                   expires_at)
                 VALUES ({session}, {stranger}, {tenant}, 1, 'pwd', {now}, {now}, {now}, {later}),
                        ({elsewhere}, {resident}, {tenant}, 1, 'pwd', {now}, {now}, {now}, {later});
             INSERT INTO audit_events (id, tenant_id, occurred_at, actor_kind, action, target_kind, outcome)
                 VALUES ({event}, {tenant}, {now}, 'system', 'theirs.create', 'theirs', 'success');"
        ))
        .await;

    let [role, perm, stranger, event, session, elsewhere] =
        [1, 2, 3, 4, 5, 6].map(|number| foreign(number).to_string());
    let (own, permission) = (own["id"].as_str().unwrap(), permission["id"].as_str().unwrap());
    let (name, key) = (json!({ "name": "taken over" }), json!({ "key": "taken.over" }));
    let whole = json!({ "first_name": "T", "last_name": "O", "email": "taken@over.org" });
    let resident = &person.id;
    for (method, path, foreign, body) in [
        (Method::GET, "/roles/{}".to_owned(), &role, None),
        (Method::PATCH, "/roles/{}".into(), &role, Some(name.clone())),
        (Method::PUT, "/roles/{}".into(), &role, Some(name)),
        (Method::DELETE, "/roles/{}".into(), &role, None),
        (Method::GET, "/roles/{}/permissions".into(), &role, None),
        (Method::POST, "/roles/{}/permissions".into(), &role, Some(json!({ "permission_id": permission }))),
        (Method::POST, format!("/roles/{own}/permissions"), &perm, Some(json!({ "permission_id": "{}" }))),
        (Method::DELETE, format!("/roles/{own}/permissions/{{}}"), &perm, None),
        (Method::GET, "/permissions/{}".into(), &perm, None),
        (Method::PATCH, "/permissions/{}".into(), &perm, Some(key.clone())),
        (Method::PUT, "/permissions/{}".into(), &perm, Some(key)),
        (Method::DELETE, "/permissions/{}".into(), &perm, None),
        (Method::GET, "/people/{}".into(), &stranger, None),
        (Method::PATCH, "/people/{}".into(), &stranger, Some(json!({ "first_name": "T" }))),
        (Method::PUT, "/people/{}".into(), &stranger, Some(whole)),
        (Method::DELETE, "/people/{}".into(), &stranger, None),
        (Method::GET, "/people/{}/roles".into(), &stranger, None),
        (Method::POST, "/people/{}/roles".into(), &stranger, Some(json!({ "role_id": own }))),
        (Method::POST, format!("/people/{resident}/roles"), &role, Some(json!({ "role_id": "{}" }))),
        (Method::DELETE, format!("/people/{resident}/roles/{{}}"), &role, None),
        (Method::GET, "/audit-events/{}".into(), &event, None),
        (Method::POST, "/people/{}/unlock".into(), &stranger, None),
        (Method::DELETE, "/people/{}/sessions".into(), &stranger, None),
        (Method::GET, "/user-credentials/{}".into(), &stranger, None),
        (Method::PATCH, "/user-credentials/{}".into(), &stranger, Some(json!({ "password": PASSWORD }))),
        (Method::DELETE, "/user-credentials/{}".into(), &stranger, None),
        (
            Method::POST,
            "/user-credentials".into(),
            &stranger,
            Some(json!({ "person_id": "{}", "password": PASSWORD })),
        ),
        (Method::GET, "/sessions/{}".into(), &session, None),
        (Method::PATCH, "/sessions/{}".into(), &session, Some(json!({ "status": "revoked" }))),
        (Method::DELETE, "/sessions/{}".into(), &session, None),
        (Method::GET, "/sessions/{}".into(), &elsewhere, None),
        (Method::DELETE, "/sessions/{}".into(), &elsewhere, None),
    ] {
        let ask = async |id: &str| {
            let body = body.as_ref().map(|body| body.to_string().replace("{}", id).parse::<Value>().unwrap());
            let answer = admin.send(method.clone(), &path.replace("{}", id), body.as_ref()).await;
            let mut problem = answer.problem(404, "not_found");
            problem["request_id"] = Value::Null;
            problem
        };
        assert_eq!(ask(foreign).await, ask(NOBODY).await, "{method} {path} tells foreign from missing");
    }
    let by_person = format!("/sessions?person_id={stranger}");
    let credential_of = format!("/user-credentials?person_id={stranger}");
    for path in [
        "/roles",
        "/permissions",
        "/people",
        "/audit-events",
        "/user-credentials",
        "/sessions",
        by_person.as_str(),
        credential_of.as_str(),
    ] {
        let listed = Value::from(admin.all(path).await).to_string();
        for foreign in ["theirs", &stranger, &session, &elsewhere] {
            assert!(!listed.contains(foreign), "{path} lists a foreign row");
        }
    }
    // Ending what somebody has here leaves what they have elsewhere.
    admin.delete(&format!("/people/{}/sessions", person.id)).await.expect(200);
    let left = "SELECT 1 / (SELECT count(*) FROM sessions WHERE ended_at IS NULL AND id = ";
    app.place.sql(&format!("{left}{})", id(6))).await;
    let export = admin.get("/audit-events/export").await;
    assert!(export.status == 200 && !export.text.contains("theirs"), "{export}");
    // A name that somebody else's organisation uses is free here.
    admin.post("/roles", json!({ "name": "theirs" })).await.expect(201);
}
