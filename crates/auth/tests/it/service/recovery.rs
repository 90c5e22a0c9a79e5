//! Passwords that are forgotten, and set anew by a mailed link.

use std::sync::Arc;

use stylobate_auth::{
    AuthConfig, AuthError, Email, MIGRATIONS, NewPerson, OneTimeToken, PasswordReset, Person, PersonChange,
    PersonStatus,
};
use stylobate_core::{BoxFuture, Message, MessageTo, RequestContext};
use stylobate_db::{Error, MessageOutbox, Tx};
use stylobate_testkit::{TestDb, both_engines};

use super::{House, PASSWORD, Recorder, SCOPE, WRONG, code, is_revoked, nobody, system, typed};

const NEW: &str = "gravel thimble orchard nine";

/// Keeps what is handed over once its transaction has committed.
pub(super) struct Outbox(pub(super) Arc<Recorder>);

impl MessageOutbox for Outbox {
    fn hand_over<'a>(&'a self, tx: &'a mut Tx, message: Message) -> BoxFuture<'a, Result<(), Error>> {
        let recorder = Arc::clone(&self.0);
        tx.on_commit(move || recorder.keep(message));
        Box::pin(async { Ok(()) })
    }
}

/// Refuses everything.
struct Full;

impl MessageOutbox for Full {
    fn hand_over<'a>(&'a self, _: &'a mut Tx, _: Message) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { Err(Error::Timeout) })
    }
}

async fn forget_from(house: &House, ctx: &RequestContext, email: &str) -> Result<(), AuthError> {
    let outbox = Arc::new(Outbox(Arc::clone(&house.audit)));
    house.auth.request_password_reset(ctx, &Email::parse(email).unwrap(), outbox).await
}

pub(super) async fn forget(house: &House, email: &str) -> Result<(), AuthError> {
    forget_from(house, &nobody(), email).await
}

/// The link that somebody is mailed who asks for one.
pub(super) async fn link(house: &House, email: &str) -> OneTimeToken<PasswordReset> {
    forget(house, email).await.unwrap();
    let mail = house.audit.messages().pop().unwrap();
    assert_eq!((mail.kind, &mail.values["expires_minutes"]), ("password_reset", &60.into()));
    house.auth.read_one_time(mail.values["token"].as_str().unwrap()).unwrap()
}

pub(super) async fn reset(house: &House, link: &OneTimeToken<PasswordReset>) -> Result<(), AuthError> {
    house.auth.reset_password(&nobody(), link, typed(NEW)).await
}

async fn change(house: &House, ada: &Person, change: PersonChange) {
    let (auth, id) = (house.auth.clone(), ada.id);
    let update = async move |tx: &mut Tx| {
        let version = stylobate_auth::People::find(tx, id).await?.unwrap().version;
        auth.people().update(tx, &system(), id, version, change.clone()).await
    };
    house.db.transact(SCOPE, update).await.unwrap();
}

async fn run(house: &House, sql: &'static str) {
    house.db.transact(SCOPE, async |tx: &mut Tx| tx.q(sql).run().await).await.unwrap();
}

async fn a_mailed_link_sets_a_password_once_and_signs_nobody_in(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    let pair = house.login("ada", PASSWORD).await.unwrap();
    for _ in 0..5 {
        house.try_login("ada", WRONG).await;
    }
    let (first, second) = (link(&house, "ada@example.org").await, link(&house, "ada@example.org").await);
    assert_eq!(house.audit.messages().last().unwrap().to, MessageTo::Person(ada.id));
    let sessions = house.count("SELECT count(*) FROM sessions").await;
    reset(&house, &first).await.unwrap();
    assert_eq!(house.count("SELECT count(*) FROM sessions").await, sessions);
    assert!(is_revoked(&house.auth, &pair).await);
    assert_eq!(code(house.refresh(&pair.refresh_token).await), "refresh_invalid");
    // The lock is lifted: what was guessed so far was guessed at another password.
    assert_eq!(house.try_login("ada", NEW).await, "ok");
    assert_eq!(house.try_login("ada", PASSWORD).await, "invalid_credentials");
    for used in [&first, &second] {
        assert_eq!(code(reset(&house, used).await), "link_invalid");
    }
    let mut reader = house.db.read().await.unwrap();
    assert!(stylobate_auth::People::find(&mut reader, ada.id).await.unwrap().unwrap().email_verified);
    assert_eq!(house.count("SELECT count(*) FROM one_time_tokens").await, 0);
    assert_eq!(house.audit.count("auth.password_reset"), 1);
    let [told] = house.audit.events("password.reset").try_into().unwrap();
    assert_eq!((told.aggregate, &told.data["by"]), (ada.id.to_string(), &"link".into()));
}
both_engines!(a_mailed_link_sets_a_password_once_and_signs_nobody_in, &[&MIGRATIONS]);

