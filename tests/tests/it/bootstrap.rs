//! An installation is brought in place over HTTP, by whoever knows the operator's secret.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Answer, Client, Engine, PASSWORD, TestApp, eventually, text};

stylobate_tests::both_engines!(
    the_first_organisation_comes_with_the_first_administrator,
    further_organisations_come_with_an_administrator_of_their_own,
    of_two_at_once_one_is_the_first,
    of_the_page_and_the_route_at_once_one_makes_the_first,
    without_the_secret_nothing_is_told,
    secrets_are_not_guessed
);

pub(crate) const SECRET: &str = "e7d0b3a1c24f4c0f9b6a5d8e1f20c3b4";
const PATH: &str = "/v1/bootstrap/organization";
const FIRST: &str = "a lantern above 9 stairs";

fn body(name: &str, admin: &str) -> Value {
    json!({
        "organization_name": name,
        "admin_user": {
            "first_name": "Ada", "middle_name": "King", "last_name": "Lovelace", "username": admin,
            "password": FIRST, "date_of_birth": "1815-12-10", "gender": "female",
            "contact_information": { "email": format!("{admin}@example.org"), "city": "London" },
        },
    })
}

async fn bootstrap(client: &Client, secret: &str, body: &Value) -> Answer {
    let request = client.anonymous().request(Method::POST, PATH).header("x-bootstrap-secret", secret);
    client.send_raw(request.json(body)).await
}

/// Chooses another password, as the first sign-in asks, and signs in.
async fn settle_in(app: &TestApp, username: &str) -> Client {
    let anonymous = app.anonymous();
    anonymous.try_login(username, FIRST).await.problem(428, "must_change_password");
    let body = json!({ "username": username, "current_password": FIRST, "new_password": PASSWORD });
    anonymous.post("/auth/password-change/forced", body).await.expect(204);
    app.login(username).await
}

/// An organisation beside others, and its administrator, `<name>-admin` in lower case, signed in.
pub(crate) async fn organisation(app: &TestApp, name: &str) -> (Value, Client) {
    let admin = format!("{}-admin", name.to_lowercase());
    let mut made = bootstrap(&app.anonymous(), SECRET, &body(name, &admin)).await.expect(201);
    let client = settle_in(app, &admin).await;
    (made["organization"].take(), client)
}

async fn empty(engine: Engine, mode: &str) -> TestApp {
    let app = TestApp::builder(engine).env("TENANCY_MODE", mode).env("BOOTSTRAP_SECRET", SECRET);
    app.without_administrator().start().await
}

async fn the_first_organisation_comes_with_the_first_administrator(engine: Engine) {
    let app = empty(engine, "single").await;
    let anonymous = app.anonymous();
    let mut first = body("Acme", "ada");
    first["license_status"] = json!("suspended");
    for (path, value, field) in [
        ("/organization_name", json!(""), "organization_name"),
        ("/code", json!("a b"), "code"),
        ("/license_status", json!("gold"), "license_status"),
        ("/admin_user/password", json!("short"), "admin_user.password"),
        ("/admin_user/password", Value::Null, "admin_user.password"),
        ("/admin_user/first_name", json!(""), "admin_user.first_name"),
        ("/admin_user/username", json!("a@b"), "admin_user.username"),
        ("/admin_user/role_id", json!(stylobate_tests::NOBODY), "admin_user.role_id"),
        ("/admin_user/organization_id", json!(stylobate_tests::NOBODY), "admin_user.organization_id"),
        ("/admin_user/is_admin", json!(true), "admin_user.is_admin"),
        ("/secret", json!(SECRET), "secret"),
    ] {
        let mut wrong = first.clone();
        let (parent, name) = path.rsplit_once('/').unwrap();
        wrong.pointer_mut(parent).unwrap()[name] = value;
        bootstrap(&anonymous, SECRET, &wrong).await.problem_of(422, "validation", field);
    }
    assert_eq!(app.place.count("SELECT count(*) FROM people").await, 0);

    let made = bootstrap(&anonymous, SECRET, &first).await.expect(201);
    let (org, admin) = (&made["organization"], &made["admin"]);
    assert_eq!((&org["name"], &org["code"]), (&json!("Acme"), &json!("default")));
    assert_eq!((&org["is_default"], &org["license_status"]), (&json!(true), &json!("suspended")));
    assert_eq!((&admin["username"], &admin["organization_id"]), (&json!("ada"), &org["id"]));
    assert_eq!((&admin["middle_name"], &admin["status"]), (&json!("King"), &json!("active")));
    assert!(!made.to_string().contains(FIRST));

    // Who knows the secret chose the password, so it is good for one thing.
    let ada = settle_in(&app, "ada").await;
    let whoami = ada.get("/auth/whoami").await.expect(200);
    assert_eq!((&whoami["tenant"], &whoami["subject"]["id"]), (&org["id"], &admin["id"]));
    assert_eq!(ada.get("/people").await.expect(200)["items"].as_array().unwrap().len(), 1);
    // The platform's as well.
    ada.get("/scheduler/status").await.expect(200);
    let roles = ada.all(&format!("/people/{}/roles", text(admin, "id"))).await;
    let mut names: Vec<&str> = roles.iter().map(|role| text(role, "name")).collect();
    names.sort_unstable();
    assert_eq!(names, ["admin", "super_admin"]);
    let trail = ada.all("/audit-events?actor_id=bootstrap").await;
    assert!(trail.iter().any(|event| event["action"] == "org.update"), "{trail:?}");
    assert!(!json!(trail).to_string().contains(SECRET));

    // There is an administrator now, and room for one organisation.
    bootstrap(&anonymous, SECRET, &body("Beta", "bob")).await.problem(409, "single_tenant");
    assert_eq!(app.place.count("SELECT count(*) FROM people").await, 1);
    // The command goes on making administrators of the organisation that is there.
    app.create_superuser("grace").await;
    app.create_superuser("grace").await;
    let orgs = ada.all("/v1/orgs").await;
    assert_eq!((orgs.len(), &orgs[0]["name"]), (1, &json!("Acme")));
    assert_eq!(ada.all("/people").await.len(), 2);
}

