//! Who belongs to an organisation, and who decides about it.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use stylobate_tests::{Client, Engine, NOBODY, PASSWORD, Person, TestApp, eventually, text};

stylobate_tests::both_engines!(
    a_member_is_suspended_and_reinstated,
    a_membership_ends_and_the_account_stays,
    nobody_learns_who_else_exists,
    an_organisation_keeps_an_administrator,
    an_organisation_that_is_being_deleted_takes_nobody,
    people_of_several_organisations_are_each_ones_members_alone,
    who_is_suspended_speaks_for_nobody
);

/// A password that somebody else chooses.
pub(crate) const FIRST: &str = "a lantern above 9 stairs";
const OWN: &str = "gravel thimble orchard nine";

/// What makes a user with a first password, as the replaced systems say it.
pub(crate) fn account(name: &str) -> Value {
    json!({
        "username": name, "password": FIRST, "first_name": "Bea", "last_name": "Berg",
        "contact_information": { "email_id": format!("{name}@example.org") },
    })
}

pub(crate) async fn multi(engine: Engine) -> TestApp {
    TestApp::builder(engine).env("TENANCY_MODE", "multi").start().await
}

pub(crate) async fn own_org(client: &Client) -> String {
    text(&client.get("/auth/whoami").await.expect(200), "tenant").to_owned()
}

/// Another organisation.
pub(crate) async fn other_org(root: &Client, code: &str) -> String {
    let made = root.post("/v1/orgs", json!({ "name": code, "code": code })).await.expect(201);
    text(&made, "id").to_owned()
}

/// Somebody whose password somebody else chose, once they have one of their own and signed in.
pub(crate) async fn settled(app: &TestApp, user: &Value, name: &str) -> Person {
    let body = json!({ "username": name, "current_password": FIRST, "new_password": PASSWORD });
    app.anonymous().post("/auth/password-change/forced", body).await.expect(204);
    Person { id: text(user, "id").to_owned(), username: name.to_owned(), client: app.login(name).await }
}

/// An administrator of an organisation, and of nothing else.
pub(crate) async fn administrator(app: &TestApp, root: &Client, org: &str, name: &str) -> Person {
    let made = root.post(&format!("/v1/orgs/{org}/admins"), account(name)).await.expect(201);
    settled(app, &made, name).await
}

