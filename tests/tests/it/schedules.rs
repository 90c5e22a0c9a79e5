//! Schedules: rows that people edit, followed by the server or by schedulers beside it.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, Server, TestApp, eventually};

use crate::{decisions::id_of, jobs::reached};

stylobate_tests::both_engines!(
    standing_schedules_are_made_once_and_keep_their_edits,
    a_schedule_is_made_run_edited_and_removed,
    damaged_schedules_are_listed_and_removed_and_keep_nobody_from_starting,
    schedules_are_refused_field_by_field,
    what_is_overdue_is_told,
    a_scheduler_follows_where_the_server_does_not,
    a_key_that_has_signed_for_long_is_replaced_ahead
);

const STANDING: [(&str, &str); 3] = [
    ("Check of the signing key", "keys.check"),
    ("Clean-up of sessions and tokens", "auth.sweep"),
    ("Removal of finished jobs", "jobs.prune"),
];

async fn task(client: &Client, name: &str) -> Value {
    let id = id_of(client, "/scheduler/tasks", "name", name).await;
    client.get(&format!("/scheduler/tasks/{id}")).await.expect(200)
}

async fn standing_schedules_are_made_once_and_keep_their_edits(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let made = admin.all("/scheduler/tasks").await;
    let names = |tasks: &[Value]| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        tasks.iter().map(|one| (text(&one["name"]), text(&one["task_name"]))).collect()
    };
    assert_eq!(names(&made), STANDING.map(|(name, job)| (name.to_owned(), job.to_owned())));
    for one in &made {
        assert!(one["enabled"] == true && one["next_run_at"].is_string(), "{one}");
        assert!(one["organization_id"].is_null() && one["overlap"] == "skip", "{one}");
    }
    let path = |one: &Value| format!("/scheduler/tasks/{}", one["id"].as_str().unwrap());
    let patch = json!({ "name": "Key check", "enabled": false });
    admin.patch(&path(&made[0]), patch).await.expect(200);
    let patch = json!({ "kwargs_json": { "completed_days": 3 }, "interval_seconds": 7200 });
    admin.patch(&path(&made[2]), patch).await.expect(200);
    admin.delete(&path(&made[1])).await.expect(204);

    app.server().terminate();
    assert!(app.server().ended().await.success());
    app.restart().await;
    let admin = app.administrator().await;
    let after = admin.all("/scheduler/tasks").await;
    let jobs: Vec<_> = names(&after).into_iter().map(|(_, job)| job).collect();
    assert_eq!(jobs, ["auth.sweep", "keys.check", "jobs.prune"], "what was removed is made anew, by name");
    assert_eq!((&after[1]["name"], &after[1]["enabled"]), (&json!("Key check"), &json!(false)));
    assert_eq!(after[2]["kwargs_json"]["completed_days"], 3);
    assert_eq!(after[2]["interval_seconds"], 7200);
}

async fn damaged_schedules_are_listed_and_removed_and_keep_nobody_from_starting(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let made = admin.all("/scheduler/tasks").await;
    app.place
        .sql(
            "UPDATE schedules SET timing = 'no JSON' WHERE job = 'keys.check';
                   UPDATE schedules SET payload = '{{' WHERE job = 'jobs.prune';",
        )
        .await;
    app.server().terminate();
    assert!(app.server().ended().await.success());
    app.restart().await;
    let admin = app.administrator().await;
    let listed = admin.all("/scheduler/tasks").await;
    let unreadable: Vec<_> = listed.iter().map(|one| one["unreadable"].clone()).collect();
    assert_eq!(unreadable, [json!(["schedule_type"]), json!([]), json!(["kwargs_json"])], "{listed:?}");
    assert_eq!((&listed[0]["schedule_type"], &listed[2]["kwargs_json"]), (&json!("unreadable"), &json!({})));
    let path = |one: &Value| format!("/scheduler/tasks/{}", one["id"].as_str().unwrap());
    admin.get(&path(&made[0])).await.expect(200);
    let enqueue = format!("{}/enqueue", path(&made[2]));
    admin.post(&enqueue, Value::Null).await.problem_of(422, "validation", "kwargs_json");
    let patch = json!({ "schedule_type": "interval", "interval_seconds": 7200 });
    let mended = admin.patch(&path(&made[0]), patch).await.expect(200);
    assert_eq!((&mended["unreadable"], &mended["interval_seconds"]), (&json!([]), &json!(7200)), "{mended}");
    admin.delete(&path(&made[2])).await.expect(204);
    assert_eq!(admin.all("/scheduler/tasks").await.len(), 2);
    if engine == Engine::Sqlite {
        // Worse: a time that is none, which no row of the table can be read beside. The program starts all the same.
        app.place.sql("UPDATE schedules SET created_at = 'yesterday' WHERE job = 'auth.sweep';").await;
        app.server().terminate();
        assert!(app.server().ended().await.success());
        app.restart().await;
        let made = app.administrator().await.all("/scheduler/tasks?task_name=jobs.prune").await;
        assert_eq!(made.len(), 1, "the others are made anew");
    }
}

