use chrono::TimeDelta;
use stylobate_core::{Clock as _, PersonId, TenantId};
use stylobate_db::{Error as DbError, Scope, Tx};
use stylobate_tenancy::{ChooseError, Error, MIGRATIONS, Member, MemberCounts, MembershipStatus, choose};
use stylobate_testkit::{TestDb, both_engines};

use crate::fixture::Fixture;

async fn members_come_and_go(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let org = fixture.default_org().await;
    let (ada, bob) = (fixture.person(), fixture.person());
    fixture.audited();

    assert!(fixture.add(org.id, ada).await);
    assert!(!fixture.add(org.id, ada).await, "the second time changes nothing");
    assert!(fixture.is_member(org.id, ada).await);
    assert!(!fixture.is_member(org.id, bob).await);
    let audited = fixture.audited();
    assert_eq!(audited.len(), 1);
    assert_eq!((audited[0].action, audited[0].tenant), ("member.add", Some(org.id)));
    assert_eq!((audited[0].target.kind, &audited[0].target.id), ("person", &Some(ada.to_string())));

    let mut tx = fixture.db.begin(Scope::Tenant(org.id)).await.unwrap();
    assert!(fixture.tenancy.remove_member(&mut tx, &fixture.system, org.id, ada).await.unwrap());
    assert!(!fixture.tenancy.remove_member(&mut tx, &fixture.system, org.id, bob).await.unwrap());
    tx.commit().await.unwrap();
    assert!(!fixture.is_member(org.id, ada).await);
    assert_eq!(fixture.audited().iter().map(|event| event.action).collect::<Vec<_>>(), ["member.remove"]);
}
both_engines!(members_come_and_go, &[&MIGRATIONS]);

async fn of_many_people_the_active_members_of_one_tenant_are_found(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (acme, zeta) = (fixture.org("acme").await, fixture.org("zeta").await);
    let (ada, bob, eve, mallory) = (fixture.person(), fixture.person(), fixture.person(), fixture.person());
    for (tenant, person) in [(acme, ada), (acme, eve), (zeta, bob), (zeta, ada)] {
        fixture.add(tenant, person).await;
    }
    fixture.set_status(acme, eve, MembershipStatus::Suspended).await.unwrap();
    let mut tx = fixture.db.begin_read(Scope::Tenant(acme)).await.unwrap();
    let among = async |tx: &mut Tx, tenant, people: &[PersonId]| {
        fixture.tenancy.members_among(tx, tenant, people).await
    };
    assert_eq!(among(&mut tx, acme, &[bob, ada, eve, mallory]).await.unwrap(), [ada]);
    assert_eq!(among(&mut tx, acme, &[]).await.unwrap(), []);
    // A12
    assert!(matches!(among(&mut tx, zeta, &[bob]).await, Err(Error::ForeignTenant)));
    let many: Vec<PersonId> = (0..5_000).map(|_| fixture.person()).chain([ada]).collect();
    assert_eq!(among(&mut tx, acme, &many).await.unwrap(), [ada]);
}
both_engines!(of_many_people_the_active_members_of_one_tenant_are_found, &[&MIGRATIONS]);