async fn a_member_is_suspended_and_reinstated(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let members = format!("/v1/orgs/{}/members", own_org(&root).await);
    let bob = app.person(&root, "bob").await;
    let one = format!("{members}/{}", bob.id);
    let all = root.all(&members).await;
    let shown = all.iter().find(|member| member["person_id"] == json!(bob.id)).unwrap();
    assert_eq!(all.len(), 2, "{all:?}");
    for (field, value) in
        [("username", "bob"), ("email", "bob@example.org"), ("first_name", "Ada"), ("status", "active")]
    {
        assert_eq!(shown[field], json!(value), "{shown}");
    }
    assert!(shown["joined_at"].is_string());
    assert_eq!(root.all(&format!("{members}?search=bob")).await.len(), 1);
    assert_eq!(root.all(&format!("/orgs/{}/members", own_org(&root).await)).await, all);

    let key = bob.client.post("/auth/api-keys", json!({ "label": "export" })).await.expect(201);
    let program = bob.client.presenting(text(&key, "key"));
    program.get("/auth/whoami").await.expect(200);
    for _ in 0..2 {
        let suspended = root.patch(&one, json!({ "status": "suspended" })).await.expect(200);
        assert_eq!(suspended["status"], "suspended");
    }
    bob.client.get("/auth/whoami").await.problem(401, "unauthenticated");
    program.get("/auth/whoami").await.problem(401, "unauthenticated");
    let refresh = json!({ "refresh_token": bob.client.refresh_token });
    app.anonymous().post("/auth/refresh", refresh).await.problem(401, "refresh_invalid");
    app.anonymous().try_login("bob", PASSWORD).await.problem(403, "no_membership");
    let made = root.post("/api-keys", json!({ "person_id": bob.id })).await;
    made.problem_of(422, "validation", "person_id");
    assert_eq!(root.all(&format!("{members}?status=suspended")).await.len(), 1);
    assert_eq!(root.all(&format!("{members}?status=active")).await.len(), 1);

    // What has ended stays so.
    assert_eq!(root.patch(&one, json!({ "status": "active" })).await.expect(200)["status"], "active");
    bob.client.get("/auth/whoami").await.problem(401, "unauthenticated");
    program.get("/auth/whoami").await.problem(401, "unauthenticated");
    app.login("bob").await.get("/auth/me").await.expect(200);
    root.post("/api-keys", json!({ "person_id": bob.id })).await.expect(201);

    root.patch(&one, json!({ "status": "archived" })).await.problem_of(422, "validation", "status");
    root.patch(&one, json!({ "role": "admin" })).await.problem_of(422, "validation", "role");
    let me = text(&root.get("/auth/me").await.expect(200), "id").to_owned();
    let own = format!("{members}/{me}");
    root.patch(&own, json!({ "status": "suspended" })).await.problem(409, "own_account");
    root.delete(&own).await.problem(409, "own_account");
    for action in ["member.suspend", "member.reinstate"] {
        let rows = root.all(&format!("/audit-events?action={action}&entity_id={}", bob.id)).await;
        assert_eq!(rows.len(), 1, "{action}: {rows:?}");
    }
    let events = json!(root.all("/v1/events").await).to_string();
    assert!(events.contains("member.suspended") && events.contains("member.reinstated"), "{events}");
}

async fn a_membership_ends_and_the_account_stays(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let members = format!("/v1/orgs/{}/members", own_org(&root).await);
    let bob = app.person(&root, "bob").await;
    let one = format!("{members}/{}", bob.id);
    root.patch(&format!("/people/{}", bob.id), json!({ "notes": "often late" })).await.expect(200);
    // Whoever may not take the account over does not send its owner away either.
    let desk = app.person(&root, "desk").await;
    crate::decisions::give(&root, &desk, "desk", &["user.read", "user.update", "user.delete"]).await;
    let me = text(&root.get("/auth/me").await.expect(200), "id").to_owned();
    let admins = format!("{members}/{me}");
    desk.client.delete(&admins).await.problem(403, "platform_owned");
    desk.client.patch(&admins, json!({ "status": "suspended" })).await.problem(403, "platform_owned");

    desk.client.delete(&one).await.expect(204);
    desk.client.delete(&one).await.problem(404, "not_found");
    root.get(&format!("/people/{}", bob.id)).await.problem(404, "not_found");
    bob.client.get("/auth/whoami").await.problem(401, "unauthenticated");
    app.anonymous().try_login("bob", PASSWORD).await.problem(403, "no_membership");
    assert_eq!(app.place.count("SELECT count(*) FROM people WHERE username = 'bob'").await, 1);
    assert_eq!(app.place.count("SELECT count(*) FROM member_notes").await, 0);

    // The platform has them back, with the role of newcomers and nothing of before.
    let body = json!({ "person_id": bob.id });
    desk.client.post(&members, body.clone()).await.problem(403, "permission_denied");
    app.place.own_passwords().await;
    let added = root.post(&members, body.clone()).await.expect(201);
    assert_eq!((&added["person_id"], &added["status"]), (&json!(bob.id), &json!("active")));
    root.post(&members, body).await.problem(409, "already_member");
    root.post(&members, json!({ "person_id": NOBODY })).await.problem(404, "not_found");
    root.post(&members, json!({ "person_id": "bob" })).await.problem_of(422, "validation", "person_id");
    root.post(&members, json!({ "email": "bob@example.org" })).await.problem(422, "validation");
    let roles = root.all(&format!("/people/{}/roles", bob.id)).await;
    assert!(roles.len() == 1 && roles[0]["name"] == "member", "{roles:?}");
    assert_eq!(root.get(&format!("/people/{}", bob.id)).await.expect(200)["notes"], Value::Null);
    let events = json!(root.all("/v1/events").await).to_string();
    assert!(events.contains("member.removed") && events.contains("member.added"), "{events}");
}

