//! How people come in, with what stands behind the routes: both engines, without a network.

mod house;
mod managing;

use std::sync::Arc;

use stylobate_auth::{ContextWords, Email, Password, PasswordReset, People, PersonStatus};
use stylobate_core::{BoxFuture, Message, MessageTo, PersonId, Principal, Problem, RequestContext, TenantId};
use stylobate_db::Tx;
use stylobate_endpoints::{
    AccountError, AccountRequest, Accounts, Flows, MailedLinks, NewAccount, NewInvitee, NewProfile,
    Newcomers, PlainAccounts, Registered, Registration, email_routes, forward_auth_routes, identity_routes,
    introspection_routes, me_routes, newcomer_routes, recovery_routes, revocation_routes,
};
use stylobate_rbac::{MEMBER, NewRole};
use stylobate_testkit::{TestDb, both_engines};
use stylobate_tower_middleware::{Cookies, SessionCookie};

use house::{House, PASSWORD, SETS, code, nobody};

fn account(name: &str) -> AccountRequest {
    AccountRequest {
        username: Some(name.to_owned()),
        password: Some(Password::new(PASSWORD).unwrap()),
        ..AccountRequest::default()
    }
}

/// The password of [`account`].
fn chosen() -> Password {
    Password::new(PASSWORD).unwrap()
}

fn invitee(email: &str) -> NewInvitee {
    NewInvitee { email: Email::parse(email).unwrap(), role: None }
}

/// The token in the last message of `kind`.
fn token(house: &House, kind: &str) -> String {
    let messages = house.records.messages();
    let message = messages.iter().rfind(|message| message.kind == kind).expect(kind);
    message.values["token"].as_str().unwrap().to_owned()
}

async fn invite(house: &House, by: &RequestContext, email: &str) -> String {
    house.newcomers.invite(by, invitee(email)).await.unwrap();
    token(house, "invitation")
}

async fn whoever_is_invited_comes_in_with_membership_and_role(db: TestDb) {
    let house = House::new(db, Registration::Off).await;
    let boss = house.person("boss", "admin").await;
    let link = invite(&house, &boss, "Bob@example.org").await;
    let [mail] = &house.records.messages()[..] else { panic!() };
    assert_eq!((&mail.to, mail.tenant), (&MessageTo::Email("Bob@example.org".to_owned()), Some(house.org)));
    assert!(house.newcomers.show_invitation(&link).await.unwrap().is_some_and(|shown| !shown.has_account));

    let joined = house.newcomers.accept_as_new(&nobody(), &link, account("bob")).await.unwrap();
    assert!(joined.is_new && joined.tenant == house.org);
    let bob = house.find(joined.person).await;
    assert!(bob.email_verified && bob.email == "Bob@example.org" && bob.username.as_deref() == Some("bob"));
    assert_eq!(house.roles_of(joined.person).await, [MEMBER]);
    house.auth.verify_login(&nobody(), "bob@example.org", Password::new(PASSWORD).unwrap()).await.unwrap();
    // Once.
    let again = house.newcomers.accept_as_new(&nobody(), &link, account("eve")).await;
    assert_eq!(code(again), "link_invalid");
    assert_eq!(code(house.newcomers.invite(&boss, invitee("bob@example.org")).await), "already_member");
    for kind in ["invitation.created", "invitation.accepted"] {
        assert_eq!(house.records.events(kind), 1, "{kind}");
    }
}
both_engines!(whoever_is_invited_comes_in_with_membership_and_role, SETS);

