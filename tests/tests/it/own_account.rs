//! The end of an account: by its owner, by an administrator, and what is left of it then.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Answer, Client, Engine, MailServer, PASSWORD, TestApp, eventually};
use uuid::Uuid;

stylobate_tests::both_engines!(
    nothing_is_left_of_an_account_that_its_owner_deletes,
    an_account_is_deleted_by_its_owner_with_the_password,
    whoever_is_disabled_hears_of_it,
    whose_password_was_changed_is_told
);

/// Where the id of somebody who is gone may still be, and why.
pub(crate) const KEPT: [(&str, &str); 12] = [
    ("audit_events.actor_id", "the trail says who did what; its rows are never changed"),
    ("audit_events.target_id", "the trail says to whom"),
    ("audit_events.changes", "the trail says what was changed"),
    ("audit_events.metadata", "the trail says who joined with an invitation"),
    ("event_aggregates.aggregate", "events about a person are told in their order"),
    ("events.actor_id", "what happened is told until it is old"),
    ("events.data", "what happened is told until it is old"),
    ("jobs.payload", "the job by which messages forget them is kept as long as others that are done"),
    ("jobs.unique_key", "of the same job"),
    (
        "notify_deliveries.person_id",
        "the log of deliveries, until it is old; without text, the address hidden",
    ),
    ("notify_messages.recipient_person", "the log of deliveries, until it is old; without text"),
    ("revocations.id", "tokens that were issued are refused until they have run out"),
];

async fn delete(client: &Client, password: &str) -> Answer {
    let body = json!({ "current_password": password });
    client.send(Method::DELETE, "/auth/me", Some(&body)).await
}

async fn nothing_is_left_of_an_account_that_its_owner_deletes(engine: Engine) {
    let app =
        TestApp::builder(engine).mail(&MailServer::StartTls.url()).env("REGISTRATION", "open").start().await;
    let admin = app.administrator().await;
    let (address, other) = (MailServer::fresh_address("ada"), MailServer::fresh_address("countess"));
    admin.post("/auth/invitations", json!({ "email": address })).await.expect(201);
    let invited = MailServer::mail_to(&address, "an invitation to Default organisation")
        .await
        .token("/auth/invitations/accept");
    let account = json!({ "token": invited, "username": "ada", "password": PASSWORD, "first_name": "Ada", "last_name": "Test" });
    let joined = app.anonymous().post("/auth/invitations/accept", account).await.expect(201);
    let id = joined["user_id"].as_str().unwrap();
    let person: Uuid = id.parse().unwrap();
    // Something in every table that knows people.
    let ada = app.login("ada").await;
    app.login("ada").await;
    let anybody = app.anonymous();
    anybody.try_login("ada", "wrong").await.problem(401, "invalid_credentials");
    anybody.post("/auth/password-reset-request", json!({ "email": address })).await.expect(200);
    let again = json!({ "email": address, "password": PASSWORD, "first_name": "A", "last_name": "B" });
    anybody.post("/auth/register", again).await.expect(202);
    let reset = MailServer::mail_to(&address, "set a new password").await.token("/auth/password-reset");
    ada.post("/auth/verify-email/resend", Value::Null).await.expect(202);
    let change = json!({ "new_email": other, "current_password": PASSWORD });
    ada.post("/auth/email-change", change).await.expect(202);
    let new = MailServer::mail_to(&other, "confirm your new e-mail address").await;
    let change = new.token("/auth/email-change/confirm");
    let roles = admin.all("/roles").await;
    let role = roles.iter().find(|role| role["name"] == "admin").unwrap()["id"].clone();
    admin.post(&format!("/people/{id}/roles"), json!({ "role_id": role })).await.expect(201);
    admin.patch(&format!("/people/{id}"), json!({ "notes": "often late" })).await.expect(200);
    let group = admin.post("/groups", json!({ "name": "crew" })).await.expect(201)["id"].clone();
    let members = format!("/groups/{}/members", group.as_str().unwrap());
    admin.post(&members, json!({ "person_id": id })).await.expect(201);
    ada.put("/notification-preferences", json!({ "muted": ["deploy"] })).await.expect(200);
    let made = ada.post("/auth/api-keys", json!({ "label": "export" })).await.expect(201);
    let program = ada.presenting(made["key"].as_str().unwrap());
    program.get("/auth/whoami").await.expect(200);
    let before = app.place.places_of(person).await;
    for place in [
        "people.id",
        "credentials.person_id",
        "api_keys.owner_person_id",
        "sessions.person_id",
        "one_time_tokens.subject_id",
        "flow_counters.key",
        "memberships.person_id",
        "invitations.accepted_by",
        "role_assignments.subject_id",
        "group_members.subject_id",
        "notify_preferences.person_id",
        "person_profiles.person_id",
        "member_notes.person_id",
    ] {
        assert!(before.iter().any(|one| one == place), "{place} is not tried: {before:?}");
    }

    delete(&ada, PASSWORD).await.expect(204);
    ada.get("/auth/me").await.problem(401, "unauthenticated");
    program.get("/auth/whoami").await.problem(401, "unauthenticated");
    anybody
        .post("/auth/refresh", json!({ "refresh_token": ada.refresh_token }))
        .await
        .problem(401, "refresh_invalid");
    anybody.try_login("ada", PASSWORD).await.problem(401, "invalid_credentials");
    let set = json!({ "token": reset, "new_password": "gravel thimble orchard nine" });
    anybody.post("/auth/password-reset", set).await.problem(403, "link_invalid");
    anybody.post("/auth/email-change/confirm", json!({ "token": change })).await.problem(403, "link_invalid");
    admin.get(&format!("/people/{id}")).await.problem(404, "not_found");
    let told = MailServer::mail_to(&address, "your account has been deleted").await;
    assert!(told.links().is_empty() && !told.text().contains("administrator"), "{told:?}");
    // What messages keep of a person goes when the event is heard.
    eventually("messages to have forgotten them", async || {
        let left = app.place.places_of(person).await;
        let of_messages =
            ["notifications.person_id", "notify_preferences.person_id", "notification_channels.person_id"];
        (!left.iter().any(|place| of_messages.contains(&place.as_str()))).then_some(())
    })
    .await;
    let left = app.place.places_of(person).await;
    let surprises: Vec<_> = left.iter().filter(|place| KEPT.iter().all(|(kept, _)| kept != place)).collect();
    assert!(surprises.is_empty(), "{surprises:?}");
    let unneeded: Vec<_> = KEPT.iter().filter(|(kept, _)| !left.iter().any(|place| place == kept)).collect();
    assert!(unneeded.is_empty(), "{unneeded:?}");
    assert!(left.contains(&"audit_events.target_id".to_owned()), "{left:?}");
    let trail = admin.all(&format!("/audit-events?action=person.delete&actor_id={id}")).await;
    assert_eq!(trail.len(), 1, "{trail:?}");
    assert_eq!(app.place.count("SELECT count(*) FROM invitations").await, 0, "they hold the address");
    // The names are free again.
    admin.add_person("ada", &address).await;
}

