//! Invitations to an organisation, before somebody answers them.

use reqwest::Method;
use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, MailServer, NOBODY, PASSWORD, TestApp, text};

use crate::members::own_org;

stylobate_tests::both_engines!(
    an_invitation_is_read_mailed_again_and_taken_back,
    an_invitation_of_a_closed_organisation_opens_nothing
);

const ACCEPT: &str = "/auth/invitations/accept";

/// The links that were mailed to an address, once there are so many.
async fn links(email: &str, count: usize) -> Vec<String> {
    stylobate_tests::eventually("the mail", async || {
        let mails = MailServer::mails_to(email);
        (mails.len() == count).then(|| mails.iter().map(|mail| mail.token(ACCEPT)).collect())
    })
    .await
}

async fn invite(by: &Client, email: &str) -> String {
    let made = by.post("/auth/invitations", json!({ "email": email })).await.expect(201);
    text(&made, "id").to_owned()
}

fn account(link: &str, name: &str) -> Value {
    json!({ "token": link, "username": name, "password": PASSWORD, "first_name": "B", "last_name": "B" })
}

/// C19
async fn an_invitation_is_read_mailed_again_and_taken_back(engine: Engine) {
    let app = TestApp::builder(engine).mail(&MailServer::StartTls.url()).start().await;
    let root = app.administrator().await;
    let invitations = format!("/v1/orgs/{}/invitations", own_org(&root).await);
    let (bob, carl) = (MailServer::fresh_address("bob"), MailServer::fresh_address("carl"));
    let id = invite(&root, &bob).await;
    let one = format!("{invitations}/{id}");
    let first = links(&bob, 1).await.remove(0);
    let shown = root.get(&one).await.expect(200);
    assert_eq!((&shown["status"], &shown["email"]), (&json!("pending"), &json!(bob)));
    assert!(!shown.to_string().contains(&first), "{shown}");
    let carls = invite(&root, &carl).await;
    let ids = async |query: &str| {
        let found = root.all(&format!("{invitations}{query}")).await;
        found.iter().map(|one| text(one, "id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, [carls.clone(), id.clone()]);
    assert_eq!(ids("?order_dir=asc").await, [id.clone(), carls.clone()]);
    assert_eq!(ids("?search=CARL@").await, std::slice::from_ref(&carls));
    let page = root.get(&format!("{invitations}?limit=1&include_total=true")).await.expect(200);
    assert_eq!((page["items"].as_array().unwrap().len(), &page["total"]), (1, &json!(2)));
    root.get(&format!("{invitations}?status=lost")).await.problem(422, "validation");

    // Another link, and the one before opens nothing.
    let again = root.post(&format!("{one}/resend"), Value::Null).await.expect(200);
    assert_eq!((&again["id"], &again["invited_by"]), (&json!(id), &shown["invited_by"]));
    let second = links(&bob, 2).await.into_iter().find(|link| *link != first).unwrap();
    let anybody = app.anonymous();
    anybody.post(ACCEPT, account(&first, "bob")).await.problem(403, "link_invalid");
    let page = anybody.get(&format!("{ACCEPT}?token={second}")).await;
    assert!(page.text.contains("Default organisation"), "{}", page.text);

    // Taken back, it opens nothing; the address is free.
    let carls_link = links(&carl, 1).await.remove(0);
    let gone = format!("{invitations}/{carls}");
    for _ in 0..2 {
        root.delete(&gone).await.expect(204);
    }
    anybody.post(ACCEPT, account(&carls_link, "carl")).await.problem(403, "link_invalid");
    root.post(&format!("{gone}/resend"), Value::Null).await.problem(409, "invitation_closed");
    assert_eq!(ids("?status=revoked").await, std::slice::from_ref(&carls));
    assert_eq!((ids("?is_open=true").await, ids("?is_open=false").await), (vec![id.clone()], vec![carls]));
    invite(&root, &carl).await;

    // Used, it stays what it was.
    anybody.post(ACCEPT, account(&second, "bob")).await.expect(201);
    let used = root.get(&one).await.expect(200);
    assert!(used["status"] == "accepted" && used["accepted_by"].is_string(), "{used}");
    root.delete(&one).await.problem(409, "invitation_closed");
    root.post(&format!("{one}/resend"), Value::Null).await.problem(409, "invitation_closed");
    assert_eq!(ids("?status=accepted").await, [id]);
    for action in ["invitation.renew", "invitation.revoke"] {
        assert_eq!(root.all(&format!("/audit-events?action={action}")).await.len(), 1, "{action}");
    }
    assert!(json!(root.all("/v1/events").await).to_string().contains("invitation.revoked"));

    // Who reads them does not take them back; what nobody made is missing.
    let reader = app.person(&root, "reader").await;
    crate::decisions::give(&root, &reader, "reader", &["user.read"]).await;
    reader.client.get(&one).await.expect(200);
    reader.client.delete(&one).await.problem(403, "permission_denied");
    reader.client.post(&format!("{one}/resend"), Value::Null).await.problem(403, "permission_denied");
    let missing = format!("{invitations}/{NOBODY}");
    for (method, path) in [
        (Method::GET, missing.clone()),
        (Method::DELETE, missing.clone()),
        (Method::POST, format!("{missing}/resend")),
    ] {
        root.send(method, &path, None).await.problem(404, "not_found");
    }
}

async fn an_invitation_of_a_closed_organisation_opens_nothing(engine: Engine) {
    let app = TestApp::builder(engine).mail(&MailServer::StartTls.url()).env("TENANCY_MODE", "multi");
    let app = app.start().await;
    let root = app.administrator().await;
    let made = root.post("/v1/orgs", json!({ "name": "Other", "code": "other" })).await.expect(201);
    let org = format!("/v1/orgs/{}", text(&made, "id"));
    let email = MailServer::fresh_address("bob");
    let body = json!({ "contact_information": { "email": email } });
    root.post(&format!("{org}/users"), body.clone()).await.expect(201);
    let link = MailServer::mail_to(&email, "an invitation to Other").await.token(ACCEPT);
    root.delete(&org).await.expect(204);
    app.anonymous().post(ACCEPT, account(&link, "bob")).await.problem(403, "link_invalid");
    root.post(&format!("{org}/activate"), Value::Null).await.expect(200);
    // The platform's own word counts, in whichever organisation.
    let joined = app.anonymous().post(ACCEPT, account(&link, "bob")).await.expect(201);
    assert_eq!(joined["organization_id"], made["id"]);
    let members = root.all(&format!("{org}/members")).await;
    assert_eq!(members.len(), 1, "{members:?}");
    assert_eq!(own_org(&app.login("bob").await).await, text(&made, "id"));
}