/// C19, C21
async fn an_invitation_is_bound_to_its_address_and_organisation(db: TestDb) {
    let house = House::new(db, Registration::Off).await;
    let boss = house.person("boss", "admin").await;
    let eve = house.person("eve", MEMBER).await;
    let outsider = house.outsider("carol").await;
    let link = invite(&house, &boss, "bob@example.org").await;
    let accept = async |ctx: &RequestContext| code(house.newcomers.accept_as_caller(ctx, &link).await);
    assert_eq!(accept(&eve).await, "invitation_for_another");
    assert_eq!(accept(&outsider).await, "invitation_for_another");
    let other = AccountRequest { email: Some("eve2@example.org".to_owned()), ..account("eve2") };
    let other = house.newcomers.accept_as_new(&nobody(), &link, other).await;
    assert_eq!(code(other), "invitation_for_another");
    let elsewhere = AccountRequest { organization: Some(house.foreign_org.as_uuid()), ..account("bob") };
    assert_eq!(code(house.newcomers.accept_as_new(&nobody(), &link, elsewhere).await), "not_found");
    let role = house.role("admin").await;
    let more = AccountRequest { role: Some(role.as_uuid()), ..account("bob") };
    assert_eq!(code(house.newcomers.accept_as_new(&nobody(), &link, more).await), "role_not_offered");
    // What is changed by hand fits no link.
    for (changed, back) in [
        (
            "UPDATE invitations SET email = 'eve@example.org'",
            "UPDATE invitations SET email = 'bob@example.org'",
        ),
        (
            "UPDATE one_time_tokens SET tenant_id = (SELECT id FROM orgs WHERE code = 'foreign')",
            "UPDATE one_time_tokens SET tenant_id = (SELECT id FROM orgs WHERE is_default)",
        ),
    ] {
        house.run(changed).await;
        let refused = house.newcomers.accept_as_new(&nobody(), &link, account("bob")).await;
        assert_eq!(code(refused), "link_invalid", "{changed}");
        house.run(back).await;
    }
    let asserted = AccountRequest {
        email: Some("BOB@example.org".to_owned()),
        organization: Some(house.org.as_uuid()),
        role: Some(house.role(MEMBER).await.as_uuid()),
        ..account("bob")
    };
    house.newcomers.accept_as_new(&nobody(), &link, asserted).await.unwrap();
}
both_engines!(an_invitation_is_bound_to_its_address_and_organisation, SETS);

async fn of_two_who_accept_at_once_one_comes_in(db: TestDb) {
    let house = House::new(db, Registration::Off).await;
    let boss = house.person("boss", "admin").await;
    let link = invite(&house, &boss, "bob@example.org").await;
    let (one, two, ctx) = (house.newcomers.clone(), house.newcomers.clone(), nobody());
    let (first, second) = tokio::join!(
        one.accept_as_new(&ctx, &link, account("bob")),
        two.accept_as_new(&ctx, &link, account("bert")),
    );
    let mut codes = [code(first), code(second)];
    codes.sort_unstable();
    assert_eq!(codes, ["link_invalid", "ok"]);
    assert_eq!(house.count("SELECT count(*) FROM people").await, 2);
}
both_engines!(of_two_who_accept_at_once_one_comes_in, SETS);

async fn an_account_that_is_there_joins_by_its_owner(db: TestDb) {
    let house = House::new(db, Registration::Off).await;
    let boss = house.person("boss", "admin").await;
    let carol = house.outsider("carol").await;
    let id = carol.principal.person_id().unwrap();
    let link = invite(&house, &boss, "carol@example.org").await;
    assert!(house.newcomers.show_invitation(&link).await.unwrap().unwrap().has_account);
    assert_eq!(code(house.newcomers.accept_as_new(&nobody(), &link, account("carol2")).await), "email_taken");
    let wrong = house.newcomers.accept_with_password(&nobody(), &link, Password::new("wrong").unwrap()).await;
    assert_eq!(code(wrong), "invalid_credentials");
    let in_her_name = Principal { impersonator: boss.principal.person_id(), ..carol.principal.clone() };
    for other in [nobody(), RequestContext::new(in_her_name)] {
        assert_eq!(code(house.newcomers.accept_as_caller(&other, &link).await), "person_required");
    }
    let joined = house.newcomers.accept_as_caller(&carol, &link).await.unwrap();
    assert!(!joined.is_new && joined.person == id);
    assert!(house.find(id).await.email_verified);
    assert_eq!(house.roles_of(id).await, [MEMBER]);
    // With the password alone, too.
    house.outsider("dora").await;
    let link = invite(&house, &boss, "dora@example.org").await;
    let password = Password::new(PASSWORD).unwrap();
    assert!(!house.newcomers.accept_with_password(&nobody(), &link, password).await.unwrap().is_new);
    assert_eq!(house.count("SELECT count(*) FROM sessions").await, 0);
}
both_engines!(an_account_that_is_there_joins_by_its_owner, SETS);