async fn a_schedule_is_made_run_edited_and_removed(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    // As the replaced systems ask for it.
    let asked = json!({ "name": "often", "task_name": "jobs.prune", "schedule_type": "interval", "interval_seconds": 1,
                        "args_json": [], "kwargs_json": { "completed_days": 30 }, "enabled": true });
    let made = admin.post("/scheduler/tasks", asked).await.expect(201);
    let id = made["id"].as_str().unwrap();
    let path = format!("/scheduler/tasks/{id}");
    assert_eq!((&made["version"], &made["catch_up"]), (&json!(1), &json!("one")), "{made}");
    // It runs by itself, and its jobs say whose they are.
    let of_it = format!("/v1/jobs?schedule_id={id}");
    let job = eventually("a job of the schedule", async || {
        admin.all(&of_it).await.into_iter().find(|job| job["state"] == "completed")
    })
    .await;
    assert!(job["slot"].is_string() && job["schedule_id"] == id, "{job}");
    let ran = admin.get(&path).await.expect(200);
    assert!(ran["last_run_at"].is_string() && ran["last_job_id"].is_string(), "{ran}");

    let version = ran["version"].clone();
    let edited = admin.patch(&path, json!({ "enabled": false, "version": version })).await.expect(200);
    assert!(edited["next_run_at"].is_null() && edited["enabled"] == false, "{edited}");
    admin.patch(&path, json!({ "enabled": true, "version": version })).await.problem(409, "stale");
    eventually("its jobs to finish", async || {
        admin.all(&of_it).await.iter().all(|job| job["state"] == "completed").then_some(())
    })
    .await;
    // At once, also while it is disabled.
    let enqueued = admin.post(&format!("{path}/enqueue"), Value::Null).await.expect(202);
    let by_hand = reached(&admin, enqueued["job_id"].as_str().unwrap(), "completed").await;
    assert_eq!((&by_hand["schedule_id"], &by_hand["slot"]), (&json!(id), &Value::Null), "{by_hand}");
    let nightly = json!({ "schedule_type": "cron", "cron_expression": "30 2 * * *", "time_zone": "Europe/Berlin",
                          "catch_up": "all", "catch_up_max": 3, "enabled": true });
    let edited = admin.patch(&path, nightly).await.expect(200);
    assert_eq!((&edited["interval_seconds"], &edited["catch_up_max"]), (&Value::Null, &json!(3)), "{edited}");
    assert!(edited["next_run_at"].is_string(), "{edited}");
    let refreshed = admin.post("/scheduler/tasks/refresh", Value::Null).await.expect(200);
    assert!(refreshed["enqueued"].is_u64() && refreshed["unserved"] == 0, "{refreshed}");

    let enabled = admin.all("/scheduler/tasks?enabled=true&task_name=jobs.prune").await;
    assert_eq!(enabled.len(), 2, "{enabled:?}");
    assert_eq!(admin.all("/scheduler/tasks?enabled=false").await, Vec::<Value>::new());
    let first = admin.get("/scheduler/tasks?limit=1").await.expect(200);
    assert!(first["next_cursor"].is_string(), "{first}");

    let status = admin.get("/scheduler/status").await.expect(200);
    assert!(status["jobs"]["completed"].as_u64().unwrap() >= 2, "{status}");
    assert_eq!(status["schedules"], json!({ "enabled": 4, "disabled": 0 }));
    assert_eq!(status["overdue"], json!([]));

    admin.delete(&path).await.expect(204);
    admin.get(&path).await.problem(404, "not_found");
    assert!(!admin.all(&of_it).await.is_empty(), "its jobs stay");
    for (action, count) in
        [("schedule.create", 1), ("schedule.update", 2), ("schedule.run", 1), ("schedule.delete", 1)]
    {
        let query =
            format!("SELECT count(*) FROM audit_events WHERE action = '{action}' AND target_id = '{id}'");
        assert_eq!(app.place.count(&query).await, count, "{action}");
    }
    let query = "SELECT count(*) FROM audit_events WHERE action = 'schedule.refresh'";
    assert_eq!(app.place.count(query).await, 1);
}

