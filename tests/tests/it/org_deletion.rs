//! The end of an organisation for good: who asks for it, what goes, and what stays.

mod everything;
mod interrupted;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Answer, Client, Engine, MailServer, NOBODY, PASSWORD, Place, TestApp, text};

use crate::{
    jobs::{ask_for, reached},
    members::{account, administrator, multi, other_org, own_org},
};

stylobate_tests::both_engines!(
    the_platform_has_an_inactive_organisation_removed,
    a_deletion_that_nobody_asked_for_ends_nothing,
    links_of_an_organisation_that_is_being_deleted_open_nothing
);

/// A password that its owner chose.
const OWN: &str = "gravel thimble orchard nine";
const ACCEPT: &str = "/auth/invitations/accept";
/// How long a removal may take at most: it looks again after a while, each longer than the one before.
const REMOVAL: Duration = Duration::from_secs(180);

/// Where the id of an organisation that is gone may still be, and why.
const KEPT: [(&str, &str); 9] = [
    ("audit_events.changes", "the trail says what was changed"),
    ("audit_events.metadata", "the trail says what it was about"),
    ("audit_events.target_id", "the trail says to which organisation"),
    ("audit_events.tenant_id", "the trail says in which organisation"),
    ("event_aggregates.aggregate", "the platform tells that it is gone"),
    ("events.data", "the same"),
    ("jobs.payload", "the job that removed it"),
    ("jobs.unique_key", "the same"),
    ("revocations.id", "tokens that were issued are refused until they have run out"),
];

fn path(org: &str) -> String {
    format!("/v1/orgs/{org}")
}

async fn end(client: &Client, org: &str, code: &str) -> Answer {
    client.post(&format!("{}/delete", path(org)), json!({ "code": code })).await
}

/// Has nobody work on removals, or lets them go on.
async fn hold(root: &Client) {
    root.post("/v1/queues/maintenance/pause", Value::Null).await.expect(200);
}

async fn go_on(root: &Client) {
    root.post("/v1/queues/maintenance/resume", Value::Null).await.expect(200);
}

fn now(place: &Place) -> &'static str {
    match place.engine() {
        Engine::Sqlite => "'2026-01-01T00:00:00.000000+00:00'",
        Engine::Postgres => "'2026-01-01T00:00:00Z'",
    }
}

fn id(place: &Place, text: &str) -> String {
    place.id(text.parse().unwrap())
}

/// Whoever was let in before has had the time to end.
async fn began_long_ago(place: &Place, org: &str) {
    let began = format!("UPDATE orgs SET removal_began_at = {} WHERE id = {}", now(place), id(place, org));
    place.sql(&began).await;
}

/// Closes an organisation and has it removed, by this job.
async fn remove(place: &Place, root: &Client, org: &str, code: &str) -> String {
    root.delete(&path(org)).await.expect(204);
    hold(root).await;
    let asked = end(root, org, code).await.expect(202);
    began_long_ago(place, org).await;
    go_on(root).await;
    text(&asked, "job_id").to_owned()
}

/// Asks until there is an answer, for as long as a removal may take.
async fn awaited<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < REMOVAL, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The job once it has ended. What it waits for is over by itself: it is asked to look again at once.
async fn ended(root: &Client, job: &str) -> Value {
    let path = format!("/v1/jobs/{job}");
    let mut last = Value::Null;
    let found = awaited("the removal to end", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let found = root.get(&path).await.expect(200);
        if found["state"] == "retryable" {
            // It may have begun meanwhile.
            root.post(&format!("{path}/retry"), Value::Null).await;
        }
        last = found.clone();
        found["finished_at"].is_string().then_some(found)
    })
    .await;
    assert_eq!(found["state"], "completed", "{found}");
    found
}

/// Every table with rows of organisations and the column that says whose they are, but for the trail, which stays.
async fn counted(place: &Place) -> BTreeMap<String, &'static str> {
    let mut counted = place.owned_tables().await;
    assert!(counted.remove("audit_events").is_some() && counted.len() > 30, "{counted:?}");
    counted
}

/// How many rows of the organisation each of them has, but for those that have none.
async fn rows_of(place: &Place, org: &str) -> BTreeMap<String, i64> {
    let org = id(place, org);
    let mut rows = BTreeMap::new();
    for (table, column) in counted(place).await {
        let count = place.count(&format!("SELECT count(*) FROM {table} WHERE {column} = {org}")).await;
        if count > 0 {
            rows.insert(table, count);
        }
    }
    rows
}

