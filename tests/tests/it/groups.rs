//! Groups: rules for several people at once, by which nobody gains what they could not be given; and the last administrator of
//! an organisation, whom no way takes from it.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Engine, NOBODY, TestApp, text};

use crate::decisions::{give, id_of};

stylobate_tests::both_engines!(
    groups_go_through_their_life,
    who_is_in_a_group_may_what_it_may,
    groups_of_others_are_missing,
    nobody_gains_by_a_group,
    an_organisation_keeps_an_administrator
);

async fn groups_go_through_their_life(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    let made = root.post("/groups", json!({ "name": "Night shift", "description": "After ten" })).await;
    assert!(made.header("x-policy-epoch").is_some());
    let made = made.expect(201);
    assert_eq!((&made["name"], &made["version"]), (&json!("Night shift"), &json!(1)));
    let path = format!("/groups/{}", text(&made, "id"));
    assert_eq!(root.get(&path).await.expect(200), made);
    root.post("/groups", json!({ "name": "Day shift" })).await.expect(201);
    let listed = root.all("/groups").await;
    assert_eq!(listed.iter().map(|one| text(one, "name")).collect::<Vec<_>>(), ["Day shift", "Night shift"]);
    assert_eq!(root.all("/groups?search=NIGHT").await, std::slice::from_ref(&made));
    let first = root.get("/groups?limit=1&include_total=true").await.expect(200);
    assert_eq!((&first["total"], first["next_cursor"].is_string()), (&json!(2), true));

    let changed = root.patch(&path, json!({ "description": null, "version": 1 })).await.expect(200);
    assert_eq!((&changed["description"], &changed["version"]), (&Value::Null, &json!(2)));
    root.patch(&path, json!({ "name": "Late shift", "version": 1 })).await.problem(409, "stale");
    root.patch(&path, json!({ "name": "DAY SHIFT" })).await.problem(409, "group_name_taken");
    root.post("/groups", json!({ "name": "night SHIFT" })).await.problem(409, "group_name_taken");
    for (body, field) in [
        (json!({}), "name"),
        (json!({ "name": "" }), "name"),
        (json!({ "name": "x".repeat(81) }), "name"),
        (json!({ "name": "a\u{202e}b" }), "name"),
        (json!({ "name": "a", "description": "x".repeat(501) }), "description"),
        (json!({ "name": "a", "tenant_id": NOBODY }), "tenant_id"),
    ] {
        root.post("/groups", body).await.problem_of(422, "validation", field);
    }

    let members = format!("{path}/members");
    let added = root.post(&members, json!({ "person_id": clerk.id })).await;
    assert!(added.header("x-policy-epoch").is_some());
    let added = added.expect(201);
    assert_eq!((&added["person_id"], &added["username"]), (&json!(clerk.id), &json!("clerk")));
    assert!(added["added_at"].is_string());
    root.post(&members, json!({ "person_id": clerk.id })).await.problem(409, "already_in_group");
    assert_eq!(root.all(&members).await, [added]);
    assert_eq!(root.all(&format!("/people/{}/groups", clerk.id)).await, std::slice::from_ref(&changed));
    for (body, field) in [
        (json!({}), "person_id"),
        (json!({ "person_id": "clerk" }), "person_id"),
        (json!({ "person_id": clerk.id, "group_id": NOBODY }), "group_id"),
    ] {
        root.post(&members, body).await.problem_of(422, "validation", field);
    }
    let member = format!("{members}/{}", clerk.id);
    assert_eq!(root.delete(&member).await.status, 204);
    root.delete(&member).await.problem(404, "not_found");
    root.post(&members, json!({ "person_id": clerk.id })).await.expect(201);
    assert_eq!(root.delete(&path).await.status, 204);
    root.get(&path).await.problem(404, "not_found");
    assert!(root.all(&format!("/people/{}/groups", clerk.id)).await.is_empty());
    for (action, rows) in [
        ("group.create", 2),
        ("group.update", 1),
        ("group.member.add", 2),
        ("group.member.remove", 1),
        ("group.delete", 1),
    ] {
        assert_eq!(root.all(&format!("/audit-events?action={action}")).await.len(), rows, "{action}");
    }
}

