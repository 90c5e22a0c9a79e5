//! Two organisations from the first request of an installation to the end of one of them, over HTTP and mail alone.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Answer, Client, Engine, MailServer, PASSWORD, TestApp, text};

stylobate_tests::both_engines!(two_organisations_from_bootstrap_to_their_end);

const SECRET: &str = "c1f0e2d3b4a5968778695a4b3c2d1e0f";
/// What somebody else has chosen.
const FIRST: &str = "a lantern above 9 stairs";

/// A person as the replaced systems make accounts.
fn account(username: &str, email: &str) -> Value {
    json!({
        "first_name": "Ada", "middle_name": "King", "last_name": "Lovelace", "username": username, "password": FIRST,
        "date_of_birth": "1815-12-10", "gender": "female",
        "contact_information": { "email": email, "phone_number": "+44 20 7946 0000", "city": "London" },
    })
}

async fn bootstrap(app: &TestApp, secret: Option<&str>, body: &Value) -> Answer {
    let request = app.anonymous().request(Method::POST, "/v1/bootstrap/organization").json(body);
    let request = match secret {
        Some(secret) => request.header("x-bootstrap-secret", secret),
        None => request,
    };
    app.anonymous().send_raw(request).await
}

/// Signs in with the password that somebody else chose, which has to be changed first.
async fn first_sign_in(app: &TestApp, username: &str) -> Client {
    let anonymous = app.anonymous();
    anonymous.try_login(username, FIRST).await.problem(428, "must_change_password");
    let change = json!({ "username": username, "current_password": FIRST, "new_password": PASSWORD });
    anonymous.post("/auth/password-change/forced", change).await.expect(204);
    anonymous.login(username, PASSWORD).await
}

/// An organisation with an administrator who has signed in.
async fn organisation(app: &TestApp, root: &Client, name: &str, username: &str) -> (String, Client) {
    let made = root.post("/v1/orgs", json!({ "organization_name": name })).await.expect(201);
    assert_eq!((&made["name"], &made["is_active"]), (&json!(name), &json!(true)), "{made}");
    let id = text(&made, "id").to_owned();
    let admins = format!("/v1/orgs/{id}/admins");
    let made = root.post(&admins, account(username, &MailServer::fresh_address(username))).await.expect(201);
    assert_eq!((&made["organization_id"], &made["username"]), (&json!(id), &json!(username)), "{made}");
    assert!(made.get("password").is_none(), "{made}");
    (id, first_sign_in(app, username).await)
}

async fn two_organisations_from_bootstrap_to_their_end(engine: Engine) {
    let builder = TestApp::builder(engine).without_administrator().mail(&MailServer::StartTls.url());
    let builder = builder.env("TENANCY_MODE", "multi").env("BOOTSTRAP_SECRET", SECRET);
    let app = builder.start().await;
    let root = the_first_request(&app).await;
    let (acme, ada) = organisation(&app, &root, "Acme Works", "ada").await;
    let (grace_id, grace) = an_invited_member(&app, &acme, &ada).await;
    let (globex, hank) = organisation(&app, &root, "Globex", "hank").await;

    what_they_set_is_theirs(&ada, &hank, &acme).await;
    people_are_shown_and_changed(&ada, &acme, &grace_id).await;
    the_same_ids_are_refused(&hank, &globex, &acme, &grace_id).await;
    an_overview_counts(&root, &acme).await;
    the_last_administrator_stays(&root, &ada, &acme).await;

    // Whoever is suspended is out at once, and comes back by a new sign-in.
    let member = format!("/v1/orgs/{acme}/members/{grace_id}");
    ada.patch(&member, json!({ "status": "suspended" })).await.expect(200);
    grace.get("/auth/me").await.problem(401, "unauthenticated");
    assert!(!app.anonymous().try_login("grace", PASSWORD).await.is_success());
    ada.patch(&member, json!({ "status": "active" })).await.expect(200);
    let grace = app.login("grace").await;
    grace.get("/auth/me").await.expect(200);

    the_end(&app, &root, &acme, [&ada, &grace]).await;
    hank.get(&format!("/v1/orgs/{globex}")).await.expect(200);
    every_path_of_the_replaced_system_answers(&app).await;
}

