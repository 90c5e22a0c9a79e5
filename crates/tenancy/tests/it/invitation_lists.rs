use std::sync::Arc;

use chrono::TimeDelta;
use stylobate_core::{Clock as _, Direction, InvitationId, Page, PageLimit, TenantId};
use stylobate_db::{Keyset, Scope};
use stylobate_tenancy::{
    Error, Invitation, InvitationFilter, InvitationStatus, MIGRATIONS, NewInvitation, Tenancy,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::fixture::Fixture;

impl Fixture {
    /// Invites an address for `days` days.
    async fn invited(&self, tenant: TenantId, email: &str, days: i64) -> Invitation {
        let new = NewInvitation {
            email: email.to_owned(),
            email_key: email.to_lowercase(),
            role_id: None,
            expires_at: self.clock.now() + TimeDelta::days(days),
        };
        let mut tx = self.db.begin(Scope::Tenant(tenant)).await.unwrap();
        let invited = self.tenancy.invite(&mut tx, &self.system, tenant, &new).await.unwrap();
        tx.commit().await.unwrap();
        invited
    }

    async fn invitations(
        &self,
        tenant: TenantId,
        filter: &InvitationFilter,
        keyset: &Keyset,
    ) -> Page<Invitation> {
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await.unwrap();
        self.tenancy.list_invitations(&mut tx, tenant, filter, keyset).await.unwrap()
    }

    /// The addresses of those that `filter` holds, of which there are as many as are counted.
    async fn addresses(&self, tenant: TenantId, filter: InvitationFilter) -> Vec<String> {
        let keyset = Tenancy::invitations_keyset(Direction::Asc, PageLimit::default(), None).unwrap();
        let page = self.invitations(tenant, &filter, &keyset).await;
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await.unwrap();
        let count = self.tenancy.count_invitations(&mut tx, tenant, &filter).await.unwrap();
        assert_eq!(count, page.items.len() as u64);
        page.items.into_iter().map(|invitation| invitation.email).collect()
    }

    async fn renew(&self, tenant: TenantId, id: InvitationId, days: i64) -> Result<Invitation, Error> {
        let expires_at = self.clock.now() + TimeDelta::days(days);
        let mut tx = self.db.begin(Scope::Tenant(tenant)).await.unwrap();
        let renewed = self.tenancy.renew_invitation(&mut tx, &self.system, tenant, id, expires_at).await?;
        tx.commit().await.unwrap();
        Ok(renewed)
    }

    async fn revoke(&self, tenant: TenantId, id: InvitationId) {
        let mut tx = self.db.begin(Scope::Tenant(tenant)).await.unwrap();
        self.tenancy.revoke_invitation(&mut tx, &self.system, tenant, id).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn invitations_are_found_by_what_has_become_of_them(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (acme, zeta) = (fixture.org("acme").await, fixture.org("zeta").await);
    fixture.invited(zeta, "zoe@example.org", 7).await;
    let mut made = Vec::new();
    for (email, days) in
        [("Open@example.org", 7), ("late@x_y.org", 1), ("in@example.org", 7), ("out@a.org", 7)]
    {
        fixture.clock.advance(TimeDelta::minutes(1));
        made.push(fixture.invited(acme, email, days).await.id);
    }
    fixture.revoke(acme, made[3]).await;
    let mut tx = fixture.db.begin(Scope::Platform("test")).await.unwrap();
    let person = fixture.person();
    fixture.tenancy.accept_invitation(&mut tx, &fixture.system, acme, made[2], person).await.unwrap();
    tx.commit().await.unwrap();
    fixture.clock.advance(TimeDelta::days(2));

    let all = InvitationFilter::default();
    let every = ["Open@example.org", "late@x_y.org", "in@example.org", "out@a.org"];
    assert_eq!(fixture.addresses(acme, all.clone()).await, every);
    let of = |status| InvitationFilter { status: Some(status), ..InvitationFilter::default() };
    assert_eq!(fixture.addresses(acme, of(InvitationStatus::Pending)).await, every[..2]);
    assert_eq!(fixture.addresses(acme, of(InvitationStatus::Accepted)).await, ["in@example.org"]);
    assert_eq!(fixture.addresses(acme, of(InvitationStatus::Revoked)).await, ["out@a.org"]);
    let open = InvitationFilter { is_open: Some(true), ..all.clone() };
    assert_eq!(fixture.addresses(acme, open).await, ["Open@example.org"]);
    let closed = InvitationFilter { is_open: Some(false), ..all.clone() };
    assert_eq!(fixture.addresses(acme, closed).await, every[1..]);
    let late = InvitationFilter { is_open: Some(false), ..of(InvitationStatus::Pending) };
    assert_eq!(fixture.addresses(acme, late).await, ["late@x_y.org"]);
    for (search, found) in [
        ("OPEN@", &every[..1]),
        ("_", &every[1..2]),
        ("%", &[]),
        ("example.org", &["Open@example.org", "in@example.org"]),
    ] {
        let filter = InvitationFilter { search: Some(search.to_owned()), ..all.clone() };
        assert_eq!(fixture.addresses(acme, filter).await, found, "{search}");
    }

    // A12
    let keyset = Tenancy::invitations_keyset(Direction::Asc, PageLimit::default(), None).unwrap();
    let mut tx = fixture.db.begin_read(Scope::Tenant(zeta)).await.unwrap();
    let refused = fixture.tenancy.list_invitations(&mut tx, acme, &all, &keyset).await;
    assert!(matches!(refused, Err(Error::ForeignTenant)), "{refused:?}");
    let refused = fixture.tenancy.count_invitations(&mut tx, acme, &all).await;
    assert!(matches!(refused, Err(Error::ForeignTenant)), "{refused:?}");
    drop(tx);
    assert_eq!(fixture.addresses(zeta, all).await, ["zoe@example.org"]);
}
both_engines!(invitations_are_found_by_what_has_become_of_them, &[&MIGRATIONS]);

async fn invitations_are_listed_page_by_page(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (acme, zeta) = (fixture.org("acme").await, fixture.org("zeta").await);
    let mut all = Vec::new();
    for n in 0..5 {
        if n % 2 == 0 {
            fixture.clock.advance(TimeDelta::seconds(1));
        }
        fixture.invited(zeta, &format!("{n}@example.org"), 7).await;
        all.push(fixture.invited(acme, &format!("{n}@example.org"), 7).await);
    }
    all.sort_unstable_by_key(|invitation| (invitation.created_at, invitation.id));
    let limit = PageLimit::new(2).unwrap();
    for direction in [Direction::Asc, Direction::Desc] {
        let (mut read, mut cursor) = (Vec::new(), None);
        loop {
            let keyset = Tenancy::invitations_keyset(direction, limit, cursor.as_deref()).unwrap();
            let page = fixture.invitations(acme, &InvitationFilter::default(), &keyset).await;
            assert!(page.items.len() <= 2);
            read.extend(page.items);
            let Some(next) = page.next_cursor else { break };
            cursor = Some(next.encode());
        }
        assert_eq!(read, all);
        all.reverse();
    }
    assert!(Tenancy::invitations_keyset(Direction::Asc, limit, Some("x")).is_err());
}
both_engines!(invitations_are_listed_page_by_page, &[&MIGRATIONS]);

async fn an_invitation_is_renewed_while_it_is_pending(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let (acme, zeta) = (fixture.org("acme").await, fixture.org("zeta").await);
    let made = fixture.invited(acme, "bob@example.org", 7).await;
    fixture.audited();
    fixture.clock.advance(TimeDelta::days(1));
    let renewed = fixture.renew(acme, made.id, 7).await.unwrap();
    let later = made.expires_at + TimeDelta::days(1);
    assert_eq!(renewed, Invitation { expires_at: later, ..made.clone() });
    let audited = fixture.audited();
    assert_eq!((audited.len(), audited[0].action, audited[0].tenant), (1, "invitation.renew", Some(acme)));
    assert_eq!(audited[0].target.id, Some(made.id.to_string()));
    assert_eq!(audited[0].before.as_ref().unwrap()["expires_at"], "2026-03-08T12:00:00Z");
    assert_eq!(audited[0].after.as_ref().unwrap()["expires_at"], "2026-03-09T12:00:00Z");
    // Nobody who has the link loses time.
    assert_eq!(fixture.renew(acme, made.id, 1).await.unwrap().expires_at, later);

    // One whose time has passed can be accepted again.
    fixture.clock.advance(TimeDelta::days(30));
    let renewed = fixture.renew(acme, made.id, 7).await.unwrap();
    assert!(renewed.is_open(fixture.clock.now()));
    let mut tx = fixture.db.begin_read(Scope::Tenant(acme)).await.unwrap();
    assert_eq!(fixture.tenancy.find_invitation(&mut tx, acme, made.id).await.unwrap(), Some(renewed));
    drop(tx);
    let mut tx = fixture.db.begin(Scope::Platform("test")).await.unwrap();
    let person = fixture.person();
    fixture.tenancy.accept_invitation(&mut tx, &fixture.system, acme, made.id, person).await.unwrap();
    tx.commit().await.unwrap();

    // Used, taken back, foreign or missing: none of them is open.
    let taken_back = fixture.invited(acme, "eve@example.org", 7).await.id;
    fixture.revoke(acme, taken_back).await;
    let foreign = fixture.invited(zeta, "zoe@example.org", 7).await;
    let missing = InvitationId::new(fixture.clock.now());
    fixture.audited();
    for id in [made.id, taken_back, foreign.id, missing] {
        let refused = fixture.renew(acme, id, 30).await;
        assert!(matches!(refused, Err(Error::InvitationClosed)), "{refused:?}");
    }
    assert_eq!(fixture.actions(), [""; 0]);
    // A12
    let mut tx = fixture.db.begin(Scope::Tenant(acme)).await.unwrap();
    let (tenancy, system) = (&fixture.tenancy, &fixture.system);
    let refused = tenancy.renew_invitation(&mut tx, system, zeta, foreign.id, foreign.expires_at).await;
    assert!(matches!(refused, Err(Error::ForeignTenant)), "{refused:?}");
}
both_engines!(an_invitation_is_renewed_while_it_is_pending, &[&MIGRATIONS]);

async fn of_many_renewals_at_once_the_longest_stands(test_db: TestDb) {
    let fixture = Arc::new(Fixture::new(&test_db).await);
    let acme = fixture.org("acme").await;
    for round in 0..8 {
        let made = fixture.invited(acme, &format!("bob{round}@example.org"), 7).await;
        let mut asked = tokio::task::JoinSet::new();
        // The longest in the middle, so that others come after it.
        for days in [10, 25, 30, 20, 15, 12] {
            let fixture = Arc::clone(&fixture);
            asked.spawn(async move { fixture.renew(acme, made.id, days).await.unwrap() });
        }
        let told = asked.join_all().await.into_iter().map(|renewed| renewed.expires_at).max();
        let mut tx = fixture.db.begin_read(Scope::Tenant(acme)).await.unwrap();
        let found = fixture.tenancy.find_invitation(&mut tx, acme, made.id).await.unwrap().unwrap();
        let longest = fixture.clock.now() + TimeDelta::days(30);
        assert_eq!((found.expires_at, told), (longest, Some(longest)));
    }
}
both_engines!(of_many_renewals_at_once_the_longest_stands, &[&MIGRATIONS]);