/// What is no good for signing in is none for joining.
async fn a_password_lets_join_whom_it_would_sign_in(db: TestDb) {
    let house = House::new(db, Registration::Off).await;
    let boss = house.person("boss", "admin").await;
    house.outsider("dora").await;
    let link = invite(&house, &boss, "dora@example.org").await;
    let join = async |password: &str| {
        let password = Password::new(password).unwrap();
        code(house.newcomers.accept_with_password(&nobody(), &link, password).await)
    };
    let members = house.count("SELECT count(*) FROM memberships").await;
    let chosen_by_others = "UPDATE people SET must_change_password = NOT must_change_password";
    house.run(chosen_by_others).await;
    assert_eq!(join(PASSWORD).await, "must_change_password");
    house.run(chosen_by_others).await;
    let tries = house.auth.config().login_attempt_limit;
    for _ in 0..tries {
        assert_eq!(join("wrong").await, "invalid_credentials");
    }
    assert_eq!(join(PASSWORD).await, "login_throttled");
    assert_eq!(house.count("SELECT count(*) FROM memberships").await, members);
    house.run("DELETE FROM login_counters").await;
    assert_eq!(join(PASSWORD).await, "ok");
}
both_engines!(a_password_lets_join_whom_it_would_sign_in, SETS);

/// Whoever chose the password would come along.
async fn who_has_a_password_of_somebody_else_joins_with_one_of_their_own(db: TestDb) {
    const NEW: &str = "gravel thimble orchard nine";
    let house = House::new(db, Registration::Off).await;
    let boss = house.person("boss", "admin").await;
    let (carol, other) = (house.outsider("carol").await, house.outsider("other").await);
    let email = Email::parse("carol@example.org").unwrap();
    let hash = house.auth.hash_new_password(&ContextWords::new(), chosen()).await.unwrap();
    let (auth, id) = (house.auth.clone(), carol.principal.person_id().unwrap());
    let set = async move |tx: &mut Tx| auth.set_password(tx, &other, id, &hash, false).await;
    house.db.transact(house::SCOPE, set).await.unwrap();

    let link = invite(&house, &boss, email.as_str()).await;
    let members = house.count("SELECT count(*) FROM memberships").await;
    let with_password = async |password: &str| {
        let password = Password::new(password).unwrap();
        code(house.newcomers.accept_with_password(&nobody(), &link, password).await)
    };
    assert_eq!(code(house.newcomers.accept_as_caller(&carol, &link).await), "password_not_own");
    assert_eq!(with_password(PASSWORD).await, "password_not_own");
    assert_eq!(house.count("SELECT count(*) FROM memberships").await, members);
    house
        .auth
        .request_password_reset(&nobody(), &email, Arc::clone(&house.newcomers.messages))
        .await
        .unwrap();
    let reset = house.auth.read_one_time::<PasswordReset>(&token(&house, "password_reset")).unwrap();
    house.auth.reset_password(&nobody(), &reset, Password::new(NEW).unwrap()).await.unwrap();
    assert_eq!(with_password(NEW).await, "ok");
}
both_engines!(who_has_a_password_of_somebody_else_joins_with_one_of_their_own, SETS);

