//! Background jobs: seen, steered, worked on by the server or by workers beside it.

use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, PASSWORD, Place, Program, Server, TestApp, eventually};

use crate::decisions::id_of;

stylobate_tests::both_engines!(
    jobs_are_seen_and_steered,
    an_organisation_sees_and_steers_its_own_jobs_alone,
    a_queue_is_paused_and_goes_on,
    a_worker_works_and_hands_over
);

/// Asks for a job behind the program's back: nothing but schedules does it by itself.
pub(crate) async fn ask_for(
    place: &Place,
    last: u16,
    tenant: Option<&str>,
    queue: &str,
    name: &str,
    payload: Value,
) -> String {
    let now = place.long_ago();
    let id = format!("0191e000-0000-7000-8000-00000000{last:04x}");
    let uuid = |text: &str| place.id(text.parse().unwrap());
    let tenant_id = tenant.map_or("NULL".to_owned(), uuid);
    let lane = uuid(tenant.unwrap_or("00000000-0000-0000-0000-000000000000"));
    place
        .sql(&format!(
            "INSERT INTO jobs (id, tenant_id, lane, queue, name, version, payload, state, run_at, attempt, attempts_max,
                 timeout_ms, key_limit, is_unique, beat, cancel_requested, errors, created_at)
             VALUES ({}, {tenant_id}, {lane}, '{queue}', '{name}', 1, '{payload}', 'available', {now}, 0, 3,
                 60000, 1, FALSE, 0, FALSE, '[]', {now});
             INSERT INTO job_count_changes (queue, state, change) VALUES ('{queue}', 'available', 1);",
            uuid(&id),
        ))
        .await;
    id
}

/// The job once it is in this state.
pub(crate) async fn reached(client: &Client, id: &str, state: &str) -> Value {
    eventually(&format!("{id} to be {state}"), async || {
        let job = client.get(&format!("/v1/jobs/{id}")).await.expect(200);
        (job["state"] == state).then_some(job)
    })
    .await
}

async fn jobs_are_seen_and_steered(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let prune =
        ask_for(&app.place, 1, None, "maintenance", "jobs.prune", json!({ "completed_days": 30 })).await;
    let done = reached(&admin, &prune, "completed").await;
    assert_eq!((&done["result"]["rows"], &done["attempt"]), (&json!(0), &json!(1)), "{done}");
    assert!(done["worker"].is_string() && done["finished_at"].is_string(), "{done}");

    // What nobody can read is a dead letter, is edited and asked for once more.
    let wrong =
        ask_for(&app.place, 2, None, "maintenance", "jobs.prune", json!({ "completed_days": 0 })).await;
    reached(&admin, &wrong, "discarded").await;
    let dead = admin.all("/v1/jobs/dead-letters").await;
    assert_eq!(dead.iter().map(|job| &job["id"]).collect::<Vec<_>>(), [&json!(wrong)]);
    assert!(dead[0]["last_error"].as_str().unwrap().contains("cannot be read"), "{}", dead[0]);
    assert!(dead[0].get("payload").is_none(), "lists are short: {}", dead[0]);
    let path = format!("/v1/jobs/{wrong}");
    admin.patch(&path, json!({})).await.problem_of(422, "validation", "payload");
    let edited = admin.patch(&path, json!({ "payload": { "completed_days": 14 } })).await.expect(200);
    assert_eq!(edited["payload"], json!({ "completed_days": 14 }));
    admin.post(&format!("{path}/retry"), Value::Null).await.expect(200);
    reached(&admin, &wrong, "completed").await;
    assert_eq!(admin.all("/v1/jobs/dead-letters").await, Vec::<Value>::new());

    // Nobody works on this queue.
    let waiting = ask_for(&app.place, 3, None, "reports", "reports.send", json!({})).await;
    let path = format!("/v1/jobs/{waiting}");
    admin.post(&format!("{path}/retry"), Value::Null).await.problem(409, "job_wrong_state");
    let cancelled = admin.post(&format!("{path}/cancel"), Value::Null).await.expect(200);
    assert_eq!(cancelled["state"], "cancelled");
    admin.post(&format!("{path}/cancel"), Value::Null).await.problem(409, "job_wrong_state");

    for (query, count) in [
        ("", 3),
        ("state=completed", 2),
        ("queue=reports", 1),
        ("name=reports.send&state=cancelled", 1),
        ("name=reports.send&state=completed", 0),
        ("schedule_id=0191e000-0000-7000-8000-000000000001", 0),
    ] {
        let found = admin.all(&format!("/v1/jobs?{query}")).await;
        let ours = found.iter().filter(|job| job["schedule_id"].is_null()).count();
        assert_eq!(ours, count, "{query}");
    }
    let first = admin.get("/v1/jobs?limit=1&queue=maintenance").await.expect(200);
    assert!(first["next_cursor"].is_string(), "{first}");
    for (query, field) in [
        ("state=done", "state"),
        ("order_dir=asc", "order_dir"),
        ("include_total=true", "include_total"),
        ("cursor=x", "cursor"),
    ] {
        admin.get(&format!("/v1/jobs?{query}")).await.problem_of(422, "validation", field);
    }
    admin.get("/v1/jobs/0191e000-0000-7000-8000-0000000000ff").await.problem(404, "not_found");
    assert_eq!(
        app.place
            .count(
                "SELECT count(*) FROM audit_events WHERE action IN ('job.cancel', 'job.edit', 'job.retry')"
            )
            .await,
        3
    );
}

