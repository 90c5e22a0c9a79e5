use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::{DomainEvent, EventId, PageLimit, TenantId};
use stylobate_db::Scope;
use stylobate_events::{Envelope, EventQuery, MIGRATIONS};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{World, as_tenant, event, number, system, tenant};

fn time(n: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_366_400, 0).unwrap() + TimeDelta::minutes(n)
}

async fn fill(world: &World, tenant: TenantId) {
    let told = |n: u64| DomainEvent {
        kind: if n.is_multiple_of(3) { "note.read" } else { "note.made" },
        id: Some(EventId::new(time(i64::try_from(n).unwrap()))),
        ..event(&as_tenant(tenant), if n.is_multiple_of(2) { "even" } else { "odd" }, n)
    };
    world.try_emit(Scope::Tenant(tenant), (0..30).map(told).collect()).await.unwrap();
}

/// Every page of a list, three events each.
async fn numbers(world: &World, tenant: TenantId, query: EventQuery) -> Vec<u64> {
    let mut query = EventQuery { limit: PageLimit::new(3).unwrap(), ..query };
    let mut all: Vec<Envelope> = Vec::new();
    loop {
        let page = world.events.list(&as_tenant(tenant), &query).await.unwrap();
        assert!(page.items.len() <= 3);
        all.extend(page.items);
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor.encode()),
            None => return all.iter().map(number).collect(),
        }
    }
}

async fn events_are_listed_newest_first_page_by_page_with_filters(db: TestDb) {
    let world = World::new(db).await;
    let tenant = tenant();
    fill(&world, tenant).await;
    let all = EventQuery::default;
    let expect = |keep: &dyn Fn(u64) -> bool| (0..30).rev().filter(|n| keep(*n)).collect::<Vec<u64>>();
    assert_eq!(numbers(&world, tenant, all()).await, expect(&|_| true));
    let read = EventQuery { kind: Some("note.read".to_owned()), ..all() };
    assert_eq!(numbers(&world, tenant, read).await, expect(&|n: u64| n.is_multiple_of(3)));
    let odd = EventQuery { subject: Some("odd".to_owned()), ..all() };
    assert_eq!(numbers(&world, tenant, odd.clone()).await, expect(&|n| n % 2 == 1));
    let between = EventQuery { from: Some(time(7)), to: Some(time(15)), ..odd };
    assert_eq!(numbers(&world, tenant, between).await, [13, 11, 9, 7]);
    for none in [
        EventQuery { kind: Some("note".to_owned()), ..all() },
        EventQuery { subject: Some("neither".to_owned()), ..all() },
        EventQuery { from: Some(time(100)), ..all() },
    ] {
        assert!(numbers(&world, tenant, none).await.is_empty());
    }
    let wrong = EventQuery { cursor: Some("x".to_owned()), ..all() };
    assert_eq!(world.events.list(&as_tenant(tenant), &wrong).await.unwrap_err().code(), "invalid_cursor");
    let wrong = EventQuery { subject: Some("\0".to_owned()), ..all() };
    assert_eq!(world.events.list(&as_tenant(tenant), &wrong).await.unwrap_err().code(), "validation");
}
both_engines!(events_are_listed_newest_first_page_by_page_with_filters, &[&MIGRATIONS]);

// A12
async fn a_tenant_sees_its_own_events_and_no_others(db: TestDb) {
    let world = World::new(db).await;
    let (one, other) = (tenant(), tenant());
    fill(&world, one).await;
    world.emit("odd", 99).await;
    assert!(numbers(&world, other, EventQuery::default()).await.is_empty());
    let subject = EventQuery { subject: Some("odd".to_owned()), ..EventQuery::default() };
    assert!(numbers(&world, other, subject).await.is_empty());
    let own = world.events.list(&as_tenant(one), &EventQuery::default()).await.unwrap().items;
    let id = own[0].id;
    assert_eq!(world.events.get(&as_tenant(one), id).await.unwrap(), own[0]);
    assert_eq!(world.events.get(&as_tenant(other), id).await.unwrap_err().code(), "not_found");
    // The platform's own are those of no tenant.
    let platform = world.events.list(&system(), &EventQuery::default()).await.unwrap().items;
    assert_eq!(platform.iter().map(number).collect::<Vec<_>>(), [99]);
    assert_eq!(world.events.get(&system(), id).await.unwrap_err().code(), "not_found");
}
both_engines!(a_tenant_sees_its_own_events_and_no_others, &[&MIGRATIONS]);

async fn a_filter_looks_through_a_part_of_the_events_for_each_page(db: TestDb) {
    let world = World::new(db).await;
    let tenant = tenant();
    let told = |n: u64| DomainEvent {
        kind: if n % 10_000 == 5 { "note.read" } else { "note.made" },
        id: Some(EventId::new(time(i64::try_from(n).unwrap()))),
        ..event(&as_tenant(tenant), "a", n)
    };
    let all: Vec<DomainEvent> = (0..20_010).map(told).collect();
    for some in all.chunks(2_500) {
        world.try_emit(Scope::Tenant(tenant), some.to_vec()).await.unwrap();
    }
    let read = EventQuery { kind: Some("note.read".to_owned()), ..EventQuery::default() };
    let first = world.events.list(&as_tenant(tenant), &read).await.unwrap();
    assert_eq!(first.items.iter().map(number).collect::<Vec<_>>(), [20_005]);
    assert!(first.next_cursor.is_some());
    assert_eq!(numbers(&world, tenant, read).await, [20_005, 10_005, 5]);
}
both_engines!(a_filter_looks_through_a_part_of_the_events_for_each_page, &[&MIGRATIONS]);
