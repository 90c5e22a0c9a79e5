use std::{error::Error as _, sync::Arc};

use serde_json::json;
use stylobate_core::{Clock as _, DomainEvent, SystemClock, TraceParent};
use stylobate_db::{Error, Scope, Tx};
use stylobate_events::{Envelope, EventQuery, EventsError, MIGRATIONS, Types};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{PLATFORM, World, as_tenant, event, system, tenant};

async fn an_event_is_there_if_and_only_if_its_change_is(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("all", &Types::All).await.unwrap();
    let mut tx = world.db.begin(PLATFORM).await.unwrap();
    tx.emit(event(&system(), "a", 1));
    tx.rollback().await.unwrap();
    let mut tx = world.db.begin(PLATFORM).await.unwrap();
    tx.emit(event(&system(), "a", 2));
    drop(tx);
    // Written, and then rolled back.
    let mut tx = world.db.begin(PLATFORM).await.unwrap();
    world.events.outbox().write(&mut tx, &[event(&system(), "a", 3)]).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!((world.count("events").await, world.count("event_deliveries").await), (0, 0));

    let mut tx = world.db.begin(PLATFORM).await.unwrap();
    tx.emit(event(&system(), "a", 4));
    let undone: Result<(), Error> = tx
        .nested(async |tx| {
            tx.emit(event(&system(), "a", 5));
            Err(Error::NotFound)
        })
        .await;
    assert!(undone.is_err());
    tx.commit().await.unwrap();
    assert_eq!((world.count("events").await, world.count("event_deliveries").await), (1, 1));
    let page = world.events.list(&system(), &EventQuery::default()).await.unwrap();
    assert_eq!((page.items[0].sequence, &page.items[0].data), (1, &json!({ "n": 4 })));
}
both_engines!(an_event_is_there_if_and_only_if_its_change_is, &[&MIGRATIONS]);

async fn an_event_is_told_with_all_that_is_known_of_it(db: TestDb) {
    let world = World::new(db).await;
    let tenant = tenant();
    let mut alice = as_tenant(tenant);
    let trace: TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
    alice.traceparent = Some(trace);
    let mut told = event(&alice, "päper \"7\"", 1);
    told.version = 2;
    told.occurred_at = Some(SystemClock.now());
    told.data =
        json!({ "text": "a\u{0}b 'c' \"d\" \\", "deep": [{ "x": [1.5, null, true] }], "token_type": "x" });
    world.try_emit(Scope::Tenant(tenant), vec![told.clone()]).await.unwrap();
    // What a process does is told by its name, and an event of nobody is its transaction's tenant's.
    world.try_emit(Scope::Tenant(tenant), vec![event(&system(), "b", 2)]).await.unwrap();
    let page = world.events.list(&alice, &EventQuery::default()).await.unwrap();
    let [second, first] = page.items.as_slice() else { panic!("{page:?}") };
    assert_eq!(
        first,
        &Envelope {
            id: first.id,
            kind: "note.made".to_owned(),
            version: 2,
            occurred_at: told.occurred_at.unwrap(),
            tenant_id: Some(tenant),
            actor: told.actor.clone(),
            subject: "päper \"7\"".to_owned(),
            sequence: 1,
            trace: Some(trace),
            data: told.data.clone(),
        }
    );
    assert_eq!((second.tenant_id, second.actor.id.as_deref()), (Some(tenant), Some("tests")));
    assert_eq!(world.events.get(&alice, first.id).await.unwrap(), *first);
}
both_engines!(an_event_is_told_with_all_that_is_known_of_it, &[&MIGRATIONS]);

/// The error that a participant failed a commit with.
fn refusal(result: Result<(), Error>) -> &'static str {
    let error = result.unwrap_err();
    let Error::Participant(_) = &error else { panic!("{error:?}") };
    error.source().unwrap().downcast_ref::<EventsError>().unwrap().code()
}

// A31
async fn what_nobody_may_be_told_fails_the_commit(db: TestDb) {
    let world = World::new(db).await;
    let with = |data| DomainEvent { data, ..event(&system(), "a", 1) };
    let of = |kind, version| DomainEvent { kind, version, ..event(&system(), "a", 1) };
    for (refused, code) in [
        (of("note.unheard_of", 1), "event_type_unknown"),
        (of("note.made", 3), "event_type_unknown"),
        (with(json!({ "token": "canary" })), "event_secret"),
        (with(json!({ "a": [{ "newPassword": "canary" }] })), "event_secret"),
        (with(json!({ "text": "x".repeat(256 << 10) })), "event_too_large"),
        // Short as text, long as JSON.
        (with(json!({ "text": "\u{1}".repeat(50_000) })), "event_too_large"),
        (event(&system(), "", 1), "validation"),
        (event(&system(), &"x".repeat(201), 1), "validation"),
        (event(&system(), "a\u{0}", 1), "validation"),
    ] {
        let result = world.try_emit(PLATFORM, vec![event(&system(), "a", 0), refused]).await;
        assert_eq!(refusal(result), code);
    }
    let result = world.try_emit(Scope::Tenant(tenant()), vec![event(&as_tenant(tenant()), "a", 1)]).await;
    assert_eq!(refusal(result), "foreign_tenant");
    assert_eq!(world.count("events").await, 0);
    // A name that was found harmless once is not what made it so.
    let flag = with(json!({ "password": true, "secret": null, "note": 1 }));
    world.try_emit(PLATFORM, vec![flag]).await.unwrap();
    let result = world.try_emit(PLATFORM, vec![with(json!({ "password": "canary", "note": 1 }))]).await;
    assert_eq!(refusal(result), "event_secret");
    let nearly = with(json!({ "text": "x".repeat(255 << 10) }));
    world.try_emit(PLATFORM, vec![nearly]).await.unwrap();
}
both_engines!(what_nobody_may_be_told_fails_the_commit, &[&MIGRATIONS]);