async fn members_are_suspended_and_reinstated(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (acme, zeta) = (fixture.org("acme").await, fixture.org("zeta").await);
    let (ada, bob) = (fixture.person(), fixture.person());
    for (tenant, person) in [(acme, ada), (acme, bob), (zeta, ada)] {
        fixture.add(tenant, person).await;
    }
    let joined_at = fixture.clock.now();
    fixture.clock.advance(TimeDelta::hours(1));
    fixture.audited();

    assert!(fixture.set_status(acme, ada, MembershipStatus::Suspended).await.unwrap());
    assert!(!fixture.set_status(acme, ada, MembershipStatus::Suspended).await.unwrap());
    assert!(!fixture.is_member(acme, ada).await && fixture.is_member(zeta, ada).await);
    let mut tx = fixture.db.begin_read(Scope::Tenant(acme)).await.unwrap();
    let member = fixture.tenancy.find_member(&mut tx, acme, ada).await.unwrap().unwrap();
    let expected = Member {
        person_id: ada,
        status: MembershipStatus::Suspended,
        created_at: joined_at,
        updated_at: fixture.clock.now(),
    };
    assert_eq!(member, expected);
    let counts = fixture.tenancy.count_members(&mut tx, acme).await.unwrap();
    assert_eq!(counts, MemberCounts { active: 1, suspended: 1 });
    tx.rollback().await.unwrap();

    assert!(fixture.set_status(acme, ada, MembershipStatus::Active).await.unwrap());
    assert!(!fixture.set_status(acme, ada, MembershipStatus::Active).await.unwrap());
    assert!(fixture.is_member(acme, ada).await);
    let audited = fixture.audited();
    let actions: Vec<_> = audited.iter().map(|event| event.action).collect();
    assert_eq!(actions, ["member.suspend", "member.reinstate"]);
    assert_eq!((audited[0].tenant, &audited[0].target.id), (Some(acme), &Some(ada.to_string())));
    assert_eq!(audited[0].before.as_ref().unwrap()["status"], "active");
    assert_eq!(audited[0].after.as_ref().unwrap()["status"], "suspended");
    assert_eq!(audited[1].after.as_ref().unwrap()["status"], "active");

    // A12: who is a member elsewhere alone is as unknown as who is nowhere.
    for (tenant, person) in [(zeta, bob), (zeta, fixture.person())] {
        let refused = fixture.set_status(tenant, person, MembershipStatus::Suspended).await;
        assert!(matches!(refused, Err(Error::MemberNotFound)), "{refused:?}");
        let mut tx = fixture.db.begin_read(Scope::Tenant(tenant)).await.unwrap();
        assert_eq!(fixture.tenancy.find_member(&mut tx, tenant, person).await.unwrap(), None);
    }
    let missing = TenantId::new(fixture.clock.now());
    let refused = fixture.set_status(missing, ada, MembershipStatus::Suspended).await;
    assert!(matches!(refused, Err(Error::OrgNotFound)), "{refused:?}");
    assert_eq!(fixture.actions(), [""; 0]);
}
both_engines!(members_are_suspended_and_reinstated, &[&MIGRATIONS]);

async fn sign_in_reads_all_memberships_of_a_person(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (zeta, acme) = (fixture.org("ZETA").await, fixture.org("acme").await);
    let (ada, bob) = (fixture.person(), fixture.person());
    fixture.add(zeta, ada).await;
    fixture.add(acme, ada).await;
    fixture.add(acme, bob).await;

    let mut tx = fixture.db.begin_read(Scope::Platform("login")).await.unwrap();
    let memberships = fixture.tenancy.memberships_of(&mut tx, ada).await.unwrap();
    tx.rollback().await.unwrap();
    let codes: Vec<_> = memberships.iter().map(|membership| membership.org_code.as_str()).collect();
    assert_eq!(codes, ["acme", "ZETA"]);
    assert_eq!(memberships[1].org_name.as_str(), "ZETA");
    assert_eq!(choose(&memberships, None), Err(ChooseError::OrgCodeRequired));
    assert_eq!(choose(&memberships, Some("zeta")), Ok(zeta));

    fixture.set_status(acme, ada, MembershipStatus::Suspended).await.unwrap();
    let mut tx = fixture.db.begin(Scope::Platform("test")).await.unwrap();
    let memberships = fixture.tenancy.memberships_of(&mut tx, ada).await.unwrap();
    assert_eq!(memberships[0].status, MembershipStatus::Suspended);
    assert_eq!(choose(&memberships, None), Ok(zeta));
    fixture.tenancy.deactivate_org(&mut tx, &fixture.system, zeta).await.unwrap();
    let memberships = fixture.tenancy.memberships_of(&mut tx, ada).await.unwrap();
    assert_eq!(choose(&memberships, Some("zeta")), Err(ChooseError::NoMembership));
    tx.commit().await.unwrap();
    assert!(!fixture.is_member(acme, ada).await, "a suspended member may not act");
    assert!(!fixture.add(acme, ada).await, "adding does not lift a suspension");
    assert!(!fixture.is_member(acme, ada).await);
}
both_engines!(sign_in_reads_all_memberships_of_a_person, &[&MIGRATIONS]);

async fn a_deleted_person_leaves_every_organisation(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (acme, zeta) = (fixture.org("acme").await, fixture.org("zeta").await);
    let (ada, bob) = (fixture.person(), fixture.person());
    for (tenant, person) in [(acme, ada), (zeta, ada), (acme, bob)] {
        fixture.add(tenant, person).await;
    }
    fixture.audited();
    let mut tx = fixture.db.begin(Scope::Tenant(acme)).await.unwrap();
    let refused = fixture.tenancy.remove_person(&mut tx, &fixture.system, ada).await;
    assert!(matches!(refused, Err(Error::ForeignTenant)), "{refused:?}");
    tx.rollback().await.unwrap();

    let mut tx = fixture.db.begin(Scope::Platform("person.delete")).await.unwrap();
    let mut left = fixture.tenancy.remove_person(&mut tx, &fixture.system, ada).await.unwrap();
    tx.commit().await.unwrap();
    left.sort_unstable();
    let mut expected = vec![acme, zeta];
    expected.sort_unstable();
    assert_eq!(left, expected);
    let mut audited: Vec<_> = fixture.audited().iter().map(|event| event.tenant.unwrap()).collect();
    audited.sort_unstable();
    assert_eq!(audited, expected);
    assert!(fixture.is_member(acme, bob).await);
}
both_engines!(a_deleted_person_leaves_every_organisation, &[&MIGRATIONS]);

