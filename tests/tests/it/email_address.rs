//! The e-mail address of an account: proven and changed by mailed links alone.

use serde_json::{Value, json};
use stylobate_tests::{Engine, MailServer, PASSWORD, TestApp};

use crate::decisions::id_of;

stylobate_tests::both_engines!(
    an_address_is_proven_and_changed_by_mailed_links,
    nobody_changes_their_own_address_without_proof,
    whether_an_address_is_proven_is_for_the_platform_to_say,
    what_is_no_link_about_an_address_is_refused,
    one_mailbox_is_one_account
);

const VERIFY: &str = "/auth/verify-email";
const CHANGE: &str = "/auth/email-change";
const CONFIRM: &str = "/auth/email-change/confirm";

async fn an_address_is_proven_and_changed_by_mailed_links(engine: Engine) {
    let app = TestApp::builder(engine).mail(&MailServer::StartTls.url()).start().await;
    let admin = app.administrator().await;
    let (old, new) = (MailServer::fresh_address("ada"), MailServer::fresh_address("countess"));
    admin.add_person("ada", &old).await;
    let ada = app.login("ada").await;
    assert_eq!(ada.get("/auth/me").await.expect(200)["email_verified"], false);
    ada.post(&format!("{VERIFY}/resend"), Value::Null).await.expect(202);
    let link = MailServer::mail_to(&old, "confirm your e-mail address").await.token(VERIFY);
    let anybody = app.anonymous();
    // A mail program that opens the link proves nothing.
    for _ in 0..2 {
        let page = anybody.get(&format!("{VERIFY}?token={link}")).await;
        assert!(page.status == 200 && page.text.contains(&link), "{}", page.text);
    }
    assert_eq!(ada.get("/auth/me").await.expect(200)["email_verified"], false);
    let done = anybody.post_form(&format!("{VERIFY}/form"), &[("token", &link)]).await;
    assert!(done.status == 200 && done.text.contains("confirmed"), "{}", done.text);
    assert_eq!(ada.get("/auth/me").await.expect(200)["email_verified"], true);
    anybody.post(VERIFY, json!({ "token": link })).await.problem(403, "link_invalid");

    let ask = |new: &str, password: &str| json!({ "new_email": new, "current_password": password });
    ada.post(CHANGE, ask(&new, "wrong")).await.problem(401, "invalid_credentials");
    ada.post(CHANGE, ask(&old, PASSWORD)).await.problem_of(422, "validation", "new_email");
    ada.post(CHANGE, ask("nonsense", PASSWORD)).await.problem_of(422, "validation", "new_email");
    anybody.post(CHANGE, ask(&new, PASSWORD)).await.problem(401, "unauthenticated");
    ada.post(CHANGE, ask(&new, PASSWORD)).await.expect(202);
    MailServer::mail_to(&old, "another e-mail address was requested").await;
    let link = MailServer::mail_to(&new, "confirm your new e-mail address").await.token(CONFIRM);
    assert_eq!(ada.get("/auth/me").await.expect(200)["email"], old.as_str());
    assert!(anybody.get(&format!("{CONFIRM}?token={link}")).await.text.contains(&link));
    // The link of one flow is none of another.
    anybody.post(VERIFY, json!({ "token": link })).await.problem(403, "link_invalid");
    anybody.post(CONFIRM, json!({ "token": link })).await.expect(204);
    anybody.post(CONFIRM, json!({ "token": link })).await.problem(403, "link_invalid");
    let me = ada.get("/auth/me").await.expect(200);
    assert_eq!((&me["email"], &me["email_verified"]), (&json!(new), &json!(true)));
    for told in [&old, &new] {
        MailServer::mail_to(told, "the e-mail address of your account has been changed").await;
    }
    anybody.login(&new, PASSWORD).await.get("/auth/whoami").await.expect(200);

    // Whose address somebody wants hears of it, and whoever wants it does not learn that.
    let eves = MailServer::fresh_address("eve");
    admin.add_person("eve", &eves).await;
    ada.post(CHANGE, ask(&eves, PASSWORD)).await.expect(202);
    assert!(MailServer::mail_to(&eves, "this address is in use").await.links().is_empty());
}

async fn nobody_changes_their_own_address_without_proof(engine: Engine) {
    let app = TestApp::builder(engine).mail(&MailServer::StartTls.url()).start().await;
    let admin = app.administrator().await;
    let own = admin.get("/auth/me").await.expect(200);
    let path = format!("/people/{}", own["id"].as_str().unwrap());
    admin.patch(&path, json!({ "email": MailServer::fresh_address("mine") })).await.problem_of(
        422,
        "validation",
        "email",
    );
    // Saying that mail arrives proves nothing.
    assert_eq!(own["email_verified"], false);
    let said = admin.patch(&path, json!({ "email_verified": true })).await.expect(200);
    assert_eq!(said["email_verified"], false);
    admin.patch(&path, json!({ "bio": "Wrote the compiler." })).await.expect(200);
    // Of others an administrator changes it, and both mailboxes hear of that.
    let (old, new) = (MailServer::fresh_address("ada"), MailServer::fresh_address("countess"));
    let id = admin.add_person("ada", &old).await;
    admin.patch(&format!("/people/{id}"), json!({ "email": new })).await.expect(200);
    for told in [&old, &new] {
        MailServer::mail_to(told, "the e-mail address of your account has been changed").await;
    }
}

