//! The whole story of the purpose: a link, an administrator, people, roles, permissions, and a trail of every change.

use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, PASSWORD, TestApp, eventually};

stylobate_tests::both_engines!(first_start_to_audit_trail);

async fn first_start_to_audit_trail(engine: Engine) {
    let mut app = TestApp::builder(engine).without_administrator().start().await;
    let administrator = create_first_administrator(&mut app).await;
    let me = administrator.get("/auth/me").await.expect(200);
    assert_eq!((&me["username"], &me["email"]), (&json!("ada"), &json!("ada@example.org")));
    let whoami = administrator.get("/auth/whoami").await.expect(200);
    assert!(whoami.to_string().contains(me["id"].as_str().unwrap()), "{whoami}");

    let bob = app.person(&administrator, "bob").await;
    bob.client.get("/roles").await.problem(403, "permission_denied");

    let role =
        administrator.post("/roles", json!({ "name": "librarian", "description": "Keeps the books" })).await;
    let role = role.expect(201);
    let role_path = format!("/roles/{}", text(&role, "id"));
    let permission = catalogue_permission(&administrator, "role.read").await;
    let own = administrator
        .post("/permissions", json!({ "key": "books.read", "description": "See the books" }))
        .await;
    let own = own.expect(201);
    for permission in [&permission, &text(&own, "id")] {
        let link = json!({ "permission_id": permission });
        administrator.post(&format!("{role_path}/permissions"), link).await.expect(201);
    }
    let roles_of_bob = format!("/people/{}/roles", bob.id);
    administrator.post(&roles_of_bob, json!({ "role_id": role["id"] })).await.expect(201);

    // The process that made the change knows it at the next request.
    bob.client.get("/roles").await.expect(200);
    bob.client.post("/roles", json!({ "name": "x" })).await.problem(403, "permission_denied");
    let held = administrator.get(&roles_of_bob).await.expect(200);
    assert!(held.to_string().contains("librarian"), "{held}");
    let attached = administrator.get(&format!("{role_path}/permissions")).await.expect(200);
    assert!(attached.to_string().contains("books.read"), "{attached}");

    administrator.delete(&format!("{role_path}/permissions/{permission}")).await.expect(204);
    bob.client.get("/roles").await.problem(403, "permission_denied");
    administrator
        .post(&format!("{role_path}/permissions"), json!({ "permission_id": permission }))
        .await
        .expect(201);
    bob.client.get("/roles").await.expect(200);
    administrator.delete(&format!("{roles_of_bob}/{}", text(&role, "id"))).await.expect(204);
    bob.client.get("/roles").await.problem(403, "permission_denied");

    let changed = administrator.patch(&role_path, json!({ "name": "archivist" })).await.expect(200);
    assert_eq!((&changed["name"], &changed["description"]), (&json!("archivist"), &json!("Keeps the books")));
    administrator.delete(&role_path).await.expect(204);
    administrator.get(&role_path).await.problem(404, "not_found");
    people_are_found_and_changed(&administrator, &bob.id).await;

    let admin_id = text(&me, "id");
    trail_of_the_role(&administrator, &role, &admin_id).await;
    trail_of_bob(&administrator, &bob.id, &admin_id).await;
}

async fn create_first_administrator(app: &mut TestApp) -> Client {
    let server = app.server();
    let link = eventually("the set-up link", async || server.setup_link()).await;
    let anonymous = app.anonymous();
    let form = anonymous.get(&link).await;
    assert_eq!(form.status, 200, "{form}");
    assert!(form.header("content-type").unwrap().starts_with("text/html"), "{form}");
    assert!(form.text.contains("<form") && !form.text.contains("<script"), "{form}");

    let token = link.split_once("token=").unwrap().1;
    let fields = |token, password| {
        [
            ("token", token),
            ("username", "ada"),
            ("email", "ada@example.org"),
            ("first_name", "Ada"),
            ("last_name", "Lovelace"),
            ("password", password),
        ]
    };
    let wrong = anonymous.post_form("/setup", &fields("a-token-nobody-made", PASSWORD)).await;
    assert_eq!(wrong.status, 403, "{wrong}");
    let weak = anonymous.post_form("/setup", &fields(token, "too short")).await;
    assert!((400..500).contains(&weak.status), "{weak}");
    let done = anonymous.post_form("/setup", &fields(token, PASSWORD)).await;
    assert!([201, 303].contains(&done.status), "{done}");
    let again = anonymous.post_form("/setup", &fields(token, PASSWORD)).await;
    assert!([403, 404, 409, 410].contains(&again.status), "one link makes one administrator: {again}");
    anonymous.login("ada", PASSWORD).await;
    anonymous.login("ADA@example.org", PASSWORD).await
}

