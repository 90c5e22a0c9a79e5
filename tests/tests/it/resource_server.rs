//! The example `resource-server`: it has the address of the keys and nothing else of the control plane.

use std::time::Duration;

use stylobate_tests::{Engine, Server, TestApp, eventually};

const ISSUER: &str = "https://control-plane.test";

/// Calls the route behind the tokens.
async fn status(server: &Server, token: Option<&str>) -> u16 {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
    let request = client.get(format!("{}/reports", server.address()));
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    request.send().await.unwrap().status().as_u16()
}

/// A7: by the public keys alone, and on through a rotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_checked_by_the_shown_keys_alone_and_on_through_a_rotation() {
    let mut app = TestApp::start(Engine::Sqlite).await;
    let keys_at = format!("{}/.well-known/jwks.json", app.server().address());
    let server =
        Server::start_resource_server(&[("ISSUER", ISSUER), ("AUDIENCE", ISSUER), ("JWKS_URL", &keys_at)])
            .await;
    let session = app.login("admin").await;
    let token = session.access_token.as_deref().unwrap();
    assert_eq!(status(&server, Some(token)).await, 200);
    assert_eq!(status(&server, None).await, 401);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0"; // {"alg":"none","typ":"at+jwt"}
    let payload = token.split('.').nth(1).unwrap();
    for forged in [
        format!("{signed}.{flipped}{}", &signature[1..]),
        format!("{signed}."),
        format!("{none}.{payload}."),
        session.refresh_token.clone(),
        "made.up.token".to_owned(),
    ] {
        assert_eq!(status(&server, Some(&forged)).await, 401, "{forged}");
    }

    let line = app.program().run(&["keys", "rotate", "--now"]).await.expect_success();
    let new = line.split(' ').next().unwrap().to_owned();
    let fresh = eventually("a token of the new key", async || {
        let client = app.login("admin").await;
        (client.signed_by() == new).then_some(client)
    })
    .await;
    let fresh = fresh.access_token.as_deref().unwrap();
    eventually("the new key to be learnt", async || {
        (status(&server, Some(fresh)).await == 200).then_some(())
    })
    .await;
    assert_eq!(status(&server, Some(token)).await, 200, "tokens from before the rotation stay good");

    // The issuer down: known keys go on.
    app.server().kill();
    assert_eq!(status(&server, Some(fresh)).await, 200);
    assert_eq!(status(&server, None).await, 401);
}

/// A token cannot be judged without keys: that is neither a yes nor a no.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_answer_of_the_issuer_tokens_are_undecided() {
    let app = TestApp::start(Engine::Sqlite).await;
    let session = app.login("admin").await;
    // Nobody listens on port 9 here.
    let server = Server::start_resource_server(&[
        ("ISSUER", ISSUER),
        ("AUDIENCE", ISSUER),
        ("JWKS_URL", "http://127.0.0.1:9/.well-known/jwks.json"),
    ])
    .await;
    assert_eq!(status(&server, session.access_token.as_deref()).await, 503);
    assert_eq!(status(&server, None).await, 401);
}