async fn an_invitation_counts_while_whoever_made_it_could_make_it_again(db: TestDb) {
    let house = House::new(db, Registration::Off).await;
    let boss = house.person("boss", "admin").await;
    let cook = house.rbac.create_role(&boss, NewRole::new("cook")).await.unwrap().value.id;
    let desk = house.person("desk", "operator").await;
    let desk_id = desk.principal.person_id().unwrap();
    let is_open = async |link: &str| house.newcomers.show_invitation(link).await.unwrap().is_some();
    // A role beyond one's own is not promised, and neither is that of another organisation.
    for (role, refused) in
        [(house.role("admin").await, "beyond_own_permissions"), (house.foreign_role().await, "not_found")]
    {
        let invitee = NewInvitee { role: Some(role), ..invitee("bob@example.org") };
        assert_eq!(code(house.newcomers.invite(&desk, invitee).await), refused);
    }
    assert_eq!(house.count("SELECT count(*) FROM invitations").await, 0);
    let promised = NewInvitee { role: Some(cook), ..invitee("bob@example.org") };
    house.newcomers.invite(&desk, promised).await.unwrap();
    let link = token(&house, "invitation");
    assert!(is_open(&link).await);
    assert_eq!(code(house.newcomers.invite(&boss, invitee("bob@example.org")).await), "invitation_pending");
    // The role is beyond whoever promised it by now.
    let audits = house.permission("audit.log.read").await;
    house.rbac.attach(&boss, cook, audits).await.unwrap();
    assert!(!is_open(&link).await);
    let refused = house.newcomers.accept_as_new(&nobody(), &link, account("bob")).await;
    assert_eq!(code(refused), "link_invalid");
    house.rbac.detach(&boss, cook, audits).await.unwrap();
    assert!(is_open(&link).await);
    // Disabled, and back.
    house.set_status(desk_id, PersonStatus::Disabled).await;
    assert!(!is_open(&link).await);
    house.set_status(desk_id, PersonStatus::Active).await;
    assert!(is_open(&link).await);
    // May not invite any more: the address is free for others.
    let operator = house.role("operator").await;
    house.rbac.unassign(&boss, desk_id, operator).await.unwrap();
    assert!(!is_open(&link).await);
    let other = invite(&house, &boss, "bob@example.org").await;
    assert!(is_open(&other).await);
    house.rbac.assign(&boss, desk_id, operator).await.unwrap();
    assert!(!is_open(&link).await, "it has been taken back");
    // A role that is no more was not what was promised.
    let promised = NewInvitee { role: Some(cook), ..invitee("carl@example.org") };
    house.newcomers.invite(&boss, promised).await.unwrap();
    let link = token(&house, "invitation");
    house.rbac.delete_role(&boss, cook).await.unwrap();
    assert!(!is_open(&link).await);
    // Gone.
    let link = invite(&house, &desk, "dan@example.org").await;
    house.delete(desk_id).await;
    assert!(!is_open(&link).await);
}
both_engines!(an_invitation_counts_while_whoever_made_it_could_make_it_again, SETS);

/// Makes accounts, and fails then.
struct Failing(PlainAccounts);

impl Accounts for Failing {
    fn check(&self, profile: &NewProfile) -> Result<(), AccountError> {
        self.0.check(profile)
    }

    fn make<'a>(
        &'a self,
        tx: &'a mut Tx,
        context: &'a RequestContext,
        tenant: TenantId,
        new: &'a NewAccount,
    ) -> BoxFuture<'a, Result<PersonId, AccountError>> {
        Box::pin(async move {
            self.0.make(tx, context, tenant, new).await?;
            Err(Problem::new(409, "profile_full").into())
        })
    }

    fn joined<'a>(
        &'a self,
        _: &'a mut Tx,
        _: &'a RequestContext,
        _: TenantId,
        _: PersonId,
    ) -> BoxFuture<'a, Result<(), AccountError>> {
        Box::pin(async { Err(Problem::new(409, "profile_full").into()) })
    }

    fn email_changed<'a>(
        &'a self,
        _: &'a mut Tx,
        _: &'a RequestContext,
        _: &'a stylobate_auth::Person,
    ) -> BoxFuture<'a, Result<(), AccountError>> {
        Box::pin(async { Ok(()) })
    }
}

