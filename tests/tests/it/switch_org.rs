//! Going on in another organisation while signed in, and what ends with an organisation.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Answer, Client, Engine, PASSWORD, TestApp, text};

use crate::cookies::{Browser, set_cookie};

stylobate_tests::both_engines!(
    a_person_goes_on_in_another_of_their_organisations,
    organisations_that_one_may_not_act_in_are_all_missing,
    a_cookie_goes_on_as_a_cookie,
    everything_ends_with_an_organisation_and_begins_anew,
    nothing_begins_in_an_organisation_that_is_being_deactivated
);

const SWITCH: &str = "/auth/switch-org";
/// What [`Place::join_other_org`](stylobate_tests::Place::join_other_org) makes.
const OTHER: &str = "0191e000-0000-7000-8000-0000000000f0";

/// Makes an organisation with the code `second`, to which `member` belongs as well, and says its path.
async fn second_org(app: &TestApp, admin: &Client, member: &str) -> String {
    app.place.own_passwords().await;
    let org = admin.post("/v1/orgs", json!({ "name": "Second", "code": "second" })).await.expect(201);
    let path = format!("/v1/orgs/{}", text(&org, "id"));
    admin.post(&format!("{path}/members"), json!({ "person_id": member })).await.expect(201);
    path
}

async fn login_in(app: &TestApp, org_code: &str) -> Answer {
    let body = json!({ "username": "sam", "password": PASSWORD, "org_code": org_code });
    app.anonymous().post("/auth/login", body).await
}

async fn whoami(client: &Client) -> Value {
    client.get("/auth/whoami").await.expect(200)
}

async fn switch(client: &Client, to: Value) -> Client {
    client.with_tokens(&client.post(SWITCH, to).await.expect(200))
}

/// The codes of the organisations that somebody may act in, the present one first.
async fn own_codes(client: &Client) -> Vec<String> {
    let listed = client.get(SWITCH).await.expect(200);
    let mut items = listed["items"].as_array().unwrap().clone();
    items.sort_by_key(|item| item["is_current"] != true);
    items.iter().map(|item| text(item, "code").to_owned()).collect()
}

async fn a_person_goes_on_in_another_of_their_organisations(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let sam = app.person(&admin, "sam").await;
    let [home] = &own_codes(&sam.client).await[..] else { panic!() };
    app.place.join_other_org(&sam.id).await;
    assert_eq!(own_codes(&sam.client).await, [home.as_str(), "other"]);

    let before = whoami(&sam.client).await;
    let there = switch(&sam.client, json!({ "organization_id": OTHER })).await;
    let after = whoami(&there).await;
    assert_eq!((&after["tenant"], &after["assurance"]), (&json!(OTHER), &before["assurance"]));
    assert_ne!(after["session"], before["session"]);
    assert_eq!(own_codes(&there).await, ["other", home.as_str()]);
    // A5: what was before is over.
    sam.client.get("/auth/whoami").await.problem(401, "unauthenticated");
    let old = json!({ "refresh_token": sam.client.refresh_token });
    app.anonymous().post("/auth/refresh", old).await.problem(401, "refresh_invalid");
    let renewed =
        app.anonymous().post("/auth/refresh", json!({ "refresh_token": there.refresh_token })).await;
    let there = there.with_tokens(&renewed.expect(200));
    assert_eq!(whoami(&there).await["tenant"], OTHER);
    // The trail of the first organisation says that they left, and not for where.
    let trail = admin.all("/audit-events?action=auth.switch_org").await;
    let [left] = &trail[..] else { panic!("{trail:?}") };
    assert_eq!((&left["actor_id"], &left["entity_id"]), (&json!(sam.id), &before["session"]), "{left}");
    assert!(!left.to_string().contains(OTHER), "{left}");

    let back = switch(&there, json!({ "org_code": home.to_uppercase() })).await;
    assert_eq!(whoami(&back).await["tenant"], before["tenant"]);
    there.get("/auth/whoami").await.problem(401, "unauthenticated");
    assert_eq!(back.get("/auth/sessions").await.expect(200)["items"].as_array().unwrap().len(), 1);
}