/// While nobody is there, the secret makes the installation's own organisation and its super administrator.
async fn the_first_request(app: &TestApp) -> Client {
    let body = json!({
        "organization_name": "Example Platform", "license_status": "active",
        "admin_user": account("root", &MailServer::fresh_address("root")),
    });
    for secret in [None, Some("wrong"), Some(""), Some(&SECRET[1..])] {
        bootstrap(app, secret, &body).await.problem(401, "bootstrap_secret_invalid");
    }
    let made = bootstrap(app, Some(SECRET), &body).await.expect(201);
    let (organization, admin) = (&made["organization"], &made["admin"]);
    assert_eq!(
        (&organization["name"], &organization["is_default"]),
        (&json!("Example Platform"), &json!(true))
    );
    assert_eq!(
        (&admin["username"], &admin["organization_id"]),
        (&json!("root"), &organization["id"]),
        "{made}"
    );
    assert!(!made.to_string().contains(FIRST), "{made}");
    let root = first_sign_in(app, "root").await;
    root.get("/v1/queues").await.expect(200);
    root
}

/// A member who joins by the link that was mailed, and an account that the administrator makes.
async fn an_invited_member(app: &TestApp, org: &str, ada: &Client) -> (String, Client) {
    let users = format!("/v1/orgs/{org}/users");
    let email = MailServer::fresh_address("grace");
    let invited = json!({
        "first_name": "Grace", "last_name": "Hopper", "username": "grace", "contact_information": { "email": email },
    });
    let invited = ada.post(&users, invited).await.expect(201);
    assert_eq!(invited["status"], "invited", "{invited}");
    let open = ada.all(&format!("{users}?status=invited")).await;
    assert_eq!(open.len(), 1, "{open:?}");
    let invitations = format!("/v1/orgs/{org}/invitations");
    let listed = ada.all(&invitations).await;
    assert_eq!((listed.len(), &listed[0]["email"]), (1, &json!(email)), "{listed:?}");
    ada.get(&format!("{invitations}/{}", text(&listed[0], "id"))).await.expect(200);

    let mail = MailServer::mail_to(&email, "an invitation to Acme Works").await;
    let token = mail.token("/auth/invitations/accept");
    let accepted = json!({
        "token": token, "username": "grace", "password": PASSWORD, "first_name": "Grace", "last_name": "Hopper",
    });
    let joined = app.anonymous().post("/auth/invitations/accept", accepted).await.expect(201);
    assert_eq!(joined["organization_id"], json!(org), "{joined}");
    let grace = app.login("grace").await;
    assert_eq!(grace.get("/auth/whoami").await.expect(200)["tenant"], json!(org));
    // She belongs, and may no more than that.
    grace.get("/v1/orgs").await.problem(403, "permission_denied");
    grace.post(&users, json!({})).await.problem(403, "permission_denied");

    let made = ada.post(&users, account("byron", &MailServer::fresh_address("byron"))).await.expect(201);
    assert_eq!(made["status"], "active", "{made}");
    first_sign_in(app, "byron").await;
    let active = ada.all(&format!("{users}?status=active")).await;
    assert_eq!(active.len(), 3, "{active:?}");
    (text(&joined, "user_id").to_owned(), grace)
}

async fn what_they_set_is_theirs(ada: &Client, hank: &Client, acme: &str) {
    for name in ["settings", "privacy"] {
        let path = format!("/v1/orgs/{acme}/{name}");
        let none = ada.get(&path).await.expect(200);
        assert_eq!((&none["settings"], &none["version"]), (&json!({}), &json!(0)), "{none}");
        let set = json!({ "settings": { "a": { "b": [1, true, null] } }, "version": 0 });
        let stored = ada.put(&path, set.clone()).await.expect(200);
        assert_eq!((&stored["settings"], &stored["version"]), (&set["settings"], &json!(1)), "{stored}");
        assert_eq!(
            ada.put(&path, set).await.status,
            409,
            "of two changes from one version the second is stale"
        );
        assert_eq!(ada.get(&path).await.expect(200), stored);
        hank.get(&path).await.problem(404, "not_found");
        hank.put(&path, json!({ "settings": {} })).await.problem(404, "not_found");
        assert_eq!(ada.get(&path).await.expect(200), stored);
        assert_eq!(ada.get(&format!("/settings/organization/{acme}")).await.status, 200);
    }
    let renamed =
        ada.patch(&format!("/v1/orgs/{acme}"), json!({ "organization_name": "Acme" })).await.expect(200);
    assert_eq!(renamed["name"], "Acme");
}