/// Nothing is left of an organisation but what has a reason.
async fn assert_gone(place: &Place, root: &Client, org: &str) {
    assert_eq!(rows_of(place, org).await, BTreeMap::new());
    assert_kept(place, org, &KEPT).await;
    root.get(&path(org)).await.problem(404, "not_found");
    // What was done there stays on record, for the platform.
    let trail = root.all(&format!("/audit-events?organization_id={org}&action=org.delete")).await;
    assert_eq!(trail.len(), 1, "{trail:?}");
    assert!(root.all("/v1/orgs").await.iter().all(|one| one["id"] != *org));
}

async fn assert_kept(place: &Place, one: &str, kept: &[(&str, &str)]) {
    let left = place.places_of(one.parse().unwrap()).await;
    let surprises: Vec<_> = left.iter().filter(|at| kept.iter().all(|(kept, _)| kept != at)).collect();
    assert!(surprises.is_empty(), "{one} is still in {surprises:?}");
}

/// A12
async fn the_platform_has_an_inactive_organisation_removed(engine: Engine) {
    let app = multi(engine).await;
    let root = app.administrator().await;
    let (own, org) = (own_org(&root).await, other_org(&root, "acme").await);
    let ada = administrator(&app, &root, &org, "ada").await;
    let bob = app.person(&root, "bob").await;
    let invited = json!({ "contact_information": { "email": "guest@example.org" } });
    let invited = root.post(&format!("{}/users", path(&org)), invited).await.expect(201);

    // It is the platform's alone, and says nothing about organisations to others.
    let refused = end(&ada.client, NOBODY, "acme").await.seen();
    assert_eq!((refused.0, &refused.2["code"]), (403, &json!("permission_denied")));
    for other in [&org, &own] {
        assert_eq!(end(&ada.client, other, "acme").await.seen(), refused);
    }
    end(&app.anonymous(), &org, "acme").await.problem(401, "unauthenticated");

    end(&root, NOBODY, "acme").await.problem(404, "not_found");
    end(&root, "acme", "acme").await.problem_of(422, "validation", "id");
    end(&root, &own, "default").await.problem(409, "org_is_default");
    end(&root, &org, "acme").await.problem(409, "org_active");
    for wrong in ["", "default", "acm"] {
        end(&root, &org, wrong).await.problem_of(422, "validation", "code");
    }
    let delete = format!("{}/delete", path(&org));
    root.post(&delete, json!({})).await.problem_of(422, "validation", "code");
    let more = json!({ "code": "acme", "force": true });
    root.post(&delete, more).await.problem_of(422, "validation", "force");
    ada.client.get("/auth/whoami").await.expect(200);

    hold(&root).await;
    root.delete(&path(&org)).await.expect(204);
    ada.client.get("/auth/whoami").await.problem(401, "unauthenticated");
    let job = end(&root, &org, "acme").await.expect(202);
    // Asked twice, it is the same; in whatever case, and by the name of older systems.
    assert_eq!(root.post(&delete, json!({ "org_code": "ACME" })).await.expect(202), job);
    let shown = root.get(&path(&org)).await.expect(200);
    assert!(shown["removal_began_at"].is_string() && shown["is_active"] == false, "{shown}");
    let begun = format!(
        "SELECT count(*) FROM audit_events WHERE action = 'org.removal_begun' AND tenant_id = {}",
        id(&app.place, &org)
    );
    assert_eq!(app.place.count(&begun).await, 1);

    // Nobody undoes it, and nothing is added.
    let (one, user) = (path(&org), format!("/v1/users/{}", ada.id));
    let invitation = format!("{one}/invitations/{}", text(&invited, "id"));
    let in_org = format!("organization_id={org}");
    for (method, path, body) in [
        (Method::POST, format!("{one}/activate"), Value::Null),
        (Method::PATCH, one.clone(), json!({ "is_active": true })),
        (Method::PATCH, one.clone(), json!({ "name": "Staying" })),
        (Method::DELETE, one.clone(), Value::Null),
        (Method::PUT, format!("{one}/settings"), json!({ "settings": {} })),
        (Method::PUT, format!("{one}/privacy"), json!({ "settings": {} })),
        (Method::POST, format!("{one}/members"), json!({ "person_id": bob.id })),
        (Method::PATCH, format!("{one}/members/{}", ada.id), json!({ "status": "suspended" })),
        (Method::POST, format!("{one}/users"), account("eve")),
        (
            Method::POST,
            format!("{one}/users"),
            json!({ "contact_information": { "email": "eve@example.org" } }),
        ),
        (Method::POST, format!("{one}/admins"), account("eve")),
        (Method::POST, format!("{invitation}/resend"), Value::Null),
        (Method::DELETE, invitation, Value::Null),
        (Method::PATCH, format!("{user}?{in_org}"), json!({ "first_name": "Eve" })),
        (Method::PATCH, format!("{user}/contact?{in_org}"), json!({ "city": "Oslo" })),
        (Method::DELETE, format!("{user}?{in_org}"), Value::Null),
    ] {
        let body = (!body.is_null()).then_some(body);
        root.send(method, &path, body.as_ref()).await.problem(409, "org_being_deleted");
    }
    assert_eq!(app.place.count("SELECT count(*) FROM people WHERE username = 'eve'").await, 0);
    let of = id(&app.place, &org);
    app.place.sql(&format!("DELETE FROM roles WHERE tenant_id = {of} AND name = 'auditor'")).await;
    let roles = format!("SELECT count(*) FROM roles WHERE tenant_id = {of}");
    let before = app.place.count(&roles).await;
    let seeded = root.post("/admin/bootstrap/seed", Value::Null).await.expect(202);
    assert_eq!(seeded["organizations"], 1, "of those that stay");
    assert_eq!(app.place.count(&roles).await, before);

    // Called off, it is asked for once more.
    let first = text(&job, "job_id");
    root.post(&format!("/v1/jobs/{first}/cancel"), Value::Null).await.expect(200);
    let second = end(&root, &org, "acme").await.expect(202);
    assert_ne!(text(&second, "job_id"), first);
    began_long_ago(&app.place, &org).await;
    go_on(&root).await;
    let done = ended(&root, text(&second, "job_id")).await;
    assert_eq!((&done["result"]["people"], &done["result"]["left"]), (&json!(1), &json!(0)), "{done}");
    assert!(done["organization_id"].is_null(), "it is the platform's: {done}");
    assert_gone(&app.place, &root, &org).await;
    end(&root, &org, "acme").await.problem(404, "not_found");
    root.post(&format!("{one}/activate"), Value::Null).await.problem(404, "not_found");
    app.anonymous().try_login("ada", PASSWORD).await.problem(401, "invalid_credentials");
    bob.client.get("/auth/whoami").await.expect(200);
    assert_eq!(root.all("/v1/orgs").await.len(), 1);
}