/// Everybody who may ask for a link: somebody who is sent one, and those who are not.
async fn everybody(house: &House) -> [(&'static str, &'static str); 6] {
    house.person("ada").await;
    let disabled = house.person("dora").await;
    let off = house.person("otto").await;
    house.person("lock").await;
    for _ in 0..5 {
        house.try_login("lock", WRONG).await;
    }
    let auth = house.auth.clone();
    let prepare = async move |tx: &mut Tx| {
        auth.people().set_status(tx, &system(), disabled.id, PersonStatus::Disabled).await?;
        auth.set_credential_active(tx, &system(), off.id, false).await?;
        // As those have none who sign in elsewhere.
        let email = Email::parse("passwordless@example.org").unwrap();
        let new = NewPerson { username: None, email, email_verified: true, must_change_password: false };
        auth.people().insert(tx, &system(), new).await?;
        Ok::<_, AuthError>(())
    };
    house.db.transact(SCOPE, prepare).await.unwrap();
    [
        ("ada@example.org", "password_reset"),
        ("lock@example.org", "password_reset"),
        ("nobody@example.org", "password_reset_unavailable"),
        ("dora@example.org", "password_reset_unavailable"),
        ("otto@example.org", "password_reset_unavailable"),
        ("passwordless@example.org", "password_reset_unavailable"),
    ]
}

// A3, C30
async fn everybody_costs_the_same(db: TestDb) {
    let house = House::new(db).await;
    let everybody = everybody(&house).await;
    let mut costs = Vec::new();
    for (email, _) in everybody {
        let before =
            (house.db.statements(), house.auth.hasher().stats().computed, house.audit.messages().len());
        forget(&house, email).await.unwrap();
        let rows = house.count("SELECT count(*) FROM one_time_tokens").await;
        costs.push((
            house.db.statements() - before.0,
            house.auth.hasher().stats().computed - before.1,
            house.audit.messages().len() - before.2,
            rows - costs.len() as i64,
        ));
    }
    assert!(costs.iter().all(|cost| *cost == costs[0] && (cost.1, cost.2, cost.3) == (0, 1, 1)), "{costs:?}");
    let kinds: Vec<_> = house.audit.messages().iter().map(|mail| mail.kind).collect();
    assert_eq!(kinds, everybody.map(|(_, kind)| kind));
    assert_eq!(house.audit.count("auth.password_reset_request"), 6);
}
both_engines!(everybody_costs_the_same, &[&MIGRATIONS]);

// A3, C13: also beyond the limit
async fn from_the_sixth_on_nothing_is_mailed_and_the_answer_is_the_same(db: TestDb) {
    let house = House::new(db).await;
    let everybody = everybody(&house).await;
    for (email, _) in everybody {
        for _ in 0..5 {
            forget(&house, email).await.unwrap();
        }
    }
    let mails = house.audit.messages().len();
    assert_eq!(mails, 30);
    let mut costs = Vec::new();
    for (email, _) in everybody {
        let before = house.db.statements();
        forget(&house, &email.to_uppercase()).await.unwrap();
        costs.push(house.db.statements() - before);
    }
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
    assert_eq!(house.audit.messages().len(), mails);
    house.wait(3_601);
    link(&house, "ada@example.org").await;
}
both_engines!(from_the_sixth_on_nothing_is_mailed_and_the_answer_is_the_same, &[&MIGRATIONS]);

// C13: spellings of an address nobody has are one account, as those of one that somebody has are
async fn spellings_of_one_mailbox_are_counted_as_one(db: TestDb) {
    let house = House::new(db).await;
    let spellings = [
        "a@bücher.example",
        "A@xn--bcher-kva.example",
        "a@bücher\u{3002}example",
        "a@b\u{1bca0}ücher.example",
    ];
    for spelling in spellings.iter().cycle().take(12) {
        forget(&house, spelling).await.unwrap();
    }
    assert_eq!(house.audit.messages().len(), 5);
}
both_engines!(spellings_of_one_mailbox_are_counted_as_one, &[&MIGRATIONS]);

async fn whoever_used_a_link_may_ask_for_the_next(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    for _ in 0..4 {
        forget(&house, "ada@example.org").await.unwrap();
    }
    let last = link(&house, "ada@example.org").await;
    reset(&house, &last).await.unwrap();
    // Its own link is gone with all others, so the count begins anew.
    for _ in 0..5 {
        link(&house, "ada@example.org").await;
    }
    let mails = house.audit.messages().len();
    forget(&house, "ada@example.org").await.unwrap();
    assert_eq!(house.audit.messages().len(), mails);
    // A password of the owner's own choice voids links as well.
    let ctx = house.as_holder(&house.login("ada", NEW).await.unwrap()).await;
    let _ = house.auth.change_password(&ctx, typed(NEW), typed(PASSWORD)).await.unwrap();
    link(&house, "ada@example.org").await;
}
both_engines!(whoever_used_a_link_may_ask_for_the_next, &[&MIGRATIONS]);