async fn people_are_shown_and_changed(ada: &Client, acme: &str, grace: &str) {
    let members = ada.all(&format!("/v1/orgs/{acme}/members")).await;
    assert!(members.iter().any(|one| one["person_id"] == json!(grace)), "{members:?}");
    let path = format!("/v1/users/{grace}");
    let shown = ada.get(&path).await.expect(200);
    assert_eq!((&shown["organization_id"], &shown["status"]), (&json!(acme), &json!("active")), "{shown}");
    let changed =
        ada.patch(&path, json!({ "middle_name": "Brewster", "gender": "female" })).await.expect(200);
    assert_eq!((&changed["middle_name"], &changed["gender"]), (&json!("Brewster"), &json!("female")));
    let contact = format!("{path}/contact");
    let new = json!({ "phone_number": "+1 212 555 0100", "city": "New York", "country": "US" });
    let stored = ada.patch(&contact, new).await.expect(200);
    assert_eq!((&stored["city"], &stored["phone_number"]), (&json!("New York"), &json!("+1 212 555 0100")));
    assert_eq!(ada.get(&contact).await.expect(200), stored);
}

/// A12: what the first organisation has is as what nobody has, to the administrator of the second.
async fn the_same_ids_are_refused(hank: &Client, own: &str, acme: &str, grace: &str) {
    let nobody = "0191e000-0000-7000-8000-000000000001";
    let about = |org: &str, person: &str| {
        let person_of = format!("/v1/orgs/{org}/members/{person}");
        [
            (Method::GET, format!("/v1/orgs/{org}"), None),
            (Method::PATCH, format!("/v1/orgs/{org}"), Some(json!({ "name": "Mine" }))),
            (Method::DELETE, format!("/v1/orgs/{org}"), None),
            (Method::GET, format!("/v1/orgs/{org}/members"), None),
            (Method::GET, format!("/v1/orgs/{org}/users"), None),
            (Method::GET, format!("/v1/orgs/{org}/invitations"), None),
            (Method::POST, format!("/v1/orgs/{org}/admins"), Some(account("mallory", "m@example.org"))),
            (Method::POST, format!("/v1/orgs/{org}/users"), Some(account("mallory", "m@example.org"))),
            (Method::PATCH, person_of.clone(), Some(json!({ "status": "suspended" }))),
            (Method::DELETE, person_of, None),
            (Method::DELETE, format!("/v1/orgs/{own}/members/{person}"), None),
            (Method::GET, format!("/v1/users/{person}"), None),
            (Method::PATCH, format!("/v1/users/{person}"), Some(json!({ "first_name": "M" }))),
            (Method::DELETE, format!("/v1/users/{person}"), None),
            (Method::GET, format!("/v1/users/{person}/contact"), None),
            (Method::PATCH, format!("/v1/users/{person}/contact"), Some(json!({ "city": "M" }))),
            (Method::GET, format!("/people/{person}"), None),
        ]
    };
    for (foreign, missing) in about(acme, grace).into_iter().zip(about(nobody, nobody)) {
        let ask = async |(method, path, body): &(Method, String, Option<Value>)| {
            hank.send(method.clone(), path, body.as_ref()).await
        };
        let told = ask(&foreign).await;
        let (mut foreign, mut missing) =
            (told.problem(404, "not_found"), ask(&missing).await.problem(404, "not_found"));
        (foreign["request_id"], missing["request_id"]) = (Value::Null, Value::Null);
        assert_eq!(foreign, missing, "{told}");
    }
    let listed = hank.all("/v1/orgs").await;
    assert_eq!((listed.len(), &listed[0]["id"]), (1, &json!(own)), "{listed:?}");
    hank.post("/auth/switch-org", json!({ "organization_id": acme })).await.problem(404, "not_found");
}

async fn an_overview_counts(root: &Client, acme: &str) {
    let shown = root.get(&format!("/admin/orgs/{acme}/overview")).await.expect(200);
    assert_eq!(shown["members"], json!({ "active": 3, "suspended": 0 }), "{shown}");
    let logins = shown["logins"].as_array().unwrap();
    let succeeded: u64 = logins.iter().filter_map(|day| day["succeeded"].as_u64()).sum();
    assert!(logins.len() == 14 && succeeded >= 3, "{shown}");
    assert!(shown["sessions_active"].as_u64() >= Some(3) && shown["roles"].as_u64() >= Some(3), "{shown}");
}