async fn what_cannot_be_finished_leaves_nothing(db: TestDb) {
    let house = House::new(db, Registration::Open).await;
    let boss = house.person("boss", "admin").await;
    let carol = house.outsider("carol").await;
    let failing = Newcomers { accounts: Arc::new(Failing(house.accounts())), ..house.newcomers.clone() };
    let (bob, hers) =
        (invite(&house, &boss, "bob@example.org").await, invite(&house, &boss, "carol@example.org").await);
    let request = AccountRequest { email: Some("dan@example.org".to_owned()), ..account("dan") };
    assert_eq!(house.newcomers.register(&nobody(), None, request).await.unwrap(), Registered::Asked);
    let dans = token(&house, "registration");
    let rows = async || {
        let mut rows = Vec::new();
        for sql in [
            "SELECT count(*) FROM people",
            "SELECT count(*) FROM credentials",
            "SELECT count(*) FROM memberships",
            "SELECT count(*) FROM role_assignments",
            "SELECT count(*) FROM one_time_tokens",
            "SELECT count(*) FROM invitations WHERE status = 'pending'",
        ] {
            rows.push(house.count(sql).await);
        }
        rows
    };
    let before = rows().await;
    assert_eq!(code(failing.accept_as_new(&nobody(), &bob, account("bob")).await), "profile_full");
    assert_eq!(code(failing.accept_as_caller(&carol, &hers).await), "profile_full");
    assert_eq!(code(failing.confirm_registration(&nobody(), &dans, chosen(), None).await), "profile_full");
    assert_eq!(rows().await, before);
    house.newcomers.accept_as_new(&nobody(), &bob, account("bob")).await.unwrap();
    house.newcomers.accept_as_caller(&carol, &hers).await.unwrap();
    house.newcomers.confirm_registration(&nobody(), &dans, chosen(), None).await.unwrap();
}
both_engines!(what_cannot_be_finished_leaves_nothing, SETS);

/// Everybody who may ask for an account: who has none, and those who have one.
async fn everybody(house: &House) -> [(&'static str, &'static str); 4] {
    house.person("ada", MEMBER).await;
    let dora = house.outsider("dora").await;
    house.set_status(dora.principal.person_id().unwrap(), PersonStatus::Disabled).await;
    house.without_password("paul").await;
    [
        ("ada@example.org", "registration_exists"),
        ("nobody@example.org", "registration"),
        ("dora@example.org", "registration_exists"),
        ("paul@example.org", "registration_exists"),
    ]
}

/// A3, C30
async fn everybody_who_registers_costs_the_same(db: TestDb) {
    let house = House::new(db, Registration::Open).await;
    let everybody = everybody(&house).await;
    let mut costs = Vec::new();
    for (email, _) in everybody {
        let before = (
            house.db.statements(),
            house.auth.hasher().stats().computed,
            house.records.messages().len(),
            house.records.audits(),
        );
        // Also who asks for a name that somebody has.
        let request = AccountRequest { email: Some(email.to_owned()), ..account("ada") };
        assert_eq!(house.newcomers.register(&nobody(), None, request).await.unwrap(), Registered::Asked);
        costs.push((
            house.db.statements() - before.0,
            house.auth.hasher().stats().computed - before.1,
            house.records.messages().len() - before.2,
            house.records.audits() - before.3,
        ));
    }
    assert!(costs.iter().all(|cost| *cost == costs[0] && (cost.1, cost.2, cost.3) == (1, 1, 1)), "{costs:?}");
    let messages = house.records.messages();
    let sent: Vec<_> = messages.iter().map(|message| (address_of(message), message.kind)).collect();
    assert_eq!(sent, everybody.map(|(email, kind)| (email.to_owned(), kind)));
    assert_eq!(house.count("SELECT count(*) FROM one_time_tokens").await, 4);
    // From the sixth on nothing is mailed, and that costs the same too.
    for _ in 0..4 {
        for (email, _) in everybody {
            let request = AccountRequest { email: Some(email.to_owned()), ..account("ada") };
            house.newcomers.register(&nobody(), None, request).await.unwrap();
        }
    }
    let mails = house.records.messages().len();
    assert_eq!(mails, 20);
    let mut costs = Vec::new();
    for (email, _) in everybody {
        let before = house.db.statements();
        let request = AccountRequest { email: Some(email.to_uppercase()), ..account("ada") };
        house.newcomers.register(&nobody(), None, request).await.unwrap();
        costs.push(house.db.statements() - before);
    }
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
    assert_eq!(house.records.messages().len(), mails);
}
both_engines!(everybody_who_registers_costs_the_same, SETS);

