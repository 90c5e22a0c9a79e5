//! Users as the replaced systems know them: made, invited, listed, changed and deactivated.

use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, MailServer, NOBODY, PASSWORD, TestApp, text};

use crate::{
    decisions::{give, id_of},
    members::{FIRST, account, administrator, multi, other_org, own_org, settled},
};

stylobate_tests::both_engines!(
    a_user_is_made_with_a_role_of_the_organisation,
    an_administrator_is_made_by_who_may_give_the_role,
    users_are_listed_by_status_the_invited_by_their_invitations,
    a_user_is_changed_and_deactivated,
    the_one_role_of_a_user_is_changed,
    a_user_is_reached_by_what_the_contact_says,
    the_platform_acts_on_people_of_any_organisation
);

fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// C21
async fn a_user_is_made_with_a_role_of_the_organisation(engine: Engine) {
    let app = multi(engine).await;
    let root = app.administrator().await;
    let (own, other) = (own_org(&root).await, other_org(&root, "other").await);
    let bea = administrator(&app, &root, &other, "bea").await.client;
    let users = format!("/v1/orgs/{own}/users");
    let auditor = id_of(&root, "/roles", "name", "auditor").await;
    let body = with(
        account("eve"),
        json!({
            "middle_name": "M", "date_of_birth": "1990-01-31", "gender": "female", "nationality": "NO",
            "organization_id": own, "role_id": auditor,
            "contact_information": {
                "email": "eve@example.org", "phone_number": "+47 1", "emergency_number": "+47 2",
                "address": "Storgata 1", "city": "Oslo", "state": "Oslo", "zip_code": "0155", "country": "Norge",
            },
        }),
    );
    let made = root.post(&users, body).await.expect(201);
    for (field, value) in [
        ("organization_id", json!(own)),
        ("username", json!("eve")),
        ("email", json!("eve@example.org")),
        ("first_name", json!("Bea")),
        ("middle_name", json!("M")),
        ("last_name", json!("Berg")),
        ("date_of_birth", json!("1990-01-31")),
        ("gender", json!("female")),
        ("nationality", json!("NO")),
        ("status", json!("active")),
        ("role_ids", json!([auditor])),
    ] {
        assert_eq!(made[field], value, "{field}: {made}");
    }
    let user = format!("/v1/users/{}", text(&made, "id"));
    assert_eq!(root.get(&user).await.expect(200), made);
    let contact = root.get(&format!("{user}/contact")).await.expect(200);
    assert_eq!((&contact["country"], &contact["street_address"]), (&json!("Norge"), &json!("Storgata 1")));
    // What somebody else chose is good for choosing another one.
    app.anonymous().try_login("eve", FIRST).await.problem(428, "must_change_password");
    let eve = settled(&app, &made, "eve").await;
    eve.client.get("/audit-events").await.expect(200);
    eve.client.get(&users).await.problem(403, "permission_denied");
    for action in ["person.create", "role.assign"] {
        let rows = json!(root.all(&format!("/audit-events?action={action}")).await).to_string();
        assert!(rows.contains(&eve.id), "{action}: {rows}");
    }
    assert!(json!(root.all("/v1/events").await).to_string().contains("user.created"));
    // Whoever is promised none has that of newcomers.
    let made = root.post(&users, account("fay")).await.expect(201);
    assert_eq!(made["role_ids"], json!([id_of(&root, "/roles", "name", "member").await]));

    // A role of nobody's, of another organisation, of the platform, and beyond one's own.
    let foreign = id_of(&bea, "/roles", "name", "auditor").await;
    let desk = app.person(&root, "desk").await;
    let operator = id_of(&root, "/roles", "name", "operator").await;
    root.post(&format!("/people/{}/roles", desk.id), json!({ "role_id": operator })).await.expect(201);
    let promise = async |client: &Client, role: &str| {
        client.post(&users, with(account("gus"), json!({ "role_id": role }))).await
    };
    for client in [&root, &desk.client] {
        let mut refused = Vec::new();
        for role in [foreign.as_str(), NOBODY] {
            let mut problem = promise(client, role).await.problem(404, "not_found");
            problem["request_id"] = Value::Null;
            refused.push(problem);
        }
        assert_eq!(refused[0], refused[1]);
        promise(client, &id_of(&root, "/roles", "name", "super_admin").await)
            .await
            .problem(403, "platform_owned");
    }
    let admin = id_of(&root, "/roles", "name", "admin").await;
    promise(&desk.client, &admin).await.problem(403, "beyond_own_permissions");
    // Refused is refused as a whole.
    assert_eq!(app.place.count("SELECT count(*) FROM people WHERE username = 'gus'").await, 0);
    for (more, field) in [
        (json!({ "contact_information": {} }), "email"),
        (json!({ "email": "gus@example.org" }), "contact_information.email"),
        (json!({ "password": "short" }), "password"),
        (json!({ "last_name": "" }), "last_name"),
        (json!({ "date_of_birth": "x" }), "date_of_birth"),
        (json!({ "gender": "x" }), "gender"),
        (json!({ "is_admin": true }), "is_admin"),
        (json!({ "role_id": "x" }), "role_id"),
    ] {
        root.post(&users, with(account("gus"), more)).await.problem_of(422, "validation", field);
    }
    let zip = json!({ "contact_information": { "email": "g@example.org", "zip_code": "1".repeat(21) } });
    root.post(&users, with(account("gus"), zip)).await.problem_of(
        422,
        "validation",
        "contact_information.zip_code",
    );
    let elsewhere = with(account("gus"), json!({ "organization_id": other }));
    root.post(&users, elsewhere).await.problem(404, "not_found");
    let taken = with(account("eve"), json!({ "contact_information": { "email": "e@example.org" } }));
    root.post(&users, taken).await.problem(409, "username_taken");
    // What somebody has, they give.
    promise(&desk.client, &operator).await.expect(201);
}