async fn further_organisations_come_with_an_administrator_of_their_own(engine: Engine) {
    let app = TestApp::builder(engine).env("TENANCY_MODE", "multi").env("BOOTSTRAP_SECRET", SECRET);
    let app = app.start().await;
    let root = app.administrator().await;
    let (acme, ada) = organisation(&app, "Acme").await;
    assert_eq!((&acme["code"], &acme["is_default"]), (&json!("acme"), &json!(false)));
    // All of the organisation, and nothing of the platform.
    let people = ada.all("/people").await;
    assert_eq!((people.len(), &people[0]["username"]), (1, &json!("acme-admin")));
    ada.post("/roles", json!({ "name": "clerk" })).await.expect(201);
    ada.get("/scheduler/status").await.problem(403, "permission_denied");
    ada.post("/v1/orgs", json!({ "name": "Another" })).await.problem(403, "permission_denied");
    let roles = ada.all(&format!("/people/{}/roles", text(&people[0], "id"))).await;
    assert_eq!((roles.len(), &roles[0]["name"]), (1, &json!("admin")));
    assert!(root.all("/people").await.iter().all(|person| person["username"] != "acme-admin"));
    // Whoever knows the secret chose the password, and could have changed it: it opens no other organisation.
    let members = format!("/v1/orgs/{}/members", crate::members::own_org(&root).await);
    let joins = json!({ "person_id": people[0]["id"] });
    root.post(&members, joins).await.problem(403, "password_not_own");

    // Nobody becomes an administrator again because somebody names them.
    let mut named = body("Beta", "acme-admin");
    named["admin_user"]["contact_information"]["email"] = json!("beta-admin@example.org");
    let again = bootstrap(&app.anonymous(), SECRET, &named).await;
    again.problem_of(409, "username_taken", "admin_user.username");
    let mut same = body("Beta", "bob");
    same["admin_user"]["contact_information"]["email"] = json!("ADMIN@example.org");
    let taken = bootstrap(&app.anonymous(), SECRET, &same).await;
    taken.problem_of(409, "email_taken", "admin_user.email");
    let mut same = body("Beta", "bob");
    same["code"] = json!("ACME");
    bootstrap(&app.anonymous(), SECRET, &same).await.problem_of(409, "org_code_taken", "code");
    assert_eq!(root.all("/v1/orgs").await.len(), 2, "of what is refused nothing is left");
    // The same name is another organisation.
    let made = bootstrap(&app.anonymous(), SECRET, &body("Acme", "bob")).await.expect(201);
    assert_eq!(made["organization"]["code"], "acme-2");
}

