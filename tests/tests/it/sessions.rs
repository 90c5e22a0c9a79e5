//! Sessions as administrators see and end them.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, TestApp};

stylobate_tests::both_engines!(administrators_list_and_end_sessions);

async fn session_of(client: &Client) -> String {
    client.get("/auth/whoami").await.expect(200)["session"].as_str().unwrap().to_owned()
}

async fn administrators_list_and_end_sessions(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let sam = app.person(&admin, "sam").await;
    let (one, two, three) = (app.login("sam").await, app.login("sam").await, app.login("sam").await);
    let of_sam = format!("/sessions?person_id={}", sam.id);

    let listed = admin.all(&of_sam).await;
    assert_eq!(listed.len(), 4, "{listed:?}");
    let begun: Vec<&str> = listed.iter().map(|session| session["created_at"].as_str().unwrap()).collect();
    assert!(begun.is_sorted_by(|newer, older| newer >= older), "{begun:?}");
    for session in &listed {
        assert_eq!((&session["status"], &session["is_live"]), (&json!("active"), &json!(true)), "{session}");
        assert_eq!((&session["person_id"], &session["ip_address"]), (&json!(sam.id), &json!("127.0.0.1")));
        assert_eq!((&session["amr"], &session["revoked_at"]), (&json!(["pwd"]), &Value::Null));
        for absent in ["token_hash", "token", "refresh_token", "hash"] {
            assert!(session.get(absent).is_none(), "{session}");
        }
    }
    let own = session_of(&admin).await;
    assert_eq!(admin.get(&format!("/sessions/{own}")).await.expect(200)["is_current"], true);
    sam.client.get("/sessions").await.problem(403, "permission_denied");

    // A5: refused at the very next request.
    let (first, second) = (session_of(&one).await, session_of(&two).await);
    admin.delete(&format!("/sessions/{first}")).await.expect(204);
    one.get("/auth/whoami").await.problem(401, "unauthenticated");
    let refresh = json!({ "refresh_token": one.refresh_token });
    app.anonymous().post("/auth/refresh", refresh).await.problem(401, "refresh_invalid");
    // Again: it stays as it is.
    let seen = admin.get(&format!("/sessions/{first}")).await.expect(200);
    admin.delete(&format!("/sessions/{first}")).await.expect(204);
    assert_eq!(admin.get(&format!("/sessions/{first}")).await.expect(200), seen);
    assert_eq!((&seen["status"], &seen["end_reason"]), (&json!("revoked"), &json!("revoked")), "{seen}");
    assert!(seen["revoked_at"].is_string());

    let path = format!("/sessions/{second}");
    for (body, field) in [
        (json!({ "status": "active" }), "status"),
        (json!({ "expires_at": "2100-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "status": "revoked", "person_id": sam.id }), "person_id"),
    ] {
        admin.patch(&path, body).await.problem_of(422, "validation", field);
    }
    let ended = admin.patch(&path, json!({ "status": "revoked" })).await.expect(200);
    assert_eq!((&ended["status"], &ended["is_live"]), (&json!("revoked"), &json!(false)));
    two.get("/auth/whoami").await.problem(401, "unauthenticated");
    // Nobody makes a session for somebody else.
    admin.post("/sessions", json!({ "person_id": sam.id })).await.problem(405, "method_not_allowed");

    // One that ran out.
    let third = session_of(&three).await;
    let past = app.place.long_ago();
    let id = app.place.id(third.parse().unwrap());
    app.place.sql(&format!("UPDATE sessions SET expires_at = {past} WHERE id = {id}")).await;
    for (query, count) in [
        ("is_live=true", 1),
        ("is_live=false", 3),
        ("status=active", 1),
        ("status=revoked", 2),
        ("status=expired", 1),
        ("status=revoked&is_live=true", 0),
        ("status=expired&is_live=false", 1),
        ("status=active&is_live=false", 0),
    ] {
        let page = admin.get(&format!("{of_sam}&{query}&include_total=true")).await.expect(200);
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{query}: {page}");
        assert_eq!(page["total"], count, "{query}");
    }
    pages(&admin, &of_sam).await;

    let again = app.login("sam").await;
    let path = format!("/people/{}/sessions", sam.id);
    sam.client.send(Method::DELETE, &path, None).await.problem(403, "permission_denied");
    assert_eq!(admin.delete(&path).await.expect(200)["ended"], 2);
    for client in [&sam.client, &again] {
        client.get("/auth/whoami").await.problem(401, "unauthenticated");
    }
    assert_eq!(admin.delete(&path).await.expect(200)["ended"], 0);
    admin.get("/auth/whoami").await.expect(200);
    app.login("sam").await.get("/auth/me").await.expect(200);
}

async fn pages(admin: &Client, of_sam: &str) {
    let all = admin.all(of_sam).await;
    let (mut seen, mut next) = (Vec::new(), format!("{of_sam}&limit=1"));
    loop {
        let page = admin.get(&next).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("{of_sam}&limit=1&cursor={cursor}");
    }
    assert_eq!(seen, all);
    let oldest = admin.all(&format!("{of_sam}&order_dir=asc")).await;
    assert!(oldest.iter().eq(all.iter().rev()));
    let turned = admin.get(&format!("{of_sam}&limit=1")).await.expect(200);
    let cursor = turned["next_cursor"].as_str().unwrap();
    let turned = admin.get(&format!("{of_sam}&order_dir=asc&cursor={cursor}")).await;
    turned.problem_of(422, "validation", "cursor");
}