/// A12
async fn a_deletion_that_nobody_asked_for_ends_nothing(engine: Engine) {
    let app = multi(engine).await;
    let (root, place) = (app.administrator().await, &app.place);
    let (acme, beta) = (other_org(&root, "acme").await, other_org(&root, "beta").await);
    administrator(&app, &root, &acme, "ada").await;
    administrator(&app, &root, &beta, "bea").await;
    for org in [&acme, &beta] {
        root.delete(&path(org)).await.expect(204);
    }
    let mut before = rows_of(place, &acme).await;
    let dead = async |job: &str| {
        let job = reached(&root, job, "discarded").await;
        let why = text(&job, "last_error").to_owned();
        assert!(why.contains("nobody has asked"), "{job}");
        why
    };

    // By a schedule, of one that is there and of one that is not.
    let mut told = Vec::new();
    for (name, org) in [("there", acme.as_str()), ("missing", NOBODY)] {
        let task = json!({
            "name": name, "task_name": "orgs.delete", "kwargs_json": { "organization_id": org },
            "interval_seconds": 86_400, "enabled": false,
        });
        let task = root.post("/scheduler/tasks", task).await.expect(201);
        let enqueue = format!("/scheduler/tasks/{}/enqueue", text(&task, "id"));
        let job = root.post(&enqueue, Value::Null).await.expect(202);
        told.push(dead(text(&job, "job_id")).await);
    }
    assert_eq!(told[0], told[1]);
    // By a job of an organisation, its own or the other's.
    for (n, of) in [(1, &acme), (2, &beta)] {
        let payload = json!({ "organization_id": acme });
        dead(&ask_for(place, n, Some(of), "maintenance", "orgs.delete", payload).await).await;
    }
    let more = json!({ "organization_id": acme, "force": true });
    reached(&root, &ask_for(place, 3, None, "maintenance", "orgs.delete", more).await, "discarded").await;
    // By one that was asked for another, and edited.
    hold(&root).await;
    let asked = end(&root, &beta, "beta").await.expect(202);
    let job = text(&asked, "job_id");
    let edit = json!({ "payload": { "organization_id": acme } });
    root.patch(&format!("/v1/jobs/{job}"), edit).await.expect(200);
    go_on(&root).await;
    dead(job).await;

    // The one job more was made behind its back.
    let mut after = rows_of(place, &acme).await;
    for rows in [&mut before, &mut after] {
        rows.remove("jobs");
    }
    assert_eq!(after, before);
    assert!(root.get(&path(&acme)).await.expect(200)["removal_began_at"].is_null());
    root.post(&format!("{}/activate", path(&acme)), Value::Null).await.expect(200);
    app.login("ada").await.get("/auth/whoami").await.expect(200);

    // What was asked for goes on when it is asked for once more.
    began_long_ago(place, &beta).await;
    let again = end(&root, &beta, "beta").await.expect(202);
    assert_ne!(text(&again, "job_id"), job);
    ended(&root, text(&again, "job_id")).await;
    assert_gone_but_for_jobs(place, &beta).await;
    app.login("ada").await.get("/auth/whoami").await.expect(200);
}

