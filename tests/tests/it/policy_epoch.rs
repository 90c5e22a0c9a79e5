//! How soon a change of an access policy counts, and everywhere.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use stylobate_tests::{Answer, Client, Engine, TestApp};

use crate::decisions::{give, id_of};

stylobate_tests::both_engines!(changes_say_since_which_epoch_they_count);

/// Asks with a demand of how fresh the policy has to be.
async fn demanding(client: &Client, epoch: &str, path: &str) -> Answer {
    client.send_raw(client.request(Method::GET, path).header("x-policy-epoch", epoch)).await
}

async fn changes_say_since_which_epoch_they_count(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    let role = give(&root, &clerk, "reader", &["user.read"]).await;
    let mut seen = 0;
    let mut grows = |answer: &Answer| {
        let epoch: i64 = answer
            .header("x-policy-epoch")
            .unwrap_or_else(|| panic!("{answer} has no epoch"))
            .parse()
            .unwrap();
        assert!(epoch > seen, "{answer} {epoch} {seen}");
        seen = epoch;
    };
    let read = id_of(&root, "/permissions", "key", "user.read").await;
    let path = format!("/roles/{role}");
    grows(&root.patch(&path, json!({ "description": "x" })).await);
    grows(&root.delete(&format!("{path}/permissions/{read}")).await);
    grows(&root.post(&format!("{path}/permissions"), json!({ "permission_id": read })).await);
    grows(&root.post("/permissions", json!({ "key": "reports.read" })).await);
    grows(
        &root
            .post(
                &format!("/people/{}/overrides", clerk.id),
                json!({ "permission_id": read, "effect": "allow" }),
            )
            .await,
    );
    // A role of the platform is assigned on the platform, and counts in the organisation from this epoch on.
    let platform = id_of(&root, "/roles", "name", "super_admin").await;
    let people = format!("/people/{}/roles", clerk.id);
    grows(&root.post(&people, json!({ "role_id": platform })).await);
    grows(&root.delete(&format!("{people}/{platform}")).await);
    let last = root.delete(&path).await;
    grows(&last);

    demanding(&root, &seen.to_string(), "/people?limit=1").await.expect(200);
    demanding(&root, "0, platform=0", "/people?limit=1").await.expect(200);
    let begun = Instant::now();
    let refused = demanding(&root, &(seen + 1).to_string(), "/people?limit=1").await;
    refused.problem(503, "policy_stale");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(begun.elapsed() < Duration::from_secs(20), "a demand that cannot be met is given up");
    demanding(&root, "platform=9000000000000000000", "/people?limit=1").await.problem(503, "policy_stale");
    for wrong in ["now", "-1", "1;2", "18446744073709551616"] {
        demanding(&root, wrong, "/people?limit=1").await.problem(400, "bad_request");
    }
    // Whoever is nobody waits for nothing.
    demanding(&app.anonymous(), &(seen + 1).to_string(), "/people").await.problem(401, "unauthenticated");
    let question = json!({ "user_id": clerk.id, "permission_name": "user.read", "policy_epoch": seen + 1 });
    root.post("/rbac/check", question).await.problem(503, "policy_stale");
    let question = json!({ "user_id": clerk.id, "permission_name": "user.read", "policy_epoch": seen });
    assert_eq!(root.post("/rbac/check", question).await.expect(200)["allowed"], json!(true));
}

/// A11: two processes on one database. Without a demand the other follows by itself, with one it does at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_role_is_refused_by_every_process() {
    let app = TestApp::start(Engine::Postgres).await;
    let root = app.administrator().await;
    let clerk = app.person(&root, "clerk").await;
    let role = give(&root, &clerk, "reader", &["user.read"]).await;
    let (other, _) = app.another_server().await;
    let there = clerk.client.at(other.address());
    let people = format!("/people/{}/roles", clerk.id);
    let mut slowest = Duration::ZERO;
    for round in 0..5 {
        if round > 0 {
            root.post(&people, json!({ "role_id": role })).await.expect(201);
        }
        stylobate_tests::eventually("the role to be seen", async || {
            (there.get("/people?limit=1").await.status == 200).then_some(())
        })
        .await;
        let revoked = root.delete(&format!("{people}/{role}")).await;
        revoked.expect(204);
        let begun = Instant::now();
        clerk.client.get("/people?limit=1").await.problem(403, "permission_denied");
        if round % 2 == 0 {
            // At once: the very next request.
            let epoch = revoked.header("x-policy-epoch").unwrap().to_owned();
            demanding(&there, &epoch, "/people?limit=1").await.problem(403, "permission_denied");
        } else {
            stylobate_tests::eventually("the revocation to be followed", async || {
                (there.get("/people?limit=1").await.status == 403).then_some(())
            })
            .await;
            slowest = slowest.max(begun.elapsed());
        }
    }
    // Ten times what is promised: a slow machine is no failure, a process that does not follow is one.
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    println!("followed after at most {slowest:?}");
}
