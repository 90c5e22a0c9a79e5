//! What comes between: people who were let in before, messages that are under way, and processes that die.

use std::fs;

use serde_json::{Value, json};
use stylobate_tests::{Engine, TestApp, text};

use super::{
    NOBODY, assert_gone, awaited, began_long_ago, end, ended, go_on, hold, id, now, path, remove, rows_of,
};
use crate::{
    jobs::reached,
    members::{administrator, multi, other_org},
};

stylobate_tests::both_engines!(
    what_was_added_by_those_who_were_let_in_before_goes_too,
    messages_under_way_come_to_their_end_first,
    what_was_done_for_one_counts_for_no_other,
    a_deletion_that_is_called_off_and_asked_for_again_counts_on,
    a_deletion_that_is_killed_goes_on
);

async fn what_was_added_by_those_who_were_let_in_before_goes_too(engine: Engine) {
    let app = multi(engine).await;
    let root = app.administrator().await;
    let org = other_org(&root, "acme").await;
    administrator(&app, &root, &org, "ada").await;
    root.delete(&path(&org)).await.expect(204);
    let asked = end(&root, &org, "acme").await.expect(202);
    let job = text(&asked, "job_id");
    let waiting = reached(&root, job, "retryable").await;
    assert!(text(&waiting, "last_error").contains("let in before"), "{waiting}");
    root.get(&path(&org)).await.expect(200);
    let place = &app.place;
    place
        .sql(&format!(
            "INSERT INTO roles (id, tenant_id, name, name_key, is_active, version, created_at, updated_at)
                 VALUES ({}, {}, 'late', 'late', {}, 1, {now}, {now});",
            id(place, NOBODY),
            id(place, &org),
            if engine == Engine::Sqlite { "1" } else { "true" },
            now = now(place),
        ))
        .await;
    assert_eq!(rows_of(place, &org).await.get("roles"), Some(&1));
    began_long_ago(place, &org).await;
    let done = ended(&root, job).await;
    assert_eq!(done["result"]["people"], 1, "{done}");
    assert_gone(place, &root, &org).await;
}

/// A message that was accepted needs its job, and goes out.
async fn messages_under_way_come_to_their_end_first(engine: Engine) {
    let app = multi(engine).await;
    let root = app.administrator().await;
    let org = other_org(&root, "acme").await;
    root.post("/v1/queues/notify/pause", Value::Null).await.expect(200);
    let invited = json!({ "contact_information": { "email": "guest@example.org" } });
    root.post(&format!("{}/users", path(&org)), invited).await.expect(201);
    let job = remove(&app.place, &root, &org, "acme").await;
    let waiting = reached(&root, &job, "retryable").await;
    assert!(text(&waiting, "last_error").contains("notify_messages: 1"), "{waiting}");
    let rows = rows_of(&app.place, &org).await;
    assert_eq!((rows.get("notify_messages"), rows.get("jobs")), (Some(&1), Some(&1)), "{rows:?}");
    assert_eq!((rows.get("roles"), rows.get("invitations")), (None, None), "{rows:?}");
    root.post("/v1/queues/notify/resume", Value::Null).await.expect(200);
    ended(&root, &job).await;
    assert_gone(&app.place, &root, &org).await;
    // It was accepted, so it went out, once.
    let outbox = app.place.folder().join("data/outbox");
    let mails = fs::read_dir(outbox).unwrap().filter_map(|mail| fs::read_to_string(mail.ok()?.path()).ok());
    assert_eq!(mails.filter(|mail| mail.contains("guest@example.org")).count(), 1);
}

