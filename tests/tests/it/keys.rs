//! The keys that sign access tokens: shown, rotated and withdrawn, beside running servers.

use reqwest::{Method, header};
use stylobate_tests::{Client, Engine, TestApp, eventually};

stylobate_tests::both_engines!(keys_are_rotated_and_withdrawn_beside_running_servers);

async fn shown(client: &Client) -> Vec<String> {
    let set = client.get("/.well-known/jwks.json").await.expect(200);
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// A7, A18: two servers where the engine allows it, and one that starts afterwards.
async fn keys_are_rotated_and_withdrawn_beside_running_servers(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let other = match engine {
        Engine::Postgres => Some(app.another_server().await),
        Engine::Sqlite => None,
    };
    let clients: Vec<Client> = [Some(app.anonymous()), other.as_ref().map(|(_, client)| client.clone())]
        .into_iter()
        .flatten()
        .collect();
    let early = app.login("admin").await;
    let old = shown(&app.anonymous()).await;
    assert_eq!(old.len(), 1);

    // Published ahead: shown everywhere, signing nowhere.
    let line = app.program().run(&["keys", "rotate"]).await.expect_success();
    let pending = line.split(' ').next().unwrap().to_owned();
    assert!(line.contains("published"), "{line}");
    for client in &clients {
        eventually("the published key to be shown", async || {
            shown(client).await.contains(&pending).then_some(())
        })
        .await;
    }
    assert_eq!(app.login("admin").await.signed_by(), old[0]);
    let again = app.program().run(&["keys", "rotate"]).await;
    assert!(!again.success && again.text.contains("key_rotation_pending"), "{}", again.text);

    // At once: new tokens by the new key, old ones stay good, on every server.
    let line = app.program().run(&["keys", "rotate", "--now"]).await.expect_success();
    let new = line.split(' ').next().unwrap().to_owned();
    assert!(line.contains("signing"), "{line}");
    let late = eventually("the new key to sign", async || {
        let client = app.login("admin").await;
        (client.signed_by() == new).then_some(client)
    })
    .await;
    for client in &clients {
        eventually("the new key to be shown", async || shown(client).await.contains(&new).then_some(()))
            .await;
        for token in [&early, &late] {
            client.presenting(token.access_token.as_ref().unwrap()).get("/auth/me").await.expect(200);
        }
    }

    // Withdrawn: its tokens stop on every server, and after a restart.
    app.program().run(&["keys", "retire", &old[0]]).await.expect_success();
    for client in &clients {
        let presenting = client.presenting(early.access_token.as_ref().unwrap());
        eventually("the token of the withdrawn key to be refused", async || {
            (presenting.get("/auth/me").await.status == 401).then_some(())
        })
        .await;
        client.presenting(late.access_token.as_ref().unwrap()).get("/auth/me").await.expect(200);
        assert!(!shown(client).await.contains(&old[0]));
    }
    let list = app.program().run(&["keys", "list"]).await.expect_success();
    assert!(list.contains("signing") && list.contains("revoked"), "{list}");
    drop(other);
    app.kill_and_restart().await;
    app.anonymous()
        .presenting(early.access_token.as_ref().unwrap())
        .get("/auth/me")
        .await
        .problem(401, "unauthenticated");
    app.anonymous().presenting(late.access_token.as_ref().unwrap()).get("/auth/me").await.expect(200);
    let unknown = app.program().run(&["keys", "retire", "no-such-key"]).await;
    assert!(!unknown.success && unknown.text.contains("signing_key_unknown"), "{}", unknown.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_are_shown_to_everybody_and_hold_no_secret() {
    let app = TestApp::builder(Engine::Sqlite).env("JWT_ALGORITHM", "ES256").start().await;
    let anonymous = app.anonymous();
    let answer = anonymous.get("/.well-known/jwks.json").await;
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(answer.header("content-type"), Some("application/jwk-set+json"));
    let tag = answer.header("etag").unwrap().to_owned();
    let set = answer.expect(200);
    let key = &set["keys"][0];
    let mut members: Vec<&String> = key.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    assert_eq!((&key["kty"], &key["crv"]), (&"EC".into(), &"P-256".into()));
    assert_eq!((&key["use"], &key["alg"]), (&"sig".into(), &"ES256".into()));

    let conditional =
        anonymous.request(Method::GET, "/.well-known/jwks.json").header(header::IF_NONE_MATCH, &tag);
    let answer = anonymous.send_raw(conditional).await;
    assert_eq!((answer.status, answer.text.as_str(), answer.header("etag")), (304, "", Some(tag.as_str())));
    // A token that does not hold does not stand between anybody and the keys.
    anonymous.presenting("made up").get("/.well-known/jwks.json").await.expect(200);
    assert_eq!(app.login("admin").await.signed_by(), key["kid"].as_str().unwrap());
}

/// C1: a shared secret is shown to nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_shared_secret_no_key_is_shown() {
    let secret = "M3eZq0yJ8uR2wK6tX9vB4nC7pL1sD5gHM3eZq0yJ8uR2wK6tX9vB4nC7pL1sD5gH";
    let app = TestApp::builder(Engine::Sqlite)
        .env("JWT_ALGORITHM", "HS512")
        .env("JWT_SECRET", secret)
        .start()
        .await;
    let answer = app.anonymous().get("/.well-known/jwks.json").await;
    assert_eq!(answer.text, r#"{"keys":[]}"#);
    app.login("admin").await.get("/auth/me").await.expect(200);
    let refused = app.program().run(&["keys", "rotate"]).await;
    assert!(!refused.success && refused.text.contains("keys_from_operator"), "{}", refused.text);
    assert!(!refused.text.contains(secret));
}