async fn an_account_is_deleted_by_its_owner_with_the_password(engine: Engine) {
    let app = TestApp::builder(engine).mail(&MailServer::StartTls.url()).start().await;
    let admin = app.administrator().await;
    let ada = app.person(&admin, "ada").await;
    delete(&app.anonymous(), PASSWORD).await.problem(401, "unauthenticated");
    delete(&ada.client, "wrong").await.problem(401, "invalid_credentials");
    ada.client.send(Method::DELETE, "/auth/me", None).await.problem(415, "unsupported_media_type");
    let more = json!({ "current_password": PASSWORD, "id": ada.id });
    let sent = ada.client.send(Method::DELETE, "/auth/me", Some(&more)).await;
    sent.problem_of(422, "validation", "id");
    let long = ada
        .client
        .send(Method::DELETE, "/auth/me", Some(&json!({ "current_password": "x".repeat(1_025) })))
        .await;
    long.problem_of(422, "validation", "current_password");
    ada.client.get("/auth/me").await.expect(200);
    let refused = admin.all("/audit-events?action=auth.password_proof_failed").await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    // Somebody has to be left who can make others administrators.
    delete(&admin, PASSWORD).await.problem(409, "last_super_administrator");
    admin.get("/auth/me").await.expect(200);
    app.create_superuser("second").await;
    let second = app.login("second").await;
    delete(&second, PASSWORD).await.expect(204);
    delete(&admin, PASSWORD).await.problem(409, "last_super_administrator");
    delete(&ada.client, PASSWORD).await.expect(204);
    // By somebody else it is said so.
    let address = MailServer::fresh_address("bob");
    let bob = admin.add_person("bob", &address).await;
    admin.delete(&format!("/people/{bob}")).await.expect(204);
    let told = MailServer::mail_to(&address, "your account has been deleted").await;
    assert!(told.text().contains("administrator") && !told.text().contains("127.0.0.1"), "{told:?}");
}

async fn whoever_is_disabled_hears_of_it(engine: Engine) {
    let app = TestApp::builder(engine).mail(&MailServer::StartTls.url()).start().await;
    let admin = app.administrator().await;
    let address = MailServer::fresh_address("ada");
    let id = admin.add_person("ada", &address).await;
    let ada = app.login("ada").await;
    app.anonymous().post("/auth/password-reset-request", json!({ "email": address })).await.expect(200);
    let reset = MailServer::mail_to(&address, "set a new password").await.token("/auth/password-reset");
    let path = format!("/people/{id}");
    admin.patch(&path, json!({ "status": "inactive" })).await.expect(200);
    let told = MailServer::mail_to(&address, "your account has been disabled").await;
    assert!(told.text().contains("administrator"), "{told:?}");
    ada.get("/auth/me").await.problem(401, "unauthenticated");
    assert_eq!(app.place.count("SELECT count(*) FROM one_time_tokens").await, 0);
    // It is told once, and what was void stays so.
    admin.patch(&path, json!({ "bio": "x" })).await.expect(200);
    admin.patch(&path, json!({ "status": "active" })).await.expect(200);
    let set = json!({ "token": reset, "new_password": "gravel thimble orchard nine" });
    app.anonymous().post("/auth/password-reset", set).await.problem(403, "link_invalid");
    admin.patch(&path, json!({ "status": "archived" })).await.expect(200);
    eventually("the second mail", async || {
        let subject = "Stylobate: your account has been disabled";
        let mails = MailServer::mails_to(&address);
        (mails.iter().filter(|mail| mail.fields("subject") == [subject]).count() == 2).then_some(())
    })
    .await;
}

/// The account is no organisation's, although the change was made in one.
async fn whose_password_was_changed_is_told(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let bob = app.person(&admin, "bob").await;
    let change = json!({ "current_password": PASSWORD, "new_password": "gravel thimble orchard nine" });
    bob.client.post("/auth/password-change", change).await.expect(200);
    let outbox = app.place.folder().join("data/outbox");
    eventually("a mail about the password", async || {
        let mails = std::fs::read_dir(&outbox).ok()?;
        let mut texts = mails.filter_map(|mail| std::fs::read_to_string(mail.ok()?.path()).ok());
        texts.find(|text| text.contains("bob@example.org") && text.to_lowercase().contains("password"))
    })
    .await;
    assert_eq!(admin.all("/v1/events/dead-letters").await.len(), 0);
}
