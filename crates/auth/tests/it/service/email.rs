//! The e-mail address of an account: proven and changed by mailed links.

use std::sync::Arc;

use stylobate_auth::{
    AuthError, Email, EmailChange, EmailVerification, MIGRATIONS, OneTimeToken, People, Person,
};
use stylobate_core::{MessageTo, RequestContext};
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{
    House, PASSWORD, SCOPE, WRONG, code, new_person, nobody,
    recovery::{Outbox, forget},
    system, typed,
};

fn outbox(house: &House) -> Arc<Outbox> {
    Arc::new(Outbox(Arc::clone(&house.audit)))
}

async fn ada(house: &House) -> (Person, RequestContext) {
    let ada = house.person("ada").await;
    let pair = house.login("ada", PASSWORD).await.unwrap();
    (ada, house.as_holder(&pair).await)
}

async fn find(house: &House, ada: &Person) -> Person {
    People::find(&mut house.db.read().await.unwrap(), ada.id).await.unwrap().unwrap()
}

/// The token of the latest mail of `kind`, and to whom that went.
fn mailed<P: stylobate_auth::Purpose>(house: &House, kind: &str) -> (OneTimeToken<P>, MessageTo) {
    let mail = house.audit.messages().into_iter().rfind(|mail| mail.kind == kind).expect(kind);
    assert_eq!(mail.values["expires_hours"], 24);
    (house.auth.read_one_time(mail.values["token"].as_str().unwrap()).unwrap(), mail.to)
}

async fn ask(house: &House, ctx: &RequestContext, new: &str) -> Result<(), AuthError> {
    house.auth.request_email_change(ctx, typed(PASSWORD), &Email::parse(new).unwrap(), outbox(house)).await
}

async fn confirm(house: &House, token: &OneTimeToken<EmailChange>) -> Result<(), AuthError> {
    let (auth, outbox, token) = (house.auth.clone(), outbox(house), token.clone());
    let confirm = async move |tx: &mut Tx| auth.confirm_email_change(tx, &nobody(), &token, &*outbox).await;
    house.db.transact(SCOPE, confirm).await.map(drop)
}

fn to(address: &str) -> MessageTo {
    MessageTo::Email(address.to_owned())
}

async fn an_address_is_proven_by_a_link_once(db: TestDb) {
    let house = House::new(db).await;
    let (ada, ctx) = ada(&house).await;
    house.auth.request_email_verification(&ctx, outbox(&house)).await.unwrap();
    let (token, addressee) = mailed::<EmailVerification>(&house, "email_verification");
    assert_eq!((addressee, find(&house, &ada).await.email_verified), (to("ada@example.org"), false));
    house.auth.verify_email(&nobody(), &token).await.unwrap();
    assert!(find(&house, &ada).await.email_verified);
    assert_eq!(code(house.auth.verify_email(&nobody(), &token).await), "link_invalid");
    // What is proven needs no link.
    house.auth.request_email_verification(&ctx, outbox(&house)).await.unwrap();
    assert_eq!(house.audit.messages().len(), 1);
    assert_eq!(code(house.auth.request_email_verification(&nobody(), outbox(&house)).await), "not_a_person");
}
both_engines!(an_address_is_proven_by_a_link_once, &[&MIGRATIONS]);

async fn links_about_an_address_are_five_an_hour(db: TestDb) {
    let house = House::new(db).await;
    let (_, ctx) = ada(&house).await;
    for _ in 0..5 {
        house.auth.request_email_verification(&ctx, outbox(&house)).await.unwrap();
    }
    let refused = house.auth.request_email_verification(&ctx, outbox(&house)).await.unwrap_err();
    assert!(matches!(refused, AuthError::FlowThrottled { retry_after } if retry_after.as_secs() == 3_600));
    // Whoever had no proof of the old address arrive can still take another one.
    for new in 1..=5 {
        ask(&house, &ctx, &format!("new{new}@example.org")).await.unwrap();
    }
    assert_eq!(code(ask(&house, &ctx, "new6@example.org").await), "flow_throttled");
    house.wait(3_600);
    ask(&house, &ctx, "new6@example.org").await.unwrap();
    house.auth.request_email_verification(&ctx, outbox(&house)).await.unwrap();
}
both_engines!(links_about_an_address_are_five_an_hour, &[&MIGRATIONS]);

