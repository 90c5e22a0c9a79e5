//! Rules beside plain roles: inheritance, denials, conditions, overrides, access control lists, expiry, and the links of older
//! systems.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, NOBODY, Person, TestApp, eventually};

use crate::decisions::{give, id_of};

stylobate_tests::both_engines!(
    roles_inherit_and_deny,
    overrides_come_beside_roles,
    lists_are_about_one_resource,
    what_expires_is_over,
    conditions_are_asked_about,
    what_was_given_is_renewed_and_changed,
    a_second_permission_is_asked_and_its_denial_recorded,
    links_of_older_systems_still_work,
    nobody_excepts_beyond_what_they_have
);

const FAR: &str = "2999-01-01T00:00:00Z";

/// Whether `person` may do `name`, to `resource` if there is one.
async fn may(root: &Client, person: &Person, name: &str, resource: Value) -> bool {
    let mut question = json!({ "user_id": person.id, "permission_name": name });
    if !resource.is_null() {
        question["resource"] = resource;
    }
    root.post("/rbac/check", question).await.expect(200)["allowed"] == json!(true)
}

async fn roles_inherit_and_deny(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    let child = give(&root, &clerk, "child", &[]).await;
    let parent =
        root.post("/roles", json!({ "name": "parent" })).await.expect(201)["id"].as_str().unwrap().to_owned();
    let read = id_of(&root, "/permissions", "key", "user.read").await;
    root.post(&format!("/roles/{parent}/permissions"), json!({ "permission_id": read })).await.expect(201);
    clerk.client.get("/people?limit=1").await.problem(403, "permission_denied");
    let parents = format!("/roles/{child}/parents");
    let added = root.post(&parents, json!({ "parent_id": parent })).await;
    assert_eq!(added.expect(201)["parent_id"], json!(parent));
    assert!(added.header("x-policy-epoch").is_some());
    clerk.client.get("/people?limit=1").await.expect(200);
    assert_eq!(root.get(&parents).await.expect(200)["items"][0]["parent_id"], json!(parent));

    root.post(&parents, json!({ "parent_id": parent })).await.problem(409, "already_inherited");
    root.post(&format!("/roles/{parent}/parents"), json!({ "parent_id": child }))
        .await
        .problem(409, "role_cycle");
    root.post(&parents, json!({ "parent_id": child })).await.problem(409, "role_cycle");
    root.post(&parents, json!({ "parent_id": NOBODY })).await.problem(404, "not_found");
    let platform = id_of(&root, "/roles", "name", "super_admin").await;
    let refused = root.post(&parents, json!({ "parent_id": platform })).await;
    assert!([403, 404].contains(&refused.status), "{refused}");

    // What the role itself denies, no parent gives.
    let own = format!("/roles/{child}/permissions");
    let denied = root.post(&own, json!({ "permission_id": read, "effect": "deny" })).await.expect(201);
    assert_eq!((&denied["effect"], &denied["condition"]), (&json!("deny"), &Value::Null));
    clerk.client.get("/people?limit=1").await.problem(403, "permission_denied");
    root.delete(&format!("{own}/{read}")).await.expect(204);
    clerk.client.get("/people?limit=1").await.expect(200);
    root.delete(&format!("{parents}/{parent}")).await.expect(204);
    clerk.client.get("/people?limit=1").await.problem(403, "permission_denied");
    root.delete(&format!("{parents}/{parent}")).await.problem(404, "not_found");
    root.post(&own, json!({ "permission_id": read, "effect": "perhaps" })).await.problem_of(
        422,
        "validation",
        "effect",
    );
}

