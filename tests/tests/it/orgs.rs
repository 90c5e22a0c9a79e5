//! Organisations over HTTP: made, listed, changed, switched off and on, what they have set, and what the operator sees of them.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, NOBODY, PASSWORD, TestApp, eventually, text};

use crate::{
    bootstrap::organisation,
    decisions::{SECRET, id_of, with_secret},
};

stylobate_tests::both_engines!(
    organisations_are_made_listed_and_changed,
    what_is_no_organisation_is_refused,
    an_organisation_of_others_is_a_missing_one,
    licences_and_states_are_the_platforms_to_change,
    a_deactivated_organisation_has_no_sessions_and_no_keys,
    the_default_organisation_and_one_that_is_being_deleted_stay_as_they_are,
    the_last_administrator_of_the_platform_keeps_an_organisation,
    who_can_sign_in_to_no_organisation_does_not_keep_the_platform,
    one_organisation_is_enough_where_there_is_one,
    documents_are_replaced_by_version,
    the_operator_sees_an_organisation_at_a_glance
);

/// A name that is read as something else than it was written as, where a body is JSON of any form.
const RAW: &str = "$serde_json::private::RawValue";

/// An installation of several organisations, with an administrator of the platform.
async fn several(engine: Engine) -> TestApp {
    let app = TestApp::builder(engine).env("TENANCY_MODE", "multi");
    app.env("BOOTSTRAP_SECRET", crate::bootstrap::SECRET).env("INTERNAL_API_SECRET", SECRET).start().await
}

fn path_of(org: &Value) -> String {
    format!("/v1/orgs/{}", text(org, "id"))
}

async fn organisations_are_made_listed_and_changed(engine: Engine) {
    let app = several(engine).await;
    let root = app.administrator().await;
    let all = root.all("/v1/orgs").await;
    assert_eq!((all.len(), &all[0]["is_default"], &all[0]["code"]), (1, &json!(true), &json!("default")));

    let acme = root.post("/v1/orgs", json!({ "name": " Acme & Söhne " })).await.expect(201);
    assert_eq!((&acme["name"], &acme["code"]), (&json!("Acme & Söhne"), &json!("acme-sohne")));
    assert_eq!((&acme["license_status"], &acme["is_active"]), (&json!("active"), &json!(true)));
    assert_eq!((&acme["version"], &acme["purchase_date"]), (&json!(1), &Value::Null));
    assert_eq!(root.get(&path_of(&acme)).await.expect(200), acme);
    // Made with its roles, and served at once. Nobody is in it, not even who made it.
    let glance = root.get(&format!("/admin/orgs/{}/overview", text(&acme, "id"))).await.expect(200);
    assert_eq!((&glance["roles"], &glance["members"]["active"]), (&json!(5), &json!(0)));

    // The spellings of older systems; a code that is taken gets a number, one that was asked for is refused.
    let again = root.post("/v1/orgs", json!({ "organization_name": "ACME - Sohne" })).await.expect(201);
    assert_eq!(again["code"], "acme-sohne-2");
    let body = json!({ "org_name": "Another", "org_code": "ACME-sohne" });
    root.post("/orgs", body).await.problem_of(409, "org_code_taken", "code");
    let body = json!({
        "name": "Gamma", "code": "g", "license_status": "suspended", "purchase_date": "2026-02-03",
        "is_active": false,
    });
    let gamma = root.post("/v1/orgs", body).await.expect(201);
    assert_eq!((&gamma["is_active"], &gamma["purchase_date"]), (&json!(false), &json!("2026-02-03")));

    let ids = async |query: &str| -> Vec<Value> {
        let found = root.all(&format!("/v1/orgs{query}")).await;
        found.into_iter().map(|org| org["id"].clone()).collect()
    };
    assert_eq!(
        ids("").await,
        [&all[0], &acme, &again, &gamma].map(|org| org["id"].clone()),
        "the oldest comes first"
    );
    assert_eq!(ids("?is_active=false").await, [gamma["id"].clone()]);
    assert_eq!(ids("?license_status=suspended").await, [gamma["id"].clone()]);
    assert_eq!(ids("?search=SOHNE").await, [acme["id"].clone(), again["id"].clone()]);
    assert_eq!(ids("?search=%25").await, Vec::<Value>::new());
    let page = root.get("/v1/orgs?limit=3&include_total=true&order_dir=desc").await.expect(200);
    assert_eq!((&page["total"], &page["items"][0]["id"]), (&json!(4), &gamma["id"]));
    let rest = format!("/v1/orgs?limit=3&order_dir=desc&cursor={}", text(&page, "next_cursor"));
    let rest = root.get(&rest).await.expect(200);
    assert_eq!((&rest["items"][0]["id"], &rest["next_cursor"]), (&all[0]["id"], &Value::Null));

    let path = path_of(&acme);
    let patch =
        json!({ "name": "Acme", "code": "Acme", "license_status": "expired", "purchase_date": "2025-01-01" });
    let changed = root.patch(&path, patch.clone()).await.expect(200);
    assert_eq!((&changed["name"], &changed["code"]), (&json!("Acme"), &json!("Acme")));
    assert_eq!((&changed["license_status"], &changed["version"]), (&json!("expired"), &json!(2)));
    // Nothing changes: it is the same version.
    assert_eq!(root.patch(&path, patch).await.expect(200), changed);
    root.patch(&path, json!({ "name": "Late", "version": 1 })).await.problem(409, "stale");
    let patch = json!({ "purchase_date": null, "org_name": "Acme Ltd", "version": 2 });
    let renamed = root.patch(&format!("/orgs/{}", text(&acme, "id")), patch).await.expect(200);
    assert_eq!((&renamed["purchase_date"], &renamed["name"]), (&Value::Null, &json!("Acme Ltd")));
    let taken = root.patch(&path, json!({ "code": "ACME-SOHNE-2" })).await;
    taken.problem_of(409, "org_code_taken", "code");
    assert_eq!(root.get(&path).await.expect(200), renamed);
}

