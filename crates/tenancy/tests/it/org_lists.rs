use chrono::TimeDelta;
use stylobate_core::{Clock as _, Direction, Page, PageLimit, PersonId, TenantId};
use stylobate_db::{Keyset, Scope};
use stylobate_tenancy::{
    Error, LicenseStatus, MIGRATIONS, MembershipStatus, NewOrg, Org, OrgChange, OrgFilter, Tenancy,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::fixture::{Fixture, new_org};

impl Fixture {
    async fn page(&self, filter: &OrgFilter, keyset: &Keyset) -> Result<Page<Org>, Error> {
        let mut tx = self.db.begin_read(Scope::Platform("test")).await.unwrap();
        self.tenancy.list_orgs(&mut tx, filter, keyset).await
    }

    /// The codes of those that `filter` holds, of which there are as many as are counted.
    async fn codes(&self, filter: OrgFilter) -> Vec<String> {
        let keyset = Tenancy::orgs_keyset(Direction::Asc, PageLimit::default(), None).unwrap();
        let page = self.page(&filter, &keyset).await.unwrap();
        let mut tx = self.db.begin_read(Scope::Platform("test")).await.unwrap();
        let count = self.tenancy.count_orgs(&mut tx, &filter).await.unwrap();
        assert_eq!(count, page.items.len() as u64);
        page.items.iter().map(|org| org.code.to_string()).collect()
    }

    async fn codes_of(&self, search: &str) -> Vec<String> {
        self.codes(OrgFilter { search: Some(search.to_owned()), ..OrgFilter::default() }).await
    }

    async fn made(&self, new: &NewOrg) -> TenantId {
        self.clock.advance(TimeDelta::minutes(1));
        self.create(new).await.unwrap().id
    }
}

const NONE: [&str; 0] = [];

async fn organisations_are_found_by_what_they_are(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    fixture.default_org().await;
    let acme = fixture.made(&new_org("acme", "Acme Ltd")).await;
    let expired = NewOrg { license_status: LicenseStatus::Expired, ..new_org("BIG", "GRÖSSE & Söhne") };
    let big = fixture.made(&expired).await;
    fixture.made(&new_org("fun", "100% Fun_draiser")).await;
    fixture.deactivate(big).await.unwrap();

    let all = OrgFilter::default();
    assert_eq!(fixture.codes(all.clone()).await, ["default", "acme", "BIG", "fun"]);
    let active = OrgFilter { is_active: Some(true), ..all.clone() };
    assert_eq!(fixture.codes(active.clone()).await, ["default", "acme", "fun"]);
    let inactive = OrgFilter { is_active: Some(false), ..all.clone() };
    assert_eq!(fixture.codes(inactive.clone()).await, ["BIG"]);
    let with = |status| OrgFilter { license_status: Some(status), ..OrgFilter::default() };
    assert_eq!(fixture.codes(with(LicenseStatus::Expired)).await, ["BIG"]);
    assert_eq!(fixture.codes(with(LicenseStatus::Suspended)).await, NONE);
    assert_eq!(
        fixture.codes(OrgFilter { is_active: Some(true), ..with(LicenseStatus::Expired) }).await,
        NONE
    );

    for (search, found) in [
        ("ACME", &["acme"][..]),
        ("ltd", &["acme"]),
        ("größe", &[]),
        ("Grösse", &["BIG"]),
        ("big", &["BIG"]),
        // What engines take for patterns is text.
        ("%", &["fun"]),
        ("_", &["fun"]),
        ("\\", &[]),
        ("a%d", &[]),
        ("a\0", &[]),
        ("", &["default", "acme", "BIG", "fun"]),
    ] {
        assert_eq!(fixture.codes_of(search).await, found, "{search:?}");
    }
    let change = OrgChange { name: Some("Zinc".parse().unwrap()), ..OrgChange::default() };
    fixture.update(acme, &change).await.unwrap();
    assert_eq!(fixture.codes_of("zinc").await, ["acme"]);
    assert_eq!(fixture.codes_of("ltd").await, NONE);

    let of = |person: PersonId| OrgFilter { member: Some(person), ..OrgFilter::default() };
    let (ada, bob) = (fixture.person(), fixture.person());
    fixture.add(acme, ada).await;
    fixture.add(big, ada).await;
    fixture.add(acme, bob).await;
    assert_eq!(fixture.codes(of(ada)).await, ["acme", "BIG"]);
    assert_eq!(fixture.codes(OrgFilter { member: Some(ada), ..inactive }).await, ["BIG"]);
    fixture.set_status(acme, ada, MembershipStatus::Suspended).await.unwrap();
    assert_eq!(fixture.codes(of(ada)).await, ["BIG"], "who is suspended may not act there");
    assert_eq!(fixture.codes(of(bob)).await, ["acme"]);
    assert_eq!(fixture.codes(of(fixture.person())).await, NONE);

    let among = |ids: &[TenantId]| OrgFilter { ids: Some(ids.to_vec()), ..OrgFilter::default() };
    assert_eq!(fixture.codes(among(&[big, acme, TenantId::new(fixture.clock.now())])).await, ["acme", "BIG"]);
    assert_eq!(fixture.codes(OrgFilter { is_active: Some(true), ..among(&[acme, big]) }).await, ["acme"]);
    assert_eq!(fixture.codes(among(&[])).await, NONE);
}
both_engines!(organisations_are_found_by_what_they_are, &[&MIGRATIONS]);

async fn organisations_are_listed_page_by_page(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let mut all = Vec::new();
    for n in 0..7 {
        // Some are made in the same instant.
        if n % 3 == 0 {
            fixture.clock.advance(TimeDelta::seconds(1));
        }
        all.push(fixture.create(&new_org(&format!("o{n}"), "Org")).await.unwrap());
    }
    all.sort_unstable_by_key(|org| (org.created_at, org.id));
    let limit = PageLimit::new(2).unwrap();
    for direction in [Direction::Asc, Direction::Desc] {
        let (mut read, mut cursor, mut pages) = (Vec::new(), None, 0);
        loop {
            let keyset = Tenancy::orgs_keyset(direction, limit, cursor.as_deref()).unwrap();
            let page = fixture.page(&OrgFilter::default(), &keyset).await.unwrap();
            read.extend(page.items);
            pages += 1;
            let Some(next) = page.next_cursor else { break };
            cursor = Some(next.encode());
        }
        assert_eq!((&read, pages), (&all, 4));
        all.reverse();
        // A cursor is good for the list that it was made by.
        let other = if direction == Direction::Asc { Direction::Desc } else { Direction::Asc };
        assert!(Tenancy::orgs_keyset(other, limit, cursor.as_deref()).is_err());
        assert!(Tenancy::orgs_keyset(direction, limit, Some("x")).is_err());
    }
}
both_engines!(organisations_are_listed_page_by_page, &[&MIGRATIONS]);
