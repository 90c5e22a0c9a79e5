//! The end of an organisation for good: who asks for it, what goes, and what stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{
    Answer, Client, Engine, MailServer, PASSWORD, Place, TestApp,
    matrix::{Organisation, World},
    text,
};

use crate::{
    jobs::{ask_for, reached},
    members::{account, administrator, multi, other_org, own_org},
    own_account,
};

stylobate_tests::both_engines!(
    the_platform_has_an_inactive_organisation_removed,
    everything_of_an_organisation_goes_and_nothing_of_another,
    what_was_added_by_those_who_were_let_in_before_goes_too,
    messages_under_way_come_to_their_end_first,
    a_deletion_that_nobody_asked_for_ends_nothing,
    a_deletion_that_is_killed_goes_on,
    links_of_an_organisation_that_is_being_deleted_open_nothing
);

const NOBODY: &str = "0191e000-0000-7000-8000-000000000001";
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

/// Every table with rows of organisations and the column that says whose they are, as the control plane counts them; a test beside that
/// list holds it against the tables that there are.
fn counted() -> Vec<(String, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let source = source.join("examples/control-plane/src/orgs/deletion/left.rs");
    let source = fs::read_to_string(source).unwrap();
    let pair = |line: &str| {
        let (table, column) = line.trim().strip_prefix("(\"")?.strip_suffix("\"),")?.split_once("\", \"")?;
        Some((table.to_owned(), column.to_owned()))
    };
    let counted: Vec<_> = source.lines().filter_map(pair).collect();
    assert!(counted.len() > 30, "{counted:?}");
    counted
}