async fn who_is_in_a_group_may_what_it_may(engine: Engine) {
    // A11
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    let group = root.post("/groups", json!({ "name": "readers" })).await.expect(201);
    let path = format!("/groups/{}", text(&group, "id"));
    let role = root.post("/roles", json!({ "name": "reader" })).await.expect(201);
    let read = id_of(&root, "/permissions", "key", "user.read").await;
    let attach = format!("/roles/{}/permissions", text(&role, "id"));
    root.post(&attach, json!({ "permission_id": read })).await.expect(201);
    let roles = format!("{path}/roles");
    let assigned = root.post(&roles, json!({ "role_id": role["id"] })).await.expect(201);
    assert_eq!((&assigned["group_id"], &assigned["role_id"]), (&group["id"], &role["id"]));
    root.post(&roles, json!({ "role_id": role["id"] })).await.problem(409, "already_assigned");
    assert_eq!(root.all(&roles).await[0]["id"], role["id"]);
    // It is no person's, where older systems look for those.
    assert!(root.all(&format!("/rbac/person-roles?role_id={}", text(&role, "id"))).await.is_empty());
    let link = format!("/rbac/person-roles/{}", text(&assigned, "id"));
    root.get(&link).await.problem(404, "not_found");
    root.patch(&link, json!({ "person_id": clerk.id })).await.problem(404, "not_found");
    root.delete(&link).await.problem(404, "not_found");
    clerk.client.get("/people?limit=1").await.problem(403, "permission_denied");
    let member = json!({ "person_id": clerk.id });
    root.post(&format!("{path}/members"), member.clone()).await.expect(201);
    clerk.client.get("/people?limit=1").await.expect(200);

    // Why, and who.
    let question = json!({ "user_id": clerk.id, "permission_name": "user.read" });
    let explained = root.post("/v1/rbac/explain", question).await.expect(200);
    assert_eq!(explained["rules"][0]["group"], json!({ "kind": "group", "id": group["id"] }), "{explained}");
    let who = root.all("/v1/rbac/who-can?permission_name=user.read").await;
    for (kind, id) in [("person", json!(clerk.id)), ("group", group["id"].clone())] {
        assert!(who.contains(&json!({ "kind": kind, "id": id })), "{kind} is not in {who:?}");
    }
    let effective = root.get(&format!("/v1/rbac/effective/{}", clerk.id)).await.expect(200);
    assert_eq!(effective["permissions"][0]["role_ids"], json!([role["id"]]));
    assert!(root.all(&format!("/people/{}/roles", clerk.id)).await.is_empty(), "none of their own");

    root.delete(&format!("{path}/members/{}", clerk.id)).await.expect(204);
    clerk.client.get("/people?limit=1").await.problem(403, "permission_denied");
    root.post(&format!("{path}/members"), member).await.expect(201);
    clerk.client.get("/people?limit=1").await.expect(200);
    let link = format!("{roles}/{}", text(&role, "id"));
    root.delete(&link).await.expect(204);
    clerk.client.get("/people?limit=1").await.problem(403, "permission_denied");
    root.delete(&link).await.problem(404, "not_found");
    // The group goes, and with it what it gave.
    root.post(&roles, json!({ "role_id": role["id"] })).await.expect(201);
    clerk.client.get("/people?limit=1").await.expect(200);
    root.delete(&path).await.expect(204);
    clerk.client.get("/people?limit=1").await.problem(403, "permission_denied");
    // No role of the platform.
    let group = root.post("/groups", json!({ "name": "roots" })).await.expect(201);
    let platform = id_of(&root, "/roles", "name", "super_admin").await;
    let refused =
        root.post(&format!("/groups/{}/roles", text(&group, "id")), json!({ "role_id": platform })).await;
    refused.problem_of(422, "validation", "assignee");
}

/// A12: as if there were none, one of another organisation and one that nobody ever made.
async fn groups_of_others_are_missing(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    let role = root.post("/roles", json!({ "name": "reader" })).await.expect(201);
    let now = app.place.long_ago();
    let (foreign, tenant, stranger) = (
        "0191e000-0000-7000-8000-0000000000d1",
        "0191e000-0000-7000-8000-0000000000d2",
        "0191e000-0000-7000-8000-0000000000d3",
    );
    let id = |text: &str| app.place.id(text.parse().unwrap());
    app.place
        .sql(&format!(
            "INSERT INTO groups (id, tenant_id, name, name_folded, version, created_at, updated_at)
                 VALUES ({}, {}, 'foreign', 'foreign', 1, {now}, {now});
             INSERT INTO group_members (tenant_id, group_id, subject_kind, subject_id, created_at)
                 VALUES ({}, {}, 'person', {}, {now}), ({}, {}, 'person', {}, {now});",
            id(foreign),
            id(tenant),
            id(tenant),
            id(foreign),
            id(&clerk.id),
            id(tenant),
            id(foreign),
            id(stranger),
        ))
        .await;
    let answers = async |group: &str| {
        let path = format!("/groups/{group}");
        let mut answers = Vec::new();
        for (method, path, body) in [
            (Method::GET, path.clone(), None),
            (Method::PATCH, path.clone(), Some(json!({ "name": "mine" }))),
            (Method::DELETE, path.clone(), None),
            (Method::GET, format!("{path}/members"), None),
            (Method::POST, format!("{path}/members"), Some(json!({ "person_id": clerk.id }))),
            (Method::DELETE, format!("{path}/members/{}", clerk.id), None),
            (Method::GET, format!("{path}/roles"), None),
            (Method::POST, format!("{path}/roles"), Some(json!({ "role_id": role["id"] }))),
            (Method::DELETE, format!("{path}/roles/{}", text(&role, "id")), None),
        ] {
            let answer = root.send(method, &path, body.as_ref()).await;
            answer.problem(404, "not_found");
            let (status, headers, body) = answer.without_volatile();
            // Each has an id of its own.
            let mut body: Value = serde_json::from_str(&body).unwrap();
            body.as_object_mut().unwrap().remove("request_id");
            answers.push((status, headers, body));
        }
        answers
    };
    assert_eq!(answers(foreign).await, answers(NOBODY).await);
    assert!(root.all("/groups").await.is_empty());
    assert!(root.all(&format!("/people/{}/groups", clerk.id)).await.is_empty());
    // Nor is somebody put into a group who is no member.
    let own = root.post("/groups", json!({ "name": "own" })).await.expect(201);
    let members = format!("/groups/{}/members", text(&own, "id"));
    for person in [stranger, NOBODY] {
        root.post(&members, json!({ "person_id": person })).await.problem(404, "not_found");
        root.get(&format!("/people/{person}/groups")).await.problem(404, "not_found");
    }
}

