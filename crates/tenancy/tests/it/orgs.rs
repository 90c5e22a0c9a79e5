use chrono::{NaiveDate, TimeDelta};
use stylobate_core::{Clock as _, TenantId};
use stylobate_db::{Error as DbError, Scope};
use stylobate_tenancy::{
    Error, LicenseStatus, MIGRATIONS, MembershipStatus, NewInvitation, NewOrg, Org, OrgChange,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::fixture::{Fixture, new_org, somebody_waits};

fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

async fn organisations_are_made_with_a_code_of_their_own(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let new = NewOrg {
        license_status: LicenseStatus::Suspended,
        purchase_date: Some(day(2026, 2, 3)),
        ..new_org("ACME", "Acme Ltd")
    };
    let made = fixture.create(&new).await.unwrap();
    let expected = Org {
        id: made.id,
        code: "ACME".parse().unwrap(),
        name: "Acme Ltd".parse().unwrap(),
        license_status: LicenseStatus::Suspended,
        purchase_date: Some(day(2026, 2, 3)),
        is_active: true,
        is_default: false,
        removal_began_at: None,
        created_at: fixture.clock.now(),
        updated_at: fixture.clock.now(),
        version: 1,
    };
    assert_eq!(made, expected);
    let stored = fixture.find(made.id).await.unwrap();
    assert_eq!((&stored, stored.code.as_str()), (&made, "ACME"));
    let audited = fixture.audited();
    assert_eq!((audited.len(), audited[0].action, audited[0].tenant), (1, "org.create", Some(made.id)));
    assert_eq!((audited[0].target.kind, &audited[0].target.id), ("org", &Some(made.id.to_string())));
    let after = audited[0].after.as_ref().unwrap();
    assert_eq!((&after["org_code"], &after["license_status"]), (&"ACME".into(), &"suspended".into()));
    assert_eq!((&after["purchase_date"], &after["is_active"]), (&"2026-02-03".into(), &true.into()));

    // Whoever meets a taken code tries another in the same transaction.
    let mut tx = fixture.db.begin(Scope::Platform("test")).await.unwrap();
    let again = new_org("acme", "Other");
    let refused = fixture.tenancy.create_org(&mut tx, &fixture.system, &again).await;
    assert!(matches!(refused, Err(Error::CodeTaken)), "{refused:?}");
    let again = NewOrg { code: again.code.with_suffix(2), ..again };
    let other = fixture.tenancy.create_org(&mut tx, &fixture.system, &again).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(fixture.find(other.id).await.unwrap().code.as_str(), "acme-2");
    assert_eq!(fixture.actions(), ["org.create"]);

    // A12
    let mut tx = fixture.db.begin(Scope::Tenant(made.id)).await.unwrap();
    let refused = fixture.tenancy.create_org(&mut tx, &fixture.system, &new_org("zeta", "Zeta")).await;
    assert!(matches!(refused, Err(Error::ForeignTenant)), "{refused:?}");
}
both_engines!(organisations_are_made_with_a_code_of_their_own, &[&MIGRATIONS]);

async fn what_bodies_show_of_an_organisation(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let new = NewOrg { purchase_date: Some(day(2026, 2, 3)), ..new_org("acme", "Acme Ltd") };
    let made = fixture.create(&new).await.unwrap();
    let shown = serde_json::to_value(&made).unwrap();
    let expected = serde_json::json!({
        "id": made.id,
        "code": "acme",
        "name": "Acme Ltd",
        "license_status": "active",
        "purchase_date": "2026-02-03",
        "is_active": true,
        "is_default": false,
        "removal_began_at": null,
        "created_at": "2026-03-01T12:00:00Z",
        "updated_at": "2026-03-01T12:00:00Z",
        "version": 1,
    });
    assert_eq!(shown, expected);
}
both_engines!(what_bodies_show_of_an_organisation, &[&MIGRATIONS]);

async fn of_many_who_want_a_code_at_once_one_gets_it(test_db: TestDb) {
    let fixture = std::sync::Arc::new(Fixture::new(&test_db).await);
    let mut asked = tokio::task::JoinSet::new();
    for n in 0..6 {
        let fixture = fixture.clone();
        let new = new_org(if n % 2 == 0 { "acme" } else { "ACME" }, "Acme");
        asked.spawn(async move { fixture.create(&new).await });
    }
    let answers = asked.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(Error::CodeTaken))).count(), 5);

    // The second to change theirs to a code waits for the first, and is refused.
    let (zeta, eta) = (fixture.org("zeta").await, fixture.org("eta").await);
    let change = OrgChange { code: Some("theta".parse().unwrap()), ..OrgChange::default() };
    let mut tx = fixture.db.begin(Scope::Platform("test")).await.unwrap();
    fixture.tenancy.update_org(&mut tx, &fixture.system, zeta, &change).await.unwrap();
    let second = tokio::spawn({
        let fixture = fixture.clone();
        async move { fixture.update(eta, &change).await }
    });
    somebody_waits(&fixture.db).await;
    assert!(!second.is_finished());
    tx.commit().await.unwrap();
    let refused = second.await.unwrap();
    assert!(matches!(refused, Err(Error::CodeTaken)), "{refused:?}");
}
both_engines!(of_many_who_want_a_code_at_once_one_gets_it, &[&MIGRATIONS]);