/// A12, A30
async fn an_organisation_sees_and_steers_its_own_jobs_alone(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let manager = app.person(&root, "manager").await;
    let admin = id_of(&root, "/roles", "name", "admin").await;
    root.post(&format!("/people/{}/roles", manager.id), json!({ "role_id": admin })).await.expect(201);
    let client = manager.client;
    let own = client.get("/auth/whoami").await.expect(200)["tenant"].as_str().unwrap().to_owned();
    let other = "0191e000-0000-7000-8000-00000000abcd";
    let ask = async |last, tenant: Option<&str>| {
        ask_for(&app.place, last, tenant, "reports", "reports.send", json!({ "of": last })).await
    };
    let (mine, foreign, platforms) =
        (ask(1, Some(&own)).await, ask(2, Some(other)).await, ask(3, None).await);

    let ids =
        |jobs: Vec<Value>| jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(client.all("/v1/jobs").await), [mine.as_str()]);
    assert_eq!(ids(root.all("/v1/jobs?queue=reports").await), [platforms.as_str(), &foreign, &mine]);
    for id in [&foreign, &platforms] {
        let path = format!("/v1/jobs/{id}");
        client.get(&path).await.problem(404, "not_found");
        client.post(&format!("{path}/cancel"), Value::Null).await.problem(404, "not_found");
        client.post(&format!("{path}/retry"), Value::Null).await.problem(404, "not_found");
        assert_eq!(root.get(&path).await.expect(200)["state"], "available");
    }
    let path = format!("/v1/jobs/{mine}");
    assert_eq!(client.get(&path).await.expect(200)["organization_id"], json!(own));
    client.patch(&path, json!({ "payload": {} })).await.problem(403, "permission_denied");
    let cancelled = client.post(&format!("{path}/cancel"), Value::Null).await.expect(200);
    assert_eq!(cancelled["state"], "cancelled");
    let trail = client.all("/audit-events?action=job.cancel").await;
    assert_eq!((trail.len(), &trail[0]["entity_id"]), (1, &json!(mine)));
    for path in ["/v1/queues", "/scheduler/tasks", "/scheduler/status"] {
        client.get(path).await.problem(403, "permission_denied");
    }
    client.post("/v1/queues/reports/pause", Value::Null).await.problem(403, "permission_denied");
}

async fn a_queue_is_paused_and_goes_on(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let queue = admin.post("/v1/queues/maintenance/pause", Value::Null).await.expect(200);
    assert!(queue["is_paused"] == true && queue["paused_at"].is_string(), "{queue}");
    let id = ask_for(&app.place, 1, None, "maintenance", "jobs.prune", json!({})).await;
    let queues = admin.get("/v1/queues").await.expect(200);
    let listed =
        queues["items"].as_array().unwrap().iter().find(|one| one["name"] == "maintenance").unwrap().clone();
    assert_eq!(listed["is_paused"], true);
    assert!(listed["jobs"]["available"].as_u64().unwrap() >= 1, "{listed}");
    assert_eq!(admin.get(&format!("/v1/jobs/{id}")).await.expect(200)["state"], "available");
    let queue = admin.post("/v1/queues/maintenance/resume", Value::Null).await.expect(200);
    assert_eq!(queue["is_paused"], false);
    reached(&admin, &id, "completed").await;
    admin.post("/v1/queues/no-such/pause", Value::Null).await.problem(404, "not_found");
    admin.post("/v1/queues/No%20Such/resume", Value::Null).await.problem(404, "not_found");
}

/// The server leaves the jobs to workers, of which SQLite allows none beside it.
async fn a_worker_works_and_hands_over(engine: Engine) {
    let builder = TestApp::builder(engine).env("WORKER_ENABLED", "false").env("SCHEDULER_ENABLED", "false");
    let mut app = builder.start().await;
    let admin = app.administrator().await;
    let id = ask_for(&app.place, 1, None, "maintenance", "auth.sweep", json!({})).await;
    if engine == Engine::Sqlite {
        let second = app.program().run(&["worker"]).await;
        assert!(!second.success && second.text.contains("sqlite_single_server"), "{}", second.text); // A34
        assert_eq!(admin.get(&format!("/v1/jobs/{id}")).await.expect(200)["state"], "available");
        app.server().terminate();
        assert!(app.server().ended().await.success());
        let program = app.program().clone();
        finish_alone(&program, &app.place).await;
        app.restart().await;
        reached(&app.administrator().await, &id, "completed").await;
        return;
    }
    assert_eq!(admin.get(&format!("/v1/jobs/{id}")).await.expect(200)["state"], "available");
    let mut worker = Server::start_worker(app.program()).await;
    let done = reached(&admin, &id, "completed").await;
    let name = done["worker"].as_str().unwrap().to_owned();
    assert!(name.contains(&format!("-{}-", worker.id())), "{name}");
    worker.terminate();
    assert!(worker.ended().await.success());
    let next = ask_for(&app.place, 2, None, "maintenance", "auth.sweep", json!({})).await;
    let another = Server::start_worker(app.program()).await;
    let done = reached(&admin, &next, "completed").await;
    assert!(done["worker"].as_str().unwrap().contains(&format!("-{}-", another.id())), "{done}");
    admin.anonymous().login("admin", PASSWORD).await;
}

/// A worker that is alone works through what there is.
async fn finish_alone(program: &Program, place: &Place) {
    let mut worker = Server::start_worker(program).await;
    eventually("the worker to finish", async || {
        (place.count("SELECT count(*) FROM jobs WHERE state = 'completed'").await == 1).then_some(())
    })
    .await;
    worker.terminate();
    assert!(worker.ended().await.success());
}
