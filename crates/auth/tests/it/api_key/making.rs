use chrono::TimeDelta;
use stylobate_auth::{
    AllowedNetworks, ApiKeyChange, ApiKeyConfig, ApiKeyError, ApiKeyQuery, AuthConfig, MIGRATIONS, NewApiKey,
    PersonStatus,
};
use stylobate_core::{
    ApiKeyId, Clock as _, Credential, KeyOwner, PageLimit, PersonId, Principal, RequestContext, Subject,
};
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{House, SCOPE, by, of_person, present, system, tenant};

fn code<T>(result: Result<T, ApiKeyError>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "ok")
}

// A8
async fn a_key_acts_for_its_tenant_with_its_scopes_and_not_as_its_owner(db: TestDb) {
    let house = House::new(db).await;
    let (ada, tenant) = (house.person("ada").await.id, tenant(&house));
    let scopes = Some(vec!["docs.read".to_owned(), "user.*".to_owned()]);
    let issued = house.try_key(NewApiKey { scopes: scopes.clone(), ..of_person(tenant, ada) }).await.unwrap();
    let text = issued.secret.expose_secret();
    let principal = present(&house.auth, text).await.unwrap();
    let owner = KeyOwner::Person { id: ada };
    assert_eq!(principal.subject, Subject::ApiKey { id: issued.key.id, owner });
    assert_eq!(
        (principal.tenant, &principal.scopes, principal.credential, principal.person_id(), principal.session),
        (Some(tenant), &scopes, Credential::ApiKey, None, None)
    );
    assert!(!principal.is_person_unscoped());
    assert!(text.starts_with(&issued.key.prefix) && text.starts_with("sb_test_"));

    // It lives for 90 days and may be used 1,000 times an hour, because nothing else was asked.
    assert_eq!(issued.key.expires_at - issued.key.created_at, TimeDelta::days(90));
    assert_eq!(issued.key.requests_per_hour, 1_000);
    // Nothing of the secret is stored, shown or told.
    let mut conn = house.db.read().await.unwrap();
    let stored: Vec<u8> = conn.q("SELECT secret_hash FROM api_keys").scalar().await.unwrap();
    assert_eq!((stored.len(), stored == text.as_bytes()), (32, false));
    let secret = &text[issued.key.prefix.len()..];
    let told = format!(
        "{issued:?} {:?} {:?} {}",
        house.audit.last("api_key.create"),
        house.audit.events("api_key.created"),
        serde_json::to_string(&issued.key).unwrap()
    );
    assert!(!told.contains(secret) && !told.contains(&hex::encode(&stored)), "{told}");
    let event = house.audit.events("api_key.created").remove(0);
    assert_eq!((event.tenant, &event.data["user_id"]), (Some(tenant), &serde_json::json!(ada)));
}
both_engines!(a_key_acts_for_its_tenant_with_its_scopes_and_not_as_its_owner, &[&MIGRATIONS]);

