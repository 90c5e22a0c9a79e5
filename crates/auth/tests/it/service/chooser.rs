//! Passwords that somebody else has chosen, and may know.

use stylobate_auth::{AuthError, Email, MIGRATIONS, People, PersonChange};
use stylobate_core::{
    ApiKeyId, Clock as _, KeyOwner, PersonId, Principal, RequestContext, ServiceId, Subject,
};
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{
    House, PASSWORD, SCOPE, code, nobody, password_hash,
    recovery::{link, reset},
    system, typed,
};

const NEW: &str = "gravel thimble orchard nine";
const OTHER: &str = "eleven grey herons waiting";

fn by(principal: Principal) -> RequestContext {
    RequestContext::new(principal)
}

async fn set(house: &House, ctx: &RequestContext, id: PersonId, must_change: bool) {
    let (auth, ctx, hash) = (house.auth.clone(), ctx.clone(), password_hash(&house.auth).await);
    let set = async move |tx: &mut Tx| auth.set_password(tx, &ctx, id, &hash, must_change).await;
    house.db.transact(SCOPE, set).await.unwrap();
}

async fn move_to(house: &House, ctx: &RequestContext, id: PersonId, email: &str) {
    let (auth, ctx, email) = (house.auth.clone(), ctx.clone(), Email::parse(email).unwrap());
    let update = async move |tx: &mut Tx| {
        let version = People::find(tx, id).await?.unwrap().version;
        let change = PersonChange { email: Some(email.clone()), ..PersonChange::default() };
        auth.people().update(tx, &ctx, id, version, change).await
    };
    house.db.transact(SCOPE, update).await.unwrap();
}

async fn is_own(house: &House, id: PersonId) -> bool {
    let mut conn = house.db.read().await.unwrap();
    match house.auth.require_own_password(&mut conn, id).await {
        Ok(()) => true,
        Err(AuthError::PasswordNotOwn) => false,
        Err(other) => panic!("{other:?}"),
    }
}

async fn a_password_is_ones_own_unless_somebody_else_sets_it(db: TestDb) {
    let house = House::new(db).await;
    let (ada, now) = (house.person("ada").await.id, house.clock.now());
    let boss = PersonId::new(now);
    let program = |subject: Subject| by(Principal { subject, ..Principal::anonymous() });
    assert!(is_own(&house, ada).await && is_own(&house, boss).await, "nobody chose one that is not there");
    for (ctx, own) in [
        (by(Principal::person(boss)), false),
        (by(Principal::person(ada)), true),
        (by(Principal { impersonator: Some(boss), ..Principal::person(ada) }), false),
        (system(), true),
        (program(Subject::ApiKey { id: ApiKeyId::new(now), owner: KeyOwner::Person { id: ada } }), false),
        (system(), true),
        (program(Subject::Service { id: ServiceId::new(now) }), false),
        (nobody(), false),
    ] {
        set(&house, &ctx, ada, false).await;
        assert_eq!(is_own(&house, ada).await, own, "{ctx:?}");
    }
    // Which the platform set on somebody else's word.
    set(&house, &system(), ada, false).await;
    let auth = house.auth.clone();
    let disown = async move |tx: &mut Tx| auth.disown_password(tx, ada).await;
    house.db.transact(SCOPE, disown).await.unwrap();
    assert!(!is_own(&house, ada).await);
}
both_engines!(a_password_is_ones_own_unless_somebody_else_sets_it, &[&MIGRATIONS]);

async fn only_a_mailed_link_makes_a_password_ones_own(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await.id;
    let boss = by(Principal::person(PersonId::new(house.clock.now())));
    set(&house, &boss, ada, true).await;
    // Whoever chose the first one could have done this as well.
    let verified = house.auth.verify_login(&nobody(), "ada", typed(PASSWORD)).await.unwrap();
    house.auth.replace_password(&nobody(), &verified, typed(NEW)).await.unwrap();
    assert!(!is_own(&house, ada).await);
    let ctx = house.as_holder(&house.login("ada", NEW).await.unwrap()).await;
    drop(house.auth.change_password(&ctx, typed(NEW), typed(OTHER)).await.unwrap());
    assert_eq!((house.try_login("ada", OTHER).await, is_own(&house, ada).await), ("ok", false));
    let mailed = link(&house, "ada@example.org").await;
    assert_eq!(code(reset(&house, &mailed).await), "ok");
    assert!(is_own(&house, ada).await);
    let ctx = house.as_holder(&house.login("ada", NEW).await.unwrap()).await;
    drop(house.auth.change_password(&ctx, typed(NEW), typed(OTHER)).await.unwrap());
    assert!(is_own(&house, ada).await);
}
both_engines!(only_a_mailed_link_makes_a_password_ones_own, &[&MIGRATIONS]);

async fn who_chooses_the_address_could_have_a_password_mailed(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await.id;
    let boss = by(Principal::person(PersonId::new(house.clock.now())));
    move_to(&house, &boss, ada, "ADA@example.org").await;
    assert!(is_own(&house, ada).await, "it is the same mailbox");
    move_to(&house, &boss, ada, "boss@example.org").await;
    assert!(!is_own(&house, ada).await);
    let mailed = link(&house, "boss@example.org").await;
    assert_eq!(code(reset(&house, &mailed).await), "ok");
    assert!(is_own(&house, ada).await);
    move_to(&house, &boss, ada, "ada@example.org").await;
    assert!(!is_own(&house, ada).await);
    let mailed = link(&house, "ada@example.org").await;
    assert_eq!(code(reset(&house, &mailed).await), "ok");
    for ctx in [by(Principal::person(ada)), system()] {
        move_to(&house, &ctx, ada, &format!("{:?}@example.org", ctx.principal.credential)).await;
        assert!(is_own(&house, ada).await, "{ctx:?}");
    }
}
both_engines!(who_chooses_the_address_could_have_a_password_mailed, &[&MIGRATIONS]);
