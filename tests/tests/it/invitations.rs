//! How people come in: invited, or by themselves where everybody may.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, MailServer, PASSWORD, Receiver, TestApp, eventually, text};

stylobate_tests::both_engines!(
    whoever_is_invited_joins_and_signs_in,
    an_account_joins_another_organisations_invitation_is_not_theirs,
    nobody_listens_to_what_a_further_organisation_says,
    an_invitation_ends_with_the_membership,
    nobody_promises_or_chooses_more_than_is_theirs,
    an_account_is_asked_for_and_made_by_a_mailed_link,
    everybody_who_registers_is_answered_alike
);

const INVITE: &str = "/auth/invitations";
const ACCEPT: &str = "/auth/invitations/accept";
const REGISTER: &str = "/auth/register";
const CONFIRM: &str = "/auth/register/confirm";
const RESET: &str = "/auth/password-reset";
/// A password that nobody else has chosen.
const OWN: &str = "gravel thimble orchard nine";
const INVITED: &str = "an invitation to Default organisation";

async fn app(engine: Engine, registration: &str) -> TestApp {
    let builder = TestApp::builder(engine).mail(&MailServer::StartTls.url());
    builder.env("REGISTRATION", registration).env("LOG_LEVEL", "debug").start().await
}

async fn invite(by: &Client, email: &str) -> String {
    by.post(INVITE, json!({ "email": email })).await.expect(201);
    MailServer::mail_to(email, INVITED).await.token(ACCEPT)
}

/// Sets another password for the account at `email` by a mailed link.
async fn own_password(app: &TestApp, email: &str) {
    let anybody = app.anonymous();
    anybody.post("/auth/password-reset-request", json!({ "email": email })).await.expect(200);
    let find = async || {
        let mails = MailServer::mails_to(email).into_iter();
        mails.flat_map(|mail| mail.links()).find(|link| link.contains("/auth/password-reset?token="))
    };
    let link = eventually("a link", find).await;
    let token = link.split("token=").nth(1).unwrap().to_owned();
    anybody.post(RESET, json!({ "token": token, "new_password": OWN })).await.expect(200);
}

async fn role(admin: &Client, name: &str) -> Value {
    let roles = admin.all(&format!("/roles?search={name}")).await;
    roles.into_iter().find(|role| role["name"] == name).unwrap()["id"].clone()
}

fn left_the_default_organisation(name: &str) -> String {
    format!(
        "DELETE FROM memberships WHERE person_id = (SELECT id FROM people WHERE username = '{name}') \
         AND tenant_id = (SELECT id FROM orgs WHERE is_default)"
    )
}

/// Has somebody belong to another organisation, and no more to the first.
async fn of_another_organisation(app: &TestApp, id: &str, name: &str) {
    app.place.join_other_org(id).await;
    app.place.sql(&left_the_default_organisation(name)).await;
}