/// How far a job has come says nothing of another organisation that somebody writes into it.
async fn what_was_done_for_one_counts_for_no_other(engine: Engine) {
    let app = multi(engine).await;
    let (root, place) = (app.administrator().await, &app.place);
    let (acme, beta) = (other_org(&root, "acme").await, other_org(&root, "beta").await);
    administrator(&app, &root, &beta, "bea").await;
    hold(&root).await;
    let mut jobs = Vec::new();
    for (org, code) in [(&acme, "acme"), (&beta, "beta")] {
        root.delete(&path(org)).await.expect(204);
        let asked = end(&root, org, code).await.expect(202);
        began_long_ago(place, org).await;
        jobs.push(text(&asked, "job_id").to_owned());
    }
    let done = json!({
        "organization_id": acme, "removed": { "people": 7, "left": 7, "rows": 7 }, "is_told": true,
    });
    place.sql(&format!("UPDATE jobs SET checkpoint = '{done}' WHERE id = {}", id(place, &jobs[0]))).await;
    root.post(&format!("/v1/jobs/{}/cancel", jobs[1]), Value::Null).await.expect(200);
    let edit = json!({ "payload": { "organization_id": beta } });
    root.patch(&format!("/v1/jobs/{}", jobs[0]), edit).await.expect(200);
    go_on(&root).await;
    let done = ended(&root, &jobs[0]).await;
    assert_eq!((&done["result"]["people"], &done["result"]["left"]), (&json!(1), &json!(0)), "{done}");
    assert_eq!(place.count("SELECT count(*) FROM events WHERE type = 'organization.deleted'").await, 1);
    root.get(&path(&beta)).await.problem(404, "not_found");
    root.get(&path(&acme)).await.expect(200);
}

/// Whatever jobs removed it, what went is counted, and the end is told once.
async fn a_deletion_that_is_called_off_and_asked_for_again_counts_on(engine: Engine) {
    let app = multi(engine).await;
    let (root, place) = (app.administrator().await, &app.place);
    let org = other_org(&root, "acme").await;
    administrator(&app, &root, &org, "ada").await;
    // Somebody who is owed an event of it keeps it from its end when everything else is gone.
    let of = id(place, &org);
    place
        .sql(&format!(
            "INSERT INTO event_subscribers (name, created_at) VALUES ('away', {});
             INSERT INTO event_deliveries (subscriber, ordinal, aggregate_id)
                 SELECT 'away', ordinal, aggregate_id FROM events WHERE lane = {of} ORDER BY ordinal LIMIT 1;",
            now(place),
        ))
        .await;
    let told = "SELECT count(*) FROM events WHERE type = 'organization.deleted'";
    let first = remove(place, &root, &org, "acme").await;
    let waiting = awaited("the end to be told", async || {
        let job = root.get(&format!("/v1/jobs/{first}")).await.expect(200);
        if job["state"] != "retryable" {
            return None;
        }
        if place.count(told).await == 0 {
            root.post(&format!("/v1/jobs/{first}/retry"), Value::Null).await;
            return None;
        }
        Some(job)
    })
    .await;
    let so_far = &waiting["checkpoint"];
    assert_eq!((&so_far["people"], &so_far["left"]), (&json!(1), &json!(0)), "{waiting}");
    assert!(so_far["rows"].as_u64() > Some(0), "{waiting}");
    root.post(&format!("/v1/jobs/{first}/cancel"), Value::Null).await.expect(200);

    let again = end(&root, &org, "acme").await.expect(202);
    let second = text(&again, "job_id");
    assert_ne!(second, first);
    let waiting = reached(&root, second, "retryable").await;
    assert!(text(&waiting, "last_error").contains("events: 1"), "{waiting}");
    place.sql("DELETE FROM event_deliveries WHERE subscriber = 'away'; DELETE FROM event_subscribers WHERE name = 'away';").await;
    let done = ended(&root, second).await;
    let result = &done["result"];
    assert_eq!((&result["people"], &result["left"]), (&json!(1), &json!(0)), "{done}");
    assert!(result["rows"].as_u64() > so_far["rows"].as_u64(), "{so_far} {done}");
    let tables = place.tables().await;
    let row = tables["audit_events"].iter().find(|row| row["action"] == "org.delete").unwrap();
    let said: Value = serde_json::from_str(&row["metadata"]).unwrap();
    assert_eq!((&said["people_removed"], &said["rows_removed"]), (&json!(1), &result["rows"]), "{said}");
    assert_eq!(place.count(told).await, 1);
    assert_gone(place, &root, &org).await;
}