/// How many rows of the organisation each of them has, but for those that have none.
async fn rows_of(place: &Place, org: &str) -> BTreeMap<String, i64> {
    let org = id(place, org);
    let mut rows = BTreeMap::new();
    for (table, column) in counted() {
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
    assert!(root.all("/v1/orgs").await.iter().all(|one| one["id"] != *org));
}

async fn assert_kept(place: &Place, one: &str, kept: &[(&str, &str)]) {
    let left = place.places_of(one.parse().unwrap()).await;
    let surprises: Vec<_> = left.iter().filter(|at| kept.iter().all(|(kept, _)| kept != at)).collect();
    assert!(surprises.is_empty(), "{one} is still in {surprises:?}");
}

/// What callers can tell answers apart by.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let (status, headers, _) = answer.without_volatile();
    let mut body = answer.json();
    body.as_object_mut().unwrap().remove("request_id");
    (status, headers, body)
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
    let refused = seen(&end(&ada.client, NOBODY, "acme").await);
    assert_eq!((refused.0, &refused.2["code"]), (403, &json!("permission_denied")));
    for other in [&org, &own] {
        assert_eq!(seen(&end(&ada.client, other, "acme").await), refused);
    }
    end(&app.anonymous(), &org, "acme").await.problem(401, "unauthenticated");

    end(&root, NOBODY, "acme").await.problem(404, "not_found");
    end(&root, "acme", "acme").await.problem_of(422, "validation", "id");
    end(&root, &own, "default").await.problem(409, "default_organisation");
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

/// What the matrix has no rows of.
async fn fill(place: &Place, of: &Organisation) {
    let admin = &of.administrator.client;
    admin.put(&format!("{}/settings", path(&of.id)), json!({ "settings": { "a": 1 } })).await.expect(200);
    let person = format!("/people/{}", of.row("person"));
    admin.patch(&person, json!({ "notes": "often late" })).await.expect(200);
    let template = json!({ "subject": "s", "text": "t\n" });
    admin.put("/notification-templates/event/en", template).await.expect(200);
    let parents = format!("/roles/{}/parents", of.row("role"));
    admin.post(&parents, json!({ "parent_id": of.row("role#2") })).await.expect(201);
    let (org, schedule, now) = (id(place, &of.id), id(place, of.row("schedule")), now(place));
    place
        .sql(&format!(
            "INSERT INTO casbin_rules (tenant_id, created_at, ptype, v0, v1, v2, v3, v4, v5)
                 VALUES ({org}, {now}, 'p', 'nobody', 'nothing', 'read', '', '', '');
             INSERT INTO event_dead_letters (subscriber, ordinal, tenant_id, id, attempts, error, parked_at)
                 SELECT 'notify', min(ordinal), {org}, {event}, 9, 'in a test', {now} FROM events WHERE lane = {org};
             UPDATE schedules SET tenant_id = {org}, lane = {org} WHERE id = {schedule};",
            event = id(place, NOBODY),
        ))
        .await;
}

/// Gives somebody a role of the platform behind the program's back.
async fn give_platform_role(place: &Place, n: u8, kind: &str, to: &str) {
    let assignment = format!("0191e000-0000-7000-8000-0000000000{n:02x}");
    place
        .sql(&format!(
            "INSERT INTO role_assignments (id, tenant_id, subject_kind, subject_id, role_id, assigned_at)
                 SELECT {}, NULL, '{kind}', {}, id, {} FROM roles WHERE tenant_id IS NULL AND name = 'super_admin';",
            id(place, &assignment),
            id(place, to),
            now(place),
        ))
        .await;
}

async fn everything_of_an_organisation_goes_and_nothing_of_another(engine: Engine) {
    let world = World::start(engine, 17).await;
    let (app, root) = (world.app(), world.root());
    let (place, gone, stays) = (&app.place, &world.home, &world.foreign);
    fill(place, gone).await;
    let empty: Vec<_> = {
        let rows = rows_of(place, &gone.id).await;
        counted().into_iter().map(|(table, _)| table).filter(|table| !rows.contains_key(table)).collect()
    };
    assert!(empty.is_empty(), "no row of the organisation is in {empty:?}");
    // Somebody who belongs to the other one as well, by a password of their own, and two who have something of the platform.
    let both = &gone.member;
    let change = json!({ "current_password": PASSWORD, "new_password": OWN });
    both.client.post("/auth/password-change", change).await.expect(200);
    let members = format!("{}/members", path(&stays.id));
    root.post(&members, json!({ "person_id": both.id })).await.expect(201);
    let there = json!({ "username": both.username, "password": OWN, "org_code": stays.word });
    let there = app.anonymous().post("/auth/login", there).await.expect(200);
    let there = app.anonymous().with_tokens(&there);
    let chief = gone.administrator.client.add_person("marble-chief", &gone.address("marble-chief")).await;
    give_platform_role(place, 0xa1, "person", &chief).await;
    let service = gone.row("service_account");
    give_platform_role(place, 0xa2, "service", service).await;

    world.settled().await;
    let before = world.fingerprint().await;
    let tables = place.tables().await;
    let people: BTreeSet<String> = tables["memberships"]
        .iter()
        .filter(|row| row["tenant_id"] == gone.id)
        .map(|row| row["person_id"].clone())
        .filter(|person| *person != both.id && *person != chief)
        .collect();
    assert!(people.len() > 2 && people.contains(&gone.administrator.id), "{people:?}");
    let trail = format!("SELECT count(*) FROM audit_events WHERE tenant_id = {}", id(place, &gone.id));
    let told = place.count(&trail).await;

    let job = remove(place, root, &gone.id, &gone.word).await;
    let done = ended(root, &job).await;
    assert_gone(place, root, &gone.id).await;
    for client in [&gone.administrator.client, &gone.member.client, &gone.service, &gone.key] {
        client.get("/auth/whoami").await.problem(401, "unauthenticated");
    }
    assert_eq!(there.get("/auth/whoami").await.expect(200)["tenant"], json!(stays.id));
    let changes = before.changes(&world.fingerprint().await);
    assert!(changes.is_empty(), "{changes:#?}");

    // The result says how many, and the trail says it for good.
    let (result, count) = (&done["result"], json!(people.len()));
    assert_eq!((&result["people"], &result["left"]), (&count, &json!(2)), "{done}");
    assert!(result["rows"].as_u64() > Some(30), "{done}");
    assert!(place.count(&trail).await > told);
    let tables = place.tables().await;
    let row = tables["audit_events"].iter().find(|row| row["action"] == "org.delete").unwrap();
    assert_eq!((&row["tenant_id"], &row["target_id"]), (&gone.id, &gone.id), "{row:?}");
    let said: Value = serde_json::from_str(&row["metadata"]).unwrap();
    assert_eq!((&said["people_removed"], &said["rows_removed"]), (&count, &result["rows"]), "{said}");
    assert_eq!((&said["rows_left"], &said["org_code"]), (&json!(0), &json!(gone.word)), "{said}");
    assert_eq!(place.count("SELECT count(*) FROM events WHERE type = 'organization.deleted'").await, 1);

    // Who was of this organisation alone is gone, and the names are free.
    let left: BTreeSet<&String> = tables["people"].iter().map(|row| &row["id"]).collect();
    assert!(people.iter().all(|person| !left.contains(person)), "{left:?}");
    assert_kept(place, &gone.administrator.id, &own_account::KEPT).await;
    let admin = &gone.administrator.username;
    app.anonymous().try_login(admin, PASSWORD).await.problem(401, "invalid_credentials");
    root.add_person(admin, &format!("{admin}@{}.example", gone.word)).await;
    let again = json!({ "name": "Marble once more", "code": gone.word });
    let again = root.post("/v1/orgs", again).await.expect(201);
    assert_ne!(again["id"], json!(gone.id));
    // Who belongs to another one, or to the platform, is not.
    let anew = app.anonymous().login(&both.username, OWN).await;
    assert_eq!(anew.get("/auth/whoami").await.expect(200)["tenant"], json!(stays.id));
    for (subject, roles) in [(chief.as_str(), 1), (service, 0)] {
        let query =
            format!("SELECT count(*) FROM role_assignments WHERE subject_id = {}", id(place, subject));
        assert_eq!(place.count(&query).await, roles, "{subject}");
    }
    assert!(left.contains(&chief));
}

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

const PEOPLE: i64 = 45;

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
    let members = format!("SELECT count(*) FROM memberships WHERE tenant_id = {}", id(&app.place, &org));
    assert_eq!(app.place.count(&members).await, PEOPLE);

    let job = remove(&app.place, &root, &org, "acme").await;
    let retry = format!("/v1/jobs/{job}/retry");
    // While people go, once more, and when they are gone.
    for most in [PEOPLE - 5, PEOPLE / 2, 0] {
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
        app.restart().await;
    }
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
        let none = seen(&anybody.post(ACCEPT, accept(&missing)).await);
        assert_eq!((none.0, &none.2["code"]), (403, &json!("link_invalid")));
        let page = anybody.get(&format!("{ACCEPT}?token={missing}")).await;
        for link in &links {
            assert_eq!(seen(&anybody.post(ACCEPT, accept(link)).await), none);
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