async fn an_organisation_is_changed_by_version(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let made = fixture.create(&new_org("acme", "Acme")).await.unwrap();
    let zeta = fixture.org("zeta").await;
    fixture.clock.advance(TimeDelta::hours(1));
    let change = OrgChange {
        name: Some("Acme Ltd".parse().unwrap()),
        license_status: Some(LicenseStatus::Expired),
        purchase_date: Some(Some(day(2026, 2, 3))),
        version: Some(1),
        ..OrgChange::default()
    };
    let (changed, is_changed) = fixture.update(made.id, &change).await.unwrap();
    let expected = Org {
        name: "Acme Ltd".parse().unwrap(),
        license_status: LicenseStatus::Expired,
        purchase_date: Some(day(2026, 2, 3)),
        updated_at: fixture.clock.now(),
        version: 2,
        ..made.clone()
    };
    assert!(is_changed);
    assert_eq!((&changed, fixture.find(made.id).await.unwrap()), (&expected, expected.clone()));
    let audited = fixture.audited();
    assert_eq!((audited.len(), audited[0].action, audited[0].tenant), (1, "org.update", Some(made.id)));
    assert_eq!(audited[0].before.as_ref().unwrap()["name"], "Acme");
    assert_eq!(audited[0].after.as_ref().unwrap()["name"], "Acme Ltd");

    let refused = fixture.update(made.id, &change).await;
    assert!(matches!(refused, Err(Error::VersionConflict)), "{refused:?}");
    // What is so already is no change.
    let same = OrgChange { version: Some(2), code: Some(made.code.clone()), ..change };
    assert_eq!(fixture.update(made.id, &same).await.unwrap(), (changed.clone(), false));
    assert_eq!(fixture.update(made.id, &OrgChange::default()).await.unwrap(), (changed, false));
    assert_eq!(fixture.actions(), [""; 0]);

    let code = |code: &str| OrgChange { code: Some(code.parse().unwrap()), ..OrgChange::default() };
    let (respelt, is_changed) = fixture.update(made.id, &code("Acme")).await.unwrap();
    assert_eq!((respelt.code.as_str(), respelt.version, is_changed), ("Acme", 3, true));
    assert_eq!(fixture.find(made.id).await.unwrap().code.as_str(), "Acme");
    let refused = fixture.update(made.id, &code("ZETA")).await;
    assert!(matches!(refused, Err(Error::CodeTaken)), "{refused:?}");
    let forgotten = OrgChange { purchase_date: Some(None), ..OrgChange::default() };
    assert_eq!(fixture.update(made.id, &forgotten).await.unwrap().0.purchase_date, None);
    assert_eq!(fixture.find(made.id).await.unwrap().purchase_date, None);

    // A12: an organisation changes itself, and no other.
    let mut tx = fixture.db.begin(Scope::Tenant(zeta)).await.unwrap();
    let refused = fixture.tenancy.update_org(&mut tx, &fixture.system, made.id, &code("eta")).await;
    assert!(matches!(refused, Err(Error::ForeignTenant)), "{refused:?}");
    fixture.tenancy.update_org(&mut tx, &fixture.system, zeta, &code("eta")).await.unwrap();
    tx.commit().await.unwrap();
    let missing = TenantId::new(fixture.clock.now());
    let refused = fixture.update(missing, &code("theta")).await;
    assert!(matches!(refused, Err(Error::OrgNotFound)), "{refused:?}");
}
both_engines!(an_organisation_is_changed_by_version, &[&MIGRATIONS]);

