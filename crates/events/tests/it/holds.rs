use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use stylobate_core::{HealthCheck as _, HealthStatus, TenantId};
use stylobate_db::Tx;
use stylobate_events::{
    DeadLetterQuery, EventsHealth, MIGRATIONS, Outcome, Refused, Relay, RelayOptions, Types,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{
    Echo, PLATFORM, Recorder, World, as_tenant, event, number, options, system, tenant, until,
};

async fn an_event_that_fails_holds_up_its_subject_only(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("all", &Types::All).await.unwrap();
    let is_open = Arc::new(AtomicBool::new(false));
    let open = Arc::clone(&is_open);
    let all = Recorder::answering("all", move |delivery| {
        let is_bad = delivery.event.subject == "a" && number(&delivery.event) == 3;
        if is_bad && !open.load(Ordering::SeqCst) {
            return Outcome::Refused(Refused::later("not now"));
        }
        Outcome::Delivered
    });
    world.emit_many(&["a", "b"], 10).await;
    let patient = RelayOptions { attempts_max: 1_000, ..options() };
    let relay = world.run(Relay::new(world.events.clone(), Arc::<Recorder>::clone(&all), patient));
    until("others wait", async || all.numbers("b").len() == 10).await;
    // Those that come later wait with it.
    world.emit_many(&["a", "b"], 2).await;
    until("others wait", async || all.numbers("b").len() == 12).await;
    until("it is not put aside", async || {
        let counts = world.counts("all").await;
        (counts.owed, counts.held) == (0, 10)
    })
    .await;
    let counts = world.counts("all").await;
    assert_eq!((counts.dead, counts.oldest_at.is_some()), (0, true));
    assert_eq!(all.numbers("a"), [1, 2]);
    is_open.store(true, Ordering::SeqCst);
    world.drained("all").await;
    assert_eq!(all.numbers("a"), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2]);
    assert_eq!(world.count("event_holds").await, 0);
    relay.stop().await;
}
both_engines!(an_event_that_fails_holds_up_its_subject_only, &[&MIGRATIONS]);

async fn a_long_queue_behind_an_event_drains_and_may_fail_again(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("all", &Types::All).await.unwrap();
    // Each event whose number divides by 50 fails twice.
    let all = Recorder::answering("all", |delivery| {
        if number(&delivery.event).is_multiple_of(50) && delivery.attempt < 3 {
            return Outcome::Refused(Refused::later("not yet"));
        }
        Outcome::Delivered
    });
    world.emit_many(&["a"], 500).await;
    let relay = world.relay(&all);
    world.drained("all").await;
    assert_eq!(all.numbers("a"), (1..=500).collect::<Vec<_>>());
    relay.stop().await;
}
both_engines!(a_long_queue_behind_an_event_drains_and_may_fail_again, &[&MIGRATIONS]);

async fn what_cannot_be_delivered_is_given_up_and_its_subject_goes_on(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("all", &Types::All).await.unwrap();
    let attempts = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&attempts);
    let all = Recorder::answering("all", move |delivery| match number(&delivery.event) {
        2 => {
            seen.fetch_add(1, Ordering::SeqCst);
            Outcome::Refused(Refused::later("it is down"))
        }
        4 => Outcome::Refused(Refused::never("it is none")),
        _ => Outcome::Delivered,
    });
    world.emit_many(&["a"], 5).await;
    let relay = Relay::new(
        world.events.clone(),
        Arc::<Recorder>::clone(&all),
        RelayOptions { attempts_max: 3, ..options() },
    );
    let relay = world.run(relay);
    world.drained("all").await;
    assert_eq!((all.numbers("a"), attempts.load(Ordering::SeqCst)), (vec![1, 3, 5], 3));
    let dead = world.events.dead_letters(&system(), &DeadLetterQuery::default()).await.unwrap().items;
    let told: Vec<_> = dead
        .iter()
        .map(|one| (number(one.event.as_ref().unwrap()), one.attempts, one.error.as_str()))
        .collect();
    // The last first; those of one moment by id.
    assert!(told.contains(&(2, 3, "it is down")) && told.contains(&(4, 1, "it is none")), "{told:?}");
    assert_eq!((dead.len(), world.counts("all").await.dead), (2, 2));
    let health = EventsHealth::new(world.events.clone()).check().await;
    assert_eq!(
        (health.status, health.detail.as_deref()),
        (HealthStatus::Degraded, Some("1 subscribers have dead letters"))
    );

    // Once more, and for good.
    let of = |n| dead.iter().find(|one| number(one.event.as_ref().unwrap()) == n).unwrap().event_id;
    world.events.drop_dead_letter(&system(), "all", of(4)).await.unwrap();
    assert_eq!(world.events.drop_dead_letter(&system(), "all", of(4)).await.unwrap_err().code(), "not_found");
    assert_eq!(world.events.replay(&system(), "other", of(2)).await.unwrap_err().code(), "not_found");
    all.answer(|_| Outcome::Delivered);
    world.events.replay(&system(), "all", of(2)).await.unwrap();
    until("it does not come", async || all.numbers("a") == [1, 3, 5, 2]).await;
    world.drained("all").await;
    assert_eq!((world.counts("all").await.dead, world.trail.0.load(Ordering::SeqCst)), (0, 2));
    relay.stop().await;
}
both_engines!(what_cannot_be_delivered_is_given_up_and_its_subject_goes_on, &[&MIGRATIONS]);