async fn overrides_come_beside_roles(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let (clerk, other) = (app.person(&root, "clerk").await, app.person(&root, "other").await);
    let read = id_of(&root, "/permissions", "key", "user.read").await;
    let path = format!("/people/{}/overrides", clerk.id);
    let made = root.post(&path, json!({ "permission_id": read, "effect": "allow" })).await.expect(201);
    assert_eq!((&made["user_id"], &made["is_platform"]), (&json!(clerk.id), &json!(false)));
    clerk.client.get("/people?limit=1").await.expect(200);
    let effective = root.get(&format!("/v1/rbac/effective/{}", clerk.id)).await.expect(200);
    assert_eq!(effective["permissions"][0]["override_ids"], json!([made["id"]]));

    // There is one rule about a person and a permission.
    let denied = root
        .post(&path, json!({ "permission_id": read, "effect": "deny", "expires_at": FAR }))
        .await
        .expect(201);
    assert_eq!(denied["expires_at"], FAR);
    give(&root, &clerk, "reader", &["user.read"]).await;
    clerk.client.get("/people?limit=1").await.problem(403, "permission_denied");
    let listed = root.all(&path).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    let question = json!({ "user_id": clerk.id, "permission_name": "user.read" });
    let explained = root.post("/v1/rbac/explain", question).await.expect(200);
    assert_eq!(explained["decision"]["reason"]["code"], "denied_by_override", "{explained}");

    let id = listed[0]["id"].as_str().unwrap();
    // C20: the rule has to be the person's whom the path names.
    root.delete(&format!("/people/{}/overrides/{id}", other.id)).await.problem(404, "not_found");
    root.delete(&format!("{path}/{NOBODY}")).await.problem(404, "not_found");
    root.delete(&format!("{path}/{id}")).await.expect(204);
    clerk.client.get("/people?limit=1").await.expect(200);

    for (body, field) in [
        (json!({ "permission_id": read }), "effect"),
        (
            json!({ "permission_id": read, "effect": "allow", "expires_at": "2001-01-01T00:00:00Z" }),
            "expires_at",
        ),
        (json!({ "permission_id": read, "effect": "allow", "expires_at": "tomorrow" }), "expires_at"),
        (json!({ "permission_id": read, "effect": "allow", "person_id": NOBODY }), "person_id"),
    ] {
        root.post(&path, body).await.problem_of(422, "validation", field);
    }
    root.post(&path, json!({ "permission_id": NOBODY, "effect": "deny" })).await.problem(404, "not_found");
    let path = format!("/people/{NOBODY}/overrides");
    root.post(&path, json!({ "permission_id": read, "effect": "deny" })).await.problem(404, "not_found");
    clerk.client.get(&path).await.problem(403, "permission_denied");
}

async fn lists_are_about_one_resource(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    let read = id_of(&root, "/permissions", "key", "org.document.view").await;
    let entry = |id: &str, effect: &str| json!({ "resource_kind": "document", "resource_id": id, "user_id": clerk.id, "permission_id": read, "effect": effect });
    let made = root.post("/acl-entries", entry("7", "allow")).await;
    assert!(made.header("x-policy-epoch").is_some());
    let made = made.expect(201);
    let on = |id: &str| json!({ "kind": "document", "id": id });
    let name = "org.document.view";
    assert!(may(&root, &clerk, name, on("7")).await);
    for resource in
        [Value::Null, on("8"), json!({ "kind": "documents", "id": "7" }), json!({ "kind": "document" })]
    {
        assert!(!may(&root, &clerk, name, resource).await);
    }
    let path = format!("/acl-entries/{}", made["id"].as_str().unwrap());
    assert_eq!(root.get(&path).await.expect(200), made);
    // Setting it again replaces it; a denial wins over what a role gives.
    give(&root, &clerk, "reader", &["org.document.view"]).await;
    root.post("/acl-entries", entry("7", "deny")).await.expect(201);
    assert!(!may(&root, &clerk, name, on("7")).await && may(&root, &clerk, name, on("8")).await);
    let query = format!("/acl-entries?resource_kind=document&resource_id=7&user_id={}", clerk.id);
    assert_eq!(root.all(&query).await.len(), 1);
    assert!(root.all("/acl-entries?resource_kind=letter").await.is_empty());
    root.delete(&path).await.expect(204);
    root.delete(&path).await.problem(404, "not_found");
    root.get(&path).await.problem(404, "not_found");
    assert!(may(&root, &clerk, name, on("7")).await);

    let mut stranger = entry("7", "allow");
    stranger["user_id"] = json!(NOBODY);
    root.post("/acl-entries", stranger).await.problem(404, "not_found");
    for (field, value) in [
        ("resource_kind", json!("Döc")),
        ("resource_id", json!("a b")),
        ("resource_id", json!("x".repeat(1 << 19))),
    ] {
        let mut body = entry("7", "allow");
        body[field] = value;
        root.post("/acl-entries", body).await.problem_of(422, "validation", field);
    }
    clerk.client.post("/acl-entries", entry("7", "allow")).await.problem(403, "permission_denied");
}