async fn what_is_no_organisation_is_refused(engine: Engine) {
    let app = several(engine).await;
    let root = app.administrator().await;
    let made = root.post("/v1/orgs", json!({ "name": "Acme" })).await.expect(201);
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("x".repeat(201))),
        ("name", json!("Ac\u{200b}me")),
        ("name", json!(7)),
        ("code", json!("a b")),
        ("code", json!("-a")),
        ("code", json!("x".repeat(65))),
        ("code", json!(NOBODY)),
        ("license_status", json!("gold")),
        ("purchase_date", json!("yesterday")),
        ("purchase_date", json!("+12026-01-01")),
        ("is_active", json!("no")),
        ("id", json!(NOBODY)),
        ("is_default", json!(true)),
        ("organization_id", made["id"].clone()),
    ] {
        let mut body = json!({ "name": "Another" });
        body[field] = value;
        root.post("/v1/orgs", body.clone()).await.problem_of(422, "validation", field);
        root.patch(&path_of(&made), body).await.problem_of(422, "validation", field);
    }
    root.post("/v1/orgs", json!({ "code": "x" })).await.problem_of(422, "validation", "name");
    for query in ["?is_active=maybe", "?license_status=gold", "?order_by=name", "?cursor=x", "?tenant=x"] {
        let field = &query[1..query.find('=').unwrap()];
        root.get(&format!("/v1/orgs{query}")).await.problem_of(422, "validation", field);
    }
    root.get("/v1/orgs/acme").await.problem_of(422, "validation", "id");
    root.get(&format!("/v1/orgs/{NOBODY}")).await.problem(404, "not_found");
    assert_eq!(root.all("/v1/orgs").await.len(), 2);
    assert_eq!(root.get(&path_of(&made)).await.expect(200), made);
}