/// Somebody has to be left who can let others in.
async fn the_last_administrator_stays(root: &Client, ada: &Client, acme: &str) {
    let me = ada.get("/auth/me").await.expect(200);
    let id = text(&me, "id");
    let roles = ada.all(&format!("/people/{id}/roles")).await;
    let role = roles.iter().find(|role| role["name"] == "admin").unwrap();
    let member = format!("/v1/orgs/{acme}/members/{id}");
    let own_role = format!("/people/{id}/roles/{}", text(role, "id"));
    ada.delete(&own_role).await.problem(409, "last_administrator");
    root.patch(&member, json!({ "status": "suspended" })).await.problem(409, "last_administrator");
    for answer in [
        ada.delete(&member).await,
        ada.patch(&member, json!({ "status": "suspended" })).await,
        ada.delete(&format!("/v1/users/{id}")).await,
        ada.delete(&format!("/people/{id}")).await,
        root.delete(&member).await,
        root.delete(&format!("/v1/users/{id}?organization_id={acme}")).await,
    ] {
        assert_eq!(answer.status, 409, "{answer}");
    }
    ada.get("/roles").await.expect(200);
}

/// Deactivated, nobody is in any more and nothing is lost.
async fn the_end(app: &TestApp, root: &Client, acme: &str, people: [&Client; 2]) {
    let [ada, _] = people;
    let key = ada.post("/auth/api-keys", json!({ "label": "export" })).await.expect(201);
    let program = ada.presenting(text(&key, "key"));
    program.get("/auth/whoami").await.expect(200);
    let path = format!("/v1/orgs/{acme}");
    root.delete(&path).await.expect(204);
    for client in [people[0], people[1], &program] {
        client.get("/auth/whoami").await.problem(401, "unauthenticated");
    }
    let refresh = json!({ "refresh_token": ada.refresh_token });
    assert_eq!(app.anonymous().post("/auth/refresh", refresh).await.status, 401);
    for username in ["ada", "grace"] {
        let refused = app.anonymous().try_login(username, PASSWORD).await;
        assert!([401, 403].contains(&refused.status), "{refused}");
    }
    root.delete(&path).await.expect(204);
    assert_eq!(root.get(&path).await.expect(200)["is_active"], false);
    let platform = root.all("/v1/orgs").await;
    let own = platform.iter().find(|org| org["is_default"] == true).unwrap();
    root.delete(&format!("/v1/orgs/{}", text(own, "id"))).await.problem(409, "org_is_default");

    root.post(&format!("{path}/activate"), Value::Null).await.expect(200);
    ada.get("/auth/whoami").await.problem(401, "unauthenticated");
    let again = app.login("ada").await;
    let settings = again.get(&format!("{path}/settings")).await.expect(200);
    assert_eq!(settings["version"], 1, "{settings}");
}

/// Seed 004, Tenant Bootstrap, Organizations and Users.
async fn every_path_of_the_replaced_system_answers(app: &TestApp) {
    let id = "0191e000-0000-7000-8000-000000000001";
    for (method, path) in [
        (Method::POST, "/v1/bootstrap/organization"),
        (Method::POST, "/v1/orgs"),
        (Method::GET, "/v1/orgs"),
        (Method::GET, "/v1/orgs/{id}"),
        (Method::PATCH, "/v1/orgs/{id}"),
        (Method::DELETE, "/v1/orgs/{id}"),
        (Method::POST, "/v1/orgs/{id}/admins"),
        (Method::GET, "/v1/orgs/{id}/settings"),
        (Method::PUT, "/v1/orgs/{id}/settings"),
        (Method::GET, "/v1/orgs/{id}/privacy"),
        (Method::PUT, "/v1/orgs/{id}/privacy"),
        (Method::POST, "/v1/orgs/{id}/users"),
        (Method::GET, "/v1/orgs/{id}/users"),
        (Method::GET, "/v1/users/{id}"),
        (Method::PATCH, "/v1/users/{id}"),
        (Method::DELETE, "/v1/users/{id}"),
        (Method::GET, "/v1/users/{id}/contact"),
        (Method::PATCH, "/v1/users/{id}/contact"),
    ] {
        let body = (path == "/v1/bootstrap/organization").then(
            || json!({ "organization_name": "x", "admin_user": account("nobody", "nobody@example.org") }),
        );
        let answer = app.anonymous().send(method, &path.replace("{id}", id), body.as_ref()).await;
        assert_eq!(answer.status, 401, "{answer}");
    }
}