async fn whoever_is_invited_joins_and_signs_in(engine: Engine) {
    let mut app = app(engine, "off").await;
    let admin = app.administrator().await;
    let email = MailServer::fresh_address("bob");
    let asked = json!({ "email": email, "role_id": role(&admin, "auditor").await });
    let made = admin.post(INVITE, asked.clone()).await.expect(201);
    assert_eq!((&made["status"], &made["email"]), (&json!("pending"), &json!(email)));
    let link = MailServer::mail_to(&email, INVITED).await.token(ACCEPT);
    assert!(!made.to_string().contains(&link), "{made}");
    admin.post(INVITE, asked).await.problem(409, "invitation_pending");

    // Mail programs open links by themselves: that changes nothing.
    let anybody = app.anonymous();
    let path = format!("{ACCEPT}?token={link}");
    for _ in 0..2 {
        let page = anybody.get(&path).await;
        assert_eq!((page.status, page.header("cache-control")), (200, Some("no-store")));
        assert!(page.text.contains(&link) && page.text.contains("Default organisation"), "{}", page.text);
    }
    // What is refused leaves the link good.
    let account = |password: &str| json!({ "token": link, "username": "bob", "password": password, "first_name": "Bob", "last_name": "B" });
    anybody.post(ACCEPT, account("short")).await.problem_of(422, "validation", "password");
    anybody.post(ACCEPT, json!({ "token": link, "password": PASSWORD })).await.problem_of(
        422,
        "validation",
        "first_name",
    );
    let joined = anybody.post(ACCEPT, account(PASSWORD)).await;
    assert_eq!(joined.header("set-cookie"), None);
    let joined = joined.expect(201);
    anybody.post(ACCEPT, account(PASSWORD)).await.problem(403, "link_invalid");
    assert!(!anybody.get(&path).await.text.contains("<form"));

    let bob = app.login("bob").await;
    let me = bob.get("/auth/me").await.expect(200);
    assert_eq!((&me["id"], &me["email_verified"]), (&joined["user_id"], &json!(true)));
    bob.get("/audit-events").await.expect(200);
    bob.get("/people").await.problem(403, "permission_denied");
    bob.post(INVITE, json!({ "email": MailServer::fresh_address("eve") }))
        .await
        .problem(403, "permission_denied");
    admin.post(INVITE, json!({ "email": email.to_uppercase() })).await.problem(409, "already_member");
    for action in ["invitation.create", "invitation.accept", "person.create"] {
        let events = json!(admin.all(&format!("/audit-events?action={action}")).await).to_string();
        let told = if action == "invitation.create" { &email } else { text(&joined, "user_id") };
        assert!(events.contains(told) && !events.contains(&link), "{action}: {events}");
    }
    let log = app.server().output().join("\n");
    assert!(!log.contains(&link) && !log.contains(PASSWORD), "A24");
}

async fn an_account_joins_another_organisations_invitation_is_not_theirs(engine: Engine) {
    let app = app(engine, "off").await;
    let admin = app.administrator().await;
    let (bob, carl) = (MailServer::fresh_address("bob"), MailServer::fresh_address("carl"));
    let id = admin.add_person("bob", &bob).await;
    admin.add_person("eve", &MailServer::fresh_address("eve")).await;
    of_another_organisation(&app, &id, "bob").await;
    let (bobs, eve) = (app.login("bob").await, app.login("eve").await);
    let link = invite(&admin, &bob).await;
    let by_token = json!({ "token": link });
    eve.post(ACCEPT, by_token.clone()).await.problem(403, "invitation_for_another");
    let new = json!({ "token": link, "username": "bobby", "password": PASSWORD, "first_name": "B", "last_name": "B" });
    app.anonymous().post(ACCEPT, new).await.problem_of(409, "email_taken", "email");
    bobs.post(ACCEPT, json!({ "token": link, "username": "bobby" })).await.problem_of(
        422,
        "validation",
        "token",
    );
    // An administrator of the other organisation knows the password, and has no business in this one.
    bobs.post(ACCEPT, by_token.clone()).await.problem(403, "password_not_own");
    own_password(&app, &bob).await;
    let bobs = app.anonymous().login("bob", OWN).await;
    let joined = bobs.post(ACCEPT, by_token.clone()).await.expect(200);
    assert_eq!(joined["user_id"], json!(id));
    bobs.post(ACCEPT, by_token).await.problem(403, "link_invalid");
    assert_eq!(bobs.get("/auth/me").await.expect(200)["email_verified"], true);
    admin.get(&format!("/people/{id}")).await.expect(200);
    for action in ["invitation.accept", "member.add", "role.assign"] {
        let events = json!(admin.all(&format!("/audit-events?action={action}")).await).to_string();
        assert!(events.contains(&id), "{action}: {events}");
    }

    // By the page, with the password of the account.
    let fay = MailServer::fresh_address("fay");
    let fays = admin.add_person("fay", &fay).await;
    app.place.sql(&left_the_default_organisation("fay")).await;
    let link = invite(&admin, &fay).await;
    let form = async |password: &str| {
        let fields = [
            ("token", link.as_str()),
            ("password", password),
            ("username", ""),
            ("first_name", ""),
            ("last_name", ""),
        ];
        app.anonymous().post_form(&format!("{ACCEPT}/form"), &fields).await
    };
    let refused = form("not the password of fay").await;
    assert!(refused.status == 401 && refused.text.contains("<form"), "{}", refused.text);
    let refused = form(PASSWORD).await;
    assert!(refused.status == 403 && refused.text.contains("by a mailed link first"), "{}", refused.text);
    own_password(&app, &fay).await;
    let done = form(OWN).await;
    assert!(done.status == 200 && !done.text.contains("<form"), "{}", done.text);
    let added = admin.all("/audit-events?action=member.add").await;
    assert!(added.iter().any(|event| event["actor_id"] == json!(fays)), "{added:?}");

    // Two at once: one comes in.
    let link = invite(&admin, &carl).await;
    let account = |name: &str| json!({ "token": link, "username": name, "password": PASSWORD, "first_name": "C", "last_name": "C" });
    let (one, two) = (app.anonymous(), app.anonymous());
    let (first, second) = tokio::join!(one.post(ACCEPT, account("carl")), two.post(ACCEPT, account("karl")));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 403], "{} {}", first.text, second.text);
}