/// A12
async fn an_organisation_of_others_is_a_missing_one(engine: Engine) {
    let app = several(engine).await;
    let root = app.administrator().await;
    let (acme, ada) = organisation(&app, "Acme").await;
    let (beta, bob) = organisation(&app, "Beta").await;
    let (own, foreign) = (text(&acme, "id"), text(&beta, "id"));
    let before = root.get(&path_of(&beta)).await.expect(200);
    let document = json!({ "settings": { "a": 1 } });
    let asked = |id: &str| {
        let (one, old) = (format!("/v1/orgs/{id}"), format!("/settings/organization/{id}"));
        [
            (Method::GET, one.clone(), None),
            (Method::GET, format!("/orgs/{id}"), None),
            (Method::PATCH, one.clone(), Some(json!({ "name": "mine" }))),
            (Method::PATCH, one.clone(), Some(json!({ "license_status": "active" }))),
            (Method::PATCH, one.clone(), Some(json!({ "name": "" }))),
            (Method::DELETE, one.clone(), None),
            (Method::POST, format!("{one}/activate"), None),
            (Method::GET, format!("{one}/settings"), None),
            (Method::PUT, format!("{one}/settings"), Some(document.clone())),
            (Method::PUT, format!("{one}/settings"), Some(json!({ "settings": { "a": 1e300 } }))),
            (Method::GET, format!("{one}/privacy"), None),
            (Method::PUT, format!("{one}/privacy"), Some(document.clone())),
            (Method::GET, old.clone(), None),
            (Method::GET, format!("{old}/privacy"), None),
            (Method::GET, format!("/admin/orgs/{id}/overview"), None),
        ]
    };
    for ((method, path, body), (_, missing, _)) in asked(foreign).into_iter().zip(asked(NOBODY)) {
        let answer = ada.send(method.clone(), &path, body.as_ref()).await;
        let none = ada.send(method, &missing, body.as_ref()).await;
        assert!([403, 404].contains(&answer.status), "{answer}");
        let (status, headers, body) = answer.seen();
        // What tells where a path leads repeats the path.
        let headers: Vec<_> = headers.into_iter().filter(|(name, _)| name != "link").collect();
        let (none_status, none_headers, none_body) = none.seen();
        let none_headers: Vec<_> = none_headers.into_iter().filter(|(name, _)| name != "link").collect();
        assert_eq!((status, headers, body), (none_status, none_headers, none_body), "{answer}");
    }
    assert_eq!(root.get(&path_of(&beta)).await.expect(200), before);
    assert_eq!(bob.get(&format!("/v1/orgs/{foreign}/settings")).await.expect(200)["version"], 0);

    // A list holds what one belongs to and may read, whatever is asked.
    let listed = async |client: &Client, query: &str| -> Vec<Value> {
        let found = client.all(&format!("/v1/orgs{query}")).await;
        found.into_iter().map(|org| org["id"].clone()).collect()
    };
    assert_eq!(listed(&ada, "").await, [acme["id"].clone()]);
    assert_eq!(listed(&ada, "?search=beta").await, Vec::<Value>::new());
    let total = ada.get("/v1/orgs?include_total=true&limit=1").await.expect(200);
    assert_eq!((&total["total"], &total["next_cursor"]), (&json!(1), &Value::Null));

    // Who belongs to both acts in the one they signed in to, whatever their roles in the other.
    let key = ada.post("/auth/api-keys", json!({})).await.expect(201);
    let program = app.anonymous().presenting(text(&key, "key"));
    let me = text(&ada.get("/auth/me").await.expect(200), "id").to_owned();
    let (now, id) = (app.place.long_ago(), |text: &str| app.place.id(text.parse().unwrap()));
    app.place
        .sql(&format!(
            "INSERT INTO memberships (tenant_id, person_id, status, created_at, updated_at)
                 VALUES ({}, {}, 'active', {now}, {now})",
            id(foreign),
            id(&me),
        ))
        .await;
    // What she may do in her own shows her nothing of the other's licence; where she may act is told to her all the same.
    assert_eq!(listed(&ada, "").await, [acme["id"].clone()]);
    assert_eq!(listed(&ada, "?license_status=active").await, [acme["id"].clone()]);
    assert!(ada.get("/auth/switch-org").await.expect(200).to_string().contains(foreign));
    let admin = id_of(&bob, "/roles", "name", "admin").await;
    bob.post(&format!("/people/{me}/roles"), json!({ "role_id": admin })).await.expect(201);
    assert_eq!(listed(&ada, "").await, [acme["id"].clone(), beta["id"].clone()]);
    assert_eq!(listed(&ada, "?search=beta&include_total=true").await, [beta["id"].clone()]);
    ada.get(&path_of(&beta)).await.problem(404, "not_found");
    ada.patch(&path_of(&beta), json!({ "name": "mine" })).await.problem(404, "not_found");
    // A key of theirs is of the organisation that it was made for.
    assert_eq!(listed(&program, "").await, [acme["id"].clone()]);
    assert_eq!(listed(&program, "?is_active=false").await, Vec::<Value>::new());
    assert_eq!(listed(&program, "?search=ACM&is_active=true").await, [acme["id"].clone()]);
    program.get(&path_of(&beta)).await.problem(404, "not_found");
    assert_eq!(program.get(&path_of(&acme)).await.expect(200)["id"], own);
}