/// C21
async fn an_administrator_is_made_by_who_may_give_the_role(engine: Engine) {
    let app = multi(engine).await;
    let root = app.administrator().await;
    let (own, other) = (own_org(&root).await, other_org(&root, "other").await);
    let admins = |org: &str| format!("/v1/orgs/{org}/admins");
    let admin = id_of(&root, "/roles", "name", "admin").await;
    let made = root.post(&admins(&own), account("mia")).await.expect(201);
    assert_eq!(made["role_ids"], json!([admin]));
    let mia = settled(&app, &made, "mia").await.client;
    mia.get("/people").await.expect(200);
    // By one, the next; also with the role said.
    let named = with(account("max"), json!({ "role_id": admin }));
    mia.post(&admins(&own), named).await.expect(201);
    for role in [id_of(&root, "/roles", "name", "member").await, NOBODY.to_owned()] {
        let body = with(account("eve"), json!({ "role_id": role }));
        mia.post(&admins(&own), body).await.problem_of(422, "validation", "role_id");
    }
    let desk = app.person(&root, "desk").await;
    give(&root, &desk, "inviting", &["user.invite"]).await;
    desk.client.post(&admins(&own), account("eve")).await.problem(403, "permission_denied");
    give(&root, &desk, "giving", &["role.assign"]).await;
    desk.client.post(&admins(&own), account("eve")).await.problem(403, "beyond_own_permissions");
    mia.post(&admins(&other), account("eve")).await.problem(404, "not_found");
    assert_eq!(app.place.count("SELECT count(*) FROM people WHERE username = 'eve'").await, 0);
    // Without a password the address is invited.
    let body =
        json!({ "first_name": "I", "last_name": "V", "contact_information": { "email": "ivy@example.org" } });
    let invited = mia.post(&admins(&own), body).await.expect(201);
    assert_eq!((&invited["status"], &invited["role_ids"]), (&json!("invited"), &json!([admin])));
    // The platform makes the first one of an organisation that has nobody.
    let bea = administrator(&app, &root, &other, "bea").await;
    assert_eq!(own_org(&bea.client).await, other);
    let users = bea.client.all(&format!("/v1/orgs/{other}/users")).await;
    assert_eq!(users.len(), 1, "{users:?}");
}

