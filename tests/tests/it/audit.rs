//! The trail: found by filters, exported without harm, one row for every change.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Answer, Client, Engine, PASSWORD, TestApp, csv_rows, text};

use crate::members::{administrator, multi, other_org, own_org};

stylobate_tests::both_engines!(
    the_trail_is_found_and_exported,
    every_change_leaves_one_row,
    the_platform_reads_the_trail_of_any_organisation
);

const NOBODY: &str = "0191e000-0000-7000-8000-000000000001";

async fn the_trail_is_found_and_exported(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let me = admin.get("/auth/me").await.expect(200)["id"].as_str().unwrap().to_owned();
    let formulas = ["=1+1", "+SUM(A1)", "-2+3", "@cmd", "=HYPERLINK(\"http://x\",\"y\")"];
    let mut last = Value::Null;
    for formula in formulas {
        let body = json!({ "name": formula, "description": formula });
        let request = admin.request(Method::POST, "/roles").header("user-agent", formula).json(&body);
        last = admin.send_raw(request).await.expect(201);
    }

    let newest = admin.get("/audit-events?action=role.create&limit=1").await.expect(200);
    let event = newest["items"][0].clone();
    assert_eq!(event["entity_id"], last["id"]);
    let id = event["id"].as_str().unwrap();
    assert_eq!(admin.get(&format!("/audit-events/{id}")).await.expect(200), event);

    let request_id = event["request_id"].as_str().unwrap();
    let entity = last["id"].as_str().unwrap();
    for (query, count) in [
        (format!("request_id={request_id}"), 1),
        (format!("entity_id={entity}"), 1),
        (format!("entity_type=role&entity_id={entity}&is_success=true"), 1),
        (format!("entity_id={entity}&is_success=false"), 0),
        (format!("entity_id={entity}&outcome=success"), 1),
        (format!("action=role.create&actor_id={me}"), formulas.len()),
        (format!("action=role.create&actor_id={me}&actor_type=user"), formulas.len()),
        (format!("actor_type=api_key&actor_id={me}"), 0),
        ("action=role.crea".into(), 0),
        (format!("entity_id={entity}&started_after=2100-01-01T00:00:00Z"), 0),
        (format!("entity_id={entity}&started_before=2000-01-01T00:00:00Z"), 0),
        (
            format!(
                "entity_id={entity}&started_after=2000-01-01T00:00:00Z&started_before=2100-01-01T00:00:00Z"
            ),
            1,
        ),
    ] {
        let found = admin.all(&format!("/audit-events?{query}")).await;
        assert_eq!(found.len(), count, "{query}");
    }
    pages_neither_repeat_nor_skip(&admin).await;

    // C38, A23
    let export = admin.get("/audit-events/export?action=role.create").await;
    assert_eq!(export.status, 200, "{export}");
    assert!(export.header("content-type").unwrap().starts_with("text/csv"), "{export}");
    assert!(export.header("content-disposition").unwrap().starts_with("attachment"), "{export}");
    let rows = csv_rows(&export.text);
    let ours: Vec<_> = rows.iter().filter(|row| row["user"] == me).collect();
    assert_eq!(ours.len(), formulas.len());
    for cell in rows.iter().flat_map(|row| row.values()) {
        assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']), "live cell {cell:?}");
    }
    let first_columns = export.text.lines().next().unwrap();
    assert!(first_columns.starts_with("timestamp,user,action,resource,detail"), "{first_columns}");
    assert_eq!(csv_rows(&admin.get("/audit-events/export?max_rows=2").await.text).len(), 2);
    assert_eq!(admin.all("/audit-events?action=audit.export").await.len(), 2, "exports are on record");
}