async fn licences_and_states_are_the_platforms_to_change(engine: Engine) {
    let app = several(engine).await;
    let root = app.administrator().await;
    let (acme, ada) = organisation(&app, "Acme").await;
    let path = path_of(&acme);
    for patch in [
        json!({ "license_status": "active" }),
        json!({ "purchase_date": null }),
        json!({ "is_active": false }),
        json!({ "name": "Mine", "is_active": true }),
    ] {
        ada.patch(&path, patch).await.problem(403, "platform_owned");
    }
    ada.post("/v1/orgs", json!({ "name": "Another" })).await.problem(403, "permission_denied");
    ada.post(&format!("{path}/activate"), json!({})).await.problem(403, "permission_denied");
    ada.get(&format!("/admin/orgs/{}/overview", text(&acme, "id"))).await.problem(403, "permission_denied");
    let renamed = ada.patch(&path, json!({ "name": "Mine", "code": "mine" })).await.expect(200);
    assert_eq!((&renamed["name"], &renamed["license_status"]), (&json!("Mine"), &acme["license_status"]));
    let trail = ada.all("/audit-events?action=org.update").await;
    assert_eq!(trail.len(), 1, "{trail:?}");
    assert_eq!(trail[0]["changes"]["org_code"], json!({ "before": "acme", "after": "mine" }));
    // What the platform does is in the organisation's own trail.
    root.patch(&path, json!({ "license_status": "expired" })).await.expect(200);
    let trail = ada.all("/audit-events?action=org.update").await;
    assert_eq!(trail[0]["changes"]["license_status"], json!({ "before": "active", "after": "expired" }));
    assert_eq!(root.all("/audit-events?action=org.update").await.len(), 0, "root's own is another");

    // An organisation leaves by itself, and comes back by the platform.
    let idler = app.person(&root, "idler").await.client;
    idler.delete(&path).await.problem(403, "permission_denied");
    ada.delete(&path).await.expect(204);
    ada.get(&path).await.problem(401, "unauthenticated");
    assert_eq!(root.get(&path).await.expect(200)["is_active"], false);
    let back = root.patch(&path, json!({ "is_active": true, "name": "Back" })).await.expect(200);
    assert_eq!((&back["is_active"], &back["name"]), (&json!(true), &json!("Back")));
    let ada = app.login("acme-admin").await;
    let events: Vec<Value> = ada.all("/v1/events").await;
    let told = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    for (kind, times) in [
        ("organization.created", 1),
        ("organization.updated", 3),
        ("organization.deactivated", 1),
        ("organization.activated", 1),
    ] {
        assert_eq!(told(kind), times, "{kind}");
    }
}

/// Everything that somebody can hold of an organisation.
struct Held {
    session: Client,
    key: Client,
    service_key: Client,
}

impl Held {
    async fn of(client: &Client) -> Self {
        let key = client.post("/auth/api-keys", json!({})).await.expect(201);
        let service = client.post("/service-accounts", json!({ "name": "importer" })).await.expect(201);
        let body = json!({ "service_account_id": service["id"] });
        let service_key = client.post("/api-keys", body).await.expect(201);
        let presenting = |key: &Value| client.anonymous().presenting(text(key, "key"));
        Self { session: client.clone(), key: presenting(&key), service_key: presenting(&service_key) }
    }

    async fn statuses(&self, server: Option<&Client>) -> Vec<u16> {
        let mut statuses = Vec::new();
        for client in [&self.session, &self.key, &self.service_key] {
            let token = client.access_token.clone().unwrap();
            let client = server.map_or(client.clone(), |server| server.presenting(&token));
            statuses.push(client.get("/auth/whoami").await.status);
        }
        statuses
    }
}