async fn of_two_at_once_one_is_the_first(engine: Engine) {
    let app = empty(engine, "multi").await;
    let anonymous = app.anonymous();
    let (acme, beta) = (body("Acme", "ada"), body("Beta", "bob"));
    let (one, two) = tokio::join!(bootstrap(&anonymous, SECRET, &acme), bootstrap(&anonymous, SECRET, &beta));
    let (one, two) = (one.expect(201), two.expect(201));
    let is_first = |made: &Value| made["organization"]["is_default"] == true;
    assert_ne!(is_first(&one), is_first(&two), "{one} {two}");
    let (first, second) = if is_first(&one) { (one, two) } else { (two, one) };
    let root = settle_in(&app, text(&first["admin"], "username")).await;
    assert_eq!(root.all("/v1/orgs").await.len(), 2);
    let other = settle_in(&app, text(&second["admin"], "username")).await;
    assert_eq!(other.all("/v1/orgs").await.len(), 1);
    other.get("/scheduler/status").await.problem(403, "permission_denied");
}

async fn of_the_page_and_the_route_at_once_one_makes_the_first(engine: Engine) {
    let mut app = empty(engine, "single").await;
    let server = app.server();
    let link = eventually("the set-up link", async || server.setup_link()).await;
    let token = link.split_once("token=").unwrap().1.to_owned();
    let fields = [
        ("token", token.as_str()),
        ("username", "grace"),
        ("email", "grace@example.org"),
        ("first_name", "Grace"),
        ("last_name", "Hopper"),
        ("password", PASSWORD),
    ];
    let (anonymous, acme) = (app.anonymous(), body("Acme", "ada"));
    let (page, route) =
        tokio::join!(anonymous.post_form("/setup", &fields), bootstrap(&anonymous, SECRET, &acme));
    assert_eq!(
        [page.status, route.status].iter().filter(|status| **status == 201).count(),
        1,
        "{page} {route}"
    );
    assert_eq!(app.place.count("SELECT count(*) FROM people").await, 1);
}

async fn without_the_secret_nothing_is_told(engine: Engine) {
    let app = empty(engine, "multi").await;
    let anonymous = app.anonymous();
    let (sound, broken) = (body("Acme", "ada"), json!({ "nonsense": true }));
    for body in [&sound, &broken] {
        for wrong in ["", "wrong", &SECRET[1..], &format!("{SECRET}x"), &SECRET.to_uppercase()] {
            bootstrap(&anonymous, wrong, body).await.problem(401, "bootstrap_secret_invalid");
        }
        anonymous.post(PATH, body.clone()).await.problem(401, "bootstrap_secret_invalid");
        let twice = anonymous.request(Method::POST, PATH);
        let twice = twice.header("x-bootstrap-secret", SECRET).header("x-bootstrap-secret", SECRET);
        anonymous.send_raw(twice.json(body)).await.problem(401, "bootstrap_secret_invalid");
    }
    let text = anonymous.request(Method::POST, PATH).header("x-bootstrap-secret", "wrong").body("text");
    anonymous.send_raw(text).await.problem(401, "bootstrap_secret_invalid");
    assert_eq!(app.place.count("SELECT count(*) FROM people").await, 0);

    // Where no secret is set there is nothing.
    let app = TestApp::start(engine).await;
    for secret in ["", SECRET] {
        bootstrap(&app.anonymous(), secret, &sound).await.problem(404, "not_found");
    }
}

async fn secrets_are_not_guessed(engine: Engine) {
    let app = TestApp::builder(engine).env("TENANCY_MODE", "multi").env("BOOTSTRAP_SECRET", SECRET);
    let app = app.env("FLOW_ADDRESS_LIMIT", "3").start().await;
    let root = app.administrator().await;
    let anonymous = app.anonymous();
    for _ in 0..2 {
        bootstrap(&anonymous, "wrong", &json!({})).await.problem(401, "bootstrap_secret_invalid");
    }
    // Who knows it is no guesser.
    bootstrap(&anonymous, SECRET, &body("Acme", "ada")).await.expect(201);
    for _ in 0..3 {
        bootstrap(&anonymous, "wrong", &json!({})).await.problem(401, "bootstrap_secret_invalid");
    }
    for secret in ["wrong", SECRET] {
        let answer = bootstrap(&anonymous, secret, &body("Beta", "bob")).await;
        answer.problem(429, "flow_throttled");
        assert!(answer.header("retry-after").is_some(), "{answer}");
    }
    let count = "SELECT count(*) FROM audit_events WHERE action = 'auth.bootstrap_failed'";
    assert_eq!(app.place.count(count).await, 5);
    assert_eq!(root.all("/v1/orgs").await.len(), 2);
}