async fn values_that_a_key_cannot_have_are_refused(db: TestDb) {
    let house = House::new(db).await;
    let (ada, tenant, now) = (house.person("ada").await.id, tenant(&house), house.clock.now());
    let new = || of_person(tenant, ada);
    let days = |days| Some(now + TimeDelta::days(days));
    let wrong = [
        ("label", NewApiKey { label: " ".to_owned(), ..new() }),
        ("label", NewApiKey { label: "a".repeat(101), ..new() }),
        ("label", NewApiKey { label: "a\u{202e}b".to_owned(), ..new() }),
        ("label", NewApiKey { label: "a\0b".to_owned(), ..new() }),
        ("scopes", NewApiKey { scopes: Some(vec!["two words".to_owned()]), ..new() }),
        ("scopes", NewApiKey { scopes: Some(vec!["a".to_owned(); 101]), ..new() }),
        ("scopes", NewApiKey { scopes: Some(Vec::new()), ..new() }),
        ("allowed_networks", NewApiKey { allowed_networks: AllowedNetworks::parse([""; 0]).ok(), ..new() }),
        (
            "allowed_networks",
            NewApiKey { allowed_networks: AllowedNetworks::parse(["::1"; 51]).ok(), ..new() },
        ),
        ("requests_per_hour", NewApiKey { requests_per_hour: Some(0), ..new() }),
        ("requests_per_hour", NewApiKey { requests_per_hour: Some(1_000_001), ..new() }),
        ("expires_at", NewApiKey { expires_at: Some(now), ..new() }),
        ("expires_at", NewApiKey { expires_at: days(366), ..new() }),
    ];
    for (expected, new) in wrong {
        match house.try_key(new).await {
            Err(ApiKeyError::Invalid { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    let scopes = Some(vec!["a".to_owned(); 100]);
    let largest =
        NewApiKey { label: "ä".repeat(100), expires_at: days(365), scopes: scopes.clone(), ..new() };
    let made = house.try_key(largest).await.unwrap();
    assert_eq!(present(&house.auth, made.secret.expose_secret()).await.unwrap().scopes, scopes);
    assert_eq!(house.count("SELECT count(*) FROM api_keys").await, 1);
}
both_engines!(values_that_a_key_cannot_have_are_refused, &[&MIGRATIONS]);

async fn an_owner_has_ten_live_keys_in_a_tenant(db: TestDb) {
    let house = House::new(db).await;
    let (ada, bob) = (house.person("ada").await.id, house.person("bob").await.id);
    let home = tenant(&house);
    let mut made = Vec::new();
    for _ in 0..10 {
        made.push(house.try_key(of_person(home, ada)).await.unwrap());
    }
    assert_eq!(code(house.try_key(of_person(home, ada)).await), "api_key_limit");
    assert_eq!(code(house.try_key(of_person(home, bob)).await), "ok");
    assert_eq!(code(house.try_key(of_person(tenant(&house), ada)).await), "ok");
    // One that is off still has its place; one that ended has none.
    let off = ApiKeyChange { is_active: Some(false), ..ApiKeyChange::default() };
    house.change_key(&made[0].key, off).await.unwrap();
    assert_eq!(code(house.try_key(of_person(home, ada)).await), "api_key_limit");
    house.revoke_key(&made[1].key).await.unwrap();
    assert_eq!(code(house.try_key(of_person(home, ada)).await), "ok");
    assert_eq!(code(house.try_key(of_person(home, ada)).await), "api_key_limit");
    house.wait(90 * 24 * 60 * 60);
    assert_eq!(code(house.try_key(of_person(home, ada)).await), "ok");
}
both_engines!(an_owner_has_ten_live_keys_in_a_tenant, &[&MIGRATIONS]);

async fn of_many_keys_made_at_once_no_more_than_allowed_are(db: TestDb) {
    let api_keys = ApiKeyConfig { per_owner_max: 3, ..ApiKeyConfig::default() };
    let house = House::with(db, AuthConfig { api_keys, ..AuthConfig::default() }).await;
    let (ada, home) = (house.person("ada").await.id, tenant(&house));
    let tries = (0..8).map(|_| {
        let (db, keys) = (house.db.clone(), house.auth.api_keys().clone());
        tokio::spawn(async move {
            let create = async move |tx: &mut Tx| keys.create(tx, &system(), of_person(home, ada)).await;
            code(db.transact(SCOPE, create).await)
        })
    });
    let mut answers = Vec::new();
    for tried in tries.collect::<Vec<_>>() {
        answers.push(tried.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| **answer == "ok").count(), 3, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| **answer == "api_key_limit").count(), 5, "{answers:?}");
}
both_engines!(of_many_keys_made_at_once_no_more_than_allowed_are, &[&MIGRATIONS]);

// A8
async fn nobody_makes_more_than_five_keys_a_minute(db: TestDb) {
    let house = House::new(db).await;
    let (ada, bob, home) = (house.person("ada").await.id, house.person("bob").await.id, tenant(&house));
    let make = async |maker: PersonId, owner: PersonId| {
        let keys = house.auth.api_keys().clone();
        let create = async move |tx: &mut Tx| keys.create(tx, &by(maker), of_person(home, owner)).await;
        house.db.transact(SCOPE, create).await
    };
    for second in 0..5 {
        house.wait(1);
        let owner = if second % 2 == 0 { ada } else { bob };
        make(ada, owner).await.unwrap();
    }
    match make(ada, bob).await {
        Err(ApiKeyError::MadeTooMany { retry_after }) => assert_eq!(retry_after.as_secs(), 56),
        other => panic!("{other:?}"),
    }
    assert_eq!(code(make(bob, bob).await), "ok");
    house.wait(55);
    assert_eq!(code(make(ada, bob).await), "api_key_made_too_many");
    house.wait(1);
    assert_eq!(code(make(ada, bob).await), "ok");
    assert_eq!(code(make(ada, bob).await), "api_key_made_too_many");
}
both_engines!(nobody_makes_more_than_five_keys_a_minute, &[&MIGRATIONS]);

// A8: two who make keys for each other wait in turn, and both counts hold.
async fn of_many_keys_made_at_once_by_one_no_more_than_five_are(db: TestDb) {
    let house = House::new(db).await;
    let (ada, bob, home) = (house.person("ada").await.id, house.person("bob").await.id, tenant(&house));
    let tries: Vec<_> = (0..16)
        .map(|at| {
            let (db, keys) = (house.db.clone(), house.auth.api_keys().clone());
            let (maker, owner) = if at % 2 == 0 { (ada, bob) } else { (bob, ada) };
            tokio::spawn(async move {
                let create =
                    async move |tx: &mut Tx| keys.create(tx, &by(maker), of_person(home, owner)).await;
                code(db.transact(SCOPE, create).await)
            })
        })
        .collect();
    let mut answers = Vec::new();
    for tried in tries {
        answers.push(tried.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| **answer == "ok").count(), 10, "{answers:?}");
}
both_engines!(of_many_keys_made_at_once_by_one_no_more_than_five_are, &[&MIGRATIONS]);

// A8: for owners of whom no two are one, so that it is the maker who is counted.
async fn of_many_keys_made_at_once_by_one_program_no_more_than_five_are(db: TestDb) {
    let house = House::new(db).await;
    let home = tenant(&house);
    let mut owners = Vec::new();
    for name in ["ada", "bob", "cyd", "dan", "eve", "fay", "gus", "hal", "ida", "joe", "kim", "lea"] {
        owners.push(house.person(name).await.id);
    }
    let owner = KeyOwner::Person { id: owners[0] };
    let of_person = house.try_key(of_person(home, owners[0])).await.unwrap().key.id;
    let service = house.service(home, "importer").await.id;
    let of_service =
        NewApiKey { owner: KeyOwner::Service { id: service }, ..self::of_person(home, owners[0]) };
    let of_service = house.try_key(of_service).await.unwrap().key.id;
    for subject in [
        Subject::ApiKey { id: of_person, owner },
        Subject::ApiKey { id: of_service, owner: KeyOwner::Service { id: service } },
        Subject::Service { id: service },
    ] {
        let program = Principal { subject, credential: Credential::ApiKey, ..Principal::anonymous() };
        let context = RequestContext::new(program.in_tenant(home));
        let tries = owners.iter().map(|owner| {
            let (db, keys, context) = (house.db.clone(), house.auth.api_keys().clone(), context.clone());
            let new = self::of_person(home, *owner);
            tokio::spawn(async move {
                let create = async move |tx: &mut Tx| keys.create(tx, &context, new.clone()).await;
                code(db.transact(SCOPE, create).await)
            })
        });
        let mut answers = Vec::new();
        for tried in tries.collect::<Vec<_>>() {
            answers.push(tried.await.unwrap());
        }
        let refused = answers.iter().filter(|answer| **answer == "api_key_made_too_many").count();
        assert_eq!((answers.len() - refused, refused), (5, 7), "{subject:?}: {answers:?}");
    }
}
both_engines!(of_many_keys_made_at_once_by_one_program_no_more_than_five_are, &[&MIGRATIONS]);

async fn only_who_may_act_gets_keys(db: TestDb) {
    let house = House::new(db).await;
    let (ada, home) = (house.person("ada").await.id, tenant(&house));
    let stranger = of_person(home, PersonId::new(house.clock.now()));
    assert_eq!(code(house.try_key(stranger).await), "api_key_owner_unknown");
    let (auth, ctx) = (house.auth.clone(), system());
    let disable =
        async move |tx: &mut Tx| auth.people().set_status(tx, &ctx, ada, PersonStatus::Disabled).await;
    house.db.transact(SCOPE, disable).await.unwrap();
    assert_eq!(code(house.try_key(of_person(home, ada)).await), "api_key_owner_unknown");
    // A service account of another tenant.
    let service = KeyOwner::Service { id: house.service(tenant(&house), "importer").await.id };
    let foreign = NewApiKey { owner: service, ..of_person(home, ada) };
    assert_eq!(code(house.try_key(foreign).await), "api_key_owner_unknown");
    assert_eq!(house.count("SELECT count(*) FROM api_keys").await, 0);
}
both_engines!(only_who_may_act_gets_keys, &[&MIGRATIONS]);

async fn a_tenant_sees_its_keys_and_no_others(db: TestDb) {
    let house = House::new(db).await;
    let (ada, bob) = (house.person("ada").await.id, house.person("bob").await.id);
    let (home, away) = (tenant(&house), tenant(&house));
    let keys = house.auth.api_keys();
    let mut ids = Vec::new();
    for owner in [ada, bob, ada] {
        ids.push(house.try_key(of_person(home, owner)).await.unwrap().key.id);
        house.wait(1);
    }
    let foreign = house.try_key(of_person(away, ada)).await.unwrap().key;
    assert_eq!(code(keys.find(home, foreign.id).await), "api_key_not_found");
    for changed in [
        code(house.revoke_key(&stylobate_auth::ApiKey { tenant_id: home, ..foreign.clone() }).await),
        code(house.rotate_key(&stylobate_auth::ApiKey { tenant_id: home, ..foreign.clone() }, 0).await),
        code(keys.usage(home, foreign.id).await),
        code(keys.find(home, ApiKeyId::new(house.clock.now())).await),
    ] {
        assert_eq!(changed, "api_key_not_found");
    }

    let list = async |query: ApiKeyQuery| {
        let page = keys.list(home, &query).await.unwrap();
        (page.items.iter().map(|key| key.id).collect::<Vec<_>>(), page.next_cursor, page.total)
    };
    let all = ApiKeyQuery { with_total: true, ..ApiKeyQuery::default() };
    assert_eq!(list(all.clone()).await, (ids.clone(), None, Some(3)));
    let of_ada = ApiKeyQuery { owner: Some(KeyOwner::Person { id: ada }), ..all.clone() };
    assert_eq!(list(of_ada).await, (vec![ids[0], ids[2]], None, Some(2)));
    let two = ApiKeyQuery { limit: PageLimit::new(2).unwrap(), ..ApiKeyQuery::default() };
    let (first, cursor, _) = list(two.clone()).await;
    let rest = list(ApiKeyQuery { cursor: cursor.map(|cursor| cursor.encode()), ..two }).await;
    assert_eq!((first, rest.0, rest.1), (ids[..2].to_vec(), ids[2..].to_vec(), None));
    let forged = ApiKeyQuery { cursor: Some("x".to_owned()), ..ApiKeyQuery::default() };
    assert_eq!(code(keys.list(home, &forged).await), "cursor_invalid");

    let ended = keys.find(home, ids[1]).await.unwrap();
    house.revoke_key(&ended).await.unwrap();
    let live = |is_active| ApiKeyQuery { is_active: Some(is_active), ..ApiKeyQuery::default() };
    assert_eq!(list(live(true)).await.0, [ids[0], ids[2]]);
    assert_eq!(list(live(false)).await.0, [ids[1]]);
}
both_engines!(a_tenant_sees_its_keys_and_no_others, &[&MIGRATIONS]);

async fn a_change_is_on_record_with_who_made_it(db: TestDb) {
    let house = House::new(db).await;
    let issued = house.adas_key().await;
    let bob = house.person("bob").await.id;
    let (keys, place) = (house.auth.api_keys().clone(), (issued.key.tenant_id, issued.key.id));
    let change = ApiKeyChange {
        label: Some("weekly export".to_owned()),
        scopes: Some(Some(vec!["docs.read".to_owned()])),
        ..ApiKeyChange::default()
    };
    let same = change.clone();
    let changed = house
        .db
        .transact(SCOPE, async move |tx: &mut Tx| keys.update(tx, &by(bob), place, change.clone()).await)
        .await
        .unwrap();
    assert_eq!((changed.label.as_str(), changed.version), ("weekly export", 2));
    let event = house.audit.last("api_key.update");
    assert_eq!(event.actor.id, Some(bob.to_string()));
    assert_eq!(event.tenant, Some(issued.key.tenant_id));
    // Saying the same again changes nothing.
    assert_eq!(house.change_key(&issued.key, same).await.unwrap(), changed);
    assert_eq!(house.audit.count("api_key.update"), 1);
}
both_engines!(a_change_is_on_record_with_who_made_it, &[&MIGRATIONS]);

// A8
async fn who_subscribes_is_told_when_a_key_may_do_more(db: TestDb) {
    let house = House::new(db).await;
    let ada = house.person("ada").await.id;
    let scopes = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
    let networks = |texts: &[&str]| AllowedNetworks::parse(texts).ok();
    let new = NewApiKey {
        scopes: scopes(&["user.*"]),
        allowed_networks: networks(&["192.0.2.0/24"]),
        ..of_person(tenant(&house), ada)
    };
    let key = house.try_key(new).await.unwrap().key;
    let may = |texts: &[&str]| ApiKeyChange { scopes: Some(scopes(texts)), ..ApiKeyChange::default() };
    let from =
        |texts: &[&str]| ApiKeyChange { allowed_networks: Some(networks(texts)), ..ApiKeyChange::default() };
    for (is_wider, change) in [
        (false, ApiKeyChange { label: Some("other".to_owned()), ..ApiKeyChange::default() }),
        (false, may(&["user.read", "user.update"])),
        (false, may(&["user.read"])),
        (true, may(&["user.read", "role.read"])),
        (true, may(&["*"])),
        (true, ApiKeyChange { scopes: Some(None), ..ApiKeyChange::default() }),
        (false, may(&["*"])),
        (false, may(&["user.read"])),
        (true, may(&["role.read"])),
        (false, from(&["192.0.2.7", "192.0.2.64/26"])),
        (true, from(&["192.0.2.7", "198.51.100.7"])),
        (true, ApiKeyChange { allowed_networks: Some(None), ..ApiKeyChange::default() }),
        (false, from(&["198.51.100.0/24"])),
    ] {
        let before = house.audit.events("api_key.widened").len();
        let changed = house.change_key(&key, change.clone()).await.unwrap();
        let told = house.audit.events("api_key.widened").split_off(before);
        assert_eq!(told.len(), usize::from(is_wider), "{change:?}");
        for event in told {
            assert_eq!(
                (event.aggregate.as_str(), event.tenant),
                (key.id.to_string().as_str(), Some(key.tenant_id))
            );
            assert_eq!(
                (&event.data["user_id"], &event.data["label"]),
                (&serde_json::json!(ada), &serde_json::json!(changed.label))
            );
        }
    }
}
both_engines!(who_subscribes_is_told_when_a_key_may_do_more, &[&MIGRATIONS]);