async fn people_are_found_and_changed(administrator: &Client, bob: &str) {
    let path = format!("/people/{bob}");
    let found = administrator.get("/people?search=BOB").await.expect(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["items"][0]["id"], bob);
    let counted = administrator.get("/people?email=bob%40example.org&include_total=true").await.expect(200);
    assert_eq!(counted["total"], 1, "{counted}");
    assert_eq!(administrator.get("/people?is_active=false").await.expect(200)["items"], json!([]));

    let before = administrator.get(&path).await.expect(200);
    let change = json!({ "display_name": "Bob B.", "version": before["version"] });
    let after = administrator.patch(&path, change.clone()).await.expect(200);
    assert_eq!((&after["display_name"], &after["first_name"]), (&json!("Bob B."), &json!("Ada")));
    administrator.patch(&path, change).await.problem(409, "stale");
    let all =
        json!({ "first_name": "Robert", "last_name": "B", "email": "bob@example.org", "username": "bob" });
    let replaced = administrator.put(&path, all).await.expect(200);
    assert_eq!((&replaced["first_name"], &replaced["display_name"]), (&json!("Robert"), &Value::Null));

    let gone = administrator
        .post("/people", json!({ "first_name": "E", "last_name": "V", "email": "eve@example.org" }));
    let gone = text(&gone.await.expect(201), "id");
    administrator.delete(&format!("/people/{gone}")).await.expect(204);
    administrator.get(&format!("/people/{gone}")).await.problem(404, "not_found");
    let trail = events(administrator, &format!("entity_id={gone}")).await;
    assert_eq!(actions(&trail), ["person.create", "person.delete"]);
}

/// A23: every change is there, with actor, states and request.
async fn trail_of_the_role(administrator: &Client, role: &Value, admin_id: &str) {
    let trail = events(administrator, &format!("entity_id={}", text(role, "id"))).await;
    let changes: Vec<&Value> =
        trail.iter().filter(|event| event["action"].as_str().unwrap().starts_with("role.")).collect();
    let find = |action: &str| {
        let mut found = changes.iter().filter(|event| event["action"] == action);
        found.next().unwrap_or_else(|| panic!("no {action} in {trail:?}"))
    };
    for action in ["role.create", "role.update", "role.delete"] {
        let event = find(action);
        assert_eq!(event["actor_id"], *admin_id, "{event}");
        assert_eq!((&event["actor_type"], &event["outcome"]), (&json!("user"), &json!("success")));
        assert_eq!(event["ip_address"], "127.0.0.1");
        assert!(event["request_id"].is_string() && event["occurred_at"].is_string(), "{event}");
    }
    assert_eq!(find("role.create")["changes"]["name"]["after"], "librarian");
    let renamed = &find("role.update")["changes"]["name"];
    assert_eq!((&renamed["before"], &renamed["after"]), (&json!("librarian"), &json!("archivist")));
    assert_eq!(find("role.update")["changes"].get("description"), None, "only what changed");
    assert_eq!(find("role.delete")["changes"]["name"]["before"], "archivist");

    for (action, times) in
        [("role.perm.assign", 3), ("role.perm.revoke", 1), ("role.assign", 1), ("role.revoke", 1)]
    {
        let found = events(administrator, &format!("action={action}&actor_id={admin_id}")).await;
        assert_eq!(found.len(), times, "{action}: {found:?}");
    }
}

async fn trail_of_bob(administrator: &Client, bob: &str, admin_id: &str) {
    let trail =
        events(administrator, &format!("entity_id={bob}&entity_type=person&actor_id={admin_id}")).await;
    let people: Vec<&Value> =
        trail.iter().filter(|event| event["action"].as_str().unwrap().starts_with("person.")).collect();
    assert_eq!(actions(&people), ["person.create", "person.update", "person.update"]);
    assert_eq!(people[1]["changes"]["display_name"]["after"], "Bob B.");
    // A24
    assert!(!Value::from_iter(trail.clone()).to_string().contains(PASSWORD));
}

/// The events that a query selects, oldest first.
async fn events(client: &Client, query: &str) -> Vec<Value> {
    client.all(&format!("/audit-events?{query}&order_dir=asc")).await
}

fn actions(events: &[impl std::borrow::Borrow<Value>]) -> Vec<&str> {
    events.iter().map(|event| event.borrow()["action"].as_str().unwrap()).collect()
}

async fn catalogue_permission(client: &Client, key: &str) -> String {
    let found = client.all(&format!("/permissions?search={key}")).await;
    let permission = found.iter().find(|permission| permission["key"] == key);
    text(permission.unwrap_or_else(|| panic!("no {key} in {found:?}")), "id")
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}