async fn users_are_listed_by_status_the_invited_by_their_invitations(engine: Engine) {
    let app = TestApp::builder(engine).mail(&MailServer::StartTls.url()).start().await;
    let root = app.administrator().await;
    let users = format!("/v1/orgs/{}/users", own_org(&root).await);
    let bob = app.person(&root, "bob").await;
    let email = MailServer::fresh_address("ivy");
    let auditor = id_of(&root, "/roles", "name", "auditor").await;
    let body = json!({
        "first_name": "Ivy", "last_name": "I", "contact_information": { "email_id": email }, "role_id": auditor,
    });
    let invited = root.post(&users, body.clone()).await.expect(201);
    for (field, value) in [
        ("status", json!("invited")),
        ("email", json!(email)),
        ("role_ids", json!([auditor])),
        ("first_name", Value::Null),
        ("version", Value::Null),
    ] {
        assert_eq!(invited[field], value, "{field}: {invited}");
    }
    root.post(&users, body).await.problem(409, "invitation_pending");
    let by = async |status: &str| root.all(&format!("{users}?status={status}")).await;
    assert_eq!(by("invited").await, std::slice::from_ref(&invited));
    let page =
        root.get(&format!("{users}?status=invited&include_total=true&search=nobody")).await.expect(200);
    assert_eq!((&page["items"], &page["total"]), (&json!([]), &json!(0)));
    let invitations = format!("{}/invitations", users.trim_end_matches("/users"));
    let one = format!("{invitations}/{}", text(&invited, "id"));
    assert_eq!(root.get(&one).await.expect(200)["status"], "pending");
    assert_eq!((by("active").await.len(), by("inactive").await.len()), (2, 0));

    let link = MailServer::mail_to(&email, "an invitation to Default organisation").await;
    let link = link.token("/auth/invitations/accept");
    let account = json!({ "token": link, "username": "ivy", "password": PASSWORD, "first_name": "Ivy", "last_name": "I" });
    app.anonymous().post("/auth/invitations/accept", account).await.expect(201);
    assert_eq!((by("invited").await.len(), by("active").await.len()), (0, 3));
    root.delete(&format!("/v1/users/{}", bob.id)).await.expect(204);
    let inactive = by("inactive").await;
    assert!(inactive.len() == 1 && inactive[0]["id"] == json!(bob.id), "{inactive:?}");
    let all = root.all(&users).await;
    assert_eq!(all.len(), 3, "{all:?}");
    let found = root.get(&format!("{users}?search=IVY&include_total=true")).await.expect(200);
    assert_eq!((&found["items"][0]["role_ids"], &found["total"]), (&json!([auditor]), &json!(1)));
    root.get(&format!("{users}?status=gone")).await.problem(422, "validation");
    root.get(&format!("{users}?role=x")).await.problem(422, "validation");
    root.get(&format!("{users}?cursor=x")).await.problem_of(422, "validation", "cursor");
    root.get(&format!("{users}?status=invited&cursor=x")).await.problem_of(422, "validation", "cursor");
}

