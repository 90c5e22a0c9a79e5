//! Introspection and revocation of tokens, and the judgement for proxies.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, PASSWORD, TestApp, text};

use crate::{cookies::Browser, decisions::give};

stylobate_tests::both_engines!(
    a_good_token_tells_what_it_is,
    a_token_that_is_over_or_for_others_tells_nothing,
    a_token_is_revoked_by_its_holder_or_who_may,
    tokens_stay_in_their_organisation,
    forms_are_read_strictly,
    a_proxy_learns_whether_a_request_may_pass
);

async fn introspect(client: &Client, token: &str) -> Value {
    client.post_form("/oauth/introspect", &[("token", token)]).await.expect(200)
}

/// A program that may introspect and no more.
async fn gateway(root: &Client) -> Client {
    let made = root.post("/auth/api-keys", json!({ "scopes": ["token.introspect"] })).await.expect(201);
    root.anonymous().presenting(text(&made, "key"))
}

async fn a_good_token_tells_what_it_is(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    let gateway = gateway(&root).await;

    let login = root.anonymous().try_login("clerk", PASSWORD).await.expect(200);
    let told = introspect(&gateway, text(&login, "access_token")).await;
    let who = clerk.client.get("/auth/whoami").await.expect(200);
    assert_eq!(told["active"], true);
    assert_eq!((&told["token_kind"], &told["token_type"]), (&json!("access_token"), &json!("Bearer")));
    assert_eq!((&told["sub"], &told["sub_kind"]), (&json!(clerk.id), &json!("person")));
    assert_eq!((&told["org_id"], &told["sid"]), (&who["tenant"], &login["session_id"]));
    assert!(told.get("scope").is_none(), "nothing limits it: {told}");
    let (issued, expires) = (told["iat"].as_i64().unwrap(), told["exp"].as_i64().unwrap());
    // What is left of it is cut to whole seconds.
    let left = login["expires_in"].as_i64().unwrap();
    assert!((left..=left + 1).contains(&(expires - issued)), "{told} {login}");
    assert!(told["aud"].is_array() && told["iss"].is_string() && told["jti"].is_string(), "{told}");

    let body = json!({ "scopes": ["user.read", "role.read"] });
    let key = clerk.client.post("/auth/api-keys", body).await.expect(201);
    let told = introspect(&gateway, text(&key, "key")).await;
    assert_eq!((&told["active"], &told["token_kind"]), (&json!(true), &json!("api_key")));
    assert_eq!((&told["sub"], &told["jti"]), (&json!(clerk.id), &key["id"]));
    assert_eq!(told["scope"], "user.read role.read");
    // Asking is no use of the key.
    assert_eq!(
        root.get(&format!("/api-keys/{}", text(&key, "id"))).await.expect(200)["last_used_at"],
        Value::Null
    );

    // Only who may asks.
    let token = text(&login, "access_token");
    root.anonymous()
        .post_form("/oauth/introspect", &[("token", token)])
        .await
        .problem(401, "unauthenticated");
    clerk.client.post_form("/oauth/introspect", &[("token", token)]).await.problem(403, "permission_denied");
}

async fn a_token_that_is_over_or_for_others_tells_nothing(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    let gateway = gateway(&root).await;
    let nothing = json!({ "active": false });
    let login = async || root.anonymous().try_login("clerk", PASSWORD).await.expect(200);

    let tokens = login().await;
    let access = text(&tokens, "access_token");
    assert_eq!(introspect(&gateway, access).await["active"], true);
    for made_up in ["", "x", &access[..access.len() - 1], text(&tokens, "refresh_token")] {
        assert_eq!(introspect(&gateway, made_up).await, nothing, "{made_up}");
    }
    // It is for us, and the caller says that it is somebody else.
    let foreign = [("token", access), ("audience", "https://orders.example")];
    assert_eq!(gateway.post_form("/oauth/introspect", &foreign).await.expect(200), nothing);
    let audience = introspect(&gateway, access).await["aud"][0].as_str().unwrap().to_owned();
    let ours = [("token", access), ("audience", &audience), ("token_type_hint", "refresh_token")];
    assert_eq!(gateway.post_form("/oauth/introspect", &ours).await.expect(200)["active"], true);

    // The row decides, at once.
    root.anonymous().presenting(access).post("/auth/logout", json!({})).await.expect(204);
    assert_eq!(introspect(&gateway, access).await, nothing);
    let tokens = login().await;
    let access = text(&tokens, "access_token");
    let disabled = json!({ "status": "inactive" });
    root.patch(&format!("/people/{}", clerk.id), disabled).await.expect(200);
    assert_eq!(introspect(&gateway, access).await, nothing);

    // A secret from before a rotation ends before its key.
    let rotating = root.post("/auth/api-keys", json!({})).await.expect(201);
    let path = format!("/auth/api-keys/{}/rotate", text(&rotating, "id"));
    let rotated = root.post(&path, json!({ "overlap_seconds": 600 })).await.expect(200);
    let end = async |key: &Value| introspect(&gateway, text(key, "key")).await["exp"].as_i64().unwrap();
    let (old, new) = (end(&rotating).await, end(&rotated).await);
    assert!(new - old > 86_400, "{old} {new}");

    // A key that is limited to networks is judged where it is presented.
    let body = json!({ "allowed_networks": ["127.0.0.0/8", "::1"] });
    let near = root.post("/auth/api-keys", body).await.expect(201);
    assert_eq!(introspect(&gateway, text(&near, "key")).await, nothing);
    let key = root.post("/auth/api-keys", json!({})).await.expect(201);
    assert_eq!(introspect(&gateway, text(&key, "key")).await["active"], true);
    root.delete(&format!("/api-keys/{}", text(&key, "id"))).await.expect(204);
    assert_eq!(introspect(&gateway, text(&key, "key")).await, nothing);
}

