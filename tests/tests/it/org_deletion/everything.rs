//! An organisation that has something of everything, beside another one.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stylobate_tests::{
    Engine, PASSWORD, Place,
    matrix::{Organisation, World},
};

use super::{NOBODY, OWN, assert_gone, assert_kept, counted, ended, id, now, path, remove, rows_of};
use crate::own_account;

stylobate_tests::both_engines!(everything_of_an_organisation_goes_and_nothing_of_another);

/// What the matrix has no rows of.
async fn fill(place: &Place, of: &Organisation) {
    let admin = &of.administrator.client;
    admin.put(&format!("{}/settings", path(&of.id)), json!({ "settings": { "a": 1 } })).await.expect(200);
    let person = format!("/people/{}", of.row("person"));
    admin.patch(&person, json!({ "notes": "often late" })).await.expect(200);
    let template = json!({ "subject": "s", "text": "t\n" });
    admin.put("/notification-templates/event/en", template).await.expect(200);
    let parents = format!("/roles/{}/parents", of.row("role"));
    admin.post(&parents, json!({ "parent_id": of.row("role#2") })).await.expect(201);
    let (org, schedule, now) = (id(place, &of.id), id(place, of.row("schedule")), now(place));
    place
        .sql(&format!(
            "INSERT INTO casbin_rules (tenant_id, created_at, ptype, v0, v1, v2, v3, v4, v5)
                 VALUES ({org}, {now}, 'p', 'nobody', 'nothing', 'read', '', '', '');
             INSERT INTO event_dead_letters (subscriber, ordinal, tenant_id, id, attempts, error, parked_at)
                 SELECT 'notify', min(ordinal), {org}, {event}, 9, 'in a test', {now} FROM events WHERE lane = {org};
             UPDATE schedules SET tenant_id = {org}, lane = {org} WHERE id = {schedule};",
            event = id(place, NOBODY),
        ))
        .await;
}

/// Gives somebody a role of the platform behind the program's back.
async fn give_platform_role(place: &Place, n: u8, kind: &str, to: &str) {
    let assignment = format!("0191e000-0000-7000-8000-0000000000{n:02x}");
    place
        .sql(&format!(
            "INSERT INTO role_assignments (id, tenant_id, subject_kind, subject_id, role_id, assigned_at)
                 SELECT {}, NULL, '{kind}', {}, id, {} FROM roles WHERE tenant_id IS NULL AND name = 'super_admin';",
            id(place, &assignment),
            id(place, to),
            now(place),
        ))
        .await;
}

async fn everything_of_an_organisation_goes_and_nothing_of_another(engine: Engine) {
    let world = World::start(engine, 17).await;
    let (app, root) = (world.app(), world.root());
    let (place, gone, stays) = (&app.place, &world.home, &world.foreign);
    fill(place, gone).await;
    let empty: Vec<_> = {
        let rows = rows_of(place, &gone.id).await;
        // How far a removal is has rows while there is one.
        let mut counted = counted(place).await;
        counted.retain(|table, _| table != "org_removals" && !rows.contains_key(table));
        counted.into_keys().collect()
    };
    assert!(empty.is_empty(), "no row of the organisation is in {empty:?}");
    // Somebody who belongs to the other one as well, by a password of their own, and two who have something of the platform.
    let both = &gone.member;
    let change = json!({ "current_password": PASSWORD, "new_password": OWN });
    both.client.post("/auth/password-change", change).await.expect(200);
    let members = format!("{}/members", path(&stays.id));
    app.place.own_passwords().await;
    root.post(&members, json!({ "person_id": both.id })).await.expect(201);
    let there = json!({ "username": both.username, "password": OWN, "org_code": stays.word });
    let there = app.anonymous().post("/auth/login", there).await.expect(200);
    let there = app.anonymous().with_tokens(&there);
    let chief = gone.administrator.client.add_person("marble-chief", &gone.address("marble-chief")).await;
    give_platform_role(place, 0xa1, "person", &chief).await;
    let service = gone.row("service_account");
    give_platform_role(place, 0xa2, "service", service).await;

    world.settled().await;
    let before = world.fingerprint().await;
    let tables = place.tables().await;
    let people: BTreeSet<String> = tables["memberships"]
        .iter()
        .filter(|row| row["tenant_id"] == gone.id)
        .map(|row| row["person_id"].clone())
        .filter(|person| *person != both.id && *person != chief)
        .collect();
    assert!(people.len() > 2 && people.contains(&gone.administrator.id), "{people:?}");
    let trail = format!("SELECT count(*) FROM audit_events WHERE tenant_id = {}", id(place, &gone.id));
    let told = place.count(&trail).await;

    let job = remove(place, root, &gone.id, &gone.word).await;
    let done = ended(root, &job).await;
    assert_gone(place, root, &gone.id).await;
    for client in [&gone.administrator.client, &gone.member.client, &gone.service, &gone.key] {
        client.get("/auth/whoami").await.problem(401, "unauthenticated");
    }
    assert_eq!(there.get("/auth/whoami").await.expect(200)["tenant"], json!(stays.id));
    let changes = before.changes(&world.fingerprint().await);
    assert!(changes.is_empty(), "{changes:#?}");

    // The result says how many, and the trail says it for good.
    let (result, count) = (&done["result"], json!(people.len()));
    assert_eq!((&result["people"], &result["left"]), (&count, &json!(2)), "{done}");
    assert!(result["rows"].as_u64() > Some(30), "{done}");
    assert!(place.count(&trail).await > told);
    let tables = place.tables().await;
    let row = tables["audit_events"].iter().find(|row| row["action"] == "org.delete").unwrap();
    assert_eq!((&row["tenant_id"], &row["target_id"]), (&gone.id, &gone.id), "{row:?}");
    let said: Value = serde_json::from_str(&row["metadata"]).unwrap();
    assert_eq!((&said["people_removed"], &said["rows_removed"]), (&count, &result["rows"]), "{said}");
    assert_eq!((&said["rows_left"], &said["org_code"]), (&json!(0), &json!(gone.word)), "{said}");
    assert_eq!(place.count("SELECT count(*) FROM events WHERE type = 'organization.deleted'").await, 1);

    // Who was of this organisation alone is gone, and the names are free.
    let left: BTreeSet<&String> = tables["people"].iter().map(|row| &row["id"]).collect();
    assert!(people.iter().all(|person| !left.contains(person)), "{left:?}");
    assert_kept(place, &gone.administrator.id, &own_account::KEPT).await;
    let admin = &gone.administrator.username;
    app.anonymous().try_login(admin, PASSWORD).await.problem(401, "invalid_credentials");
    root.add_person(admin, &format!("{admin}@{}.example", gone.word)).await;
    let again = json!({ "name": "Marble once more", "code": gone.word });
    let again = root.post("/v1/orgs", again).await.expect(201);
    assert_ne!(again["id"], json!(gone.id));
    // Who belongs to another one, or to the platform, is not.
    let anew = app.anonymous().login(&both.username, OWN).await;
    assert_eq!(anew.get("/auth/whoami").await.expect(200)["tenant"], json!(stays.id));
    for (subject, roles) in [(chief.as_str(), 1), (service, 0)] {
        let query =
            format!("SELECT count(*) FROM role_assignments WHERE subject_id = {}", id(place, subject));
        assert_eq!(place.count(&query).await, roles, "{subject}");
    }
    assert!(left.contains(&chief));
}