/// A5
async fn a_deactivated_organisation_has_no_sessions_and_no_keys(engine: Engine) {
    let app = several(engine).await;
    let root = app.administrator().await;
    let (acme, ada) = organisation(&app, "Acme").await;
    let (_, bob) = organisation(&app, "Beta").await;
    let elsewhere = if engine == Engine::Postgres { Some(app.another_server().await) } else { None };
    let elsewhere = elsewhere.as_ref().map(|(_, client)| client);
    let (held, others) = (Held::of(&ada).await, Held::of(&bob).await);
    assert_eq!(held.statuses(None).await, [200; 3]);
    if elsewhere.is_some() {
        eventually("the other server", async || (held.statuses(elsewhere).await == [200; 3]).then_some(()))
            .await;
    }

    let path = path_of(&acme);
    root.delete(&path).await.expect(204);
    let off = root.get(&path).await.expect(200);
    assert_eq!((&off["is_active"], &off["removal_began_at"]), (&json!(false), &Value::Null));
    // At the very next request here, and within a second elsewhere.
    assert_eq!(held.statuses(None).await, [401; 3]);
    if elsewhere.is_some() {
        eventually("the other server", async || (held.statuses(elsewhere).await == [401; 3]).then_some(()))
            .await;
    }
    let refresh = json!({ "refresh_token": held.session.refresh_token });
    app.anonymous().post("/auth/refresh", refresh.clone()).await.problem(401, "refresh_invalid");
    app.anonymous().try_login("acme-admin", PASSWORD).await.problem(403, "no_membership");
    assert_eq!(others.statuses(None).await, [200; 3]);
    // Again: it stays as it is.
    root.delete(&path).await.expect(204);
    assert_eq!(root.get(&path).await.expect(200), off);
    // It can be called otherwise meanwhile.
    assert_eq!(root.patch(&path, json!({ "name": "Resting" })).await.expect(200)["is_active"], false);

    let on = root.post(&format!("{path}/activate"), json!({})).await.expect(200);
    assert_eq!(on["is_active"], true);
    assert_eq!(root.post(&format!("{path}/activate"), json!({})).await.expect(200), on);
    // What had ended does not come back; who belongs to it signs in anew.
    assert_eq!(held.statuses(None).await, [401; 3]);
    app.anonymous().post("/auth/refresh", refresh).await.problem(401, "refresh_invalid");
    let ada = app.login("acme-admin").await;
    assert_eq!(Held::of_again(&ada).await, [200, 200]);
    let trail = json!(ada.all("/audit-events").await).to_string();
    for action in ["org.deactivate", "org.activate", "auth.tenant_end"] {
        assert_eq!(trail.matches(&format!("\"{action}\"")).count(), 1, "{action}");
    }
}

impl Held {
    /// A session and a key that were begun after it all.
    async fn of_again(client: &Client) -> [u16; 2] {
        let key = client.post("/auth/api-keys", json!({})).await.expect(201);
        let program = client.anonymous().presenting(text(&key, "key"));
        [client.get("/auth/whoami").await.status, program.get("/auth/whoami").await.status]
    }
}

async fn the_default_organisation_and_one_that_is_being_deleted_stay_as_they_are(engine: Engine) {
    let app = several(engine).await;
    let root = app.administrator().await;
    let default = root.all("/v1/orgs").await.remove(0);
    let path = path_of(&default);
    root.delete(&path).await.problem(409, "org_is_default");
    root.patch(&path, json!({ "is_active": false })).await.problem(409, "org_is_default");
    // Of a change that is refused in part nothing is done.
    root.patch(&path, json!({ "is_active": false, "name": "x" })).await.problem(409, "org_is_default");
    assert_eq!(root.post(&format!("{path}/activate"), json!({})).await.expect(200), default);
    let renamed = root.patch(&path, json!({ "name": "Ours", "license_status": "expired" })).await.expect(200);
    assert_eq!((&renamed["name"], &renamed["is_default"]), (&json!("Ours"), &json!(true)));

    let leaving = root.post("/v1/orgs", json!({ "name": "Leaving" })).await.expect(201);
    let (now, no) = match engine {
        Engine::Sqlite => ("'2026-01-01T00:00:00.000000+00:00'", "0"),
        Engine::Postgres => ("'2026-01-01T00:00:00Z'", "false"),
    };
    let id = app.place.id(text(&leaving, "id").parse().unwrap());
    let begin = format!("UPDATE orgs SET is_active = {no}, removal_began_at = {now} WHERE id = {id}");
    app.place.sql(&begin).await;
    let path = path_of(&leaving);
    assert!(root.get(&path).await.expect(200)["removal_began_at"].is_string());
    let document = json!({ "settings": {} });
    for (method, path, body) in [
        (Method::PATCH, path.clone(), Some(json!({ "name": "Staying" }))),
        (Method::PATCH, path.clone(), Some(json!({ "is_active": true }))),
        (Method::DELETE, path.clone(), None),
        (Method::POST, format!("{path}/activate"), None),
        (Method::PUT, format!("{path}/settings"), Some(document.clone())),
        (Method::PUT, format!("{path}/privacy"), Some(document)),
    ] {
        root.send(method, &path, body.as_ref()).await.problem(409, "org_being_deleted");
    }
    assert_eq!(root.get(&format!("{path}/settings")).await.expect(200)["version"], 0);
}