async fn a_user_is_changed_and_deactivated(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let bob = app.person(&root, "bob").await;
    let user = format!("/v1/users/{}", bob.id);
    let before = root.get(&user).await.expect(200);
    let body =
        json!({ "first_name": "Bob", "middle_name": "B", "nationality": "NO", "version": before["version"] });
    let after = root.patch(&user, body.clone()).await.expect(200);
    assert_eq!((&after["first_name"], &after["middle_name"]), (&json!("Bob"), &json!("B")));
    assert_eq!(after["last_name"], before["last_name"]);
    root.patch(&user, body).await.problem(409, "stale");
    assert_eq!(
        root.patch(&user, json!({ "middle_name": null })).await.expect(200)["middle_name"],
        Value::Null
    );
    // Of another address nothing is proven.
    root.patch(&format!("/people/{}", bob.id), json!({ "email_verified": true })).await.expect(200);
    root.patch(&user, json!({ "email": "robert@example.org" })).await.expect(200);
    let person = root.get(&format!("/people/{}", bob.id)).await.expect(200);
    assert_eq!((&person["email"], &person["email_verified"]), (&json!("robert@example.org"), &json!(false)));
    for (body, field) in [
        (json!({ "status": "invited" }), "status"),
        (json!({ "first_name": "" }), "first_name"),
        (json!({ "last_name": null }), "last_name"),
        (json!({ "email": "x" }), "email"),
        (json!({ "gender": "x" }), "gender"),
        (json!({ "role_ids": [] }), "role_ids"),
        (json!({ "password": PASSWORD }), "password"),
        (json!({ "notes": "x" }), "notes"),
    ] {
        root.patch(&user, body).await.problem_of(422, "validation", field);
    }
    root.get(&format!("{user}?tenant=x")).await.problem(422, "validation");

    let bobs = app.login("bob").await;
    for _ in 0..2 {
        root.delete(&user).await.expect(204);
        assert_eq!(root.get(&user).await.expect(200)["status"], "inactive");
    }
    bobs.get("/auth/me").await.problem(401, "unauthenticated");
    app.anonymous().try_login("bob", PASSWORD).await.problem(401, "invalid_credentials");
    assert_eq!(root.patch(&user, json!({ "status": "active" })).await.expect(200)["status"], "active");
    app.login("bob").await.get("/auth/me").await.expect(200);
    // A membership that is suspended is one way of not taking part, and active is without any.
    let member = format!("/v1/orgs/{}/members/{}", own_org(&root).await, bob.id);
    root.patch(&member, json!({ "status": "suspended" })).await.expect(200);
    assert_eq!(root.get(&user).await.expect(200)["status"], "inactive");
    root.patch(&user, json!({ "status": "active" })).await.expect(200);
    app.login("bob").await.get("/auth/me").await.expect(200);

    let me = format!("/v1/users/{}", text(&root.get("/auth/me").await.expect(200), "id"));
    root.delete(&me).await.problem(409, "own_account");
    root.patch(&me, json!({ "status": "inactive" })).await.problem(409, "own_account");
    root.patch(&me, json!({ "email": "me@example.org" })).await.problem_of(422, "validation", "email");
    // Nobody changes under which name somebody signs in who may do more than they.
    let desk = app.person(&root, "desk").await;
    give(&root, &desk, "desk", &["user.read", "user.update", "user.delete"]).await;
    let admin = id_of(&root, "/roles", "name", "admin").await;
    root.post(&format!("/people/{}/roles", bob.id), json!({ "role_id": admin })).await.expect(201);
    desk.client.patch(&user, json!({ "username": "x" })).await.problem(403, "beyond_own_permissions");
    desk.client.delete(&user).await.problem(403, "beyond_own_permissions");
    desk.client.get(&format!("/v1/users/{NOBODY}")).await.problem(404, "not_found");
}