/// A12: neither of another organisation nor of its people anything shows but that there is nothing.
async fn nobody_learns_who_else_exists(engine: Engine) {
    let app = multi(engine).await;
    let root = app.administrator().await;
    let (own, other) = (own_org(&root).await, other_org(&root, "other").await);
    let mia = administrator(&app, &root, &own, "mia").await.client;
    let bea = administrator(&app, &root, &other, "bea").await;
    let invited = bea.client.post("/auth/invitations", json!({ "email": "x@example.org" })).await.expect(201);
    let invitation = text(&invited, "id");
    let inside = |org: &str, person: &str, invitation: &str| {
        let org = format!("/v1/orgs/{org}");
        let member = format!("{org}/members/{person}");
        let invitation = format!("{org}/invitations/{invitation}");
        vec![
            (Method::POST, format!("{org}/members"), Some(json!({ "person_id": person }))),
            (Method::PATCH, member.clone(), Some(json!({ "status": "suspended" }))),
            (Method::DELETE, member, None),
            (Method::GET, invitation.clone(), None),
            (Method::DELETE, invitation.clone(), None),
            (Method::POST, format!("{invitation}/resend"), None),
        ]
    };
    let of_user = |query: &str, person: &str| {
        let user = format!("/v1/users/{person}");
        vec![
            (Method::GET, format!("{user}{query}"), None),
            (Method::PATCH, format!("{user}{query}"), Some(json!({ "first_name": "x" }))),
            (Method::DELETE, format!("{user}{query}"), None),
            (Method::GET, format!("{user}/contact{query}"), None),
            (Method::PATCH, format!("{user}/contact{query}"), Some(json!({ "city": "x" }))),
        ]
    };
    let of_org = |org: &str| {
        let org = format!("/v1/orgs/{org}");
        vec![
            (Method::GET, format!("{org}/members"), None),
            (Method::GET, format!("{org}/users"), None),
            (Method::GET, format!("{org}/users?status=invited"), None),
            (Method::GET, format!("{org}/invitations"), None),
            (Method::POST, format!("{org}/users"), Some(account("eve"))),
            (Method::POST, format!("{org}/admins"), Some(account("eve"))),
        ]
    };
    let named = |org: &str| format!("?organization_id={org}");
    let all = |org: &str, person: &str, invitation: &str, query: &str| {
        [inside(org, person, invitation), of_user(query, person)].concat()
    };
    let mut pairs = Vec::new();
    // Theirs under one's own organisation, and everything under theirs.
    pairs.extend(all(&own, &bea.id, invitation, "").into_iter().zip(all(&own, NOBODY, NOBODY, "")));
    let (there, nowhere) = (named(&other), named(NOBODY));
    pairs.extend(
        all(&other, &bea.id, invitation, &there).into_iter().zip(all(NOBODY, NOBODY, NOBODY, &nowhere)),
    );
    pairs.extend(of_org(&other).into_iter().zip(of_org(NOBODY)));
    for ((method, theirs, body), (_, missing, other_body)) in pairs {
        let foreign = mia.send(method.clone(), &theirs, body.as_ref()).await;
        let missing = mia.send(method, &missing, other_body.as_ref()).await;
        foreign.problem(404, "not_found");
        assert_eq!(foreign.seen(), missing.seen(), "{foreign}");
    }
    // Nothing came of it.
    assert_eq!(bea.client.all(&format!("/v1/orgs/{other}/members")).await.len(), 1);
    assert_eq!(bea.client.all(&format!("/v1/orgs/{other}/invitations?is_open=true")).await.len(), 1);
    bea.client.get("/auth/me").await.expect(200);
    // To name one's own is no other thing than to name none.
    let own_query = named(&other);
    let user = format!("/v1/users/{}", bea.id);
    assert_eq!(
        bea.client.get(&format!("{user}{own_query}")).await.expect(200),
        bea.client.get(&user).await.expect(200)
    );
    // Nor do searches and pages reach over.
    assert_eq!(mia.all(&format!("/v1/orgs/{own}/users?search=bea%40example")).await.len(), 0);
    let page = bea.client.get(&format!("/v1/orgs/{other}/users?limit=1")).await.expect(200);
    assert_eq!(page["next_cursor"], Value::Null);
}