async fn days_that_the_engines_order_differently_are_refused(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    for (n, date) in [day(0, 12, 31), day(10_000, 1, 1), day(-4000, 1, 1)].into_iter().enumerate() {
        let new = NewOrg { purchase_date: Some(date), ..new_org(&format!("acme{n}"), "Acme") };
        let refused = fixture.create(&new).await;
        assert!(matches!(refused, Err(Error::Db(DbError::Constraint { .. }))), "{date}: {refused:?}");
    }
    for (n, date) in [day(1, 1, 1), day(9999, 12, 31)].into_iter().enumerate() {
        let new = NewOrg { purchase_date: Some(date), ..new_org(&format!("zeta{n}"), "Zeta") };
        let made = fixture.create(&new).await.unwrap();
        assert_eq!(fixture.find(made.id).await.unwrap().purchase_date, Some(date));
    }
}
both_engines!(days_that_the_engines_order_differently_are_refused, &[&MIGRATIONS]);

async fn an_organisation_is_deactivated_and_activated(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (acme, ada) = (fixture.org("acme").await, fixture.person());
    fixture.add(acme, ada).await;
    fixture.audited();
    fixture.clock.advance(TimeDelta::hours(1));

    let (org, was_active) = fixture.deactivate(acme).await.unwrap();
    assert!(was_active && !org.is_active && org.removal_began_at.is_none());
    assert_eq!((org.version, org.updated_at), (2, fixture.clock.now()));
    assert_eq!(fixture.deactivate(acme).await.unwrap(), (org.clone(), false));
    assert_eq!(fixture.find(acme).await, Some(org));
    let mut tx = fixture.db.begin_read(Scope::Platform("test")).await.unwrap();
    let memberships = fixture.tenancy.memberships_of(&mut tx, ada).await.unwrap();
    assert!(!memberships[0].is_usable() && memberships[0].status == MembershipStatus::Active);
    tx.rollback().await.unwrap();

    let (org, was_inactive) = fixture.activate(acme).await.unwrap();
    assert!(was_inactive && org.is_active && org.version == 3);
    assert_eq!(fixture.activate(acme).await.unwrap(), (org, false));
    let audited = fixture.audited();
    let actions: Vec<_> = audited.iter().map(|event| event.action).collect();
    assert_eq!(actions, ["org.deactivate", "org.activate"]);
    assert_eq!(audited[0].before.as_ref().unwrap()["is_active"], true);
    assert_eq!(audited[0].after.as_ref().unwrap()["is_active"], false);

    let missing = TenantId::new(fixture.clock.now());
    for refused in [fixture.deactivate(missing).await, fixture.activate(missing).await] {
        assert!(matches!(refused, Err(Error::OrgNotFound)), "{refused:?}");
    }
    // A12
    let zeta = fixture.org("zeta").await;
    let mut tx = fixture.db.begin(Scope::Tenant(zeta)).await.unwrap();
    let (tenancy, system) = (&fixture.tenancy, &fixture.system);
    assert!(matches!(tenancy.deactivate_org(&mut tx, system, acme).await, Err(Error::ForeignTenant)));
    assert!(matches!(tenancy.activate_org(&mut tx, system, acme).await, Err(Error::ForeignTenant)));
    let refused = tenancy.begin_org_removal(&mut tx, system, acme, 3).await;
    assert!(matches!(refused, Err(Error::ForeignTenant)), "{refused:?}");
}
both_engines!(an_organisation_is_deactivated_and_activated, &[&MIGRATIONS]);

async fn the_default_organisation_is_neither_deactivated_nor_removed(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let org = fixture.default_org().await;
    fixture.audited();
    for refused in [fixture.deactivate(org.id).await, fixture.begin_removal(org.id).await] {
        assert!(matches!(refused, Err(Error::DefaultOrg)), "{refused:?}");
    }
    assert_eq!(fixture.activate(org.id).await.unwrap(), (org.clone(), false));
    // It can be renamed.
    let change = OrgChange { code: Some("root".parse().unwrap()), ..OrgChange::default() };
    let (renamed, _) = fixture.update(org.id, &change).await.unwrap();
    assert_eq!(fixture.default_org().await, renamed);
    assert_eq!(fixture.actions(), ["org.update"]);
}
both_engines!(the_default_organisation_is_neither_deactivated_nor_removed, &[&MIGRATIONS]);

