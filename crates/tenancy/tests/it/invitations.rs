use chrono::TimeDelta;
use stylobate_core::{Clock as _, InvitationId, PersonId, Principal, RequestContext, TenantId};
use stylobate_db::{Scope, Tx};
use stylobate_tenancy::{Error, Invitation, InvitationStatus, MIGRATIONS, NewInvitation};
use stylobate_testkit::{TestDb, both_engines};

use crate::fixture::Fixture;

impl Fixture {
    fn new_invitation(&self, email: &str) -> NewInvitation {
        NewInvitation {
            email: email.to_owned(),
            email_key: email.to_lowercase(),
            role_id: None,
            expires_at: self.clock.now() + TimeDelta::days(7),
        }
    }

    async fn invite(&self, tenant: TenantId, email: &str) -> Result<Invitation, Error> {
        let mut tx = self.db.begin(Scope::Tenant(tenant)).await.unwrap();
        let invited = self.tenancy.invite(&mut tx, &self.system, tenant, &self.new_invitation(email)).await;
        tx.commit().await.unwrap();
        invited
    }

    /// As accepting does it: before the tenant is known, so over all of them.
    async fn accept(&self, tenant: TenantId, id: InvitationId, person: PersonId) -> Result<bool, Error> {
        let mut tx = self.db.begin(Scope::Platform("test")).await.unwrap();
        let accepted = self.tenancy.accept_invitation(&mut tx, &self.system, tenant, id, person).await;
        tx.commit().await.unwrap();
        accepted
    }

    async fn invitation(&self, tenant: TenantId, id: InvitationId) -> Invitation {
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await.unwrap();
        self.tenancy.find_invitation(&mut tx, tenant, id).await.unwrap().unwrap()
    }
}

async fn whoever_accepts_an_invitation_is_a_member_once(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (acme, ada, eve) = (fixture.org("acme").await, fixture.person(), fixture.person());
    let mut tx = fixture.db.begin(Scope::Tenant(acme)).await.unwrap();
    let by_ada = RequestContext::new(Principal::person(ada).in_tenant(acme));
    let new = fixture.new_invitation("Bob@example.org");
    let made = fixture.tenancy.invite(&mut tx, &by_ada, acme, &new).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(fixture.invitation(acme, made.id).await, made);
    assert!(made.is_open(fixture.clock.now()) && made.invited_by == Some(ada));
    assert_eq!(fixture.audited()[0].action, "invitation.create");

    let bob = fixture.person();
    assert!(fixture.accept(acme, made.id, bob).await.unwrap());
    assert!(fixture.is_member(acme, bob).await);
    let accepted = fixture.invitation(acme, made.id).await;
    assert_eq!((accepted.status, accepted.accepted_by), (InvitationStatus::Accepted, Some(bob)));
    let actions: Vec<_> = fixture.audited().iter().map(|event| event.action).collect();
    assert_eq!(actions, ["invitation.accept", "member.add"]);
    assert!(matches!(fixture.accept(acme, made.id, eve).await, Err(Error::InvitationClosed)));
    assert!(!fixture.is_member(acme, eve).await);
    // Who is a member already uses it up.
    let again = fixture.invite(acme, "bob@example.org").await.unwrap();
    assert!(!fixture.accept(acme, again.id, bob).await.unwrap());
    assert_eq!(fixture.invitation(acme, again.id).await.status, InvitationStatus::Accepted);
}
both_engines!(whoever_accepts_an_invitation_is_a_member_once, &[&MIGRATIONS]);

async fn an_address_has_one_open_invitation_to_an_organisation(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (acme, zeta) = (fixture.org("acme").await, fixture.org("zeta").await);
    let first = fixture.invite(acme, "bob@example.org").await.unwrap();
    assert!(matches!(fixture.invite(acme, "BOB@example.org").await, Err(Error::InvitationPending)));
    fixture.invite(zeta, "bob@example.org").await.unwrap();
    // One that was taken back, or whose time has passed, makes room, and admits nobody.
    let mut tx = fixture.db.begin(Scope::Tenant(acme)).await.unwrap();
    fixture.tenancy.revoke_invitation(&mut tx, &fixture.system, acme, first.id).await.unwrap();
    let twice = fixture.tenancy.revoke_invitation(&mut tx, &fixture.system, acme, first.id).await;
    assert!(matches!(twice, Err(Error::InvitationClosed)));
    tx.commit().await.unwrap();
    let second = fixture.invite(acme, "bob@example.org").await.unwrap();
    fixture.clock.advance(TimeDelta::days(7));
    assert!(!second.is_open(fixture.clock.now()));
    for closed in [first.id, second.id] {
        let refused = fixture.accept(acme, closed, fixture.person()).await;
        assert!(matches!(refused, Err(Error::InvitationClosed)), "{refused:?}");
    }
    fixture.audited();
    let third = fixture.invite(acme, "bob@example.org").await.unwrap();
    assert_eq!(fixture.invitation(acme, second.id).await.status, InvitationStatus::Revoked);
    // That it is taken back is on record as of any other.
    let audited = fixture.audited();
    let told: Vec<_> = audited.iter().map(|event| (event.action, event.target.id.clone())).collect();
    let of = |invitation: &Invitation| Some(invitation.id.to_string());
    assert_eq!(told, [("invitation.revoke", of(&second)), ("invitation.create", of(&third))]);
    assert_eq!(audited[0].tenant, Some(acme));
}
both_engines!(an_address_has_one_open_invitation_to_an_organisation, &[&MIGRATIONS]);