async fn a_token_is_revoked_by_its_holder_or_who_may(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let (clerk, other) = (app.person(&root, "clerk").await, app.person(&root, "other").await);
    let login = async || root.anonymous().try_login("clerk", PASSWORD).await.expect(200);
    let revoke =
        async |client: &Client, token: &str| client.post_form("/oauth/revoke", &[("token", token)]).await;
    let with = |token: &str| root.anonymous().presenting(token);

    // One's own: by the access token, and by the refresh token.
    for kind in ["access_token", "refresh_token"] {
        let tokens = login().await;
        revoke(&with(text(&tokens, "access_token")), text(&tokens, kind)).await.expect(200);
        with(text(&tokens, "access_token")).get("/auth/whoami").await.problem(401, "unauthenticated");
        let refresh = json!({ "refresh_token": tokens["refresh_token"] });
        root.anonymous().post("/auth/refresh", refresh).await.problem(401, "refresh_invalid");
    }

    // Another's is refused, and what nothing can be done with is done (RFC 7009 section 2.2).
    let tokens = login().await;
    let access = text(&tokens, "access_token");
    revoke(&root.anonymous(), access).await.problem(401, "unauthenticated");
    revoke(&other.client, access).await.problem(403, "permission_denied");
    revoke(&other.client, text(&tokens, "refresh_token")).await.problem(403, "permission_denied");
    with(access).get("/auth/whoami").await.expect(200);
    for made_up in ["", "x", &access[..access.len() - 1]] {
        revoke(&other.client, made_up).await.expect(200);
    }
    give(&root, &other, "warden", &["token.revoke"]).await;
    revoke(&other.client, access).await.expect(200);
    with(access).get("/auth/whoami").await.problem(401, "unauthenticated");

    // A key revokes itself, whatever it may, from wherever it was found.
    let body = json!({ "scopes": ["user.read"] });
    let key = clerk.client.post("/auth/api-keys", body).await.expect(201);
    let key = text(&key, "key");
    with(key).get("/auth/whoami").await.expect(200);
    revoke(&with(key), key).await.expect(200);
    with(key).get("/auth/whoami").await.problem(401, "unauthenticated");
    let body = json!({ "allowed_networks": ["198.51.100.0/24"] });
    let far = clerk.client.post("/auth/api-keys", body).await.expect(201);
    revoke(&clerk.client, text(&far, "key")).await.expect(200);
    let far = root.get(&format!("/api-keys/{}", text(&far, "id"))).await.expect(200);
    assert!(far["revoked_at"].is_string(), "{far}");
    // One that rests would come back.
    let resting = clerk.client.post("/auth/api-keys", json!({})).await.expect(201);
    let path = format!("/api-keys/{}", text(&resting, "id"));
    root.patch(&path, json!({ "is_active": false })).await.expect(200);
    revoke(&clerk.client, text(&resting, "key")).await.expect(200);
    root.patch(&path, json!({ "is_active": true })).await.problem(409, "api_key_ended");

    let trail = json!(root.all("/audit-events").await).to_string();
    for action in ["session.revoke", "auth.logout", "api_key.revoke"] {
        assert!(trail.contains(action), "{action}");
    }
}

async fn tokens_stay_in_their_organisation(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let (both, warden) = (app.person(&root, "commuter").await, app.person(&root, "warden").await);
    give(&root, &warden, "warden", &["token.introspect", "token.revoke"]).await;
    app.place.join_other_org(&both.id).await;
    let login = async |org: &str| {
        let body = json!({ "username": "commuter", "password": PASSWORD, "org_code": org });
        root.anonymous().post("/auth/login", body).await.expect(200)
    };
    let elsewhere = login("other").await;
    let elsewhere = text(&elsewhere, "access_token");
    let program = root.anonymous().presenting(elsewhere);
    let key = program.post("/auth/api-keys", json!({})).await.expect(201);
    for token in [elsewhere, text(&key, "key")] {
        assert_eq!(introspect(&warden.client, token).await, json!({ "active": false }));
        let refused = warden.client.post_form("/oauth/revoke", &[("token", token)]).await;
        refused.problem(403, "permission_denied");
    }
    // They are good, and their holder may.
    program.get("/auth/whoami").await.expect(200);
    root.anonymous().presenting(text(&key, "key")).get("/auth/whoami").await.expect(200);
    program.post_form("/oauth/revoke", &[("token", text(&key, "key"))]).await.expect(200);
    program.post_form("/oauth/revoke", &[("token", elsewhere)]).await.expect(200);
    program.get("/auth/whoami").await.problem(401, "unauthenticated");
}