// C31: the address of another mailbox that folds to the same name is never mailed
async fn the_stored_address_is_mailed_and_no_other_spelling(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    forget(&house, "ada@ｅｘａｍｐｌｅ.org").await.unwrap();
    assert_eq!(house.audit.messages()[0].to, MessageTo::Person(ada.id));
    let auth = house.auth.clone();
    let disable = async move |tx: &mut Tx| {
        auth.people().set_status(tx, &system(), ada.id, PersonStatus::Disabled).await
    };
    house.db.transact(SCOPE, disable).await.unwrap();
    forget(&house, "ADA@example\u{3002}org").await.unwrap();
    assert_eq!(house.audit.messages()[1].to, MessageTo::Email("ada@example.org".to_owned()));
}
both_engines!(the_stored_address_is_mailed_and_no_other_spelling, &[&MIGRATIONS]);

async fn a_client_asks_so_often_and_no_more(db: TestDb) {
    let config = AuthConfig { flow_address_limit: 3, ..AuthConfig::default() };
    let house = House::with(db, config).await;
    house.person("ada").await;
    let from = |address: &str| RequestContext { address: Some(address.parse().unwrap()), ..nobody() };
    for email in ["ada@example.org", "nobody@example.org", "else@example.org"] {
        forget_from(&house, &from("192.0.2.7"), email).await.unwrap();
    }
    for email in ["ada@example.org", "nobody@example.org"] {
        let refused = forget_from(&house, &from("::ffff:192.0.2.7"), email).await.unwrap_err();
        assert!(matches!(refused, AuthError::FlowThrottled { retry_after } if retry_after.as_secs() == 300));
    }
    forget_from(&house, &from("192.0.2.8"), "ada@example.org").await.unwrap();
    // What is refused is counted as well, and the window ends all the same.
    house.wait(300);
    forget_from(&house, &from("192.0.2.7"), "ada@example.org").await.unwrap();
}
both_engines!(a_client_asks_so_often_and_no_more, &[&MIGRATIONS]);

async fn of_two_redemptions_at_once_one_wins(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let elsewhere = house.another_process().await;
    let link = link(&house, "ada@example.org").await;
    let here = house.auth.clone();
    let (ctx, one, two) = (nobody(), link.clone(), link);
    let (first, second) = tokio::join!(
        here.reset_password(&ctx, &one, typed(NEW)),
        elsewhere.reset_password(&ctx, &two, typed(NEW)),
    );
    let mut codes = [code(first), code(second)];
    codes.sort_unstable();
    assert_eq!(codes, ["link_invalid", "ok"]);
    assert_eq!(house.audit.count("auth.password_reset"), 1);
}
both_engines!(of_two_redemptions_at_once_one_wins, &[&MIGRATIONS]);

async fn a_link_ends_with_what_it_is_bound_to(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await;
    // Another address, and back again: the mail went to somebody else meanwhile.
    let old = link(&house, "ada@example.org").await;
    let email =
        |text: &str| PersonChange { email: Some(Email::parse(text).unwrap()), ..PersonChange::default() };
    change(&house, &ada, email("new@example.org")).await;
    assert_eq!(code(reset(&house, &old).await), "link_invalid");
    change(&house, &ada, email("ada@example.org")).await;
    assert_eq!(code(reset(&house, &old).await), "link_invalid");
    // Another password.
    let old = link(&house, "ada@example.org").await;
    let (auth, hash) = (house.auth.clone(), super::password_hash(&house.auth).await);
    let set = async move |tx: &mut Tx| auth.set_password(tx, &system(), ada.id, &hash, false).await;
    house.db.transact(SCOPE, set).await.unwrap();
    assert_eq!(code(reset(&house, &old).await), "link_invalid");
    // No password any more.
    let old = link(&house, "ada@example.org").await;
    let auth = house.auth.clone();
    let off = async move |tx: &mut Tx| auth.set_credential_active(tx, &system(), ada.id, false).await;
    house.db.transact(SCOPE, off).await.unwrap();
    assert_eq!(code(reset(&house, &old).await), "link_invalid");
    let auth = house.auth.clone();
    let on = async move |tx: &mut Tx| auth.set_credential_active(tx, &system(), ada.id, true).await;
    house.db.transact(SCOPE, on).await.unwrap();
    assert_eq!(code(reset(&house, &old).await), "link_invalid");
    // Too old; four have been asked for, so this is the last one within the hour.
    let old = link(&house, "ada@example.org").await;
    house.wait(3_600);
    assert!(!house.auth.is_reset_link_open(old.expose_secret()).await.unwrap());
    assert_eq!(code(reset(&house, &old).await), "link_invalid");
    // Disabled.
    let old = link(&house, "ada@example.org").await;
    let auth = house.auth.clone();
    let disable = async move |tx: &mut Tx| {
        auth.people().set_status(tx, &system(), ada.id, PersonStatus::Disabled).await
    };
    house.db.transact(SCOPE, disable).await.unwrap();
    assert_eq!(code(reset(&house, &old).await), "link_invalid");
    // Gone, with all links.
    let auth = house.auth.clone();
    let delete = async move |tx: &mut Tx| auth.people().delete(tx, &system(), ada.id).await;
    house.db.transact(SCOPE, delete).await.unwrap();
    assert_eq!(code(reset(&house, &old).await), "link_invalid");
    assert_eq!(house.count("SELECT count(*) FROM one_time_tokens").await, 0);
}
both_engines!(a_link_ends_with_what_it_is_bound_to, &[&MIGRATIONS]);