/// A12
async fn organisations_that_one_may_not_act_in_are_all_missing(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let (sam, bob) = (app.person(&admin, "sam").await, app.person(&admin, "bob").await);
    app.place.join_other_org(&bob.id).await;
    let ask = async |to: Value| {
        let answer = sam.client.post(SWITCH, to).await;
        answer.problem(404, "not_found");
        let (status, headers, text) = answer.without_volatile();
        let mut body: Value = serde_json::from_str(&text).unwrap();
        body["request_id"] = Value::Null;
        (status, headers, body)
    };
    let by_id = json!({ "organization_id": OTHER });
    let missing = ask(json!({ "organization_id": uuid::Uuid::new_v4() })).await;
    let mut answers = vec![
        ask(json!({ "org_code": "nobody" })).await,
        ask(json!({ "org_code": "" })).await,
        ask(by_id.clone()).await,
        ask(json!({ "org_code": "other" })).await,
    ];
    app.place.join_other_org(&sam.id).await;
    for statement in [
        "UPDATE memberships SET status = 'suspended' WHERE tenant_id IN (SELECT id FROM orgs WHERE code = 'other')",
        "UPDATE memberships SET status = 'active'; UPDATE orgs SET is_active = false WHERE code = 'other'",
    ] {
        app.place.sql(statement).await;
        answers.push(ask(by_id.clone()).await);
        answers.push(ask(json!({ "org_code": "other" })).await);
        assert_eq!(own_codes(&sam.client).await.len(), 1, "{statement}");
    }
    assert!(answers.iter().all(|answer| *answer == missing), "{answers:?}");

    for (body, field) in [
        (json!({}), "organization_id"),
        (json!({ "organization_id": OTHER, "org_code": "other" }), "org_code"),
        (json!({ "organization_id": OTHER, "session": "cookie" }), "session"),
    ] {
        sam.client.post(SWITCH, body).await.problem_of(422, "validation", field);
    }
    let key = sam.client.post("/auth/api-keys", json!({})).await.expect(201);
    let program = app.anonymous().presenting(text(&key, "key"));
    program.get(SWITCH).await.problem(403, "person_required");
    program.post(SWITCH, by_id).await.problem(403, "person_required");
    app.anonymous().get(SWITCH).await.problem(401, "unauthenticated");
    // Nothing of it ended the session.
    whoami(&sam.client).await;
}

async fn a_cookie_goes_on_as_a_cookie(engine: Engine) {
    let app = TestApp::builder(engine).env("REFRESH_COOKIE_NAME", "refresh_token").start().await;
    let admin = app.anonymous().try_login("admin", PASSWORD).await.expect(200);
    let admin = app.anonymous().presenting(text(&admin, "access_token"));
    let id = text(&whoami(&admin).await["subject"], "id").to_owned();
    let browser = Browser::signed_in(&app.anonymous(), "admin").await;
    app.place.join_other_org(&id).await;
    let to = json!({ "organization_id": OTHER });
    let ask = async |browser: &Browser, site: &str| -> Answer {
        let request = browser.request(Method::POST, SWITCH).header("sec-fetch-site", site).json(&to);
        app.anonymous().send_raw(request).await
    };
    // A21
    ask(&browser, "cross-site").await.problem(403, "csrf");
    let answer = ask(&browser, "same-origin").await;
    let body = answer.expect(200);
    assert_eq!((&body["token_type"], body.get("access_token")), (&json!("cookie"), None));
    assert!((1..=24 * 60 * 60).contains(&body["expires_in"].as_i64().unwrap()), "{body}");
    let (value, line) = set_cookie(&answer, "session");
    assert!(line.contains("HttpOnly"), "{line}");
    let by_cookie = |value: &str| {
        let request = app.anonymous().request(Method::GET, "/auth/whoami");
        request.header("cookie", format!("session={value}"))
    };
    let who = app.anonymous().send_raw(by_cookie(&value)).await.expect(200);
    assert_eq!((&who["tenant"], &who["credential"]), (&json!(OTHER), &json!("cookie")));
    let old = app.anonymous().send_raw(browser.request(Method::GET, "/auth/whoami")).await;
    old.problem(401, "unauthenticated");

    // Tokens go on as tokens, and the refresh token in its cookie.
    let body = json!({ "username": "admin", "password": PASSWORD, "org_code": "other" });
    let signed_in = app.anonymous().post("/auth/login", body).await;
    let bearer = app.anonymous().presenting(text(&signed_in.expect(200), "access_token"));
    let (token, _) = set_cookie(&signed_in, "refresh_token");
    let request = bearer.request(Method::POST, SWITCH).header("cookie", format!("refresh_token={token}"));
    let request = request.header("sec-fetch-site", "same-origin").json(&to);
    let went_on = app.anonymous().send_raw(request).await;
    let tokens = went_on.expect(200);
    assert_eq!(tokens["refresh_token"], "");
    let (next, _) = set_cookie(&went_on, "refresh_token");
    for (token, status) in [(&token, 401), (&next, 200)] {
        let request = app.anonymous().request(Method::POST, "/auth/refresh");
        let request = request.header("cookie", format!("refresh_token={token}"));
        let answer = app.anonymous().send_raw(request.header("sec-fetch-site", "same-origin")).await;
        assert_eq!(answer.status, status, "{answer}");
    }
}