/// C21: a role in the place of another, by who may give and take roles.
async fn the_one_role_of_a_user_is_changed(engine: Engine) {
    let app = multi(engine).await;
    let root = app.administrator().await;
    let other = other_org(&root, "other").await;
    let bea = administrator(&app, &root, &other, "bea").await;
    let bob = app.person(&root, "bob").await;
    let user = format!("/v1/users/{}", bob.id);
    let of = async |name: &str| id_of(&root, "/roles", "name", name).await;
    let (member, auditor, admin) = (of("member").await, of("auditor").await, of("admin").await);
    let role = |id: &str| json!({ "role_id": id });

    // Nobody has one by birth: it is given, then another in its place, with what is known of the person in one request.
    let held = root.get(&user).await.expect(200)["role_ids"].clone();
    let changed = root.patch(&user, role(&auditor)).await;
    let request = changed.header("x-request-id").unwrap().to_owned();
    assert_eq!(changed.expect(200)["role_ids"], json!([auditor]), "before: {held}");
    assert_eq!(root.all(&format!("/audit-events?request_id={request}")).await.len(), 1);
    bob.client.get("/audit-events").await.expect(200);
    let changed = root.patch(&user, json!({ "first_name": "Robert", "role_id": member })).await;
    let request = changed.header("x-request-id").unwrap().to_owned();
    let changed = changed.expect(200);
    assert_eq!((&changed["first_name"], &changed["role_ids"]), (&json!("Robert"), &json!([member])));
    let mut actions: Vec<Value> = Vec::new();
    for row in root.all(&format!("/audit-events?request_id={request}")).await {
        actions.push(row["action"].clone());
    }
    assert_eq!(actions, [json!("role.assign.update"), json!("person.update")]);
    bob.client.get("/audit-events").await.problem(403, "permission_denied");
    // The same once more changes nothing.
    let same = root.patch(&user, role(&member)).await;
    let request = same.header("x-request-id").unwrap().to_owned();
    assert_eq!(same.expect(200)["role_ids"], json!([member]));
    assert_eq!(
        root.all(&format!("/audit-events?request_id={request}&entity_type=role_assignment")).await.len(),
        0
    );

    // Not one of the organisation's, or none at all.
    let foreign = id_of(&bea.client, "/roles", "name", "auditor").await;
    let mut refused = Vec::new();
    for id in [foreign.as_str(), NOBODY] {
        let mut problem = root.patch(&user, role(id)).await.problem(404, "not_found");
        problem["request_id"] = Value::Null;
        refused.push(problem);
    }
    assert_eq!(refused[0], refused[1]);
    root.patch(&user, role(&of("super_admin").await)).await.problem(403, "platform_owned");
    for id in [Value::Null, json!("x"), json!([auditor])] {
        root.patch(&user, json!({ "role_id": id })).await.problem_of(422, "validation", "role_id");
    }
    // Refused is refused as a whole.
    let both = json!({ "first_name": "Rob", "role_id": NOBODY });
    root.patch(&user, both).await.problem(404, "not_found");
    assert_eq!(root.get(&user).await.expect(200)["first_name"], "Robert");

    // Who gives also takes, and gives no more than they have.
    let desk = app.person(&root, "desk").await;
    let keys = ["user.read", "user.update", "role.assign", "role.revoke"];
    for (index, key) in keys.iter().enumerate() {
        if index > 1 {
            desk.client.patch(&user, role(&auditor)).await.problem(403, "permission_denied");
        }
        give(&root, &desk, key, &[key]).await;
    }
    desk.client.patch(&user, role(&admin)).await.problem(403, "beyond_own_permissions");
    desk.client.patch(&user, role(&foreign)).await.problem(404, "not_found");
    // Of several it is not said which.
    root.post(&format!("/people/{}/roles", bob.id), role(&auditor)).await.expect(201);
    root.patch(&user, role(&auditor)).await.problem(409, "several_roles");
    root.delete(&format!("/people/{}/roles/{member}", bob.id)).await.expect(204);

    // An organisation keeps its administrator; the platform changes roles in any, and nobody else.
    let beas = format!("/v1/users/{}", bea.id);
    let there = id_of(&bea.client, "/roles", "name", "member").await;
    bea.client.patch(&beas, role(&there)).await.problem(409, "last_administrator");
    let carl = root.post(&format!("/v1/orgs/{other}/users"), account("carl")).await.expect(201);
    let carls = format!("/v1/users/{}?organization_id={other}", text(&carl, "id"));
    let changed = root.patch(&carls, role(&foreign)).await.expect(200);
    assert_eq!(changed["role_ids"], json!([foreign]));
    root.patch(&carls, role(&auditor)).await.problem(404, "not_found");
    let rows = bea.client.all("/audit-events?action=role.assign.update").await;
    assert!(rows.len() == 1 && rows[0]["actor_id"] == "platform", "{rows:?}");
    let mia = app.person(&root, "mia").await;
    root.patch(&format!("/v1/users/{}", mia.id), role(&admin)).await.expect(200);
    mia.client.patch(&carls, role(&foreign)).await.problem(404, "not_found");
    mia.client
        .patch(&format!("/v1/users/{}", text(&carl, "id")), role(&auditor))
        .await
        .problem(404, "not_found");
}