/// As [`assert_gone`], where further jobs are about it.
async fn assert_gone_but_for_jobs(place: &Place, org: &str) {
    assert_eq!(rows_of(place, org).await, BTreeMap::new());
    assert_eq!(place.count(&format!("SELECT count(*) FROM orgs WHERE id = {}", id(place, org))).await, 0);
}

async fn links_of_an_organisation_that_is_being_deleted_open_nothing(engine: Engine) {
    let builder = TestApp::builder(engine).env("TENANCY_MODE", "multi").env("FLOW_ADDRESS_LIMIT", "1000");
    let app = builder.mail(&MailServer::StartTls.url()).start().await;
    let root = app.administrator().await;
    let org = other_org(&root, "acme").await;
    // Somebody new, and somebody who has an account elsewhere.
    let (guest, bob) = (MailServer::fresh_address("guest"), MailServer::fresh_address("bob"));
    root.add_person("bob", &bob).await;
    let bobs = app.login("bob").await;
    let mut links = Vec::new();
    for email in [&guest, &bob] {
        let body = json!({ "contact_information": { "email": email } });
        root.post(&format!("{}/users", path(&org)), body).await.expect(201);
        links.push(MailServer::mail_to(email, "an invitation to acme").await.token(ACCEPT));
    }
    // One of the same form that nobody has.
    let missing: String = links[0].chars().rev().map(|c| if c.is_ascii_digit() { '7' } else { c }).collect();
    let anybody = app.anonymous();
    let page = anybody.get(&format!("{ACCEPT}?token={}", links[0])).await;
    assert!(page.text.contains("acme"), "{}", page.text);

    root.delete(&path(&org)).await.expect(204);
    hold(&root).await;
    let asked = end(&root, &org, "acme").await.expect(202);
    let accept = |link: &str| json!({ "token": link, "username": "guest", "password": OWN, "first_name": "G", "last_name": "G" });
    let refused = async || {
        let none = anybody.post(ACCEPT, accept(&missing)).await.seen();
        assert_eq!((none.0, &none.2["code"]), (403, &json!("link_invalid")));
        let page = anybody.get(&format!("{ACCEPT}?token={missing}")).await;
        for link in &links {
            assert_eq!(anybody.post(ACCEPT, accept(link)).await.seen(), none);
            bobs.post(ACCEPT, json!({ "token": link })).await.problem(403, "link_invalid");
            // Each page has a nonce of its own.
            let shown = anybody.get(&format!("{ACCEPT}?token={link}")).await;
            assert_eq!((shown.status, shown.text.len()), (page.status, page.text.len()), "{shown}");
            assert!(!shown.text.contains("acme"), "{shown}");
        }
    };
    refused().await;
    assert_eq!(app.place.count("SELECT count(*) FROM people WHERE username = 'guest'").await, 0);
    began_long_ago(&app.place, &org).await;
    go_on(&root).await;
    ended(&root, text(&asked, "job_id")).await;
    assert_gone(&app.place, &root, &org).await;
    refused().await;
    assert_eq!(own_org(&bobs).await, own_org(&root).await);
}