async fn an_organisation_keeps_an_administrator(engine: Engine) {
    let app = multi(engine).await;
    let root = app.administrator().await;
    let other = other_org(&root, "other").await;
    let bea = administrator(&app, &root, &other, "bea").await;
    let member = |person: &Person| format!("/v1/orgs/{other}/members/{}", person.id);
    let user = |person: &Person| format!("/v1/users/{}?organization_id={other}", person.id);
    let suspended = json!({ "status": "suspended" });
    let refuse = async |person: &Person| {
        root.patch(&member(person), suspended.clone()).await.problem(409, "last_administrator");
        root.delete(&member(person)).await.problem(409, "last_administrator");
        root.delete(&user(person)).await.problem(409, "last_administrator");
        root.patch(&user(person), json!({ "status": "inactive" })).await.problem(409, "last_administrator");
    };
    refuse(&bea).await;
    let proof = json!({ "current_password": PASSWORD });
    let gone = bea.client.send(Method::DELETE, "/auth/me", Some(&proof)).await;
    gone.problem(409, "last_administrator");
    bea.client.get("/auth/me").await.expect(200);

    let cora = administrator(&app, &root, &other, "cora").await;
    bea.client.patch(&format!("/people/{}", cora.id), json!({ "status": "inactive" })).await.expect(200);
    refuse(&bea).await;
    bea.client.patch(&format!("/people/{}", cora.id), json!({ "status": "active" })).await.expect(200);
    root.patch(&member(&bea), suspended.clone()).await.expect(200);
    refuse(&cora).await;
    // Who is suspended is asked no more.
    root.delete(&member(&bea)).await.expect(204);
    // One that is closed needs nobody.
    root.delete(&format!("/v1/orgs/{other}")).await.expect(204);
    root.delete(&member(&cora)).await.expect(204);
    assert_eq!(root.all(&format!("/v1/orgs/{other}/members")).await.len(), 0);
}

async fn an_organisation_that_is_being_deleted_takes_nobody(engine: Engine) {
    let app = multi(engine).await;
    let root = app.administrator().await;
    let other = other_org(&root, "other").await;
    let org = format!("/v1/orgs/{other}");
    let guest = json!({ "contact_information": { "email": "guest@example.org" } });
    let invited = root.post(&format!("{org}/users"), guest).await.expect(201);
    let bea = administrator(&app, &root, &other, "bea").await;
    let bob = app.person(&root, "bob").await;
    let (now, no) = match engine {
        Engine::Sqlite => ("'2026-01-01T00:00:00.000000+00:00'", "0"),
        Engine::Postgres => ("'2026-01-01T00:00:00Z'", "false"),
    };
    let begin = format!("UPDATE orgs SET is_active = {no}, removal_began_at = {now} WHERE code = 'other'");
    app.place.sql(&begin).await;
    let resend = format!("{org}/invitations/{}/resend", text(&invited, "id"));
    for (method, path, body) in [
        (Method::POST, format!("{org}/members"), json!({ "person_id": bob.id })),
        (Method::POST, format!("{org}/users"), account("eve")),
        (Method::POST, format!("{org}/admins"), account("eve")),
        (
            Method::POST,
            format!("{org}/users"),
            json!({ "contact_information": { "email": "x@example.org" } }),
        ),
        (Method::POST, resend, Value::Null),
        (Method::PATCH, format!("{org}/members/{}", bea.id), json!({ "status": "suspended" })),
    ] {
        root.send(method, &path, Some(&body)).await.problem(409, "org_being_deleted");
    }
    assert_eq!(app.place.count("SELECT count(*) FROM people WHERE username = 'eve'").await, 0);
    // Nor does anybody leave it but by the job: an account of nobody else's would be left behind.
    for path in [format!("{org}/members/{}", bea.id), format!("/v1/users/{}?organization_id={other}", bea.id)]
    {
        root.delete(&path).await.problem(409, "org_being_deleted");
    }
    let of_bea = format!("SELECT count(*) FROM memberships WHERE person_id = {}", id(&app, &bea));
    assert_eq!(app.place.count(&of_bea).await, 1);
}

