use chrono::TimeDelta;
use stylobate_audit::{AuditRecord, Error, Filter, MIGRATIONS};
use stylobate_core::{
    ActorKind, AuditEvent, AuditEventId, Clock as _, Direction, Outcome, PageLimit, Principal,
    RequestContext, RequestId,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::fixture::Fixture;

async fn pages_follow_each_other_without_gap_or_repeat(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    // Three events share each time, so that the id decides.
    for batch in 0..7 {
        let events =
            (0..3).map(|n| AuditEvent::new(&fixture.alice, "role.grant", "role").on(batch * 3 + n)).collect();
        fixture.record_as(&fixture.alice, events).await;
        fixture.clock.advance(TimeDelta::microseconds(1));
    }
    for (direction, expected) in
        [(Direction::Asc, (0..21).collect::<Vec<i32>>()), (Direction::Desc, (0..21).rev().collect())]
    {
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = fixture
                .log
                .list(
                    &fixture.alice,
                    &Filter::default(),
                    PageLimit::new(4).unwrap(),
                    cursor.as_deref(),
                    direction,
                )
                .await
                .unwrap();
            assert!(page.items.len() <= 4);
            seen.extend(page.items.iter().map(|r| r.entity_id.as_ref().unwrap().parse::<i32>().unwrap()));
            match page.next_cursor {
                Some(next) => cursor = Some(next.encode()),
                None => break,
            }
        }
        assert_eq!(seen, expected);
    }
}
both_engines!(pages_follow_each_other_without_gap_or_repeat, &[&MIGRATIONS]);

async fn filters_narrow_the_list(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let start = fixture.clock.now();
    let request_id = RequestId::new(start);
    let mut with_request = fixture.alice.clone();
    with_request.request_id = Some(request_id);
    let mut system = RequestContext::system("seed-rbac");
    system.principal = Principal::system().in_tenant(fixture.tenant);
    for event in [
        AuditEvent::new(&fixture.alice, "role.create", "role").on("r1"),
        AuditEvent::new(&with_request, "role.delete", "role").on("r2"),
        AuditEvent::new(&system, "person.create", "person").on("p1"),
        AuditEvent::new(&fixture.alice, "auth.login", "session").outcome(Outcome::Denied),
        AuditEvent::new(&fixture.alice, "auth.login", "session").outcome(Outcome::Failure),
    ] {
        fixture.record_as(&fixture.alice, vec![event]).await;
        fixture.clock.advance(TimeDelta::seconds(1));
    }
    let none = Filter::default;
    let text = |text: &str| Some(text.to_owned());
    let alice_id = fixture.alice.principal.person_id().map(|id| id.to_string());
    for (filter, expected) in [
        (none(), vec![0, 1, 2, 3, 4]),
        (Filter { actor_id: alice_id, ..none() }, vec![0, 1, 3, 4]),
        (Filter { actor_type: Some(ActorKind::System), ..none() }, vec![2]),
        (Filter { action: text("role.create"), ..none() }, vec![0]),
        (Filter { action: text("role.%"), ..none() }, vec![]),
        (Filter { action: text("' OR 1=1 --"), ..none() }, vec![]),
        (Filter { entity_type: text("role"), ..none() }, vec![0, 1]),
        (Filter { entity_type: text("role"), entity_id: text("r2"), ..none() }, vec![1]),
        (Filter { request_id: Some(request_id), ..none() }, vec![1]),
        (Filter { is_success: Some(true), ..none() }, vec![0, 1, 2]),
        (Filter { is_success: Some(false), ..none() }, vec![3, 4]),
        (Filter { outcome: Some(Outcome::Denied), ..none() }, vec![3]),
        (Filter { is_success: Some(true), outcome: Some(Outcome::Denied), ..none() }, vec![]),
        (Filter { started_after: Some(start + TimeDelta::seconds(3)), ..none() }, vec![3, 4]),
        (Filter { started_before: Some(start + TimeDelta::seconds(3)), ..none() }, vec![0, 1, 2]),
    ] {
        let page = fixture
            .log
            .list(&fixture.alice, &filter, PageLimit::default(), None, Direction::Asc)
            .await
            .unwrap();
        let seconds = |record: &AuditRecord| (record.occurred_at - start).num_seconds();
        assert_eq!(page.items.iter().map(seconds).collect::<Vec<_>>(), expected, "{filter:?}");
    }
}
both_engines!(filters_narrow_the_list, &[&MIGRATIONS]);