async fn the_last_administrator_of_the_platform_keeps_an_organisation(engine: Engine) {
    let app = several(engine).await;
    let root = app.administrator().await;
    let acme = root.post("/v1/orgs", json!({ "name": "Acme" })).await.expect(201);
    let me = text(&root.get("/auth/me").await.expect(200), "id").to_owned();
    let id = |text: &str| app.place.id(text.parse().unwrap());
    let moved =
        format!("UPDATE memberships SET tenant_id = {} WHERE person_id = {}", id(text(&acme, "id")), id(&me));
    app.place.sql(&moved).await;
    let root = app.login("admin").await;
    let path = path_of(&acme);
    root.delete(&path).await.problem(409, "last_super_administrator");
    root.patch(&path, json!({ "is_active": false })).await.problem(409, "last_super_administrator");
    assert_eq!(root.get(&path).await.expect(200), acme);
    // With another one who belongs elsewhere it goes.
    app.create_superuser("grace").await;
    root.delete(&path).await.expect(204);
    root.get(&path).await.problem(401, "unauthenticated");
    let grace = app.login("grace").await;
    // The command wrote beside the server, which may take a moment to see the role.
    let off = eventually("the role of the other one", async || {
        let answer = grace.get(&path).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    assert_eq!(off["is_active"], false);
}

/// A11: of two super administrators one belongs to an organisation that is closed, or one has no password: either way the other is the last.
async fn who_can_sign_in_to_no_organisation_does_not_keep_the_platform(engine: Engine) {
    const LAST: &str = "last_super_administrator";
    let app = several(engine).await;
    let root = app.administrator().await;
    let acme = root.post("/v1/orgs", json!({ "name": "Acme" })).await.expect(201);
    let path = path_of(&acme);
    app.create_superuser("grace").await;
    let root_id = text(&root.get("/auth/me").await.expect(200), "id").to_owned();
    let grace = app.login("grace").await.get("/auth/me").await.expect(200);
    let member = format!("{path}/members/{}", text(&grace, "id"));
    let id = |text: &str| app.place.id(text.parse().unwrap());
    let moved = format!(
        "UPDATE memberships SET tenant_id = {} WHERE person_id = {}",
        id(text(&acme, "id")),
        id(text(&grace, "id")),
    );
    app.place.sql(&moved).await;
    let roles = root.all("/roles").await;
    let role = roles.iter().find(|role| role["name"] == "super_admin").unwrap();
    let own_role = format!("/people/{root_id}/roles/{}", text(role, "id"));
    let own_end = async || {
        let proof = json!({ "current_password": PASSWORD });
        root.send(Method::DELETE, "/auth/me", Some(&proof)).await
    };

    // Grace has a password and no organisation to sign in to: closed, and then without a membership that counts.
    root.delete(&path).await.expect(204);
    app.anonymous().try_login("grace", PASSWORD).await.problem(403, "no_membership");
    root.delete(&own_role).await.problem(409, LAST);
    own_end().await.problem(409, LAST);
    root.post(&format!("{path}/activate"), json!({})).await.expect(200);
    root.patch(&member, json!({ "status": "suspended" })).await.expect(200);
    root.delete(&own_role).await.problem(409, LAST);
    own_end().await.problem(409, LAST);
    root.patch(&member, json!({ "status": "active" })).await.expect(200);

    // Whoever is signed in still, without a password to do so again, leaves Grace the last.
    let password = async |works: bool| {
        let set = format!("UPDATE credentials SET is_active = {works} WHERE person_id = {}", id(&root_id));
        app.place.sql(&set).await;
    };
    password(false).await;
    root.delete(&path).await.problem(409, LAST);
    root.patch(&path, json!({ "is_active": false })).await.problem(409, LAST);
    root.patch(&member, json!({ "status": "suspended" })).await.problem(409, LAST);
    root.delete(&member).await.problem(409, LAST);
    assert_eq!(root.get(&path).await.expect(200)["is_active"], true);
    app.login("grace").await.get("/auth/me").await.expect(200);
    password(true).await;

    // Each of them stands in for the other.
    root.delete(&member).await.expect(204);
    root.delete(&own_role).await.problem(409, LAST);
    root.delete(&path).await.expect(204);
}

async fn one_organisation_is_enough_where_there_is_one(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    root.post("/v1/orgs", json!({ "name": "Acme" })).await.problem(409, "single_tenant");
    root.post("/v1/orgs", json!({ "name": "" })).await.problem_of(422, "validation", "name");
    let all = root.all("/v1/orgs").await;
    assert_eq!(all.len(), 1);
    let path = path_of(&all[0]);
    root.patch(&path, json!({ "name": "Acme" })).await.expect(200);
    let member = app.person(&root, "member").await.client;
    member.get("/v1/orgs").await.problem(403, "permission_denied");
    member.get(&path).await.problem(403, "permission_denied");
}

async fn documents_are_replaced_by_version(engine: Engine) {
    let app = several(engine).await;
    let root = app.administrator().await;
    let (acme, ada) = organisation(&app, "Acme").await;
    let (_, bob) = organisation(&app, "Beta").await;
    let (id, path) = (text(&acme, "id"), path_of(&acme));
    let (settings, privacy) = (format!("{path}/settings"), format!("{path}/privacy"));
    let empty = json!({ "organization_id": id, "settings": {}, "version": 0, "updated_at": null });
    assert_eq!(ada.get(&settings).await.expect(200), empty);
    assert_eq!(root.get(&privacy).await.expect(200), empty);

    let document =
        json!({ "theme": { "colour": "grün" }, "limits": [1, 2.5, null], "api_password": "canary" });
    let put = ada.put(&settings, json!({ "settings": document, "version": 0 })).await.expect(200);
    assert_eq!((&put["settings"], &put["version"]), (&document, &json!(1)));
    assert!(put["updated_at"].is_string());
    assert_eq!(ada.get(&format!("/settings/organization/{id}")).await.expect(200), put);
    // The same once more is no change.
    assert_eq!(ada.put(&settings, json!({ "settings": document })).await.expect(200), put);
    ada.put(&settings, json!({ "settings": {}, "version": 0 })).await.problem(409, "stale");
    let replaced = root.put(&settings, json!({ "settings": { "theme": null }, "version": 1 })).await;
    let replaced = replaced.expect(200);
    assert_eq!((&replaced["settings"], &replaced["version"]), (&json!({ "theme": null }), &json!(2)));
    assert_eq!(ada.get(&settings).await.expect(200), replaced);
    assert_eq!(ada.put(&settings, json!({ "settings": {} })).await.expect(200)["version"], 3);
    // One document is not the other, and one organisation not the other.
    assert_eq!(ada.get(&privacy).await.expect(200), empty);
    ada.put(&privacy, json!({ "settings": { "tracking": false } })).await.expect(200);
    assert_eq!(ada.get(&format!("/settings/organization/{id}/privacy")).await.expect(200)["version"], 1);
    let own = text(&bob.get("/auth/whoami").await.expect(200), "tenant").to_owned();
    assert_eq!(bob.get(&format!("/v1/orgs/{own}/privacy")).await.expect(200)["version"], 0);
    // An empty document that was put is one as well.
    let first = bob.put(&format!("/v1/orgs/{own}/settings"), json!({ "settings": {} })).await.expect(200);
    assert_eq!(first["version"], 1);

    let mut deep = json!({});
    for _ in 0..16 {
        deep = json!({ "a": deep });
    }
    for (body, field) in [
        (json!({}), "settings"),
        (json!({ "settings": null }), "settings"),
        (json!({ "settings": [] }), "settings"),
        (json!({ "settings": "{}" }), "settings"),
        (json!({ "settings": { "a": "x".repeat(65_536) } }), "settings"),
        (json!({ "settings": deep }), "settings"),
        (json!({ "settings": { "a": 9_007_199_254_740_992_i64 } }), "settings"),
        (json!({ "settings": {}, "version": "1" }), "version"),
        (json!({ "settings": {}, "organization_id": id }), "organization_id"),
        // Nobody could read it any more, nor the trail that says that it was put.
        (json!({ "settings": { "a": { (RAW): "boo" } } }), "settings.a.$serde_json::private::RawValue"),
        // And this would have come back as what is refused above.
        (
            json!({ "settings": { "a": { (RAW): "{\"b\":1,\"b\":9007199254740992}" } } }),
            "settings.a.$serde_json::private::RawValue",
        ),
    ] {
        ada.put(&settings, body).await.problem_of(422, "validation", field);
    }
    let person = json!({
        "first_name": "Q", "last_name": "Q", "email": "q@example.org", "metadata": { (RAW): "boo" },
    });
    ada.post("/people", person).await.problem_of(
        422,
        "validation",
        "metadata.$serde_json::private::RawValue",
    );
    ada.get("/audit-events").await.expect(200);
    let twice = ada.request(Method::PUT, &settings).header("content-type", "application/json");
    let twice = ada.send_raw(twice.body(r#"{"settings":{"a":{"b":1,"b":2}}}"#)).await;
    assert_eq!(twice.status, 422, "{twice}");
    assert_eq!(ada.get(&settings).await.expect(200)["version"], 3);

    // Of two at once with the same version one is late.
    let body = |n: u32| json!({ "settings": { "n": n }, "version": 3 });
    let (one, two) = tokio::join!(ada.put(&settings, body(1)), root.put(&settings, body(2)));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{one} {two}");

    // What was there before and after is on record, and what is secret by its name is not.
    let trail = ada.all("/audit-events?action=org_settings.update").await;
    assert_eq!(trail.len(), 4, "{trail:?}");
    assert!(!json!(trail).to_string().contains("canary"));
    let first = &trail[3]["changes"];
    assert_eq!(first["theme"], json!({ "before": null, "after": { "colour": "grün" } }));
    assert!(first["api_password"].is_object(), "{first}");
    assert_eq!(ada.all("/audit-events?action=org_privacy.update").await.len(), 1);
    let events = ada.all("/v1/events").await;
    let told: Vec<_> =
        events.iter().filter(|event| event["type"] == "organization.settings_updated").collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(!json!(events).to_string().contains("grün"));
}

async fn the_operator_sees_an_organisation_at_a_glance(engine: Engine) {
    let app = several(engine).await;
    let root = app.administrator().await;
    let (acme, ada) = organisation(&app, "Acme").await;
    let held = Held::of(&ada).await;
    ada.add_person("clerk", "clerk@example.org").await;
    ada.post("/roles", json!({ "name": "reader" })).await.expect(201);
    app.anonymous().try_login("acme-admin", "not what it is").await.problem(401, "invalid_credentials");
    let path = format!("/admin/orgs/{}/overview", text(&acme, "id"));
    let glance = root.get(&path).await.expect(200);
    assert_eq!(glance["organization"], ada.get(&path_of(&acme)).await.expect(200));
    assert_eq!(glance["members"], json!({ "active": 2, "suspended": 0 }));
    assert_eq!((&glance["roles"], &glance["groups"]), (&json!(6), &json!(0)));
    assert_eq!((&glance["invitations_open"], &glance["sessions_active"]), (&json!(0), &json!(1)));
    assert_eq!(glance["api_keys"], 2, "{glance}");
    let logins = glance["logins"].as_array().unwrap();
    assert_eq!(logins.len(), 14);
    let sum = |name: &str| -> i64 { logins.iter().map(|day| day[name].as_i64().unwrap()).sum() };
    assert_eq!((sum("succeeded"), sum("failed")), (1, 1), "{glance}");
    // The day may have changed a moment ago.
    assert_eq!(logins[12..].iter().map(|day| day["succeeded"].as_i64().unwrap()).sum::<i64>(), 1);

    // Programs of the operator look without signing in.
    let shown = with_secret(&app.anonymous(), SECRET, Method::GET, &path, None).await.expect(200);
    assert_eq!(shown, glance);
    for id in [NOBODY, "not-an-id"] {
        let path = format!("/admin/orgs/{id}/overview");
        let missing = with_secret(&app.anonymous(), SECRET, Method::GET, &path, None).await;
        assert!([404, 422].contains(&missing.status), "{missing}");
    }
    held.key.get(&path).await.problem(403, "permission_denied");
    root.delete(&path_of(&acme)).await.expect(204);
    let glance = root.get(&path).await.expect(200);
    assert_eq!((&glance["sessions_active"], &glance["api_keys"]), (&json!(0), &json!(0)));
    assert_eq!(glance["members"]["active"], 2);
}