async fn what_expires_is_over(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    let role =
        root.post("/roles", json!({ "name": "guest" })).await.expect(201)["id"].as_str().unwrap().to_owned();
    let read = id_of(&root, "/permissions", "key", "user.read").await;
    root.post(&format!("/roles/{role}/permissions"), json!({ "permission_id": read })).await.expect(201);
    let path = format!("/people/{}/roles", clerk.id);
    root.post(&path, json!({ "role_id": role, "expires_at": "2001-01-01T00:00:00Z" })).await.problem_of(
        422,
        "validation",
        "expires_at",
    );
    let link = root.post(&path, json!({ "role_id": role, "expires_at": FAR })).await.expect(201);
    assert_eq!(link["expires_at"], FAR);
    clerk.client.get("/people?limit=1").await.expect(200);
    root.delete(&format!("{path}/{role}")).await.expect(204);

    let soon = in_seconds(2);
    root.post(&path, json!({ "role_id": role, "expires_at": soon })).await.expect(201);
    clerk.client.get("/people?limit=1").await.expect(200);
    eventually("the role to expire", async || {
        (clerk.client.get("/people?limit=1").await.status == 403).then_some(())
    })
    .await;
}

/// A moment from now, as RFC 3339 has it.
#[expect(clippy::disallowed_methods, reason = "the server under test goes by the clock of the machine")]
fn in_seconds(seconds: u64) -> String {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + seconds;
    let (days, rest) = (since / 86_400, since % 86_400);
    // Days since 1970 to a date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days).
    let z = i64::try_from(days).unwrap() + 719_468;
    let (era, of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

async fn conditions_are_asked_about(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    let role = give(&root, &clerk, "author", &[]).await;
    let attach = async |key: &str, condition: Value| {
        let permission = id_of(&root, "/permissions", "key", key).await;
        let body = json!({ "permission_id": permission, "condition": condition });
        root.post(&format!("/roles/{role}/permissions"), body).await.expect(201)
    };
    let stored = attach("org.document.manage", json!({ "owner": {} })).await;
    assert_eq!(stored["condition"], json!({ "owner": {} }));
    let mine = json!({ "kind": "document", "id": "7", "owner_id": clerk.id });
    let theirs = json!({ "kind": "document", "id": "7", "owner_id": NOBODY });
    assert!(may(&root, &clerk, "org.document.manage", mine).await);
    assert!(!may(&root, &clerk, "org.document.manage", theirs).await);
    assert!(
        !may(&root, &clerk, "org.document.manage", Value::Null).await,
        "without a resource nobody owns it"
    );

    attach("org.document.view", json!({ "attribute": { "name": "department", "equals": "it" } })).await;
    let of = |value: &str| json!({ "kind": "document", "id": "7", "attributes": { "department": value } });
    assert!(may(&root, &clerk, "org.document.view", of("it")).await);
    assert!(!may(&root, &clerk, "org.document.view", of("IT")).await);

    attach("impersonation.perform", json!({ "assurance": { "at_least": "aal2" } })).await;
    let question = |aal: &str| json!({ "user_id": clerk.id, "permission_name": "impersonation.perform", "assurance": aal });
    assert_eq!(root.post("/rbac/check", question("aal2")).await.expect(200)["allowed"], json!(true));
    let weak = root.post("/rbac/check", question("aal1")).await.expect(200);
    assert_eq!(weak["reason"]["code"], "condition_unmet", "{weak}");
    assert_eq!(weak["missing"], json!({ "code": "assurance", "at_least": "aal2" }));

    let permission = id_of(&root, "/permissions", "key", "search.read").await;
    let path = format!("/roles/{role}/permissions");
    let mut deep = json!({ "owner": {} });
    for _ in 0..30 {
        deep = json!({ "all": [deep] });
    }
    for condition in
        [json!({ "eval": "1 == 1" }), json!("owner"), json!({ "attribute": { "name": "a" } }), deep]
    {
        let body = json!({ "permission_id": permission, "condition": condition });
        root.post(&path, body).await.problem(422, "validation");
    }
}

async fn what_was_given_is_renewed_and_changed(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let (clerk, other) = (app.person(&root, "clerk").await, app.person(&root, "other").await);
    let role = give(&root, &clerk, "reader", &["user.read"]).await;
    let read = id_of(&root, "/permissions", "key", "user.read").await;

    // Until when somebody has a role.
    let held = format!("/people/{}/roles", clerk.id);
    let assignment = format!("{held}/{role}");
    let changed = root.patch(&assignment, json!({ "expires_at": FAR })).await;
    assert!(changed.header("x-policy-epoch").is_some());
    let changed = changed.expect(200);
    assert_eq!((&changed["expires_at"], &changed["role_id"]), (&json!(FAR), &json!(role)));
    let listed = root.all(&held).await;
    assert_eq!((&listed[0]["id"], &listed[0]["expires_at"]), (&json!(role), &json!(FAR)));
    assert!(listed[0]["assigned_at"].is_string() && listed[0]["name"] == json!("reader"), "{listed:?}");
    clerk.client.get("/people?limit=1").await.expect(200);
    assert_eq!(
        root.patch(&assignment, json!({ "expires_at": null })).await.expect(200)["expires_at"],
        Value::Null
    );
    for (body, field) in [
        (json!({}), "expires_at"),
        (json!({ "expires_at": "2001-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "expires_at": "tomorrow" }), "expires_at"),
        (json!({ "expires_at": null, "role_id": role }), "role_id"),
    ] {
        root.patch(&assignment, body).await.problem_of(422, "validation", field);
    }
    let body = json!({ "expires_at": null });
    for path in [
        format!("{held}/{NOBODY}"),
        format!("/people/{}/roles/{role}", other.id),
        format!("/people/{NOBODY}/roles/{role}"),
    ] {
        root.patch(&path, body.clone()).await.problem(404, "not_found");
    }

    // Whether and when a role allows or denies.
    let rule = format!("/roles/{role}/permissions/{read}");
    let denied = root.patch(&rule, json!({ "effect": "deny", "condition": null })).await;
    assert!(denied.header("x-policy-epoch").is_some());
    assert_eq!(denied.expect(200)["effect"], json!("deny"));
    clerk.client.get("/people?limit=1").await.problem(403, "permission_denied");
    let strong = json!({ "assurance": { "at_least": "aal3" } });
    let changed = root.patch(&rule, json!({ "effect": "allow", "condition": strong })).await.expect(200);
    assert_eq!((&changed["effect"], &changed["condition"]), (&json!("allow"), &strong));
    clerk.client.get("/people?limit=1").await.problem(403, "permission_denied");
    let shown = root.all(&format!("/roles/{role}/permissions")).await;
    assert_eq!((&shown[0]["effect"], &shown[0]["condition"]), (&json!("allow"), &strong));
    root.patch(&format!("/v1/rbac{rule}"), json!({ "effect": "allow", "condition": null })).await.expect(200);
    clerk.client.get("/people?limit=1").await.expect(200);
    for (body, field) in [
        (json!({ "effect": "deny" }), "condition"),
        (json!({ "condition": null }), "effect"),
        (json!({ "effect": "perhaps", "condition": null }), "effect"),
    ] {
        root.patch(&rule, body).await.problem_of(422, "validation", field);
    }
    let body = json!({ "effect": "deny", "condition": null });
    root.patch(&format!("/roles/{role}/permissions/{NOBODY}"), body.clone()).await.problem(404, "not_found");
    let platform = id_of(&root, "/roles", "name", "super_admin").await;
    let all = root.all(&format!("/roles/{platform}/permissions")).await;
    let everything = all[0]["id"].as_str().unwrap();

    // A11: who may only give may not take, and nobody goes beyond what they have.
    let keys = ["role.read", "role.assign", "role.perm.assign"];
    give(&root, &other, "giver", &keys).await;
    let asking = &other.client;
    asking.patch(&assignment, json!({ "expires_at": FAR })).await.problem(403, "permission_denied");
    asking.patch(&rule, body.clone()).await.problem(403, "permission_denied");
    give(&root, &other, "taker", &["role.revoke", "role.perm.revoke"]).await;
    asking.patch(&assignment, json!({ "expires_at": FAR })).await.expect(200);
    asking.patch(&assignment, json!({ "expires_at": null })).await.problem(403, "beyond_own_permissions");
    asking.patch(&rule, body.clone()).await.problem(403, "beyond_own_permissions");
    asking
        .patch(&format!("/roles/{platform}/permissions/{everything}"), body)
        .await
        .problem(403, "platform_owned");
    let audited = root.all("/audit-events?action=role.assign.update").await;
    assert_eq!(audited.len(), 3, "{audited:?}");
    let audited = root.all("/audit-events?action=role.perm.update").await;
    assert_eq!(audited.len(), 3, "{audited:?}");
}

// A11, A23
async fn a_second_permission_is_asked_and_its_denial_recorded(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let (clerk, giver) = (app.person(&root, "clerk").await, app.person(&root, "giver").await);
    let role = give(&root, &clerk, "reader", &["user.read"]).await;
    let read = id_of(&root, "/permissions", "key", "user.read").await;
    give(&root, &giver, "giver", &["role.read", "role.assign", "role.perm.assign", "user.read"]).await;
    let id_of_link = async |path: String| root.all(&path).await[0]["id"].as_str().unwrap().to_owned();
    let grant = id_of_link(format!("/rbac/role-permissions?role_id={role}")).await;
    let person_role = id_of_link(format!("/rbac/person-roles?person_id={}", clerk.id)).await;
    let rule = json!({ "effect": "allow", "condition": null });
    let asked = [
        ("role.revoke", format!("/people/{}/roles/{role}", clerk.id), json!({ "expires_at": FAR })),
        ("role.revoke", format!("/rbac/person-roles/{person_role}"), json!({ "person_id": giver.id })),
        ("role.perm.revoke", format!("/roles/{role}/permissions/{read}"), rule),
        ("role.perm.revoke", format!("/rbac/role-permissions/{grant}"), json!({ "permission_id": read })),
    ];
    let denied = async || root.all("/audit-events?action=permission.deny").await;
    for (permission, path, body) in &asked {
        let before = denied().await;
        let answer = giver.client.patch(path, body.clone()).await;
        answer.problem(403, "permission_denied");
        assert!(answer.text.contains(permission), "{answer}");
        let after = denied().await;
        let new: Vec<&Value> = after.iter().filter(|row| !before.contains(row)).collect();
        let [row] = new.as_slice() else { panic!("{new:?} is on record of {path}") };
        assert_eq!(row["entity_id"], json!(permission), "{row}");
        assert_eq!((&row["outcome"], &row["actor_id"]), (&json!("denied"), &json!(giver.id)));
        let noted = &row["metadata"];
        assert_eq!((&noted["method"], &noted["reason"]), (&json!("PATCH"), &json!("role_lacks_permission")));
    }
}

async fn links_of_older_systems_still_work(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let (clerk, other) = (app.person(&root, "clerk").await, app.person(&root, "other").await);
    let role = async |name: &str| {
        let body = json!({ "role_name": name, "role_description": "as older systems spell it" });
        let made = root.post("/v1/rbac/roles", body).await.expect(201);
        assert_eq!(
            (&made["name"], &made["description"]),
            (&json!(name), &json!("as older systems spell it"))
        );
        made["id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (role("first").await, role("second").await);
    let read = id_of(&root, "/permissions", "key", "user.read").await;
    let delete = id_of(&root, "/permissions", "key", "user.delete").await;

    let made = root.post("/rbac/role-permissions", json!({ "role_id": first, "permission_id": read })).await;
    assert!(made.header("deprecation").is_some() && made.header("x-policy-epoch").is_some());
    let link = made.expect(201);
    let path = format!("/rbac/role-permissions/{}", link["id"].as_str().unwrap());
    assert_eq!(root.get(&path).await.expect(200), link);
    let listed = root.all(&format!("/rbac/role-permissions?role_id={first}")).await;
    assert_eq!(listed, std::slice::from_ref(&link));
    root.post("/rbac/person-roles", json!({ "person_id": clerk.id, "role_id": first })).await.expect(201);
    clerk.client.get("/people?limit=1").await.expect(200);

    let moved = root.patch(&path, json!({ "permission_id": delete })).await.expect(200);
    assert_eq!((&moved["id"], &moved["permission_id"]), (&link["id"], &json!(delete)));
    clerk.client.get("/people?limit=1").await.problem(403, "permission_denied");
    root.patch(&path, json!({ "permission_id": read, "role_id": second })).await.expect(200);
    root.patch(&path, json!({ "role_id": NOBODY })).await.problem(404, "not_found");

    let links = root.all(&format!("/rbac/person-roles?person_id={}", clerk.id)).await;
    let assignment = format!("/rbac/person-roles/{}", links[0]["id"].as_str().unwrap());
    let moved = root.patch(&assignment, json!({ "role_id": second })).await.expect(200);
    assert_eq!(moved["role_id"], json!(second));
    clerk.client.get("/people?limit=1").await.expect(200);
    root.patch(&assignment, json!({ "person_id": other.id })).await.expect(200);
    clerk.client.get("/people?limit=1").await.problem(403, "permission_denied");
    other.client.get("/people?limit=1").await.expect(200);
    root.patch(&assignment, json!({ "person_id": NOBODY })).await.problem(404, "not_found");
    root.delete(&assignment).await.expect(204);
    root.get(&assignment).await.problem(404, "not_found");
    root.delete(&path).await.expect(204);
    root.delete(&path).await.problem(404, "not_found");
    other.client.get("/people?limit=1").await.problem(403, "permission_denied");

    // The spelling of 004, which is that of the routes today under another path.
    let made =
        root.post("/v1/rbac/permissions", json!({ "permission_name": "reports.read" })).await.expect(201);
    assert_eq!(made["key"], "reports.read");
    let attach = format!("/v1/rbac/roles/{first}/permissions");
    root.post(&attach, json!({ "permission_id": made["id"] })).await.expect(201);
    root.post(&format!("/v1/rbac/users/{}/roles", clerk.id), json!({ "role_id": first })).await.expect(201);
    assert!(may(&root, &clerk, "reports.read", Value::Null).await);
    root.delete(&format!("/v1/rbac/users/{}/roles/{first}", clerk.id)).await.expect(204);
    root.delete(&format!("{attach}/{}", made["id"].as_str().unwrap())).await.expect(204);
    root.patch(&format!("/v1/rbac/roles/{first}"), json!({ "role_name": "renamed" })).await.expect(200);
    root.delete(&format!("/v1/rbac/roles/{first}")).await.expect(204);
}

/// A11: what somebody may hand out ends with what they have, whichever way they go.
async fn nobody_excepts_beyond_what_they_have(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let (clerk, other) = (app.person(&root, "clerk").await, app.person(&root, "other").await);
    let keys =
        ["role.read", "role.assign", "role.revoke", "role.perm.assign", "role.perm.revoke", "acl.manage"];
    let role = give(&root, &clerk, "clerk", &keys).await;
    let delete = id_of(&root, "/permissions", "key", "user.delete").await;
    let admin = id_of(&root, "/roles", "name", "admin").await;
    let links = root.all(&format!("/rbac/person-roles?person_id={}", clerk.id)).await;
    let own = format!("/rbac/person-roles/{}", links[0]["id"].as_str().unwrap());
    let grants = root.all(&format!("/rbac/role-permissions?role_id={role}")).await;
    let grant = format!("/rbac/role-permissions/{}", grants[0]["id"].as_str().unwrap());
    for person in [&clerk.id, &other.id] {
        let overrides = format!("/people/{person}/overrides");
        for effect in ["allow", "deny"] {
            let body = json!({ "permission_id": delete, "effect": effect });
            clerk.client.post(&overrides, body).await.problem(403, "beyond_own_permissions");
        }
        let body = json!({ "resource_kind": "document", "resource_id": "7", "user_id": person, "permission_id": delete, "effect": "allow" });
        clerk.client.post("/acl-entries", body).await.problem(403, "beyond_own_permissions");
        let body = json!({ "role_id": admin });
        clerk
            .client
            .post(&format!("/people/{person}/roles"), body)
            .await
            .problem(403, "beyond_own_permissions");
        let body = json!({ "person_id": person, "role_id": admin });
        clerk.client.post("/rbac/person-roles", body).await.problem(403, "beyond_own_permissions");
    }
    let refused = clerk.client.post(&format!("/roles/{role}/parents"), json!({ "parent_id": admin })).await;
    refused.problem(403, "beyond_own_permissions");
    let body = json!({ "role_id": role, "permission_id": delete });
    clerk.client.post("/rbac/role-permissions", body).await.problem(403, "beyond_own_permissions");
    for (method, path, body) in [
        (Method::PATCH, &own, json!({ "role_id": admin })),
        (Method::PATCH, &grant, json!({ "permission_id": delete })),
    ] {
        clerk.client.send(method, path, Some(&body)).await.problem(403, "beyond_own_permissions");
    }
    assert!(!may(&root, &clerk, "user.delete", Value::Null).await);
    // What they have, they pass on.
    let read = id_of(&root, "/permissions", "key", "role.read").await;
    let body = json!({ "permission_id": read, "effect": "allow" });
    clerk.client.post(&format!("/people/{}/overrides", other.id), body).await.expect(201);
    other.client.get("/roles?limit=1").await.expect(200);
}