async fn nobody_undoes_a_removal(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (acme, ada) = (fixture.org("acme").await, fixture.person());
    fixture.add(acme, ada).await;
    let new = NewInvitation {
        email: "bob@example.org".to_owned(),
        email_key: "bob@example.org".to_owned(),
        role_id: None,
        expires_at: fixture.clock.now() + TimeDelta::days(7),
    };
    let mut tx = fixture.db.begin(Scope::Tenant(acme)).await.unwrap();
    let invited = fixture.tenancy.invite(&mut tx, &fixture.system, acme, &new).await.unwrap();
    tx.commit().await.unwrap();
    fixture.audited();

    let (org, has_begun) = fixture.begin_removal(acme).await.unwrap();
    assert!(has_begun && !org.is_active);
    assert_eq!((org.removal_began_at, org.version), (Some(fixture.clock.now()), 2));
    fixture.clock.advance(TimeDelta::hours(1));
    assert_eq!(fixture.begin_removal(acme).await.unwrap(), (org.clone(), false));
    assert_eq!(fixture.find(acme).await, Some(org));
    let audited = fixture.audited();
    assert_eq!((audited.len(), audited[0].action), (1, "org.removal_begun"));
    assert_eq!(audited[0].before.as_ref().unwrap()["is_active"], true);
    assert_eq!(audited[0].after.as_ref().unwrap()["removal_began_at"], "2026-03-01T12:00:00Z");

    let (tenancy, system) = (&fixture.tenancy, &fixture.system);
    let mut tx = fixture.db.begin(Scope::Platform("test")).await.unwrap();
    let renamed = OrgChange { name: Some("Acme".parse().unwrap()), ..OrgChange::default() };
    let later = fixture.clock.now() + TimeDelta::days(9);
    let new = NewInvitation { email_key: "eve@example.org".to_owned(), ..new };
    let refusals = [
        tenancy.update_org(&mut tx, system, acme, &renamed).await.err(),
        tenancy.activate_org(&mut tx, system, acme).await.err(),
        tenancy.deactivate_org(&mut tx, system, acme).await.err(),
        tenancy.lock_org_to_write(&mut tx, acme).await.err(),
        tenancy.add_member(&mut tx, system, acme, fixture.person()).await.err(),
        tenancy.set_member_status(&mut tx, system, acme, ada, MembershipStatus::Suspended).await.err(),
        tenancy.invite(&mut tx, system, acme, &new).await.err(),
        tenancy.renew_invitation(&mut tx, system, acme, invited.id, later).await.err(),
        tenancy.accept_invitation(&mut tx, system, acme, invited.id, fixture.person()).await.err(),
    ];
    for (n, refused) in refusals.into_iter().enumerate() {
        assert!(matches!(refused, Some(Error::OrgBeingDeleted)), "{n}: {refused:?}");
    }
    let refused = tenancy.hold_active(&mut tx, acme).await;
    assert!(matches!(refused, Err(Error::OrgInactive)), "{refused:?}");
    // What is taken away goes with it.
    tenancy.revoke_invitation(&mut tx, system, acme, invited.id).await.unwrap();
    assert!(tenancy.remove_member(&mut tx, system, acme, ada).await.unwrap());
    tx.commit().await.unwrap();
    // Nor does a statement that knows nothing of it.
    let mut tx = fixture.db.begin(Scope::Platform("test")).await.unwrap();
    let refused = tx.q("UPDATE orgs SET is_active = $1").bind(true).run().await;
    assert!(matches!(refused, Err(DbError::Constraint { .. })), "{refused:?}");
    tx.rollback().await.unwrap();
}
both_engines!(nobody_undoes_a_removal, &[&MIGRATIONS]);

async fn a_removal_that_was_decided_by_another_version_does_not_begin(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let acme = fixture.org("acme").await;
    let renamed = OrgChange { name: Some("Needed".parse().unwrap()), ..OrgChange::default() };
    let (renamed, _) = fixture.update(acme, &renamed).await.unwrap();
    let (tenancy, system) = (&fixture.tenancy, &fixture.system);
    let mut tx = fixture.db.begin(Scope::Platform("test")).await.unwrap();
    let refused = tenancy.begin_org_removal(&mut tx, system, acme, renamed.version - 1).await;
    assert!(matches!(refused, Err(Error::VersionConflict)), "{refused:?}");
    let (org, has_begun) = tenancy.begin_org_removal(&mut tx, system, acme, renamed.version).await.unwrap();
    assert!(has_begun);
    // Nobody decides anything about one that has begun.
    let again = tenancy.begin_org_removal(&mut tx, system, acme, renamed.version).await.unwrap();
    assert_eq!(again, (org, false));
    tx.commit().await.unwrap();
    assert_eq!(fixture.actions(), ["org.update", "org.removal_begun"]);
}
both_engines!(a_removal_that_was_decided_by_another_version_does_not_begin, &[&MIGRATIONS]);