async fn schedules_are_refused_field_by_field(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let with = |fields: Value| {
        let mut all = json!({ "name": "x", "task_name": "auth.sweep" });
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        all
    };
    for (fields, field) in [
        (json!({ "name": " x" }), "name"),
        (json!({ "task_name": "app.tasks.anything" }), "task_name"),
        (json!({ "kwargs_json": { "hard": true } }), "kwargs_json"),
        (json!({ "args_json": [1] }), "args_json"),
        (json!({ "interval_seconds": 0 }), "interval_seconds"),
        (json!({ "schedule_type": "sometimes" }), "schedule_type"),
        (json!({ "schedule_type": "cron", "cron_expression": "61 * * * *" }), "cron_expression"),
        (json!({ "schedule_type": "cron", "cron_expression": "@daily", "time_zone": "Berlin" }), "time_zone"),
        (json!({ "schedule_type": "cron" }), "cron_expression"),
        (json!({ "schedule_type": "once", "run_at": "2001-01-01T00:00:00Z" }), "run_at"),
        (json!({ "run_at": "2031-01-01T00:00:00Z" }), "run_at"),
        (json!({ "catch_up": "all", "catch_up_max": 1001 }), "catch_up_max"),
        (json!({ "catch_up_max": 2 }), "catch_up_max"),
    ] {
        let answer = admin.post("/scheduler/tasks", with(fields.clone())).await;
        assert_eq!(answer.status, 422, "{fields}: {answer}");
        answer.problem_of(422, "validation", field);
    }
    let taken = json!({ "name": STANDING[0].0, "task_name": "keys.check" });
    admin.post("/scheduler/tasks", taken).await.problem(409, "schedule_name_taken");
    for query in ["order_dir=desc", "include_total=true", "cursor=x", "name=x"] {
        let field = query.split('=').next().unwrap();
        admin.get(&format!("/scheduler/tasks?{query}")).await.problem_of(422, "validation", field);
    }
    let missing = "/scheduler/tasks/0191e000-0000-7000-8000-0000000000ff";
    for (method, path, body) in [
        (Method::GET, missing.to_owned(), None),
        (Method::PATCH, missing.to_owned(), Some(json!({ "enabled": false }))),
        (Method::DELETE, missing.to_owned(), None),
        (Method::POST, format!("{missing}/enqueue"), None),
    ] {
        admin.send(method, &path, body.as_ref()).await.problem(404, "not_found");
    }
}