// A12
async fn a_transaction_of_one_tenant_cannot_touch_another(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (acme, zeta) = (fixture.org("acme").await, fixture.org("zeta").await);
    let ada = fixture.person();
    fixture.add(zeta, ada).await;
    let mut tx = fixture.db.begin(Scope::Tenant(acme)).await.unwrap();
    let (tenancy, system) = (&fixture.tenancy, &fixture.system);
    assert!(matches!(tenancy.add_member(&mut tx, system, zeta, ada).await, Err(Error::ForeignTenant)));
    assert!(matches!(tenancy.remove_member(&mut tx, system, zeta, ada).await, Err(Error::ForeignTenant)));
    assert!(matches!(tenancy.is_member(&mut tx, zeta, ada).await, Err(Error::ForeignTenant)));
    assert!(matches!(tenancy.find_member(&mut tx, zeta, ada).await, Err(Error::ForeignTenant)));
    assert!(matches!(tenancy.count_members(&mut tx, zeta).await, Err(Error::ForeignTenant)));
    let suspended = MembershipStatus::Suspended;
    let refused = tenancy.set_member_status(&mut tx, system, zeta, ada, suspended).await;
    assert!(matches!(refused, Err(Error::ForeignTenant)));
    tx.commit().await.unwrap();
    assert!(fixture.is_member(zeta, ada).await);
}
both_engines!(a_transaction_of_one_tenant_cannot_touch_another, &[&MIGRATIONS]);

async fn a_membership_needs_its_organisation(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let missing = TenantId::new(fixture.clock.now());
    let mut tx = fixture.db.begin(Scope::Tenant(missing)).await.unwrap();
    let refused = fixture.tenancy.add_member(&mut tx, &fixture.system, missing, fixture.person()).await;
    assert!(matches!(refused, Err(Error::OrgNotFound)), "{refused:?}");
}
both_engines!(a_membership_needs_its_organisation, &[&MIGRATIONS]);

async fn a_rolled_back_membership_leaves_nothing(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let org = fixture.default_org().await;
    fixture.audited();
    let ada = fixture.person();
    let mut tx = fixture.db.begin(Scope::Tenant(org.id)).await.unwrap();
    assert!(fixture.tenancy.add_member(&mut tx, &fixture.system, org.id, ada).await.unwrap());
    tx.rollback().await.unwrap();
    assert!(!fixture.is_member(org.id, ada).await);
    assert_eq!(fixture.audited().len(), 0);
}
both_engines!(a_rolled_back_membership_leaves_nothing, &[&MIGRATIONS]);

// A12: the second wall, met by statements that forget the tenant.
#[tokio::test]
async fn row_level_security_hides_foreign_memberships_from_a_careless_statement() {
    let test_db = TestDb::postgres(&[&MIGRATIONS]).await;
    let fixture = Fixture::new(&test_db).await;
    let (acme, zeta) = (fixture.org("acme").await, fixture.org("zeta").await);
    let ada = fixture.person();
    fixture.add(acme, ada).await;
    fixture.add(zeta, ada).await;

    let mut tx = fixture.db.begin(Scope::Tenant(acme)).await.unwrap();
    assert_eq!(tx.q("SELECT count(*) FROM memberships").scalar::<i64>().await.unwrap(), 1);
    assert_eq!(tx.q("UPDATE memberships SET status = 'suspended'").run().await.unwrap(), 1);
    assert_eq!(
        tx.q("DELETE FROM memberships WHERE person_id = $1").bind(ada.as_uuid()).run().await.unwrap(),
        1
    );
    let forged = tx
        .q("INSERT INTO memberships (tenant_id, person_id, status, created_at, updated_at) \
            VALUES ($1, $2, 'active', $3, $3)")
        .bind(zeta.as_uuid())
        .bind(fixture.person().as_uuid())
        .bind(fixture.clock.now())
        .run()
        .await;
    assert!(matches!(forged, Err(DbError::Forbidden)), "{forged:?}");
    tx.rollback().await.unwrap();

    let unscoped: i64 =
        fixture.db.read().await.unwrap().q("SELECT count(*) FROM memberships").scalar().await.unwrap();
    assert_eq!(unscoped, 0, "a connection that names no scope sees nothing");
    assert!(fixture.is_member(zeta, ada).await);
}