async fn another_address_is_taken_when_it_is_proven_and_both_are_told(db: TestDb) {
    let house = House::new(db).await;
    let (ada, ctx) = ada(&house).await;
    forget(&house, "ada@example.org").await.unwrap();
    let reset = house.audit.messages()[0].values["token"].as_str().unwrap().to_owned();
    ask(&house, &ctx, "Countess@Example.org").await.unwrap();
    let (token, addressee) = mailed::<EmailChange>(&house, "email_change_confirm");
    assert_eq!(addressee, to("Countess@Example.org"));
    let told = house.audit.messages().pop().unwrap();
    assert_eq!((told.kind, told.to), ("email_change_requested", to("ada@example.org")));
    assert_eq!(find(&house, &ada).await.email, "ada@example.org");

    confirm(&house, &token).await.unwrap();
    let now = find(&house, &ada).await;
    assert_eq!((now.email.as_str(), now.email_verified), ("Countess@Example.org", true));
    // Whoever follows the link reads mail there: nobody else has chosen it.
    let mut conn = house.db.read().await.unwrap();
    assert_eq!(code(house.auth.require_own_password(&mut conn, ada.id).await), "ok");
    drop(conn);
    let told: Vec<_> =
        house.audit.messages().into_iter().filter(|mail| mail.kind == "email_changed").collect();
    assert_eq!([&told[0].to, &told[1].to], [&to("ada@example.org"), &MessageTo::Person(ada.id)]);
    // Links to the old mailbox are void, the new name signs in, and nobody was signed out.
    assert!(!house.auth.is_reset_link_open(&reset).await.unwrap());
    assert_eq!(code(confirm(&house, &token).await), "link_invalid");
    assert_eq!(house.try_login("countess@example.org", PASSWORD).await, "ok");
    assert_eq!(house.try_login("ada@example.org", PASSWORD).await, "invalid_credentials");
    assert_eq!(house.audit.count("auth.email_change"), 1);
}
both_engines!(another_address_is_taken_when_it_is_proven_and_both_are_told, &[&MIGRATIONS]);

async fn whoever_asks_for_another_address_says_the_password_again(db: TestDb) {
    let house = House::new(db).await;
    let (_, ctx) = ada(&house).await;
    let new = Email::parse("new@example.org").unwrap();
    for _ in 0..5 {
        let refused = house.auth.request_email_change(&ctx, typed(WRONG), &new, outbox(&house)).await;
        assert_eq!(code(refused), "invalid_credentials");
    }
    assert_eq!(house.audit.count("auth.email_change_failed"), 5);
    assert!(house.audit.messages().is_empty());
    assert_eq!(house.count("SELECT count(*) FROM one_time_tokens").await, 0);
    assert_eq!(code(ask(&house, &ctx, "ADA@example.org").await), "email_unchanged");
}
both_engines!(whoever_asks_for_another_address_says_the_password_again, &[&MIGRATIONS]);

// A3: whose address is whose cannot be found out by asking for it
async fn an_address_that_somebody_has_costs_what_a_free_one_costs(db: TestDb) {
    let house = House::new(db).await;
    let (_, ctx) = ada(&house).await;
    house.person("eve").await;
    let mut costs = Vec::new();
    for new in ["eve@example.org", "free@example.org"] {
        let before = (house.db.statements(), house.audit.messages().len());
        ask(&house, &ctx, new).await.unwrap();
        costs.push((house.db.statements() - before.0, house.audit.messages().len() - before.1));
    }
    assert_eq!(costs[0], costs[1]);
    let mails = house.audit.messages();
    assert_eq!((mails[0].kind, &mails[0].to), ("email_change_taken", &to("eve@example.org")));
}
both_engines!(an_address_that_somebody_has_costs_what_a_free_one_costs, &[&MIGRATIONS]);

async fn an_address_that_was_given_away_meanwhile_is_refused(db: TestDb) {
    let house = House::new(db).await;
    let (ada, ctx) = ada(&house).await;
    ask(&house, &ctx, "eve@example.org").await.unwrap();
    let (token, _) = mailed::<EmailChange>(&house, "email_change_confirm");
    let auth = house.auth.clone();
    let add = async move |tx: &mut Tx| auth.people().insert(tx, &system(), new_person("eve")).await;
    house.db.transact(SCOPE, add).await.unwrap();
    assert_eq!(code(confirm(&house, &token).await), "email_taken");
    assert_eq!(find(&house, &ada).await.email, "ada@example.org");
    // The link of another change is void as soon as one was made.
    ask(&house, &ctx, "one@example.org").await.unwrap();
    let (one, _) = mailed::<EmailChange>(&house, "email_change_confirm");
    ask(&house, &ctx, "two@example.org").await.unwrap();
    let (two, _) = mailed::<EmailChange>(&house, "email_change_confirm");
    confirm(&house, &one).await.unwrap();
    assert_eq!(code(confirm(&house, &two).await), "link_invalid");
}
both_engines!(an_address_that_was_given_away_meanwhile_is_refused, &[&MIGRATIONS]);
