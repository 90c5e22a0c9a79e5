use std::collections::BTreeMap;

use serde_json::json;
use stylobate_tests::{
    Client, Engine, TestApp,
    matrix::{Asker, Operation, Request, is_refused, operations},
    text,
};

use crate::decisions::id_of;

/// A person in a role, or nobody, who signs in anew where a route ends the session that asks.
struct Standing {
    asker: Asker,
    username: Option<&'static str>,
}

/// Who may ask what is for people to review: a change shows in this file. Asked with ids that nothing has and without
/// bodies, so that whatever is not refused for who asks is refused for what is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_and_routes() {
    let app = TestApp::builder(Engine::Sqlite).env("TENANCY_MODE", "multi").start().await;
    let standings = standings(&app).await;
    let mut table = BTreeMap::new();
    for operation in operations(&app.anonymous()).await {
        let mut allowed = Vec::new();
        for Standing { asker, username } in &standings {
            let client = match username {
                Some(username) if operation.ends_its_session() => &app.login(username).await,
                _ => &asker.client,
            };
            let answer = nameless(&operation).send(client).await;
            assert!(answer.status < 500 || answer.status == 503, "{answer}");
            if !is_refused(&answer) {
                allowed.push(asker.name);
            }
        }
        let who = match allowed.len() {
            0 => "nobody".to_owned(),
            all if all == standings.len() => "everybody".to_owned(),
            _ => allowed.join(", "),
        };
        table.insert((operation.path.clone(), operation.method.to_string()), format!("{operation}: {who}"));
    }
    let table: Vec<String> = table.into_values().collect();
    insta::assert_snapshot!("roles_and_routes", table.join("\n"));
}

async fn standings(app: &TestApp) -> Vec<Standing> {
    let root = app.administrator().await;
    let of_role = async |username: &'static str, role: &str| {
        let person = app.person(&root, username).await;
        let role = id_of(&root, "/roles", "name", role).await;
        root.post(&format!("/people/{}/roles", person.id), json!({ "role_id": role })).await.expect(201);
        person.client
    };
    let admin = of_role("manager", "admin").await;
    let member = of_role("clerk", "member").await;
    let auditor = of_role("reviewer", "auditor").await;
    let operator = of_role("runner", "operator").await;
    let support = of_role("helper", "support").await;
    let account = root.post("/service-accounts", json!({ "name": "robot" })).await.expect(201);
    let key = async |by: &Client, body| {
        let made = by.post("/api-keys", body).await.expect(201);
        by.anonymous().presenting(text(&made, "key"))
    };
    let service = key(&root, json!({ "service_account_id": account["id"] })).await;
    let account = root.post("/service-accounts", json!({ "name": "of the operator" })).await.expect(201);
    let role = id_of(&root, "/roles", "name", "super_admin").await;
    let path = format!("/service-accounts/{}/roles", text(&account, "id"));
    root.post(&path, json!({ "role_id": role })).await.expect(201);
    let scopes = json!(["platform.organizations.manage"]);
    let scoped = key(&root, json!({ "service_account_id": account["id"], "scopes": scopes })).await;
    let key = key(&admin, json!({})).await;
    let standing = |name, client, username| Standing { asker: Asker { name, client }, username };
    vec![
        standing("super_admin", root, Some("admin")),
        standing("admin", admin, Some("manager")),
        standing("auditor", auditor, Some("reviewer")),
        standing("operator", operator, Some("runner")),
        standing("support", support, Some("helper")),
        standing("member", member, Some("clerk")),
        standing("service without roles", service, None),
        standing("key of admin", key, None),
        standing("scoped key of the platform", scoped, None),
        standing("anonymous", app.anonymous(), None),
    ]
}

fn nameless(operation: &Operation) -> Request {
    let part = |part: &str| match part.starts_with('{') {
        true => "0191e000-0000-7000-8000-000000000001".to_owned(),
        false => part.to_owned(),
    };
    let path: Vec<String> = operation.path.split('/').map(part).collect();
    Request { method: operation.method.clone(), path: path.join("/"), body: None }
}