async fn forms_are_read_strictly(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        root.post(path, json!({ "token": "x" })).await.problem(415, "unsupported_media_type");
        root.post_form(path, &[]).await.problem_of(422, "validation", "token");
        root.post_form(path, &[("token", "a"), ("token", "b")]).await.problem(400, "duplicate_parameter");
        root.post_form(path, &[("token", "a\0")]).await.problem_of(422, "validation", "token");
        // What is not known is passed over (RFC 6749 section 3.2).
        let extra = [("token", "x"), ("client_assertion", "y")];
        assert_eq!(root.post_form(path, &extra).await.status, 200);
        let media = "application/x-www-form-urlencoded";
        for (media, body, status) in [(media, &b"token=\xff"[..], 422), ("text/plain", b"token=x", 415)] {
            let request = root.request(Method::POST, path).header("content-type", media).body(body.to_vec());
            assert_eq!(root.send_raw(request).await.status, status);
        }
    }
}

async fn a_proxy_learns_whether_a_request_may_pass(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    give(&root, &clerk, "reader", &["user.read"]).await;

    root.anonymous().get("/auth/forward").await.problem(401, "unauthenticated");
    let passed = clerk.client.get("/auth/forward?permission=user.read").await;
    assert_eq!(passed.status, 204);
    assert_eq!(passed.header("x-auth-subject"), Some(clerk.id.as_str()));
    assert_eq!(passed.header("x-auth-subject-kind"), Some("person"));
    let organization = clerk.client.get("/auth/whoami").await.expect(200)["tenant"].clone();
    assert_eq!(passed.header("x-auth-organization"), organization.as_str());
    assert!(passed.header("x-auth-session").is_some() && passed.header("x-auth-scopes").is_none());
    for missing in ["user.delete", "orders.read"] {
        let answer = clerk.client.get(&format!("/auth/forward?permission={missing}")).await;
        answer.problem(403, "permission_denied");
    }
    for wrong in ["", "a%20text", &"a".repeat(129)] {
        let answer = clerk.client.get(&format!("/auth/forward?permission={wrong}")).await;
        answer.problem_of(422, "validation", "permission");
    }
    clerk.client.get("/auth/forward?permision=user.read").await.problem_of(422, "validation", "permision");
    let trail = json!(root.all("/audit-events?action=permission.deny").await).to_string();
    assert!(trail.contains("orders.read") && trail.contains("/auth/forward"), "{trail}");

    let body = json!({ "scopes": ["user.read"] });
    let key = clerk.client.post("/auth/api-keys", body).await.expect(201);
    let passed = root.anonymous().presenting(text(&key, "key")).get("/auth/forward").await;
    assert_eq!(passed.header("x-auth-subject"), key["id"].as_str());
    assert_eq!(passed.header("x-auth-owner"), Some(clerk.id.as_str()));
    assert_eq!(passed.header("x-auth-scopes"), Some("user.read"));

    // What may do nothing is let through nowhere: proxies drop empty headers.
    let key = clerk.client.post("/auth/api-keys", json!({ "scopes": ["user.read"] })).await.expect(201);
    app.place.sql("UPDATE api_keys SET scopes = ''").await;
    let barren = root.anonymous().presenting(text(&key, "key"));
    assert_eq!(barren.get("/auth/whoami").await.expect(200)["scopes"], json!([]));
    barren.get("/auth/forward").await.problem(403, "permission_denied");
    clerk.client.post("/auth/api-keys", json!({ "scopes": [] })).await.problem_of(
        422,
        "validation",
        "scopes",
    );

    // A session cookie changes nothing for another site.
    let browser = Browser::signed_in(&root.anonymous(), "clerk").await;
    let asked = async |headers: &[(&str, &str)]| {
        let mut request = browser.request(Method::GET, "/auth/forward");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        root.send_raw(request).await
    };
    assert_eq!(asked(&[("x-forwarded-method", "GET")]).await.status, 204);
    asked(&[("x-forwarded-method", "POST")]).await.problem(403, "csrf");
    asked(&[]).await.problem(403, "csrf");
    let cross = [("x-forwarded-method", "POST"), ("sec-fetch-site", "cross-site")];
    asked(&cross).await.problem(403, "csrf");
    let socket = [
        ("x-forwarded-method", "GET"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("origin", "https://evil.example.org"),
    ];
    asked(&socket).await.problem(403, "csrf");
    let same = [("x-forwarded-method", "POST"), ("sec-fetch-site", "same-origin")];
    assert_eq!(asked(&same).await.status, 204);
}