async fn bad_filters_and_cursors_are_refused(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let list = async |filter: Filter, cursor: Option<&str>, direction| {
        let page = fixture.log.list(&fixture.alice, &filter, PageLimit::default(), cursor, direction).await;
        page.map(|page| page.items.len()).map_err(|error| error.code())
    };
    let nul = Filter { action: Some("a\0b".into()), ..Filter::default() };
    assert_eq!(list(nul, None, Direction::Asc).await, Err("invalid_filter"));
    assert_eq!(list(Filter::default(), Some("nonsense"), Direction::Asc).await, Err("invalid_cursor"));

    let event = AuditEvent::new(&fixture.alice, "role.create", "role");
    fixture.record_as(&fixture.alice, vec![event.clone(), event]).await;
    let one = PageLimit::new(1).unwrap();
    let page = fixture.log.list(&fixture.alice, &Filter::default(), one, None, Direction::Asc).await.unwrap();
    let cursor = page.next_cursor.unwrap().encode();
    assert_eq!(list(Filter::default(), Some(&cursor), Direction::Asc).await, Ok(1));
    assert_eq!(list(Filter::default(), Some(&cursor), Direction::Desc).await, Err("invalid_cursor"));
}
both_engines!(bad_filters_and_cursors_are_refused, &[&MIGRATIONS]);

// A12: a foreign record answers exactly as a missing one, and a foreign cursor opens nothing.
async fn records_of_another_tenant_cannot_be_seen(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let event = AuditEvent::new(&fixture.alice, "role.create", "role").on("r1");
    fixture.record_as(&fixture.alice, vec![event.clone(), event]).await;
    let mallory = fixture.mallory();
    assert_eq!(fixture.all(&mallory).await, []);
    let foreign = fixture.all(&fixture.alice).await[0].id;
    assert_eq!(fixture.log.find(&mallory, foreign).await.unwrap(), None);
    let missing = AuditEventId::new(fixture.clock.now());
    assert_eq!(fixture.log.find(&mallory, missing).await.unwrap(), None);
    let filter = Filter { entity_id: Some("r1".into()), ..Filter::default() };
    let one = PageLimit::new(1).unwrap();
    let page = fixture.log.list(&fixture.alice, &filter, one, None, Direction::Asc).await.unwrap();
    let cursor = page.next_cursor.unwrap().encode();
    let stolen = fixture.log.list(&mallory, &filter, one, Some(&cursor), Direction::Asc).await.unwrap();
    assert_eq!(stolen.items, []);

    let nobody = RequestContext::new(Principal::anonymous());
    let refused = fixture.log.list(&nobody, &filter, one, None, Direction::Asc).await;
    assert!(matches!(refused, Err(Error::TenantRequired)), "{refused:?}");
    assert!(matches!(fixture.log.find(&nobody, foreign).await, Err(Error::TenantRequired)));
}
both_engines!(records_of_another_tenant_cannot_be_seen, &[&MIGRATIONS]);

/// A12: an organisation learns that the platform acted, and not who of it.
async fn who_acts_for_the_platform_is_kept_and_not_shown(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let mallory = fixture.mallory();
    let id = mallory.principal.person_id().unwrap().to_string();
    let mut context = mallory.for_platform_in(fixture.tenant);
    context.address = "192.0.2.7".parse().ok();
    let events = vec![
        AuditEvent::new(&context, "org.update", "org").on("o1"),
        AuditEvent::new(&context, "org.update", "org").on("o1").with("version", 2),
    ];
    fixture.record_as(&context, events).await;
    let shown = fixture.all(&fixture.alice).await;
    for record in &shown {
        assert_eq!((record.actor_type, record.actor_id.as_deref()), (ActorKind::System, Some("platform")));
        assert_eq!((record.ip_address, record.session_id), (None, None));
    }
    assert_eq!(shown[0].metadata, None);
    assert_eq!(shown[1].metadata, Some(serde_json::json!({ "version": 2 })));
    let by_them = Filter { actor_id: Some(id.clone()), ..Filter::default() };
    let limit = PageLimit::default();
    let found = fixture.log.list(&fixture.alice, &by_them, limit, None, Direction::Asc).await.unwrap();
    assert!(found.items.is_empty());
    // Whoever reads it for the platform is told.
    let kept = fixture.all(&context).await;
    assert_eq!(kept.len(), 2);
    for (kept, shown) in kept.iter().zip(&shown) {
        assert_eq!(fixture.log.find(&context, kept.id).await.unwrap().as_ref(), Some(kept));
        assert_eq!(fixture.log.find(&fixture.alice, kept.id).await.unwrap().as_ref(), Some(shown));
        let actor = &kept.metadata.as_ref().unwrap()[AuditEvent::PLATFORM_ACTOR];
        assert_eq!((&actor["actor"]["id"], &actor["ip_address"]), (&id.clone().into(), &"192.0.2.7".into()));
    }
}
both_engines!(who_acts_for_the_platform_is_kept_and_not_shown, &[&MIGRATIONS]);