/// Nobody follows the schedules: the probes and the status say so.
async fn what_is_overdue_is_told(engine: Engine) {
    let mut app = TestApp::builder(engine).env("SCHEDULER_ENABLED", "false").start().await;
    let admin = app.administrator().await;
    let checks = admin.anonymous().get("/health/ready").await.expect(200);
    assert_eq!(checks["checks"]["schedules"]["status"], "up", "{checks}");
    let sweep = task(&admin, STANDING[1].0).await;
    let past = match engine {
        Engine::Sqlite => "strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now', '-1 hour')",
        Engine::Postgres => "now() - interval '1 hour'",
    };
    let name = STANDING[1].0;
    app.place.sql(&format!("UPDATE schedules SET next_run_at = {past} WHERE name = '{name}'")).await;

    let status = admin.get("/scheduler/status").await.expect(200);
    assert_eq!(status["overdue"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!(status["overdue"][0]["id"], sweep["id"]);
    let health = eventually("the probe to tell", async || {
        let health = admin.anonymous().get("/health/ready").await.expect(200);
        (health["status"] == "degraded").then_some(health)
    })
    .await;
    assert_eq!(health["checks"]["schedules"]["detail"], "1 overdue", "no names for anybody");
    let server = app.server();
    eventually("the log to tell", async || {
        server.output().iter().any(|line| line.contains("a schedule is overdue")).then_some(())
    })
    .await;
    // One look catches up.
    let refreshed = admin.post("/scheduler/tasks/refresh", Value::Null).await.expect(200);
    assert_eq!(refreshed["enqueued"], 1, "{refreshed}");
    let status = admin.get("/scheduler/status").await.expect(200);
    assert_eq!(status["overdue"], json!([]));
}

/// A7
async fn a_key_that_has_signed_for_long_is_replaced_ahead(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let check = task(&admin, STANDING[0].0).await;
    let path = format!("/scheduler/tasks/{}/enqueue", check["id"].as_str().unwrap());
    let found = async || {
        let enqueued = admin.post(&path, Value::Null).await.expect(202);
        reached(&admin, enqueued["job_id"].as_str().unwrap(), "completed").await["result"].clone()
    };
    assert_eq!(found().await, "young");
    let past = match engine {
        Engine::Sqlite => "strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now', '-91 days')",
        Engine::Postgres => "now() - interval '91 days'",
    };
    app.place.sql(&format!("UPDATE signing_keys SET created_at = {past}, not_before = {past}")).await;
    assert_eq!(found().await, "rotated");
    let shown = admin.get("/.well-known/jwks.json").await.expect(200)["keys"].as_array().unwrap().len();
    assert_eq!(shown, 2, "published, and the old one signs on");
    assert_eq!(found().await, "rotating");
    admin.get("/auth/me").await.expect(200);
}

/// On PostgreSQL a scheduler runs beside the server; SQLite has one process alone.
async fn a_scheduler_follows_where_the_server_does_not(engine: Engine) {
    let builder = TestApp::builder(engine).env("SCHEDULER_ENABLED", "false");
    let mut app = builder.start().await;
    let admin = app.administrator().await;
    let asked = json!({ "name": "often", "task_name": "auth.sweep", "interval_seconds": 1 });
    let made = admin.post("/scheduler/tasks", asked).await.expect(201);
    let id = made["id"].as_str().unwrap().to_owned();
    if engine == Engine::Sqlite {
        let second = app.program().run(&["scheduler"]).await;
        assert!(!second.success && second.text.contains("sqlite_single_server"), "{}", second.text); // A34
        app.server().terminate();
        assert!(app.server().ended().await.success());
    }
    let mut scheduler = Server::start_scheduler(app.program()).await;
    // The id is in the table as the engine writes ids, so the name of its kind is looked for.
    eventually("the scheduler to ask for a job", async || {
        (app.place.count("SELECT count(*) FROM jobs WHERE name = 'auth.sweep' AND slot IS NOT NULL").await
            > 0)
        .then_some(())
    })
    .await;
    scheduler.terminate();
    assert!(scheduler.ended().await.success());
    if engine == Engine::Sqlite {
        app.restart().await;
    }
    let admin = app.administrator().await;
    let jobs = admin.all("/v1/jobs?name=auth.sweep").await;
    assert!(jobs.iter().any(|job| job["schedule_id"] == json!(id)), "{jobs:?}");
}