/// A5, A8, A12
async fn everything_ends_with_an_organisation_and_begins_anew(engine: Engine) {
    let app = TestApp::builder(engine).env("TENANCY_MODE", "multi").start().await;
    let admin = app.administrator().await;
    let sam = app.person(&admin, "sam").await;
    let path = second_org(&app, &admin, &sam.id).await;
    let login = async || login_in(&app, "second").await;
    let bearer = app.anonymous().with_tokens(&login().await.expect(200));
    let key = bearer.post("/auth/api-keys", json!({})).await.expect(201);
    let program = app.anonymous().presenting(text(&key, "key"));
    whoami(&program).await;
    let browser = {
        let body =
            json!({ "username": "sam", "password": PASSWORD, "org_code": "second", "session": "cookie" });
        let answer = app.anonymous().post("/auth/login", body).await;
        answer.expect(200);
        format!("session={}", set_cookie(&answer, "session").0)
    };
    let by_cookie = async || {
        let request = app.anonymous().request(Method::GET, "/auth/whoami").header("cookie", &browser);
        app.anonymous().send_raw(request).await
    };
    by_cookie().await.expect(200);

    admin.delete(&path).await.expect(204);
    for _ in 0..2 {
        bearer.get("/auth/whoami").await.problem(401, "unauthenticated");
        program.get("/auth/whoami").await.problem(401, "unauthenticated");
        by_cookie().await.problem(401, "unauthenticated");
        let refresh = json!({ "refresh_token": bearer.refresh_token });
        app.anonymous().post("/auth/refresh", refresh).await.problem(401, "refresh_invalid");
        login().await.problem(403, "not_a_member");
        sam.client.post(SWITCH, json!({ "org_code": "second" })).await.problem(404, "not_found");
        // Elsewhere they go on.
        whoami(&sam.client).await;
        admin.post(&format!("{path}/activate"), json!({})).await.expect(200);
        whoami(&app.anonymous().with_tokens(&login().await.expect(200))).await;
        program.get("/auth/whoami").await.problem(401, "unauthenticated");
        admin.delete(&path).await.expect(204);
    }
}

/// A5, A8: each comes before the end, and ends with the organisation, or after it, and is refused.
async fn nothing_begins_in_an_organisation_that_is_being_deactivated(engine: Engine) {
    let app = TestApp::builder(engine).env("TENANCY_MODE", "multi").start().await;
    let admin = app.administrator().await;
    let sam = app.person(&admin, "sam").await;
    let home = own_codes(&sam.client).await.remove(0);
    let path = second_org(&app, &admin, &sam.id).await;
    let tenant = app.place.id(path.trim_start_matches("/v1/orgs/").parse().unwrap());
    // More keys than of two rounds are not made in an hour.
    for _ in 0..2 {
        let there = app.anonymous().with_tokens(&login_in(&app, "second").await.expect(200));
        let here = app.anonymous().with_tokens(&login_in(&app, &home).await.expect(200));
        let (first, second, third, fourth, gone, fifth, sixth) = tokio::join!(
            login_in(&app, "second"),
            there.post("/auth/api-keys", json!({})),
            here.post(SWITCH, json!({ "org_code": "second" })),
            login_in(&app, "second"),
            admin.delete(&path),
            there.post("/auth/api-keys", json!({})),
            login_in(&app, "second"),
        );
        gone.expect(204);
        for begun in [first, second, third, fourth, fifth, sixth] {
            assert!([200, 201, 401, 403, 404, 409].contains(&begun.status), "{begun}");
        }
        for live in ["sessions WHERE ended_at IS NULL", "api_keys WHERE revoked_at IS NULL"] {
            let count = format!("SELECT count(*) FROM {live} AND tenant_id = {tenant}");
            assert_eq!(app.place.count(&count).await, 0, "{live}");
        }
        there.get("/auth/whoami").await.problem(401, "unauthenticated");
        admin.post(&format!("{path}/activate"), json!({})).await.expect(200);
    }
}