fn address_of(message: &Message) -> String {
    let MessageTo::Email(address) = &message.to else { panic!("{message:?}") };
    address.clone()
}

async fn an_account_is_made_when_its_address_is_proven(db: TestDb) {
    let house = House::new(db, Registration::Open).await;
    house.person("ada", MEMBER).await;
    let people = house.count("SELECT count(*) FROM people").await;
    let request = || AccountRequest { email: Some("bob@example.org".to_owned()), ..account("ada") };
    house.newcomers.register(&nobody(), None, request()).await.unwrap();
    let first = token(&house, "registration");
    // The row has what makes the account, and no password.
    let mut reader = house.db.read().await.unwrap();
    let rows: Vec<(Vec<u8>,)> = reader.q("SELECT payload FROM one_time_tokens").all().await.unwrap();
    drop(reader);
    let [(payload,)] = rows.as_slice() else { panic!("{rows:?}") };
    let draft = String::from_utf8_lossy(payload);
    assert!(draft.contains("bob@example.org") && !draft.contains(PASSWORD), "{draft}");
    house.newcomers.register(&nobody(), None, request()).await.unwrap();
    let second = token(&house, "registration");
    assert_eq!(house.count("SELECT count(*) FROM people").await, people);
    // Somebody has the name: the link stays good, and takes another.
    let confirm = async |link: &str, name: Option<&str>| {
        house.newcomers.confirm_registration(&nobody(), link, chosen(), name).await
    };
    let guess = Password::new("not what was chosen at all").unwrap();
    let guessed = house.newcomers.confirm_registration(&nobody(), &first, guess, Some("bob")).await;
    assert_eq!(code(guessed), "validation");
    assert_eq!(code(confirm(&first, None).await), "username_taken");
    let joined = confirm(&first, Some("bob")).await.unwrap();
    assert!(house.find(joined.person).await.email_verified);
    assert_eq!(house.roles_of(joined.person).await, [MEMBER]);
    assert_eq!(code(confirm(&first, None).await), "link_invalid");
    assert_eq!(code(confirm(&second, Some("bert")).await), "email_taken");
    house.auth.verify_login(&nobody(), "bob", Password::new(PASSWORD).unwrap()).await.unwrap();
    let closed = Newcomers { registration: Registration::Invited, ..house.newcomers.clone() };
    assert_eq!(
        code(closed.confirm_registration(&nobody(), &second, chosen(), None).await),
        "registration_closed"
    );
}
both_engines!(an_account_is_made_when_its_address_is_proven, SETS);