/// Enough that it is killed in between.
const PEOPLE: i64 = 40;

async fn a_deletion_that_is_killed_goes_on(engine: Engine) {
    let builder = TestApp::builder(engine).env("TENANCY_MODE", "multi").env("JOB_LEASE_SECONDS", "5");
    let mut app = builder.env("JWT_ACCESS_TTL_MINUTES", "60").start().await;
    let root = app.administrator().await;
    let org = other_org(&root, "acme").await;
    let ada = administrator(&app, &root, &org, "ada").await.client;
    for n in 1..PEOPLE {
        let person = json!({
            "first_name": "P", "last_name": "P", "username": format!("p{n}"),
            "email": format!("p{n}@acme.example"),
        });
        ada.post("/people", person).await.expect(201);
    }
    for n in 0..5 {
        ada.post("/roles", json!({ "name": format!("role {n}") })).await.expect(201);
        ada.post("/service-accounts", json!({ "name": format!("robot {n}") })).await.expect(201);
    }
    // A message under way keeps it from its end, however fast the machine is.
    root.post("/v1/queues/notify/pause", Value::Null).await.expect(200);
    let invited = json!({ "contact_information": { "email": "guest@example.org" } });
    root.post(&format!("{}/users", path(&org)), invited).await.expect(201);
    let members = format!("SELECT count(*) FROM memberships WHERE tenant_id = {}", id(&app.place, &org));
    assert_eq!(app.place.count(&members).await, PEOPLE);

    let job = remove(&app.place, &root, &org, "acme").await;
    let retry = format!("/v1/jobs/{job}/retry");
    let unfinished =
        format!("SELECT count(*) FROM jobs WHERE id = {} AND finished_at IS NULL", id(&app.place, &job));
    // While people go, and when they are gone.
    for (most, least) in [(PEOPLE - 1, 1), (0, 0)] {
        awaited("people to go", async || {
            let is_there = app.place.count(&members).await <= most;
            if !is_there {
                // Whoever has been lost waits for a while: that is not what this is about.
                root.post(&retry, Value::Null).await;
            }
            is_there.then_some(())
        })
        .await;
        app.server().kill();
        // Nobody works on it now, and it is neither as it was nor done.
        let people = app.place.count(&members).await;
        assert!((least..=most).contains(&people), "{people} of {PEOPLE} are left");
        assert_eq!(app.place.count(&unfinished).await, 1);
        let rows = rows_of(&app.place, &org).await;
        assert_eq!(rows.get("notify_messages"), Some(&1), "{rows:?}");
        app.restart().await;
    }
    root.post("/v1/queues/notify/resume", Value::Null).await.expect(200);
    let done = ended(&root, &job).await;
    // Each went once, whatever died.
    assert_eq!((&done["result"]["people"], &done["result"]["left"]), (&json!(PEOPLE), &json!(0)), "{done}");
    let of = id(&app.place, &org);
    for (action, count) in [("person.delete", PEOPLE), ("service_account.delete", 5), ("org.delete", 1)] {
        let query =
            format!("SELECT count(*) FROM audit_events WHERE action = '{action}' AND tenant_id = {of}");
        assert_eq!(app.place.count(&query).await, count, "{action}");
    }
    assert_gone(&app.place, &root, &org).await;
    assert_eq!(app.place.count("SELECT count(*) FROM people").await, 1);
    assert_eq!(app.place.count("SELECT count(*) FROM person_profiles").await, 1);
    assert_eq!(app.place.count("SELECT count(*) FROM events WHERE type = 'organization.deleted'").await, 1);
}