async fn a_row_that_was_changed_by_hand_fits_no_link(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    house.person("eve").await;
    let link = link(&house, "eve@example.org").await;
    for (changed, back) in [
        (
            "UPDATE one_time_tokens SET subject_id = (SELECT id FROM people WHERE username = 'ada')",
            "UPDATE one_time_tokens SET subject_id = (SELECT id FROM people WHERE username = 'eve')",
        ),
        ("UPDATE one_time_tokens SET tenant_id = subject_id", "UPDATE one_time_tokens SET tenant_id = NULL"),
        (
            "UPDATE one_time_tokens SET purpose = 'email_verification'",
            "UPDATE one_time_tokens SET purpose = 'password_reset'",
        ),
        (
            "UPDATE one_time_tokens SET credential_epoch = credential_epoch + 1",
            "UPDATE one_time_tokens SET credential_epoch = credential_epoch - 1",
        ),
    ] {
        run(&house, changed).await;
        assert_eq!(code(reset(&house, &link).await), "link_invalid", "{changed}");
        run(&house, back).await;
    }
    assert!(house.auth.is_reset_link_open(link.expose_secret()).await.unwrap());
    run(&house, "UPDATE one_time_tokens SET address_digest = token_hash").await;
    assert_eq!(code(reset(&house, &link).await), "link_invalid");
    // C19: a text that was not drawn for this purpose asks the database nothing.
    let before = house.db.statements();
    let foreign = link.expose_secret().replace("sbl_", "sbr_");
    assert_eq!(code(house.auth.read_one_time::<PasswordReset>(&foreign)), "link_invalid");
    let verifies = house.auth.read_one_time::<stylobate_auth::EmailVerification>(link.expose_secret());
    assert_eq!(code(verifies), "link_invalid");
    assert_eq!(house.db.statements(), before);
}
both_engines!(a_row_that_was_changed_by_hand_fits_no_link, &[&MIGRATIONS]);

async fn a_refused_password_leaves_the_link_good(db: TestDb) {
    let house = House::new(db).await;
    house.person("lovelace").await;
    let link = link(&house, "lovelace@example.org").await;
    for weak in ["short", "lovelace lovelace 1"] {
        let refused = house.auth.reset_password(&nobody(), &link, typed(weak)).await;
        assert_eq!(code(refused), "password_refused");
    }
    reset(&house, &link).await.unwrap();
}
both_engines!(a_refused_password_leaves_the_link_good, &[&MIGRATIONS]);

async fn a_link_that_cannot_be_mailed_is_not_kept(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    for email in ["ada@example.org", "nobody@example.org"] {
        let email = Email::parse(email).unwrap();
        let refused = house.auth.request_password_reset(&nobody(), &email, Arc::new(Full)).await;
        assert_eq!(code(refused), "db_timeout");
    }
    assert_eq!(house.count("SELECT count(*) FROM one_time_tokens").await, 0);
    assert_eq!(house.audit.count("auth.password_reset_request"), 0);
}
both_engines!(a_link_that_cannot_be_mailed_is_not_kept, &[&MIGRATIONS]);

async fn links_that_have_run_out_are_swept(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    forget(&house, "ada@example.org").await.unwrap();
    forget(&house, "nobody@example.org").await.unwrap();
    house.wait(3_600);
    assert!(house.auth.sweep().await.unwrap() >= 4);
    assert_eq!(house.count("SELECT count(*) FROM one_time_tokens").await, 0);
    assert_eq!(house.count("SELECT count(*) FROM flow_counters").await, 0);
}
both_engines!(links_that_have_run_out_are_swept, &[&MIGRATIONS]);