/// C11: an account that no mail reaches, or two of one mailbox, are refused where accounts are made and changed.
async fn one_mailbox_is_one_account(engine: Engine) {
    let app = TestApp::builder(engine).mail(&MailServer::StartTls.url()).start().await;
    let admin = app.administrator().await;
    let domain = MailServer::fresh_address("x").replace("x@", "bücher.");
    let ascii = domain.replace("bücher", "xn--bcher-kva");
    let address = format!("ada@{domain}");
    let id = admin.add_person("ada", &address).await;
    let new = |username: &str, email: &str| json!({ "first_name": "E", "last_name": "V", "username": username, "email": email, "password": PASSWORD });
    for same in [
        format!("ADA@{ascii}"),
        format!("ada@{}", domain.replace('.', "\u{3002}")),
        format!("ada@{}", domain.replace("bü", "b\u{1bca0}ü")),
    ] {
        admin.post("/people", new("eve", &same)).await.problem(409, "email_taken");
        app.anonymous().login(&same, PASSWORD).await;
    }
    for (email, code) in [
        (format!("jürgen@{domain}"), "email_local_part_not_ascii"),
        ("a@b_c".to_owned(), "email_domain_invalid"),
    ] {
        for said in [
            admin.post("/people", new("eve", &email)).await,
            admin.patch(&format!("/people/{id}"), json!({ "email": email })).await,
        ] {
            let body = said.expect(422);
            assert_eq!(
                (&body["errors"][0]["field"], &body["errors"][0]["code"]),
                (&json!("email"), &json!(code))
            );
        }
        let ada = app.login("ada").await;
        let ask = json!({ "new_email": email, "current_password": PASSWORD });
        assert_eq!(ada.post(CHANGE, ask).await.expect(422)["errors"][0]["code"], code);
    }
    // Mail goes where servers look the domain up.
    app.login("ada").await.post(&format!("{VERIFY}/resend"), Value::Null).await.expect(202);
    MailServer::mail_to(&format!("ada@{ascii}"), "confirm your e-mail address").await;
}

/// A12: it is known to all organisations, so that one of them proves nothing.
async fn whether_an_address_is_proven_is_for_the_platform_to_say(engine: Engine) {
    let app = TestApp::start(engine).await;
    let root = app.administrator().await;
    let manager = app.person(&root, "manager").await;
    let role = json!({ "role_id": id_of(&root, "/roles", "name", "admin").await });
    root.post(&format!("/people/{}/roles", manager.id), role).await.expect(201);
    let manager = manager.client;
    let body = |name: &str, email: &str| json!({ "first_name": name, "last_name": "C", "email": email, "email_verified": true });

    // Of somebody who perhaps never heard of the organisation.
    let mut kept_out = body("Carl", "carl@example.org");
    kept_out["status"] = json!("inactive");
    let carl = manager.post("/people", kept_out).await.expect(201);
    assert_eq!((&carl["email_verified"], &carl["status"]), (&json!(false), &json!("inactive")));
    let path = format!("/people/{}", carl["id"].as_str().unwrap());
    let said = manager.patch(&path, json!({ "email_verified": true })).await.expect(200);
    assert_eq!(said["email_verified"], false);
    let said = manager.put(&path, body("Carl", "carl@example.org")).await.expect(200);
    assert_eq!(said["email_verified"], false);

    // What the platform says stays for that address, and for no other.
    let said = root.patch(&path, json!({ "email_verified": true })).await.expect(200);
    assert_eq!(said["email_verified"], true);
    let said = manager.patch(&path, json!({ "bio": "Draws." })).await.expect(200);
    assert_eq!(said["email_verified"], true);
    let moved = manager.put(&path, body("Carl", "else@example.org")).await.expect(200);
    assert_eq!((&moved["email"], &moved["email_verified"]), (&json!("else@example.org"), &json!(false)));
    root.patch(&path, json!({ "email_verified": true })).await.expect(200);
    for (by, email) in [(&manager, "third@example.org"), (&root, "fourth@example.org")] {
        root.patch(&path, json!({ "email_verified": true })).await.expect(200);
        let moved = by.patch(&path, json!({ "email": email })).await.expect(200);
        assert_eq!((&moved["email"], &moved["email_verified"]), (&json!(email), &json!(false)));
    }
    let both = json!({ "email": "fifth@example.org", "email_verified": true });
    assert_eq!(root.patch(&path, both).await.expect(200)["email_verified"], true);
    let dana = root.post("/people", body("Dana", "dana@example.org")).await.expect(201);
    assert_eq!(dana["email_verified"], true);
}

async fn what_is_no_link_about_an_address_is_refused(engine: Engine) {
    let app = TestApp::start(engine).await;
    let anybody = app.anonymous();
    for path in [VERIFY, CONFIRM] {
        for token in ["", "x", &format!("sbl_{}", "A".repeat(86))] {
            anybody.post(path, json!({ "token": token })).await.problem(403, "link_invalid");
            let page = anybody.post_form(&format!("{path}/form"), &[("token", token)]).await;
            assert!(page.status == 403 && page.text.contains("role=\"alert\""), "{}", page.text);
        }
        anybody.post(path, json!({})).await.problem_of(422, "validation", "token");
        anybody.post(path, json!({ "token": "x", "email": "y" })).await.problem_of(
            422,
            "validation",
            "email",
        );
        let page = anybody.get(&format!("{path}?token=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")).await;
        assert!(page.status == 200 && !page.text.contains("<script"), "{}", page.text);
    }
    anybody.post(&format!("{VERIFY}/resend"), Value::Null).await.problem(401, "unauthenticated");
}