/// After their own.
const ANOTHER: &str = "an orchard of 12 pear trees";

/// A12: whoever knew the first password of somebody made a channel in their name.
async fn nobody_listens_to_what_a_further_organisation_says(engine: Engine) {
    let app = TestApp::builder(engine)
        .mail(&MailServer::StartTls.url())
        .env("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
        .env("WEBHOOK_INSECURE_ALLOW_HTTP", "true");
    let app = app.start().await;
    let (admin, receiver) = (app.administrator().await, Receiver::start().await);
    let channel = async |by: &Client, name: &str| {
        let url = receiver.url(&format!("/{name}"));
        let body = json!({ "channel_type": "webhook", "label": name, "config": { "url": url } });
        let made = by.post("/notification-channels/me", body).await.expect(201);
        format!("/notification-channels/me/{}", text(&made, "id"))
    };
    // They are told of each password, by their own channels as well.
    let heard = |name: &str| {
        let line = format!("POST /{name}");
        receiver.received().into_iter().filter(|one| one.line == line).count()
    };
    let change = async |by: &Client, old: &str, new: &str| {
        let body = json!({ "current_password": old, "new_password": new });
        let renewed = by.post("/auth/password-change", body).await.expect(200);
        by.anonymous().with_tokens(&renewed)
    };
    let (bob, fay) = (MailServer::fresh_address("bob"), MailServer::fresh_address("fay"));
    let (bobs_id, fays_id) = (admin.add_person("bob", &bob).await, admin.add_person("fay", &fay).await);
    let (in_bobs_name, in_fays_name) = (app.login("bob").await, app.login("fay").await);
    let before = channel(&in_bobs_name, "before").await;
    channel(&in_fays_name, "fay").await;
    for (id, name, email) in [(&bobs_id, "bob", &bob), (&fays_id, "fay", &fay)] {
        of_another_organisation(&app, id, name).await;
        own_password(&app, email).await;
    }
    let of_links = async || (heard("before") == 1 && heard("fay") == 1).then_some(());
    eventually("what the links did", of_links).await;
    let bobs = app.anonymous().login("bob", OWN).await;
    let after = channel(&bobs, "after").await;
    // It takes a while until whatever the old password opened has ended for sure.
    let later = match engine {
        Engine::Sqlite => "'2099-01-01T00:00:00.000000+00:00'",
        Engine::Postgres => "'2099-01-01T00:00:00Z'",
    };
    let sql = format!("UPDATE notification_channels SET updated_at = {later} WHERE label = 'after'");
    app.place.sql(&sql).await;

    let link = invite(&admin, &bob).await;
    bobs.post(ACCEPT, json!({ "token": link })).await.expect(200);
    let (paused, kept) = (bobs.get(&before).await.expect(200), bobs.get(&after).await.expect(200));
    assert_eq!(
        (&paused["is_active"], &paused["disabled_reason"], &paused["version"]),
        (&json!(false), &json!("by_hand"), &json!(2))
    );
    assert_eq!((&kept["is_active"], &kept["version"]), (&json!(true), &json!(1)));
    let bobs = change(&bobs, OWN, ANOTHER).await;
    eventually("the channel that is bob's own", async || (heard("after") == 1).then_some(())).await;

    // The platform lets nobody come along either.
    let fays = app.anonymous().login("fay", OWN).await;
    let org = text(&admin.get("/auth/switch-org").await.expect(200)["items"][0], "id").to_owned();
    admin.post(&format!("/v1/orgs/{org}/members"), json!({ "person_id": fays_id })).await.expect(201);
    change(&fays, OWN, ANOTHER).await;
    let bobs = change(&bobs, ANOTHER, "a third one with 9 plum trees").await;
    eventually("bob's own once more", async || (heard("after") == 2).then_some(())).await;
    assert_eq!((heard("before"), heard("fay")), (1, 1), "the passwords that were set by links");
    // What is theirs they switch on again.
    let on = bobs.put(&before, json!({ "is_active": true })).await.expect(200);
    assert_eq!((&on["is_active"], &on["disabled_reason"]), (&json!(true), &Value::Null));
}

/// Whoever is sent away does not come back by a mail that was never answered.
async fn an_invitation_ends_with_the_membership(engine: Engine) {
    let app = app(engine, "off").await;
    let admin = app.administrator().await;
    let account = |link: &str, name: &str| json!({ "token": link, "username": name, "password": PASSWORD, "first_name": "B", "last_name": "B" });
    let bob = MailServer::fresh_address("bob");
    let link = invite(&admin, &bob).await;
    let id = admin.add_person("bob", &bob).await;
    admin.delete(&format!("/people/{id}")).await.expect(204);
    app.anonymous().post(ACCEPT, account(&link, "bob")).await.problem(403, "link_invalid");
    // Also who only leaves this organisation.
    let carl = MailServer::fresh_address("carl");
    let link = invite(&admin, &carl).await;
    let id = admin.add_person("carl", &carl).await;
    app.place.join_other_org(&id).await;
    admin.delete(&format!("/people/{id}")).await.expect(204);
    app.login("carl").await.post(ACCEPT, json!({ "token": link })).await.problem(403, "link_invalid");
    let revoked = admin.all("/audit-events?action=invitation.revoke").await;
    assert_eq!(revoked.len(), 2, "{revoked:?}");
    // Whoever is wanted back is invited anew.
    admin.post(INVITE, json!({ "email": bob })).await.expect(201);
}

/// C21
async fn nobody_promises_or_chooses_more_than_is_theirs(engine: Engine) {
    let app = app(engine, "invited").await;
    let admin = app.administrator().await;
    let desk = app.person(&admin, "desk").await;
    let give = json!({ "role_id": role(&admin, "operator").await });
    admin.post(&format!("/people/{}/roles", desk.id), give).await.expect(201);
    let email = MailServer::fresh_address("dan");
    let (above, below) = (role(&admin, "admin").await, role(&admin, "support").await);
    let promise = |role: &Value| json!({ "email": email, "role_id": role });
    desk.client.post(INVITE, promise(&above)).await.problem(403, "beyond_own_permissions");
    desk.client
        .post(INVITE, promise(&role(&admin, "super_admin").await))
        .await
        .problem(403, "platform_owned");
    let foreign = json!({ "email": email, "organization_id": uuid::Uuid::new_v4() });
    desk.client.post(INVITE, foreign).await.problem(404, "not_found");
    desk.client.post(INVITE, json!({ "email": "dan" })).await.problem_of(422, "validation", "email");
    desk.client.post(INVITE, promise(&below)).await.expect(201);
    let link = MailServer::mail_to(&email, INVITED).await.token(ACCEPT);

    let anybody = app.anonymous();
    let account = |extra: Value| {
        let mut account = json!({
            "token": link, "username": "dan", "password": PASSWORD, "first_name": "Dan", "last_name": "D",
            "middle_name": "M", "nationality": "NO", "gender": "other", "date_of_birth": "1990-01-31",
            "contact_information": { "phone_number": "+47 1", "city": "Oslo", "country": "NO" },
        });
        account.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        account
    };
    for (extra, status, code) in [
        (json!({ "role_id": above }), 403, "role_not_offered"),
        (json!({ "organization_id": uuid::Uuid::new_v4() }), 404, "not_found"),
        (json!({ "email": MailServer::fresh_address("else") }), 403, "invitation_for_another"),
        (json!({ "is_admin": true }), 422, "validation"),
        (json!({ "gender": "x" }), 422, "validation"),
        (json!({ "middle_name": "x".repeat(256) }), 422, "validation"),
        (json!({ "token": Value::Null }), 403, "registration_closed"),
    ] {
        anybody.post(REGISTER, account(extra)).await.problem(status, code);
    }
    // Every problem at once, by the names that were sent.
    let wrong = json!({ "gender": "x", "nationality": "\u{7}", "contact_information": { "phone_number": "call me", "zip_code": "1".repeat(21) } });
    let refused = anybody.post(REGISTER, account(wrong)).await;
    for field in ["gender", "nationality", "contact_information.phone_number", "contact_information.zip_code"]
    {
        refused.problem_of(422, "validation", field);
    }
    let made = anybody.post(REGISTER, account(json!({ "role_id": below }))).await.expect(201);
    let dan = admin.get(&format!("/people/{}", made["user_id"].as_str().unwrap())).await.expect(200);
    assert_eq!(
        (&dan["city"], &dan["country_code"], &dan["middle_name"]),
        (&json!("Oslo"), &json!("NO"), &json!("M"))
    );
    app.login("dan").await.get("/people").await.expect(200);

    // The page does the same, with text that is text.
    let hostile = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    let page = anybody.get(&format!("{ACCEPT}?token={hostile}")).await;
    assert!(page.status == 200 && !page.text.contains("<script"), "{}", page.text);
    let email = MailServer::fresh_address("fay");
    let link = invite(&admin, &email).await;
    let form = [
        ("token", link.as_str()),
        ("username", "fay"),
        ("first_name", "\"><script>"),
        ("last_name", "F"),
        ("password", "short"),
    ];
    let refused = anybody.post_form(&format!("{ACCEPT}/form"), &form).await;
    assert!(refused.status == 422 && !refused.text.contains("<script"), "{}", refused.text);
    let form = [
        ("token", link.as_str()),
        ("username", "fay"),
        ("first_name", "Fay"),
        ("last_name", "F"),
        ("password", PASSWORD),
    ];
    let done = anybody.post_form(&format!("{ACCEPT}/form"), &form).await;
    assert!(done.status == 200 && done.text.contains("Welcome"), "{}", done.text);
    app.login("fay").await.get("/auth/me").await.expect(200);
}

async fn an_account_is_asked_for_and_made_by_a_mailed_link(engine: Engine) {
    let app = app(engine, "open").await;
    let (admin, anybody, email) =
        (app.administrator().await, app.anonymous(), MailServer::fresh_address("gus"));
    let account = json!({
        "username": "gus", "password": PASSWORD, "first_name": "Gus", "last_name": "G",
        "contact_information": { "email_id": email },
    });
    assert_eq!(anybody.post(REGISTER, account).await.expect(202), json!({ "status": "ok" }));
    anybody.try_login("gus", PASSWORD).await.problem(401, "invalid_credentials");
    let link = MailServer::mail_to(&email, "confirm your account").await.token(CONFIRM);
    for _ in 0..2 {
        let page = anybody.get(&format!("{CONFIRM}?token={link}")).await;
        assert!(page.status == 200 && page.text.contains(&link), "{}", page.text);
    }
    anybody.try_login("gus", PASSWORD).await.problem(401, "invalid_credentials");
    // Somebody has the name by now.
    admin.add_person("gus", &MailServer::fresh_address("other")).await;
    let form = format!("{CONFIRM}/form");
    let mine = [("token", link.as_str()), ("password", PASSWORD)];
    // Whoever opens the mail did not choose the password of the account, if they did not ask for it.
    let wrong = json!({ "token": link, "password": "not what was chosen at all" });
    anybody.post(CONFIRM, wrong).await.problem_of(422, "validation", "password");
    anybody.post(CONFIRM, json!({ "token": link })).await.problem_of(422, "validation", "password");
    let body = json!({ "token": link, "password": PASSWORD });
    let taken = anybody.post_form(&form, &mine).await;
    assert!(taken.status == 409 && taken.text.contains("name=\"username\""), "{}", taken.text);
    anybody.post(CONFIRM, body.clone()).await.problem_of(409, "username_taken", "username");
    let done = anybody.post_form(&form, &[mine[0], mine[1], ("username", "gustav")]).await;
    assert!(done.status == 200 && done.text.contains("has been made"), "{}", done.text);
    anybody.post(CONFIRM, body).await.problem(403, "link_invalid");
    let gus = app.login("gustav").await;
    assert_eq!(gus.get("/auth/me").await.expect(200)["email_verified"], true);
    gus.get("/people").await.problem(403, "permission_denied");
    assert_eq!(app.place.count("SELECT count(*) FROM one_time_tokens").await, 0);
}

/// A3, C30
async fn everybody_who_registers_is_answered_alike(engine: Engine) {
    let app = app(engine, "open").await;
    let admin = app.administrator().await;
    let [known, disabled, nobody] = ["known", "disabled", "nobody"].map(MailServer::fresh_address);
    let knowns = admin.add_person("known", &known).await;
    app.login("known").await;
    let id = admin.add_person("disabled", &disabled).await;
    let elsewhere = MailServer::fresh_address("elsewhere");
    let elsewheres = admin.add_person("elsewhere", &elsewhere).await;
    of_another_organisation(&app, &elsewheres, "elsewhere").await;
    app.login("elsewhere").await;
    admin.patch(&format!("/people/{id}"), json!({ "status": "inactive" })).await.expect(200);
    let mut said = Vec::new();
    for email in [&known, &disabled, &nobody, &known.to_uppercase(), &elsewhere] {
        // Nor does it show whether somebody has the name.
        for username in ["known", "fresh"] {
            let account = json!({
                "email": email, "username": username, "password": PASSWORD, "first_name": "A", "last_name": "B",
            });
            said.push(app.anonymous().post(REGISTER, account).await.without_volatile());
        }
    }
    assert!(said.iter().all(|one| *one == said[0] && one.0 == 202), "{said:?}");
    for (email, subject, links) in [
        (&known, "you have an account already", "/auth/password-reset-request"),
        (&disabled, "you have an account already", "/auth/password-reset-request"),
        (&nobody, "confirm your account", "/auth/register/confirm?token="),
    ] {
        let mail = MailServer::mail_to(email, subject).await;
        assert!(mail.links().iter().all(|link| link.contains(links)), "{mail:?}");
    }
    eventually("the second link", async || (MailServer::mails_to(&nobody).len() == 2).then_some(())).await;
    // Nor does the trail of this organisation tell who has an account in another.
    let trail = json!(admin.all("/audit-events?action=auth.register_request").await).to_string();
    assert!(trail.contains(&knowns) && !trail.contains(&elsewheres), "{trail}");
    assert_eq!(app.anonymous().send(Method::PUT, REGISTER, None).await.status, 405);
}