async fn events_of_a_subject_are_numbered_in_the_order_of_their_commits(db: TestDb) {
    let world = Arc::new(World::new(db).await);
    let tenant = tenant();
    let mut writers = Vec::new();
    for writer in 0..8_u64 {
        let world = Arc::clone(&world);
        writers.push(tokio::spawn(async move {
            let context = as_tenant(tenant);
            for round in 0..10 {
                // Subjects in another order in each transaction; one of them twice.
                let mut subjects = ["a", "b", "c", "a"];
                subjects.rotate_left(usize::try_from(writer % 4).unwrap());
                let events =
                    subjects.iter().map(|subject| event(&context, subject, writer * 100 + round)).collect();
                world.try_emit(Scope::Tenant(tenant), events).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut tx = world.test_db.begin_read(PLATFORM).await.unwrap();
    for (subject, count) in [("a", 160), ("b", 80), ("c", 80)] {
        let rows: Vec<(i64,)> = tx
            .q("SELECT e.sequence FROM events AS e JOIN event_aggregates AS a ON a.id = e.aggregate_id \
                WHERE a.aggregate = $1 ORDER BY e.ordinal")
            .bind(subject)
            .all()
            .await
            .unwrap();
        let sequences: Vec<i64> = rows.into_iter().map(|(sequence,)| sequence).collect();
        assert_eq!(sequences, (1..=count).collect::<Vec<_>>(), "{subject}");
    }
    tx.rollback().await.unwrap();
}
both_engines!(events_of_a_subject_are_numbered_in_the_order_of_their_commits, &[&MIGRATIONS]);

async fn more_events_than_one_statement_holds_keep_their_order(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("all", &Types::All).await.unwrap();
    let events = (0..1_203).map(|n| event(&system(), if n % 3 == 0 { "b" } else { "a" }, n)).collect();
    world.try_emit(PLATFORM, events).await.unwrap();
    assert_eq!(world.count("event_deliveries").await, 1_203);
    let mut tx = world.test_db.begin_read(PLATFORM).await.unwrap();
    let rows: Vec<(i64, String)> = tx
        .q("SELECT e.sequence, e.data FROM events AS e JOIN event_aggregates AS a ON a.id = e.aggregate_id \
            WHERE a.aggregate = 'a' ORDER BY e.ordinal")
        .all()
        .await
        .unwrap();
    let expected = (0..1_203).filter(|n| n % 3 != 0).enumerate();
    let expected: Vec<_> =
        expected.map(|(n, number)| (i64::try_from(n).unwrap() + 1, format!("{{\"n\":{number}}}"))).collect();
    assert_eq!(rows, expected);
}
both_engines!(more_events_than_one_statement_holds_keep_their_order, &[&MIGRATIONS]);

async fn an_event_may_have_an_id_of_its_own_once(db: TestDb) {
    let world = World::new(db).await;
    let id = stylobate_core::EventId::new(SystemClock.now());
    let told = DomainEvent { id: Some(id), ..event(&system(), "a", 1) };
    world.try_emit(PLATFORM, vec![told.clone()]).await.unwrap();
    let refused = world.try_emit(PLATFORM, vec![told]).await.unwrap_err();
    assert!(refused.is_unique_violation("events_lane_id_key"), "{refused:?}");
    assert_eq!(world.events.get(&system(), id).await.unwrap().sequence, 1);
}
both_engines!(an_event_may_have_an_id_of_its_own_once, &[&MIGRATIONS]);

// A12: the second wall, met by statements that forget the tenant.
#[tokio::test]
async fn row_level_security_hides_foreign_rows_from_careless_statements() {
    let world = World::new(TestDb::postgres(&[&MIGRATIONS]).await).await;
    let (one, other) = (tenant(), tenant());
    for tenant in [one, other] {
        world.try_emit(Scope::Tenant(tenant), vec![event(&as_tenant(tenant), "a", 1)]).await.unwrap();
    }
    world.emit("a", 2).await;
    for table in ["events", "event_aggregates"] {
        let count = async |scope| {
            let mut tx = world.test_db.begin_read(scope).await.unwrap();
            let mut sql = tx.builder("SELECT count(*) FROM ");
            sql.push(table);
            tx.q_build(sql).scalar::<i64>().await.unwrap()
        };
        assert_eq!((count(Scope::Tenant(one)).await, count(Scope::Tenant(tenant())).await), (1, 0));
        assert_eq!(count(PLATFORM).await, 3);
    }
    let forge = async |tx: &mut Tx| {
        tx.q("UPDATE event_aggregates SET last_sequence = 7 WHERE lane = $1")
            .bind(other.as_uuid())
            .run()
            .await
    };
    assert_eq!(world.test_db.transact(Scope::Tenant(one), forge).await.unwrap(), 0);
}