fn id(app: &TestApp, person: &Person) -> String {
    app.place.id(person.id.parse().unwrap())
}

/// Of two organisations that remove somebody at once, the second removes the account. On SQLite one writer comes after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_left_behind_whom_two_organisations_remove_at_once() {
    let app = multi(Engine::Postgres).await;
    let root = app.administrator().await;
    let other = other_org(&root, "other").await;
    let bea = administrator(&app, &root, &other, "bea").await;
    let bob = app.person(&root, "bob").await;
    let join = format!(
        "INSERT INTO memberships (tenant_id, person_id, status, created_at, updated_at) \
         VALUES ('{other}', '{}', 'active', now(), now())",
        bob.id,
    );
    app.place.sql(&join).await;
    let mut holding = PgConnection::connect(&app.place.superuser_url().unwrap()).await.unwrap();
    let hold = format!("BEGIN; SELECT id FROM people WHERE id = '{}' FOR NO KEY UPDATE", bob.id);
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut holding).await.unwrap();
    let path = format!("/people/{}", bob.id);
    let both_wait = async {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN \
                       (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
        let wait = async || (app.place.count(waiting).await > 1).then_some(());
        eventually("both to wait", wait).await;
        sqlx::raw_sql("COMMIT").execute(&mut holding).await.unwrap();
    };
    let (here, there, ()) = tokio::join!(root.delete(&path), bea.client.delete(&path), both_wait);
    here.expect(204);
    there.expect(204);
    for table in ["people WHERE id", "memberships WHERE person_id", "sessions WHERE person_id"] {
        let left = format!("SELECT count(*) FROM {table} = '{}'", bob.id);
        assert_eq!(app.place.count(&left).await, 0, "{table}");
    }
}