async fn pages_neither_repeat_nor_skip(admin: &Client) {
    let all = admin.all("/audit-events?order_dir=asc").await;
    let (mut seen, mut next) = (Vec::new(), "/audit-events?order_dir=asc&limit=3".to_owned());
    loop {
        let page = admin.get(&next).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("/audit-events?order_dir=asc&limit=3&cursor={cursor}");
    }
    assert_eq!(seen, all);
    let times: Vec<&str> = all.iter().map(|event| event["occurred_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

/// A23: found by the request that caused it.
async fn every_change_leaves_one_row(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let mut told = Told { admin: admin.clone(), wrong: Vec::new() };

    let body = json!({ "first_name": "A", "last_name": "B", "username": "ann", "email": "ann@example.org", "password": PASSWORD });
    let person = told.one(admin.post("/people", body).await, "person.create").await;
    let role = told.one(admin.post("/roles", json!({ "name": "r" })).await, "role.create").await;
    let permission = told.one(admin.post("/permissions", json!({ "key": "p.q" })).await, "perm.create").await;
    let [person, role, permission] =
        [person, role, permission].map(|row| row["id"].as_str().unwrap().to_owned());

    let path = format!("/roles/{role}");
    told.one(admin.patch(&path, json!({ "description": "d" })).await, "role.update").await;
    told.one(admin.put(&path, json!({ "name": "s" })).await, "role.update").await;
    let path = format!("/permissions/{permission}");
    told.one(admin.patch(&path, json!({ "description": "d" })).await, "perm.update").await;
    told.one(admin.put(&path, json!({ "key": "p.r" })).await, "perm.update").await;
    let attach = format!("/roles/{role}/permissions");
    told.one(admin.post(&attach, json!({ "permission_id": permission })).await, "role.perm.assign").await;
    let assign = format!("/people/{person}/roles");
    told.one(admin.post(&assign, json!({ "role_id": role })).await, "role.assign").await;
    told.one(admin.delete(&format!("{assign}/{role}")).await, "role.revoke").await;
    told.one(admin.delete(&format!("{attach}/{permission}")).await, "role.perm.revoke").await;
    told.one(admin.delete(&format!("/permissions/{permission}")).await, "perm.delete").await;
    told.one(admin.delete(&format!("/roles/{role}")).await, "role.delete").await;

    let path = format!("/people/{person}");
    told.one(admin.patch(&path, json!({ "phone": "+49 30 1" })).await, "person.update").await;
    // Identifiers, status and profile in one request are one change.
    let whole = json!({ "first_name": "C", "last_name": "D", "username": "cyd", "email": "cyd@example.org", "is_active": false });
    told.one(admin.put(&path, whole).await, "person.update").await;
    told.one(admin.patch(&path, json!({ "is_active": true })).await, "person.update").await;
    told.one(admin.patch("/auth/me", json!({ "city": "London" })).await, "person.update").await;

    let of_person = json!({ "person_id": person, "username": "cyd", "password": PASSWORD });
    let credential = format!("/user-credentials/{person}");
    told.one(admin.delete(&credential).await, "credential.delete").await;
    told.one(admin.post("/user-credentials", of_person).await, "credential.create").await;
    // Name, password, duty, lock and switch in one request are one change.
    let whole = json!({
        "username": "cyd.a", "password": "a harbour of 12 red boats", "must_change_password": true,
        "failed_login_attempts": 0, "locked_until": null, "is_active": false,
    });
    told.one(admin.patch(&credential, whole).await, "credential.update").await;
    let back =
        json!({ "username": "cyd", "password": PASSWORD, "must_change_password": false, "is_active": true });
    told.one(admin.patch(&credential, back).await, "credential.update").await;
    // What changes nothing is no change, an unlock of nobody included.
    let version = admin.get(&credential).await.expect(200);
    for nothing in [json!({}), json!({ "is_active": true }), json!({ "locked_until": null })] {
        let answer = admin.patch(&credential, nothing).await;
        assert_eq!(told.rows(&answer).await, Vec::<Value>::new());
        assert_eq!(answer.expect(200), version);
    }
    app.anonymous().try_login("cyd", "a wrong password of theirs").await.problem(401, "invalid_credentials");
    told.one(admin.post(&format!("{path}/unlock"), Value::Null).await, "auth.unlock").await;
    let one = app.anonymous().login("cyd", PASSWORD).await;
    let id = one.get("/auth/whoami").await.expect(200)["session"].as_str().unwrap().to_owned();
    told.one(admin.delete(&format!("/sessions/{id}")).await, "session.revoke").await;
    app.anonymous().login("cyd", PASSWORD).await;
    told.one(admin.delete(&format!("{path}/sessions")).await, "session.revoke_all").await;

    let own = told.unnamed(app.anonymous().try_login("cyd", PASSWORD).await).await;
    let own = admin.with_tokens(&own);
    let refresh = json!({ "refresh_token": own.refresh_token });
    // A renewal goes on with a session that is on record; a row for each would bury what changes.
    let renewed = own.anonymous().post("/auth/refresh", refresh).await;
    assert_eq!(told.rows(&renewed).await, Vec::<Value>::new());
    let own = own.with_tokens(&renewed.expect(200));
    let change = json!({ "current_password": PASSWORD, "new_password": "an orchard of 12 pear trees" });
    told.unnamed(own.post("/auth/password-change", change).await).await;
    let elsewhere = app.anonymous().login("cyd", "an orchard of 12 pear trees").await;
    let here = app.anonymous().login("cyd", "an orchard of 12 pear trees").await;
    told.unnamed(here.delete("/auth/sessions").await).await;
    elsewhere.get("/auth/me").await.problem(401, "unauthenticated");
    told.unnamed(here.send(Method::POST, "/auth/logout", None).await).await;
    told.one(admin.delete(&path).await, "person.delete").await;

    assert!(told.wrong.is_empty(), "{:#?}", told.wrong);

    // What was refused changed nothing; the refusal of somebody known is on record, that of a bad form is not.
    let refused = admin.post("/roles", json!({ "name": "" })).await;
    assert_eq!(told.rows(&refused).await, Vec::<Value>::new());
    let trail = Value::from(admin.all("/audit-events").await).to_string();
    for canary in [PASSWORD, "pear trees", "red boats", &own.refresh_token, "argon2"] {
        assert!(!trail.contains(canary), "the trail holds {canary}"); // A24
    }
}

/// A12
async fn the_platform_reads_the_trail_of_any_organisation(engine: Engine) {
    let app = multi(engine).await;
    let root = app.administrator().await;
    let me = text(&root.get("/auth/me").await.expect(200), "id").to_owned();
    let (own, other) = (own_org(&root).await, other_org(&root, "other").await);
    let bea = administrator(&app, &root, &other, "bea").await.client;
    root.put(&format!("/v1/orgs/{other}/settings"), json!({ "settings": { "a": 1 } })).await.expect(200);
    let trail = |org: &str| format!("/audit-events?organization_id={org}");

    // The organisation is told that the platform acted, and the platform who of it.
    let put = "action=org_settings.update";
    let shown = bea.all(&format!("/audit-events?{put}")).await;
    let kept = root.all(&format!("{}&{put}", trail(&other))).await;
    assert_eq!((shown.len(), kept.len()), (1, 1), "{shown:?} {kept:?}");
    for row in [&shown[0], &kept[0]] {
        assert_eq!(row["actor_id"], "platform", "{row}");
    }
    assert_eq!(shown[0]["id"], kept[0]["id"]);
    assert!(!shown[0].to_string().contains(&me), "{}", shown[0]);
    assert_eq!(kept[0]["metadata"]["platform_actor"]["actor"]["id"], json!(me));
    let one = format!("/audit-events/{}", text(&kept[0], "id"));
    root.get(&one).await.problem(404, "not_found");
    assert_eq!(root.get(&format!("{one}?organization_id={other}")).await.expect(200), kept[0]);
    // Without a name it is their own, as their organisation is shown it; named, with who acted.
    let name = json!({ "name": "Ours" });
    root.patch(&format!("/v1/orgs/{own}"), name).await.expect(200);
    for path in ["/audit-events?action=org.update".to_owned(), format!("{}&action=org.update", trail(&own))] {
        let found = root.all(&path).await;
        assert_eq!((found.len(), &found[0]["actor_id"]), (1, &json!(me)), "{path}");
    }
    // An export is on record there, as done by the platform.
    let export = root.get(&format!("/audit-events/export?organization_id={other}")).await;
    assert_eq!(export.status, 200, "{export}");
    let rows = csv_rows(&export.text);
    assert_eq!(rows.len(), bea.all("/audit-events").await.len() - 1);
    assert!(export.text.contains(&me), "{}", export.text);
    let exports = bea.all("/audit-events?action=audit.export").await;
    assert!(exports.len() == 1 && exports[0]["actor_id"] == "platform", "{exports:?}");
    assert!(!bea.get("/audit-events/export").await.text.contains(&me));

    // To everybody else another one is as if missing, whatever they may do in their own.
    let mia = administrator(&app, &root, &own, "mia").await.client;
    let at = |org: &str| {
        let query = format!("?organization_id={org}");
        [format!("/audit-events{query}"), format!("/audit-events/export{query}"), format!("{one}{query}")]
    };
    for (foreign, missing) in at(&other).iter().zip(&at(NOBODY)) {
        let mut answers = Vec::new();
        for path in [foreign, missing] {
            let mut problem = mia.get(path).await.problem(404, "not_found");
            problem["request_id"] = Value::Null;
            answers.push(problem);
        }
        assert_eq!(answers[0], answers[1], "{foreign}");
        root.get(missing).await.problem(404, "not_found");
    }
    assert_eq!(bea.all("/audit-events?action=audit.export").await.len(), 2);
    assert_eq!(mia.get(&trail(&own)).await.expect(200), mia.get("/audit-events").await.expect(200));
    bea.get(&trail(&own)).await.problem(404, "not_found");
    mia.get("/audit-events?organization_id=other").await.problem(422, "validation");
}

/// Looks up what the trail says about an answer.
struct Told {
    admin: Client,
    /// Changes that left no row, or several, or one of another action.
    wrong: Vec<String>,
}

impl Told {
    async fn rows(&self, answer: &Answer) -> Vec<Value> {
        let request = answer.header("x-request-id").expect("a request id");
        self.admin.all(&format!("/audit-events?request_id={request}")).await
    }

    /// The body of a change that must have left one row.
    async fn unnamed(&mut self, answer: Answer) -> Value {
        assert!(answer.is_success(), "{answer}");
        let actions = self.actions(&answer).await;
        if actions.len() != 1 {
            self.wrong.push(format!("{} left {actions:?}", answer.asked));
        }
        if answer.text.is_empty() { Value::Null } else { answer.json() }
    }

    /// As [`unnamed`](Self::unnamed), with this action.
    async fn one(&mut self, answer: Answer, action: &str) -> Value {
        let actions = self.actions(&answer).await;
        if actions != [action] {
            self.wrong.push(format!("{} left {actions:?} instead of {action}", answer.asked));
        }
        assert!(answer.is_success(), "{answer}");
        if answer.text.is_empty() { Value::Null } else { answer.json() }
    }

    async fn actions(&self, answer: &Answer) -> Vec<String> {
        self.rows(answer).await.iter().map(|row| row["action"].as_str().unwrap().to_owned()).collect()
    }
}