/// C21
async fn who_may_register_and_as_what_is_not_theirs_to_say(db: TestDb) {
    let house = House::new(db, Registration::Open).await;
    let boss = house.person("boss", "admin").await;
    let link = invite(&house, &boss, "bob@example.org").await;
    let request = |email: &str, name: &str| AccountRequest { email: Some(email.to_owned()), ..account(name) };
    let closed = Newcomers { registration: Registration::Off, ..house.newcomers.clone() };
    let invited = Newcomers { registration: Registration::Invited, ..house.newcomers.clone() };
    let before = house.auth.hasher().stats().computed;
    for token in [None, Some(link.as_str())] {
        let refused = closed.register(&nobody(), token, request("bob@example.org", "bob")).await;
        assert_eq!(code(refused), "registration_closed");
    }
    let refused = invited.register(&nobody(), None, request("bob@example.org", "bob")).await;
    assert_eq!(code(refused), "registration_closed");
    assert_eq!(code(invited.register(&nobody(), Some("sbl_x"), account("bob")).await), "link_invalid");
    let admin = Some(house.role("admin").await.as_uuid());
    let more = AccountRequest { role: admin, ..request("dan@example.org", "dan") };
    assert_eq!(code(house.newcomers.register(&nobody(), None, more).await), "role_not_offered");
    let foreign = Some(house.foreign_org.as_uuid());
    let elsewhere = AccountRequest { organization: foreign, ..request("dan@example.org", "dan") };
    assert_eq!(code(house.newcomers.register(&nobody(), None, elsewhere).await), "not_found");
    assert_eq!(house.auth.hasher().stats().computed, before, "nothing was hashed for them");
    let weak = AccountRequest {
        password: Some(Password::new("short").unwrap()),
        ..request("dan@example.org", "dan")
    };
    assert_eq!(code(house.newcomers.register(&nobody(), None, weak).await), "validation");
    let profile = NewProfile { city: Some("x".repeat(256)), ..account("dan").profile };
    let much = AccountRequest { profile, ..request("dan@example.org", "dan") };
    assert_eq!(code(house.newcomers.register(&nobody(), None, much).await), "validation");
    let made = invited.register(&nobody(), Some(&link), account("bob")).await.unwrap();
    assert!(matches!(made, Registered::Made(joined) if joined.is_new));
    let mut reader = house.db.read().await.unwrap();
    assert!(
        People::find_by_identifier(&mut reader, &stylobate_auth::Identifier::new("bob"))
            .await
            .unwrap()
            .is_some()
    );
}
both_engines!(who_may_register_and_as_what_is_not_theirs_to_say, SETS);

async fn a_client_asks_so_often_and_no_more(db: TestDb) {
    let house = House::new(db, Registration::Open).await;
    let boss = house.person("boss", "admin").await;
    let from = |ctx: RequestContext| RequestContext { address: Some("192.0.2.7".parse().unwrap()), ..ctx };
    for nth in 0..20 {
        let email = format!("n{nth}@example.org");
        house.newcomers.invite(&from(boss.clone()), invitee(&email)).await.unwrap();
        let request =
            AccountRequest { email: Some(format!("r{nth}@example.org")), ..AccountRequest::default() };
        // Counted before anything else is looked at.
        assert_eq!(code(house.newcomers.register(&from(nobody()), None, request).await), "validation");
    }
    let refused = house.newcomers.invite(&from(boss.clone()), invitee("x@example.org")).await;
    assert_eq!(code(refused), "flow_throttled");
    let request = AccountRequest { email: Some("x@example.org".to_owned()), ..account("x") };
    assert_eq!(code(house.newcomers.register(&from(nobody()), None, request).await), "flow_throttled");
    house.run("DELETE FROM flow_counters").await;
    house.newcomers.invite(&from(boss), invitee("x@example.org")).await.unwrap();
}
both_engines!(a_client_asks_so_often_and_no_more, SETS);

async fn every_id_of_the_flows_has_a_kind(db: TestDb) {
    let house = House::new(db, Registration::Open).await;
    let Newcomers { auth, tenancy, db, accounts, messages, .. } = house.newcomers.clone();
    let cookies = Cookies { session: SessionCookie::Host, refresh: None };
    let flows = Flows { auth: auth.clone(), tenancy, db: db.clone(), cookies };
    let links = MailedLinks { auth: auth.clone(), db, accounts, messages };
    let routes = identity_routes(&flows)
        .and(me_routes(&flows))
        .and(introspection_routes(&auth))
        .and(revocation_routes(&auth))
        .and(forward_auth_routes())
        .and(email_routes(&links))
        .and(recovery_routes(&links))
        .and(newcomer_routes(&house.newcomers));
    assert_eq!(routes.id_problems(), [""; 0]);
}
both_engines!(every_id_of_the_flows_has_a_kind, SETS);