async fn people_of_several_organisations_are_each_ones_members_alone(engine: Engine) {
    let app = multi(engine).await;
    let root = app.administrator().await;
    let (own, other) = (own_org(&root).await, other_org(&root, "other").await);
    let mia = administrator(&app, &root, &own, "mia").await.client;
    let bea = administrator(&app, &root, &other, "bea").await.client;
    let both = app.person(&mia, "both").await;
    let (person, user) = (format!("/people/{}", both.id), format!("/v1/users/{}", both.id));
    mia.patch(&person, json!({ "notes": "of before", "metadata": { "desk": 7 } })).await.expect(200);
    // What others chose is no password for the next organisation.
    let change = json!({ "current_password": PASSWORD, "new_password": OWN });
    both.client.post("/auth/password-change", change).await.expect(200);
    let join =
        async || root.post(&format!("/v1/orgs/{other}/members"), json!({ "person_id": both.id })).await;
    // Who chose the first one could have changed it as well.
    join().await.problem(403, "password_not_own");
    app.place.own_passwords().await;
    join().await.expect(201);
    let sign_in = async |org: &str| {
        let body = json!({ "username": "both", "password": OWN, "org_code": org });
        app.anonymous().post("/auth/login", body).await
    };
    let there = app.anonymous().with_tokens(&sign_in("other").await.expect(200));

    // Who they are is nobody's to change but theirs.
    for (path, body) in [
        (person.clone(), json!({ "first_name": "X" })),
        (person.clone(), json!({ "phone": "+47 1" })),
        (person.clone(), json!({ "username": "x" })),
        (person.clone(), json!({ "status": "inactive" })),
        (user.clone(), json!({ "last_name": "X" })),
        (user.clone(), json!({ "email": "x@example.org" })),
        (format!("{user}/contact"), json!({ "city": "Oslo" })),
    ] {
        mia.patch(&path, body).await.problem(403, "shared_person");
    }
    there.patch("/auth/me", json!({ "middle_name": "M", "nationality": "NO" })).await.expect(200);
    assert_eq!(mia.get(&user).await.expect(200)["middle_name"], "M");

    // What one notes is its own.
    bea.patch(&person, json!({ "notes": "of the other" })).await.expect(200);
    let noted = async |client: &Client, path: &str| {
        let shown = client.get(path).await.expect(200);
        (shown["notes"].clone(), shown["metadata"].clone())
    };
    assert_eq!(noted(&mia, &person).await, (json!("of before"), json!({ "desk": 7 })));
    assert_eq!(noted(&bea, &person).await, (json!("of the other"), Value::Null));
    assert_eq!(noted(&there, "/auth/me").await, (json!("of the other"), Value::Null));
    for client in [&mia, &bea] {
        let said = json!(client.all("/audit-events").await).to_string();
        assert!(!(said.contains("of before") && said.contains("of the other")), "{said}");
    }

    // One of them suspends its own membership and nothing else.
    let shown = mia.patch(&user, json!({ "status": "inactive" })).await.expect(200);
    assert_eq!(shown["status"], "inactive");
    mia.delete(&user).await.expect(204);
    assert_eq!(bea.get(&user).await.expect(200)["status"], "active");
    there.get("/auth/me").await.expect(200);
    sign_in("default").await.problem(403, "not_a_member");
    assert_eq!(mia.all(&format!("/v1/orgs/{own}/users?status=inactive")).await.len(), 1);
    assert_eq!(mia.patch(&user, json!({ "status": "active" })).await.expect(200)["status"], "active");
    sign_in("default").await.expect(200);
    // Disabled elsewhere is nothing to undo here.
    mia.delete(&person).await.expect(204);
    mia.get(&user).await.problem(404, "not_found");
    assert_eq!(noted(&bea, &person).await.0, json!("of the other"));
    assert_eq!(app.place.count("SELECT count(*) FROM member_notes").await, 1);
    // Now the account is of one organisation alone.
    bea.patch(&user, json!({ "first_name": "Own" })).await.expect(200);
    bea.delete(&user).await.expect(204);
    there.get("/auth/me").await.problem(401, "unauthenticated");
    assert_eq!(bea.get(&user).await.expect(200)["status"], "inactive");
}

/// Invitations of somebody who may not act do not count.
async fn who_is_suspended_speaks_for_nobody(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let org = own_org(&root).await;
    let desk = app.person(&root, "desk").await;
    crate::decisions::give(&root, &desk, "desk", &["user.invite", "user.read"]).await;
    let email = "guest@example.org";
    let made = desk.client.post("/auth/invitations", json!({ "email": email })).await.expect(201);
    let invitation = format!("/v1/orgs/{org}/invitations/{}", text(&made, "id"));
    let member = format!("/v1/orgs/{org}/members/{}", desk.id);
    root.patch(&member, json!({ "status": "suspended" })).await.expect(200);
    root.post(&format!("{invitation}/resend"), Value::Null).await.problem(409, "invitation_closed");
    // It keeps the address from nobody, and is taken back by the next one.
    root.post("/auth/invitations", json!({ "email": email })).await.expect(201);
    assert_eq!(root.get(&invitation).await.expect(200)["status"], "revoked");
    root.patch(&member, json!({ "status": "active" })).await.expect(200);
    root.post(&format!("{invitation}/resend"), Value::Null).await.problem(409, "invitation_closed");
}