async fn of_many_who_accept_at_once_one_joins(test_db: TestDb) {
    let fixture = std::sync::Arc::new(Fixture::new(&test_db).await);
    let acme = fixture.org("acme").await;
    let id = fixture.invite(acme, "bob@example.org").await.unwrap().id;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (fixture, person) = (fixture.clone(), fixture.person());
        asked.spawn(async move { fixture.accept(acme, id, person).await.is_ok() });
    }
    assert_eq!(asked.join_all().await.into_iter().filter(|joined| *joined).count(), 1);
}
both_engines!(of_many_who_accept_at_once_one_joins, &[&MIGRATIONS]);

// A12
async fn no_tenant_sees_or_touches_the_invitations_of_another(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (acme, zeta) = (fixture.org("acme").await, fixture.org("zeta").await);
    let id = fixture.invite(acme, "bob@example.org").await.unwrap().id;
    let mut tx = fixture.db.begin(Scope::Tenant(zeta)).await.unwrap();
    let (tenancy, system) = (&fixture.tenancy, &fixture.system);
    assert!(matches!(tenancy.find_invitation(&mut tx, acme, id).await, Err(Error::ForeignTenant)));
    assert_eq!(tenancy.find_invitation(&mut tx, zeta, id).await.unwrap(), None);
    let refused = tenancy.revoke_invitation(&mut tx, system, zeta, id).await;
    assert!(matches!(refused, Err(Error::InvitationClosed)));
    let refused = tenancy.accept_invitation(&mut tx, system, zeta, id, fixture.person()).await;
    assert!(matches!(refused, Err(Error::InvitationClosed)));
    let refused = tenancy.invite(&mut tx, system, acme, &fixture.new_invitation("eve@example.org")).await;
    assert!(matches!(refused, Err(Error::ForeignTenant)));
    if test_db.engine() == stylobate_db::Engine::Postgres {
        // Row-level security holds what a careless statement forgets.
        let seen: i64 = tx.q("SELECT count(*) FROM invitations").scalar().await.unwrap();
        assert_eq!((seen, tx.q("DELETE FROM invitations").run().await.unwrap()), (0, 0));
    }
    tx.commit().await.unwrap();
    assert!(fixture.invitation(acme, id).await.is_open(fixture.clock.now()));
}
both_engines!(no_tenant_sees_or_touches_the_invitations_of_another, &[&MIGRATIONS]);

async fn who_is_deleted_is_forgotten_in_invitations(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (acme, ada) = (fixture.org("acme").await, fixture.person());
    let by_ada = RequestContext::new(Principal::person(ada).in_tenant(acme));
    let mut tx: Tx = fixture.db.begin(Scope::Platform("test")).await.unwrap();
    let new = fixture.new_invitation("bob@example.org");
    let made = fixture.tenancy.invite(&mut tx, &by_ada, acme, &new).await.unwrap();
    let new = fixture.new_invitation("ada@example.org");
    let hers = fixture.tenancy.invite(&mut tx, &fixture.system, acme, &new).await.unwrap();
    fixture.tenancy.accept_invitation(&mut tx, &by_ada, acme, hers.id, ada).await.unwrap();
    fixture.tenancy.remove_person(&mut tx, &fixture.system, ada).await.unwrap();
    // It holds her address.
    assert_eq!(fixture.tenancy.find_invitation(&mut tx, acme, hers.id).await.unwrap(), None);
    tx.commit().await.unwrap();
    let left = fixture.invitation(acme, made.id).await;
    assert_eq!((left.status, left.invited_by), (InvitationStatus::Pending, None));
}
both_engines!(who_is_deleted_is_forgotten_in_invitations, &[&MIGRATIONS]);