async fn a_user_is_reached_by_what_the_contact_says(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let bob = app.person(&root, "bob").await;
    let contact = format!("/v1/users/{}/contact", bob.id);
    let nothing = json!({
        "email": "bob@example.org", "phone_number": null, "emergency_number": null, "street_address": null,
        "city": null, "state": null, "zip_code": null, "country": null,
    });
    assert_eq!(root.get(&contact).await.expect(200), nothing);
    let all = json!({
        "phone_number": "+47 1", "emergency_number": "mother: +47 2", "address": "Storgata 1", "city": "Oslo",
        "state": "Oslo", "zip_code": "0155", "country": "NO",
    });
    let put = root.patch(&contact, all).await.expect(200);
    assert_eq!((&put["street_address"], &put["country"]), (&json!("Storgata 1"), &json!("NO")));
    assert_eq!(root.get(&contact).await.expect(200), put);
    let person = root.get(&format!("/people/{}", bob.id)).await.expect(200);
    for (field, value) in [
        ("phone", "+47 1"),
        ("emergency_number", "mother: +47 2"),
        ("address_line1", "Storgata 1"),
        ("region", "Oslo"),
        ("postal_code", "0155"),
        ("country_code", "NO"),
    ] {
        assert_eq!(person[field], json!(value), "{field}");
    }
    // Either a code or as it was typed.
    let typed = root.patch(&contact, json!({ "country": "Norge", "city": null })).await.expect(200);
    assert_eq!((&typed["country"], &typed["city"]), (&json!("Norge"), &Value::Null));
    let person = root.get(&format!("/people/{}", bob.id)).await.expect(200);
    assert_eq!((&person["country_code"], &person["country"]), (&Value::Null, &json!("Norge")));
    let moved = root.patch(&contact, json!({ "email_id": "robert@example.org" })).await.expect(200);
    assert_eq!(moved["email"], "robert@example.org");
    for (body, field) in [
        (json!({ "phone_number": "call me" }), "phone_number"),
        (json!({ "zip_code": "1".repeat(21) }), "zip_code"),
        (json!({ "emergency_number": "\u{7}" }), "emergency_number"),
        (json!({ "email": null }), "email"),
        (json!({ "email": "x" }), "email"),
        (json!({ "fax": "1" }), "fax"),
    ] {
        root.patch(&contact, body).await.problem_of(422, "validation", field);
    }
    // Their own is theirs, by another route.
    let reader = app.person(&root, "reader").await;
    give(&root, &reader, "reader", &["user.read"]).await;
    reader.client.get(&contact).await.expect(200);
    reader.client.patch(&contact, json!({ "city": "x" })).await.problem(403, "permission_denied");
}

/// A12
async fn the_platform_acts_on_people_of_any_organisation(engine: Engine) {
    let app = multi(engine).await;
    let root = app.administrator().await;
    let (own, other) = (own_org(&root).await, other_org(&root, "other").await);
    let mia = administrator(&app, &root, &own, "mia").await.client;
    let bea = administrator(&app, &root, &other, "bea").await;
    let made = root.post(&format!("/v1/orgs/{other}/users"), account("carl")).await.expect(201);
    let carl = format!("/v1/users/{}", text(&made, "id"));
    let there = format!("{carl}?organization_id={other}");
    root.get(&carl).await.problem(404, "not_found");
    assert_eq!(root.get(&there).await.expect(200), made);
    root.get(&format!("{carl}?organization_id={NOBODY}")).await.problem(404, "not_found");
    root.get(&format!("{carl}?organization_id=x")).await.problem_of(422, "validation", "organization_id");
    root.patch(&there, json!({ "first_name": "Carl" })).await.expect(200);
    let contact = format!("{carl}/contact?organization_id={other}");
    root.patch(&contact, json!({ "city": "Oslo" })).await.expect(200);
    assert_eq!(bea.client.get(&format!("{carl}/contact")).await.expect(200)["city"], "Oslo");
    root.delete(&there).await.expect(204);
    // It stands in the trail of the organisation; who of the platform did it, stands nowhere that it sees.
    let rows = bea.client.all("/audit-events?action=person.update").await;
    assert!(rows.len() == 3 && rows.iter().all(|row| row["actor_id"] == "platform"), "{rows:?}");
    let guest = json!({ "contact_information": { "email": "guest@example.org" } });
    root.post(&format!("/v1/orgs/{other}/users"), guest).await.expect(201);
    root.put(&format!("/v1/orgs/{other}/settings"), json!({ "settings": {} })).await.expect(200);
    let me = text(&root.get("/auth/me").await.expect(200), "id").to_owned();
    assert!(bea.client.get(&format!("/audit-events?actor_id={me}")).await.expect(200)["items"] == json!([]));
    for path in ["/audit-events", "/v1/events", &format!("/v1/orgs/{other}/invitations")] {
        let shown = json!(bea.client.all(path).await).to_string();
        assert!(shown.len() > 100 && !shown.contains(&me), "{path}: {shown}");
    }
    let kept = "SELECT count(*) FROM audit_events WHERE CAST(metadata AS text) LIKE '%platform_actor%' AND action = 'person.update'";
    assert_eq!(app.place.count(kept).await, 3);
    assert_eq!(mia.all("/audit-events?action=person.update").await.len(), 0);
    for path in [&there, &contact] {
        mia.get(path).await.problem(404, "not_found");
    }
    // Nobody's rights in one organisation help them into another one.
    bea.client.get(&format!("{carl}?organization_id={own}")).await.problem(404, "not_found");
}