/// A11: what somebody may hand out ends with what they have, also by way of a group.
async fn nobody_gains_by_a_group(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let (clerk, idler) = (app.person(&root, "clerk").await, app.person(&root, "idler").await);
    let keys = ["group.read", "group.create", "group.update", "group.delete", "role.assign", "role.read"];
    give(&root, &clerk, "clerk", &keys).await;
    let chiefs = root.post("/groups", json!({ "name": "chiefs" })).await.expect(201);
    let chiefs = format!("/groups/{}", text(&chiefs, "id"));
    let admin = id_of(&root, "/roles", "name", "admin").await;
    root.post(&format!("{chiefs}/roles"), json!({ "role_id": admin })).await.expect(201);
    for person in [&clerk.id, &idler.id] {
        let refused = clerk.client.post(&format!("{chiefs}/members"), json!({ "person_id": person })).await;
        refused.problem(403, "beyond_own_permissions");
    }
    let own = clerk.client.post("/groups", json!({ "name": "own" })).await.expect(201);
    let own = format!("/groups/{}", text(&own, "id"));
    clerk.client.post(&format!("{own}/members"), json!({ "person_id": clerk.id })).await.expect(201);
    let refused = clerk.client.post(&format!("{own}/roles"), json!({ "role_id": admin })).await;
    refused.problem(403, "beyond_own_permissions");
    // Whoever may nothing sees nothing.
    for (method, path) in [
        (Method::GET, "/groups".to_owned()),
        (Method::GET, own.clone()),
        (Method::GET, format!("{own}/members")),
        (Method::GET, format!("/people/{}/groups", idler.id)),
        (Method::DELETE, own.clone()),
    ] {
        idler.client.send(method, &path, None).await.problem(403, "permission_denied");
    }
    // Who is in the group of administrators is one: whose password others set.
    root.post(&format!("{chiefs}/members"), json!({ "person_id": idler.id })).await.expect(201);
    give(&root, &clerk, "desk", &["user.read", "user.update"]).await;
    let body = json!({ "email": "clerk+idler@example.org" });
    let refused = clerk.client.patch(&format!("/people/{}", idler.id), body).await;
    refused.problem(403, "beyond_own_permissions");
    idler.client.delete(&own).await.expect(204);
}

/// A11: nobody in the organisation could make another.
async fn an_organisation_keeps_an_administrator(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let me = root.get("/auth/me").await.expect(200)["id"].as_str().unwrap().to_owned();
    let manager = app.person(&root, "manager").await;
    let admin = id_of(&root, "/roles", "name", "admin").await;
    let own = format!("/people/{me}/roles/{admin}");
    root.delete(&own).await.problem(409, "last_administrator");
    root.patch(&own, json!({ "expires_at": "2999-01-01T00:00:00Z" }))
        .await
        .problem(409, "last_administrator");

    // By a group, another is one, and then the only one.
    let group = root.post("/groups", json!({ "name": "chiefs" })).await.expect(201);
    let group = format!("/groups/{}", text(&group, "id"));
    root.post(&format!("{group}/roles"), json!({ "role_id": admin })).await.expect(201);
    root.delete(&own).await.problem(409, "last_administrator");
    root.post(&format!("{group}/members"), json!({ "person_id": manager.id })).await.expect(201);
    root.delete(&own).await.expect(204);
    for path in [
        format!("{group}/members/{}", manager.id),
        format!("{group}/roles/{admin}"),
        group.clone(),
        format!("/people/{}", manager.id),
    ] {
        root.delete(&path).await.problem(409, "last_administrator");
    }
    manager.client.get("/people?limit=1").await.expect(200);
    // Others come and go.
    let other = app.person(&root, "other").await;
    root.delete(&format!("/people/{}", other.id)).await.expect(204);
    root.post(&format!("/people/{me}/roles"), json!({ "role_id": admin })).await.expect(201);
    root.delete(&format!("/people/{}", manager.id)).await.expect(204);
    root.delete(&group).await.expect(204);
}