async fn a_handler_that_fails_panics_or_hangs_leaves_nothing_behind(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("echo", &Types::named(["note.made"])).await.unwrap();
    let echo = Echo::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&calls);
    echo.does(move |event| match (number(event), seen.fetch_add(1, Ordering::SeqCst)) {
        (1, 0) => panic!("a bug in a handler"),
        (1, 1) => Err(Refused::later("not yet")),
        (1, 2) => {
            std::thread::sleep(Duration::from_millis(300));
            Err(Refused::later("late"))
        }
        (2, _) => Err(Refused::never("never")),
        _ => Ok(()),
    });
    world.emit_many(&["a"], 3).await;
    world.emit_many(&["b"], 1).await;
    let relay = world.echo_relay(&echo);
    world.drained("echo").await;
    relay.stop().await;
    let mut echoes = world.echoes().await;
    echoes.sort();
    let expected = [("a", 1), ("a", 3), ("b", 1)].map(|(subject, n)| (subject.to_owned(), n));
    assert_eq!(echoes, expected);
    let dead = world.events.dead_letters(&system(), &DeadLetterQuery::default()).await.unwrap().items;
    assert_eq!((dead.len(), dead[0].error.as_str(), dead[0].subscriber.as_str()), (1, "never", "echo"));
}
both_engines!(a_handler_that_fails_panics_or_hangs_leaves_nothing_behind, &[&MIGRATIONS]);

async fn an_event_whose_row_is_damaged_is_given_up(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("all", &Types::All).await.unwrap();
    world.emit_many(&["a"], 3).await;
    let owner = world.test_db.open_as_owner().await;
    let damage = async |tx: &mut Tx| tx.q("UPDATE events SET data = '{' WHERE sequence = 2").run().await;
    assert_eq!(owner.transact(PLATFORM, damage).await.unwrap(), 1);
    let all = Recorder::new("all");
    let relay = world.relay(&all);
    world.drained("all").await;
    assert_eq!(all.numbers("a"), [1, 3]);
    let dead = world.events.dead_letters(&system(), &DeadLetterQuery::default()).await.unwrap().items;
    assert_eq!((dead.len(), &dead[0].event), (1, &None));
    assert!(dead[0].error.contains("bad value in `data`"), "{}", dead[0].error);
    relay.stop().await;
}
both_engines!(an_event_whose_row_is_damaged_is_given_up, &[&MIGRATIONS]);

async fn an_event_whose_subject_is_gone_is_given_up(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("all", &Types::All).await.unwrap();
    world.emit_many(&["a", "b"], 3).await;
    let owner = world.test_db.open_as_owner().await;
    let damage = async |tx: &mut Tx| tx.q("DELETE FROM event_aggregates WHERE aggregate = 'a'").run().await;
    assert_eq!(owner.transact(PLATFORM, damage).await.unwrap(), 1);
    let all = Recorder::new("all");
    let relay = world.relay(&all);
    world.drained("all").await;
    assert_eq!((all.numbers("a"), all.numbers("b")), (vec![], vec![1, 2, 3]));
    let dead = world.events.dead_letters(&system(), &DeadLetterQuery::default()).await.unwrap().items;
    assert_eq!(dead.len(), 3);
    for letter in dead {
        assert_eq!(letter.event, None);
        assert!(letter.error.contains("bad value in `aggregate_id`"), "{}", letter.error);
    }
    relay.stop().await;
}
both_engines!(an_event_whose_subject_is_gone_is_given_up, &[&MIGRATIONS]);

// A12
async fn dead_letters_are_their_tenants_own(db: TestDb) {
    let world = World::new(db).await;
    let (one, other) = (tenant(), tenant());
    for tenant in [one, other] {
        world.events.subscribe("all", &Types::All).await.unwrap();
        let scope = stylobate_db::Scope::Tenant(tenant);
        world.try_emit(scope, (1..=3).map(|n| event(&as_tenant(tenant), "a", n)).collect()).await.unwrap();
    }
    let all = Recorder::answering("all", |_| Outcome::Refused(Refused::never("never")));
    let relay = world.relay(&all);
    world.drained("all").await;
    relay.stop().await;
    let list = async |context, tenant: Option<TenantId>| {
        let query =
            DeadLetterQuery { subscriber: Some("all".to_owned()), tenant, ..DeadLetterQuery::default() };
        world.events.dead_letters(&context, &query).await.unwrap().items
    };
    assert_eq!(list(system(), None).await.len(), 6);
    assert_eq!(list(system(), Some(one)).await.len(), 3);
    // Whoever acts for a tenant sees that one's, whatever is asked for.
    let own = list(as_tenant(one), Some(other)).await;
    assert!(own.len() == 3 && own.iter().all(|dead| dead.event.as_ref().unwrap().tenant_id == Some(one)));
    let foreign = list(as_tenant(other), None).await[0].event_id;
    let refused = world.events.replay(&as_tenant(one), "all", foreign).await.unwrap_err();
    assert_eq!(refused.code(), "not_found");
    let refused = world.events.drop_dead_letter(&as_tenant(one), "all", foreign).await.unwrap_err();
    assert_eq!(refused.code(), "not_found");
    assert_eq!(world.events.replay_all(&as_tenant(one), "all").await.unwrap(), 3);
    assert_eq!((list(system(), None).await.len(), world.counts("all").await.owed), (3, 3));
}
both_engines!(dead_letters_are_their_tenants_own, &[&MIGRATIONS]);
